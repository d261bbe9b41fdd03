"""The paper's study end to end on data in the official layouts, in miniature: prepared, run by the workflow, and shown."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import torch
from conftest import ROOT, do_runs
from official import make_annotations, make_imagenet, make_inat, make_study

from pretraining_gain import prepare
from pretraining_gain.compute.models import build_model
from pretraining_gain.plan.runs import finetuning_runs, pretraining_runs
from pretraining_gain.tell.claims.ledger import Ledger
from pretraining_gain.tell.claims.parts import CONTRADICTED, NO_DIFFERENCE, NOT_RUN, SUPPORTED, UNRESOLVED
from pretraining_gain.tell.figures.registry import FIGURES
from pretraining_gain.tell.results.evaluation import View
from pretraining_gain.tell.results.gains import figure1_species, species_gains
from pretraining_gain.tell.results.study import StudyResults
from pretraining_gain.tell.results.tables import write_tables

NAME = "paper_miniature"
PAGES = ["00_plan", "10_taxa", "11_subsets", "12_samples", "13_claims", "15_beyond", "18_costs", "23_explorer", "24_what_if"]
MERGANSER = "n01855032"
RECORD = "application/papermill.record/"  # how myst-nb marks what is pasted


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Path of the study, after preparation, all runs, tables and figure notebooks. One seed, two pretrainings."""
    root = tmp_path_factory.mktemp("paper")
    with pytest.MonkeyPatch.context() as patch:
        for place in ("data", "results", "cache"):
            patch.setenv(f"PRETRAINING_GAIN_{place.upper()}", str(root / place))
        patch.delenv("PRETRAINING_GAIN_PREPARED", raising=False)
        make_imagenet(root / "data" / "imagenet1k")
        make_inat(root / "data" / "inat2021")
        make_annotations(root / "data" / "imagenet-biodiversity", {MERGANSER: 31})
        path = make_study(root / "study.yml")
        prepare.prepare(path, workers=1)
        do_runs(path)  # here and not in kernels; the workflow finds them
        wanted = ["results", *(f"book/executed/{NAME}/{page}.ipynb" for page in PAGES)]
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--config", f"study={path}", "--", *wanted]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        yield path
    shutil.rmtree(ROOT / "book" / "executed" / NAME, ignore_errors=True)


