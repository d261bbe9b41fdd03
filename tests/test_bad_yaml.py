"""Study files that are none: no YAML, no UTF-8, no file, a field twice; a line each, with the line of the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT
from refusal import refused

from pretraining_gain.plan.studies import load_study

TOY = (ROOT / "notebooks" / "studies" / "toy.yml").read_text()


def text(old: str, new: str) -> str:
    assert old in TOY, old
    return TOY.replace(old, new, 1)


NO_YAML = "accepted: a YAML file saved as UTF-8"
FIELDS_WANTED = "accepted: fields, namely name, title, backbone"
#: What a file holds, and what is said beside its name.
BAD_TEXTS: dict[str, tuple[str, str]] = {
    "empty": ("", f"holds nothing; {FIELDS_WANTED}"),
    "only comments": ("# later\n", f"holds nothing; {FIELDS_WANTED}"),
    "a list": ("[1, 2]", f"holds a list; {FIELDS_WANTED}"),
    "a word": ("just text", f"holds a str; {FIELDS_WANTED}"),
    "a tab": (text("seeds:", "\tseeds:"), "line 5: found character '\\t' that cannot start any token"),
    "an open bracket": (text("seeds: [0, 1, 2]", "seeds: [0, 1, 2"), "line 6: expected ',' or ']'"),
    "an open quote": (text("title: procedural", "title: 'procedural"), "found unexpected end of stream"),
    "wrong indentation": (text("  class_table: toy_source", "   class_table: toy_source"), "line 8: "),
    "two documents": (text("seeds:", "---\nseeds:"), "line 5: but found another document"),
    "an object": (text("title: procedural world", "title: !!python/object/apply:os.getcwd []"), "line 3: could not determine"),
    "a date that is none": (text("title: procedural world", "title: 2026-13-45"), f"month must be in 1..12; {NO_YAML}"),
    "a zero byte": (text("title: procedural", "title: \0procedural"), "special characters are not allowed"),
    "nested without end": ("name: " + "[" * 5000, f"nested too deeply; {NO_YAML}"),
    "a field twice": (TOY + "seeds: [3]\n", "'seeds' appears twice, first on line 5; accepted: each field once"),
    "a field twice, deeper": (text("  n_classes: 24", "  n_classes: 24\n  n_classes: 25"), "line 10: 'n_classes' appears twice"),
    "a field twice on a line": (text("epochs: 12,", "epochs: 12, epochs: 13,"), "line 20: 'epochs' appears twice"),
    "a pool twice": (text("  random: [12]", "  animal: [12]"), "line 16: 'animal' appears twice, first on line 14"),
    "a field that is a number": (TOY + "1: 2\n", "unknown field 1; accepted: name, title"),
    "a field that is a truth": (TOY + "yes: 2\n", "unknown field True; accepted: name, title"),
    "a field of two lines": (TOY + '"a\\nb": 2\n', "unknown field 'a\\nb'; accepted: name"),
    "an option that is a number": (text("options: {gap: 0.0}", "options: {1: 0.0}"), "source.options.1"),
    "an alias to nothing": (text("seeds: [0, 1, 2]", "seeds: *seeds"), "line 5: found undefined alias 'seeds'"),
    "a value within itself": (text("seeds: [0, 1, 2]", "seeds: &seeds [*seeds]"), "seeds"),
    "many aliases": ("a: &a [x, x]\nb: &b [*a, *a]\n" + "".join(f"c{i}: [*b, *b]\n" for i in range(50)), "unknown field"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", BAD_TEXTS)
def test_what_is_no_study_is_named_with_its_line(tmp_path, wrong):
    content, said = BAD_TEXTS[wrong]
    path = tmp_path / "own.yml"
    path.write_text(content)
    with refused(str(path), said, unchanged=tmp_path):
        load_study(str(path))


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, f"cannot be read (No such file or directory); {NO_YAML}"),
    "a folder": (lambda path: path.mkdir(), f"cannot be read (Is a directory); {NO_YAML}"),
    "a broken link": (lambda path: path.symlink_to(path.with_name("nowhere.yml")), "cannot be read (No such file"),
    "UTF-16": (lambda path: path.write_bytes(TOY.encode("utf-16")), f"is not UTF-8 (invalid start byte at byte 0); {NO_YAML}"),
    "Latin-1": (lambda path: path.write_bytes(TOY.replace("world", "wörld").encode("latin-1")), "is not UTF-8"),
    "binary": (lambda path: path.write_bytes(bytes(range(256))), "is not UTF-8"),
}


@pytest.mark.parametrize("wrong", BAD_FILES)
def test_a_file_that_cannot_be_read_is_named(tmp_path, wrong):
    make, said = BAD_FILES[wrong]
    make(tmp_path / "own.yml")
    with refused(".yml", said, unchanged=tmp_path):
        load_study(str(tmp_path / "own.yml"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "study '' is unknown; accepted: anchors, mini, paper, toy, or the path of a .yml file"),
        ("minni", "study 'minni' is unknown; accepted: anchors, mini, paper, toy"),
        ("../studies/toy", "is unknown; accepted"),
        ("toy.txt", "is unknown; accepted"),
        ("/", "is unknown; accepted"),
        ("~nobody-of-that-name/own.yml", "is no place"),
        ("own\0.yml", "is no place"),
    ],
)
def test_a_study_of_no_such_name_is_named(tmp_path, name, said):
    with refused(said, unchanged=tmp_path):
        load_study(name)
