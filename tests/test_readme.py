"""README names files and folders that exist, and states the numbers of the results."""

from __future__ import annotations

import re

import pytest
from conftest import MAIN, ROOT

from pretraining_gain.tell.book.formats import format_number
from pretraining_gain.tell.results.gains import subset_numbers, taxa_numbers
from pretraining_gain.tell.results.study import StudyResults

README = (ROOT / "README.md").read_text()
SECTION = README.split("## How this project is built")[1].split("\n## ")[0]
PATHS = sorted({path for path in re.findall(r"`([\w./-]+)`", SECTION) if "/" in path or "." in path} | {"Snakefile"})


@pytest.mark.parametrize("path", PATHS)
def test_a_path_in_how_this_project_is_built_exists(path):
    assert (ROOT / path).exists()


def test_every_room_is_listed():
    package = ROOT / "src" / "pretraining_gain"
    modules = [*package.glob("*/__init__.py"), *package.glob("tell/*/__init__.py")]
    rooms = [path.parent for path in modules if path.parent.name != "tell"]
    assert not [room.name for room in rooms if f"`{room.relative_to(ROOT)}/`" not in SECTION]


def test_every_module_beside_the_rooms_is_listed():
    modules = [path.stem for path in (ROOT / "src" / "pretraining_gain").glob("[!_]*.py")]
    assert not [name for name in modules if not {f"`{name}`", f"/{name}.py`"} & set(re.findall(r"`\w+`|/\w+\.py`", SECTION))]


def test_every_environment_variable_is_in_the_table_of_the_page_of_commands():
    page = (ROOT / "book" / "rerun.md").read_text(encoding="utf-8").split("## The machine")[1]
    stated = set(re.findall(r"`PRETRAINING_GAIN_(\w+)`", page)) | set(re.findall(r"`_(\w+)`", page))
    code = [path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")]
    assert stated == {name for text in code for name in re.findall(r"PRETRAINING_GAIN_([A-Z_]+[A-Z])\b", text)}


@pytest.mark.slow
def test_the_first_screen_states_the_numbers_of_the_main_study():
    results = StudyResults.from_parameters({"study": MAIN})
    numbers = taxa_numbers(results) | subset_numbers(results)
    stated = {
        "gain": "unsigned-points interval", "out_gain_non_animal_k141": "unsigned-points range",
        "out_animal_minus_non_animal_k59": "points range", "in_animal_minus_non_animal_k59": "points range",
    }  # fmt: skip
    finding = next(part for part in README.split("\n\n") if part.startswith("**"))
    wanted = [format_number(numbers.__getitem__, key, form) for key, form in stated.items()]
    assert re.findall(r"[+−]?\d+\.\d points \([^)]*\)", " ".join(finding.split())) == [text.replace("\xa0", " ") for text in wanted]
