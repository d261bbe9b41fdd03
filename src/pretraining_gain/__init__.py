"""Study why ImageNet pretraining helps recognise wildlife, reproducibly from data to prose.

Data flow through three rooms: `plan` (decides what to run; no torch), `compute` (runs it; torch) and `tell` (shows the
results; no torch). `compute` and `tell` meet only in files under `results/`.
"""

__version__ = "0.1.0"

import sys

# papermill loads jsonschema, which would spend a second per notebook on a grammar of URLs that none needs.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
