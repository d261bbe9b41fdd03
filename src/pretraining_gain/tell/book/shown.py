"""Decide which studies the book shows, and write the table of contents that depends on them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from pretraining_gain.errors import InputError
from pretraining_gain.paths import EXECUTED, has_results, make_writable, write_atomically
from pretraining_gain.plan.studies import load_study, study_names
from pretraining_gain.tell.book.executed import notebooks_of, read_executed, short_name
from pretraining_gain.tell.figures.registry import FIGURES
from pretraining_gain.workflow import book_studies

#: Pages that the build writes, one per study of a reader.
PAGES = "book/studies"
_BLOCK = re.compile(r"^```\{(figure-of|output)\} (\S+)\n(?:.*\n)*?```\n", flags=re.MULTILINE)
_LEFT_OUT = "\0"


def own_studies(root: Path) -> list[str]:
    """Return every other study that has results, executed notebooks and a file that can be read: a reader's own."""
    return [study for study, why_not in _others(root).items() if not why_not]


def _others(root: Path) -> dict[str, str]:
    """Return every other study that has results and executed notebooks, and why the book cannot show it, or nothing."""
    folders = sorted(path.name for path in (root / EXECUTED).glob("*/") if notebooks_of(root, path.name))
    shown = book_studies()
    return {name: _why_not(root, name) for name in folders if name not in shown and has_results(name)}


def _why_not(root: Path, study: str) -> str:
    """Say why a study has no page: its file cannot be read, as after it was moved, or its runs were interrupted; else nothing."""
    if not any(short_name(path) == "taxa" for path in notebooks_of(root, study)):
        return "its notebook 10_taxa was not executed"
    try:
        name = load_study(given := study_file(root, study)).name
    except InputError as error:
        return str(error)
    return "" if name == study else f"study file {given} is of study {name!r} now"


def study_file(root: Path, study: str) -> str:
    """Return what loads a study: its name, or the path of a reader's file, as its executed notebooks have it."""
    if study in study_names():
        return study
    return str(read_executed(root, notebooks_of(root, study)[0]).parameters.get("study", study))


def write_contents(root: Path) -> Path:
    """Write `_build/_toc.yml`: what `_toc.yml` lists, one part per study of a reader, and all executed notebooks.

    Also writes the page of each study of a reader, and removes the pages of studies that are gone. Prints which studies
    with results are left out, as their files cannot be read.
    """
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    others = _others(root)
    own = [study for study, why_not in others.items() if not why_not]
    for study, why_not in others.items():
        if why_not:
            print(f"study {study} is left out of the book: {why_not}")
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
    """Write the page of one study from the template, less the figures and tables that the study has not.

    A section of the template that has nothing else goes with them.
    """
    notebooks = {short_name(path): read_executed(root, path) for path in notebooks_of(root, study)}

    def kept(block: re.Match[str]) -> str:
        notebook, _, key = block[2].rpartition(".")
        name = notebook or short_name(Path(FIGURES[key].notebook))
        return block[0] if name in notebooks and notebooks[name].has_figure(key) else _LEFT_OUT

    text = _BLOCK.sub(kept, (root / "book" / "_templates" / "study.md").read_text(encoding="utf-8"))
    first, *sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    sections = [one.replace(_LEFT_OUT, "") for one in sections if _LEFT_OUT not in one or "```{" in one]
    warnings = str(notebooks["taxa"].values.get("answer_warnings", ""))
    noted = ":::{warning}\n{n}`taxa.answer_warnings text`\n:::" if warnings else ""
    return "".join([first, *sections]).replace("$study", study).replace("$warnings", noted)
