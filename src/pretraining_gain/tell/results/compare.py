"""Compare a repeated run or notebook with the first one: `python -m pretraining_gain.tell.results.compare again/STUDY/…`

A record (.json) is compared with that of the same name in `results/`: data, recipe, loss and top-1 of each epoch, and every
prediction. A notebook (.ipynb) is compared with the one in `book/executed/`: each figure, table and number that it shows.
Times, machine and code may differ.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.errors import InputError
from pretraining_gain.paths import EXECUTED, project_root
from pretraining_gain.plan.record import read_record

#: Folder of the first of each kind, by file ending.
_FIRST = {".json": "results", ".ipynb": EXECUTED}
_COMPARED = ("fingerprint", "recipe", "source_class_ids", "train_content_hash", "eval_content_hash", "top1", "sha256")
#: What may differ: when and by which code a figure was drawn, and its static form, whose pixels depend on library versions.
_APART = re.compile(r'<p class="provenance">.*?</p>|<img class="static"[^>]*>', flags=re.DOTALL)


def compare(again: Path) -> str:
    """Return one line that says what is the same. Raises `InputError` with what differs, or when a file is missing."""
    if again.suffix not in _FIRST or not again.is_file():
        raise InputError(f"{again} cannot be compared; accepted: a record (.json) or an executed notebook (.ipynb)")
    root = project_root() / _FIRST[again.suffix]
    places = [root.joinpath(*again.parts[start:]) for start in range(1, len(again.parts))]
    first = next((place for place in places if place.is_file() and not place.samefile(again)), None)
    if not first:
        raise InputError(f"there is nothing to compare {again} with in {root}; accepted: what `make reproduce` or a record has")
    before, now = _facts(first), _facts(again)
    if not before and not now:
        raise InputError(f"{again} and {first} show nothing to compare; accepted: notebooks with a figure, table or number")
    different = [name for name in before | now if before.get(name) != now.get(name)]
    if different:
        more = f" and {len(different) - 6} more" if len(different) > 6 else ""
        floats = [name for name in different if isinstance(before.get(name), float) and isinstance(now.get(name), float)]
        amounts = "".join(f"; {name} {now[name]:.4f}, not {before[name]:.4f}" for name in floats)
        raise InputError(f"{again} differs from {first} in: {', '.join(different[:6])}{more}{amounts}")
    return f"the same as {first}: {', '.join(list(before)[:4])}{', …' if len(before) > 4 else ''} ({len(before)} compared)"


def _facts(path: Path) -> dict[str, Any]:
    """Return what is compared, by name: of a record, or what a notebook hands to chapters, less what may differ."""
    facts: dict[str, Any] = {}
    try:
        if path.suffix == ".json":
            record = read_record(path)
            facts = {name: record[name] for name in _COMPARED if name in record}
            facts["last loss"] = record["history"][-1]["loss"]
            for epoch in record["history"]:
                facts[f"epoch {epoch['epoch'] + 1}"] = {name: one for name, one in epoch.items() if not name.endswith("_time_s")}
            return facts
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for output in (output for cell in cells for output in cell.get("outputs", [])):
            if pasted := output.get("metadata", {}).get("scrapbook"):
                forms = output["data"].items()
                facts[pasted["name"]] = {kind: _APART.sub("", form) if isinstance(form, str) else form for kind, form in forms}
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path} cannot be read ({error}); accepted: a record or an executed notebook") from None
    return facts


def main(arguments: Sequence[str] | None = None) -> int:
    parser = CommandLine("tell.results.compare", __doc__ or "")
    parser.add_argument("again", type=Path, help="what was made again: a record, or an executed notebook")
    again = parser.parse_args(arguments).again
    return answer("compare", lambda: print(compare(again)))


if __name__ == "__main__":
    sys.exit(main())
