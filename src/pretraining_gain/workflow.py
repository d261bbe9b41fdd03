"""Tell the Snakefile which notebooks and studies the book shows, and which inputs each notebook depends on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from contextlib import suppress
from functools import cache
from pathlib import Path

from pretraining_gain.datasets import find_dataset
from pretraining_gain.errors import InputError
from pretraining_gain.paths import (
    EXECUTED,
    data_root,
    has_results,
    make_writable,
    project_root,
    results_of,
    write_atomically,
)
from pretraining_gain.plan.code import PACKAGE, digest_of, inputs_of, names_in, normalised
from pretraining_gain.plan.representation import annotations_path
from pretraining_gain.plan.studies import Study, load_study, study_names
from pretraining_gain.plan.taxonomy import class_table_path
from pretraining_gain.plan.yamlfile import read_yaml

#: Notebook that takes the place of those which need results, for a study without results.
NOT_RUN = "19_not_run"
#: Tag of the parameters cell of a notebook that needs no results.
_NEEDS_NO_RESULTS = "without-results"


@cache
def _notebooks() -> dict[str, tuple[set[str], set[str]]]:
    """Return the declared parameters and the tags of the parameters cell, by notebook."""
    found = {}
    for path in sorted((project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        try:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            cell = next(cell for cell in cells if "parameters" in cell["metadata"].get("tags", []))
        except (ValueError, LookupError, TypeError, StopIteration) as error:
            what = f"is not JSON ({error})" if isinstance(error, ValueError) else "has no cell tagged `parameters`"
            raise InputError(f"{path} {what}; accepted: a notebook with such a cell, or a name without a number") from None
        names = re.findall(r"^(\w+) *[:=]", "".join(cell["source"]), flags=re.MULTILINE)
        found[path.stem] = set(names), set(cell["metadata"]["tags"])
    return found


def study_pages() -> list[str]:
    """List the notebooks that the book has for each study: those with the parameter `study` that are not about one run."""
    return [
        page for page, (names, _) in _notebooks().items() if "study" in names and "pool" not in names and page != NOT_RUN
    ]


def project_pages() -> list[str]:
    """List the notebooks about the project as a whole: those without the parameter `study`."""
    return [page for page, (names, _) in _notebooks().items() if "study" not in names]


def template_of(page: str, study_name: str, made: bool) -> str:
    """Return the notebook to execute for a page of a study: that page, or the one that says what it would cost."""
    return page if made or has_results(study_name) or _NEEDS_NO_RESULTS in _notebooks()[page][1] else NOT_RUN


def relative(path: Path) -> str:
    """Name a file from the checkout. Raises `InputError` for braces, which are wildcards to snakemake and cannot be escaped."""
    name = str(path.relative_to(project_root()) if path.is_relative_to(project_root()) else path)
    if {"{", "}"} & set(name):
        raise InputError(f"PRETRAINING_GAIN_RESULTS: {name} has braces in its path; accepted: a folder without")
    return name


def book_studies() -> list[str]:
    """Return the names of the studies that the chapters show, from `_config.yml`. Raises `InputError` for an unknown one."""
    path, known = project_root() / "_config.yml", study_names()
    try:
        names = list(read_yaml(path)["sphinx"]["config"]["book_studies"].keys())
    except (LookupError, TypeError, AttributeError):
        names = []
    if not names or any(name not in known for name in names):
        raise InputError(f"{path}: sphinx.config.book_studies has {names or 'nothing'}; accepted: {', '.join(known)}")
    return names


def needs_no_data(study_name: str) -> bool:
    """Tell whether all images of a study are drawn in memory, so that its runs can always be made."""
    try:
        return not any(find_dataset(name).folder or find_dataset(name).complete for name in load_study(study_name).datasets)
    except InputError:  # its prepared class table is of other data; said when its own pages are made
        return False


def stamp(source: str, study: Study | None = None, made: Collection[str] = (), given: str = "") -> str:
    """Write a digest of everything that a notebook (or module) depends on, if it changed, and return the file.

    As an input of a rule, the file is newer than the outputs only after a change that matters. The digest covers the
    modules that the notebook imports, without comments and docstrings; the tables and committed results that they name;
    the study: its file without comments, its class tables, its datasets' modules and the annotations that it reads; and what
    else it is `given`.
    Tables of the studies in `made` are not covered: the workflow makes them, so they are inputs of their own.
    """
    root, sources = project_root(), _inputs(source)
    modules = {str(one.relative_to(PACKAGE)): one for one in sources if one.suffix == ".py"}
    files = [one for one in sources if one.suffix != ".py"]
    parts = [digest_of(modules), given]
    for name in results_read(source, made):
        files += [] if name in made else _tables(results_of(name))
        if name in study_names():
            with suppress(InputError):  # its prepared class table is of other data; said when its own pages are made
                parts.append(load_study(name).config_hash)
                files += _class_tables(load_study(name))
    if study:
        parts += [study.config_hash]
        files += _class_tables(study)
        for name in study.datasets:  # its modules, in a folder or in one file
            own = [*(PACKAGE / "datasets" / name).glob("*.py"), PACKAGE / "datasets" / f"{name}.py"]
            parts += [normalised(file.read_text(encoding="utf-8")) for file in sorted(own) if file.is_file()]
        if any(module.startswith("compute/images") for module in modules):
            parts += [name for name in study.datasets if (data_root() / find_dataset(name).folder).is_dir()]
            files += [results_of(study.name, "domains.csv") / "domains.csv"]
    if not study or study.representation == "annotated":
        files += [annotations_path()]
    parts += [f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files if file.is_file()]
    # One folder per digest: snakemake lists a folder once, and would not see a file that is written there later.
    folder = root / EXECUTED / ".inputs" / (study.name if study else "") / Path(source).stem
    written = folder / "sha256"
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    if not written.exists() or written.read_text() != digest:
        write_atomically(make_writable(folder) / "sha256", digest.encode())
    return str(written.relative_to(root))


def results_read(source: str, made: Collection[str] = ()) -> list[str]:
    """List the results whose names appear in the code that a notebook (or module) imports: tables at hand, or `made` later."""
    at_hand = {folder.name for folder in (project_root() / "results").glob("*") if _tables(folder)}
    return sorted((at_hand | set(made)) & names_in(_inputs(source)))


def _tables(folder: Path) -> list[Path]:
    """List the tables of a study that notebooks read; they write the ledger themselves."""
    return sorted(path for path in folder.glob("*.*") if path.suffix in (".csv", ".json") and path.stem != "claims")


@cache
def _inputs(source: str) -> list[Path]:
    return inputs_of(project_root() / source)


def _class_tables(study: Study) -> list[Path]:
    names = {images.class_table for images in study.images}
    return [class_table_path(name) for name in sorted(filter(None, names))]