def page(name: str) -> dict[str, dict[str, str]]:
    """What an executed notebook of the study hands to chapters: key -> its content."""
    notebook = nbformat.read(ROOT / "book" / "executed" / NAME / f"{name}.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pasted = {one.metadata["scrapbook"]["name"]: one.data for one in outputs if "scrapbook" in one.metadata}
    return {key: {kind.removeprefix(RECORD): text for kind, text in data.items()} for key, data in pasted.items()}


def test_every_run_has_its_record_and_the_true_classes(study):
    runs = [*pretraining_runs(study), *finetuning_runs(study)]
    records = {run.run_id: json.loads(run.record_path.read_text()) for run in runs}
    assert len(records) == 2 + 2 * 3
    drawn = records["animal-k20-s0-resnet10_w16"]["source_class_ids"]
    assert len(drawn) == 20
    assert max(drawn) < 398
    assert records["all-k1000-s0-resnet10_w16"]["train_images"] == 2000
    inat = records["inat_mini_animals--all-k1000-s0-resnet10_w16"]
    assert (inat["train_images"], inat["eval_images"]) == (12 * 4, 12 * 3)
    animals = records["imagenet_animals--scratch-s0-resnet10_w16"]
    assert (animals["train_images"], animals["eval_images"]) == (398 * 2, 398)
    assert animals["recipe"]["freeze_backbone"]
    assert not inat["recipe"]["freeze_backbone"]


def test_figure_1_shows_birds_of_represented_families_by_their_corrected_images(study):
    evaluation = View(study=study).evaluation()
    species = figure1_species(species_gains(evaluation, "all-k1000"), evaluation)
    assert dict(zip(species["name"], species["representation"], strict=True)) == {
        "Black Kite": "well represented (40+)",  # 50 correct images
        "Common Buzzard": "none",  # a hawk, as the kites are
        "Red-breasted Merganser": "some",  # 31 correct images
        "Wood Duck": "none",
    }  # and neither tit nor nuthatch: no class names a species of their families here
    lower = View(study=study, well_represented=30).evaluation().species
    assert lower.set_index("name").at["Red-breasted Merganser", "representation"] == "well represented (30+)"


def test_the_notebooks_hold_what_chapters_paste(study):
    """Each key that a chapter takes from the paper study's notebooks, with results in its place."""
    text = "".join(path.read_text() for path in (ROOT / "book").glob("*.md"))
    pages = {name.split("_", 1)[1]: name for name in PAGES}
    pasted = [(key, pages[name]) for name, key in re.findall(r"(?:\{n\}`|\{output\} )(\w+)\.(\w+)[^`\n]* (?:paper|all)\b", text)]
    pasted += [(key, FIGURES[key].notebook) for key in re.findall(r"\{figure-of\} (\w+)", text) if FIGURES[key].notebook in PAGES]
    assert {name for _, name in pasted} == set(PAGES)
    there = {name: page(name) for name in PAGES}
    assert [(key, name) for key, name in pasted if key not in there[name]] == []
    # the miniature has one target per domain, no further designs, and finetunes each target one way only
    absent = {key for keys in there.values() for key, content in keys.items() if "not-run" in str(content)}
    assert absent == {"figure_further", "figure_designs", "figure_freezing", "figure_assigned"}


def test_claims_are_judged_and_the_plan_says_what_was_evaluated_on(study):
    claims = {one.claim: one.verdict for one in Ledger.of(View(study=study)).verdicts}
    assert claims["C13"] == NOT_RUN  # it has no random subsets
    assert claims["C5"] in page("13_claims")["ledger"]["text/html"]
    assert claims["C5"] in (SUPPORTED, CONTRADICTED, UNRESOLVED, NO_DIFFERENCE)
    said = page("00_plan")["evaluated_on"]["text/plain"]
    assert "3 images per class drawn from the full training set (seed 0), none of them in train_mini" in said


@pytest.mark.parametrize(("base", "arms"), [("paper_short", 3), ("paper_weights", 2)])
def test_the_shorter_studies_run_from_their_starts_to_figure_1(study, base, arms):
    path = make_study(Path(study).with_name(f"{base}.yml"), base)
    torch.save(build_model("resnet10_w16", 1000, 7).state_dict(), Path(study).with_name("weights.pth"))
    runs = finetuning_runs(path)
    do_runs(path)
    write_tables(path)
    results = StudyResults.from_parameters({"study": path})
    assert len({run.arm for run in runs}) == arms
    assert sum(len(trace.x) for trace in FIGURES["figure_1"].draw(results).data) == 4


def test_samples_show_both_domains_with_the_credit_of_each_image(study):
    [grid] = [str(data["text/html"]) for key, data in page("12_samples").items() if key == "figure_5"]
    images = re.findall(r'<img src="data:image/png;base64,[^"]+" alt="([^"]+)"', grid)
    assert len(images) == 2 * (2 + 4)  # two species that ImageNet names; it has two images of each, iNaturalist four
    for text in images:
        label, rest = text.split(", ", 1)
        if rest.startswith("target"):
            number = int(re.search(r"/0*(\d+)\.jpg", rest)[1])
            assert f"© Observer {number}, Attribution License, http://creativecommons.org/licenses/by/4.0/" in rest
            assert label in ("Black Kite", "Red-breasted Merganser")
        else:
            assert re.match(r"source: train/(n01608432|n01855032)/\1_\d\.JPEG \(ImageNet, for research only", rest)
            assert label in ("kite (bird of prey)", "red-breasted merganser")
    credits = grid.split('class="credits"')[1]
    assert all(f"© Observer {first + i}" in credits for first in (400, 600) for i in range(4))


def test_tables_count_every_image(study):
    folder = Path(os.environ["PRETRAINING_GAIN_RESULTS"]) / NAME
    counts = pd.read_csv(folder / "class_counts.csv").groupby("run_id")["n_images"].sum()
    assert set(counts) == {36, 398}
    assert len(counts) == 6
