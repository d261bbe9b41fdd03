"""Compare a run or a notebook made again with what there was: `python -m pretraining_gain.tell.results.compare again/STUDY/…`

A record (.json) is held against that of the same name in `results/`: data, recipe, loss and top-1 of each epoch, and every
prediction. A notebook (.ipynb) is held against the one in `book/executed/`: each figure, table and number that it shows.
Times, machine and code are what may differ.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.errors import InputError
from pretraining_gain.paths import project_root
from pretraining_gain.plan.record import read_record

#: Where the first of each kind is, by its ending.
_FIRST = {".json": "results", ".ipynb": "book/executed"}
_COMPARED = ("fingerprint", "recipe", "source_class_ids", "train_content_hash", "eval_content_hash", "top1", "sha256")
_PROVENANCE = re.compile(r'<p class="provenance">.*?</p>', flags=re.DOTALL)


def compare(again: Path) -> str:
    """One line that says what is the same. Raises `InputError` with what differs, or when either is not there."""
    first = _first_of(again)
    facts_of = _of_record if again.suffix == ".json" else _of_notebook
    before, now = facts_of(first), facts_of(again)
    different = [name for name in before | now if before.get(name) != now.get(name)]
    if different:
        more = f" and {len(different) - 6} more" if len(different) > 6 else ""
        raise InputError(f"{again} differs from {first} in: {', '.join(different[:6])}{more}")
    return f"the same as {first}: {', '.join(list(before)[:4])}{', …' if len(before) > 4 else ''} ({len(before)} compared)"


def _first_of(again: Path) -> Path:
    """The file of the same place in the project's own results or pages."""
    if again.suffix not in _FIRST or not again.is_file():
        raise InputError(f"{again} cannot be compared; accepted: a record (.json) or an executed notebook (.ipynb)")
    root = project_root() / _FIRST[again.suffix]
    places = [root.joinpath(*again.parts[start:]) for start in range(1, len(again.parts))]
    for place in places:
        if place.is_file() and not place.samefile(again):
            return place
    raise InputError(f"there is nothing to compare {again} with in {root}; accepted: what `make reproduce` or a record has")


def _of_record(path: Path) -> dict[str, Any]:
    record = read_record(path)
    return {name: record.get(name) for name in _COMPARED if name in record} | {
        f"epoch {epoch['epoch'] + 1}": {name: value for name, value in epoch.items() if not name.endswith("_time_s")}
        for epoch in record["history"]
    }


def _of_notebook(path: Path) -> dict[str, Any]:
    """What the notebook hands to chapters, by its key: figures as drawn, tables, numbers."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}); accepted: an executed notebook") from None
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    pasted = [output for output in outputs if "scrapbook" in output.get("metadata", {})]
    return {output["metadata"]["scrapbook"]["name"]: _without_provenance(output["data"]) for output in pasted}


def _without_provenance(forms: Mapping[str, Any]) -> dict[str, Any]:
    """Which code drew a figure is in the line under it, and may differ."""
    return {kind: _PROVENANCE.sub("", form) if isinstance(form, str) else form for kind, form in forms.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = CommandLine("tell.results.compare", __doc__ or "")
    parser.add_argument("again", type=Path, help="what was made again: a record, or an executed notebook")
    again = parser.parse_args(arguments).again
    return answer("compare", lambda: print(compare(again)))


if __name__ == "__main__":
    sys.exit(main())
