"""Why does ImageNet pretraining help recognise wildlife? The study, re-done from data to prose.

Three rooms, one direction: `plan` (what to run; no torch), `compute` (runs it; torch) and
`tell` (what came out; no torch). `compute` and `tell` meet only in files under `results/`.
"""

__version__ = "0.1.0"
