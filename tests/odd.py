"""A reader's own study whose names hold what HTML, Markdown, plotly, templates and spreadsheets would read as code."""

from __future__ import annotations

import csv
from pathlib import Path

import yaml
from conftest import ROOT

STUDY = "mine"
#: Names of the 24 species, of which none may do anything.
NAMES = [
    "<script>window.harmed = 1</script>", "<img src=x onerror='window.harmed = 2'>", "a \"quoted\" 'name'", "{{ harmed }}",
    "$$x^2$$", "$a$ and \\(b\\)", "**bold** _it_ `code`", "{n}`taxa.no_such points`", ":doc:`index`", "[link](http://example.org)",
    "\u202eright to left", "عصفور", "🦉 owl", "=1+1", "+cmd|'/C calc'!A0", "-2+3", "@SUM(A1)", "%{x} %{customdata[0]}",
    "&lt;b&gt; &amp;", "|pipe| a\\b", "<b>bold</b><br>", "</script><script>window.harmed = 3</script>", "猫", "null; --",
]  # fmt: skip
TITLE = "A <script>window.harmed = 4</script> \"study\" of $$x$$ {{ y }} 🦉"


def write_odd_study(folder: Path, metadata: Path) -> Path:
    """Write the toy study with odd names and fewer seeds, and its class table into `metadata`; return the study's file."""
    rows = list(csv.DictReader((ROOT / "src/pretraining_gain/metadata/toy_animals.csv").read_text().splitlines()))
    for row, name in zip(rows, NAMES, strict=True):
        row |= {"name": name, "family": f"{row['family']} <i>&$$</i>", "supercategory": f"{row['supercategory']} {{{{s}}}} %{{y}}"}
    with (metadata / "odd_animals.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    study = yaml.safe_load((ROOT / "notebooks" / "studies" / "toy.yml").read_text())
    study |= {"name": STUDY, "title": TITLE, "seeds": [3, 4]}
    study["arms"] = {"animal": [4], "non_animal": [4], "random": [12], "all": [24]}
    for downstream in study["downstreams"]:
        downstream["images"]["class_table"] = "odd_animals"
        downstream["title"] = f"{downstream['title']} <b>{TITLE}</b>"
    path = folder / f"{STUDY}'s study.yml"
    path.write_text(yaml.safe_dump(study, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path
