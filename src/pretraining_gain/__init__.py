"""Why does ImageNet pretraining help recognise wildlife? The study, re-done from data to prose.

Three rooms, one direction: `plan` (what to run; no torch), `compute` (runs it; torch) and
`tell` (what came out; no torch). `compute` and `tell` meet only in files under `results/`.
"""

__version__ = "0.1.0"

import sys

# papermill loads jsonschema, which would take a second of every notebook to build a grammar of URLs that none needs.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
