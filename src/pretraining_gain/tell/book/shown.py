"""Decide which studies the book shows, and write the table of contents that depends on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pretraining_gain.paths import make_writable, results_of, write_atomically
from pretraining_gain.plan.studies import study_names
from pretraining_gain.tell.book.executed import EXECUTED, notebooks_of, read_executed, short_name
from pretraining_gain.tell.figures.registry import FIGURES
from pretraining_gain.workflow import book_studies

#: Pages that the build writes, one per study of a reader.
PAGES = "book/studies"


def own_studies(root: Path) -> list[str]:
    """Return every other study that has results and executed notebooks: a reader's own."""
    folders = sorted(path.name for path in (root / EXECUTED).glob("*/") if notebooks_of(root, path.name))
    shown = book_studies()
    return [name for name in folders if name not in shown and (results_of(name) / "runs.csv").exists()]


def study_file(root: Path, study: str) -> str:
    """Return what loads a study: its name, or the path of a reader's file, as its executed notebooks have it."""
    if study in study_names():
        return study
    return str(read_executed(root, notebooks_of(root, study)[0]).parameters["study"])


def write_contents(root: Path) -> Path:
    """Write `_build/_toc.yml`: what `_toc.yml` lists, one part per study of a reader, and all executed notebooks.

    Also writes the page of each study of a reader, and removes the pages of studies that are gone.
    """
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    own = own_studies(root)
    folder = make_writable(root / PAGES)
    for left in folder.glob("*.md"):
        if left.stem not in own:
            left.unlink()
    for study in own:
        _write_changed(folder / f"{study}.md", _study_page(root, study))
        chapters = [{"file": f"{PAGES}/{study}"}, *_chapters(root, study)]
        toc["parts"].append({"caption": f"Study {study}", "chapters": chapters})
    ours = [chapter for study in [*book_studies(), ""] for chapter in _chapters(root, study)]
    toc["parts"].append({"caption": "Executed notebooks", "chapters": ours})
    path = make_writable(root / "_build") / "_toc.yml"
    _write_changed(path, yaml.safe_dump(toc, sort_keys=False, allow_unicode=True))
    return path


def _chapters(root: Path, study: str) -> list[dict[str, Any]]:
    found = [read_executed(root, path) for path in notebooks_of(root, study)]
    return [{"file": one.page, "title": f"{study}: {one.title}" if study else one.title} for one in found]


def _write_changed(path: Path, text: str) -> None:
    """Leave a file with the same content alone: a new time stamp would make Sphinx read it again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text.encode())


def _study_page(root: Path, study: str) -> str:
    """Write the page of one study from the template: what each notebook hands over, those with figures first."""
    notebooks = [read_executed(root, path) for path in notebooks_of(root, study)]
    numbered = {key for key, one in FIGURES.items() if one.number}
    lines = []
    for notebook in sorted(notebooks, key=lambda one: numbered.isdisjoint(one.shown)):
        name = short_name(notebook.path)
        if not notebook.shown or name == "claims":  # the template has the claims
            continue
        lines += [f"## {notebook.title}\n", f"From the [executed notebook](/{notebook.page}.ipynb).\n"]
        for key in notebook.shown:
            if key in numbered:
                lines.append(f"```{{figure-of}} {key}\n```\n")
            else:
                title = FIGURES[key].title if key in FIGURES else key.replace("_", " ").capitalize()
                lines.append(f"**{title}**\n\n```{{output}} {name}.{key}\n```\n")
    template = (root / "book" / "_templates" / "study.md").read_text(encoding="utf-8")
    return template.replace("$study", study).replace("$sections", "\n".join(lines))
