"""The gain explorer: its published tables against the same gains elsewhere, and the application in a real browser."""

from __future__ import annotations

import csv
import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, simulate_results
from playwright.sync_api import Page
from test_book import Watched, browser  # noqa: F401 (a fixture)

from pretraining_gain.errors import InputError
from pretraining_gain.plan.representation import best_represented, correct_images, load_annotations, representation
from pretraining_gain.plan.studies import load_study
from pretraining_gain.tell import explorer
from pretraining_gain.tell.audit import VOTE_CUTS
from pretraining_gain.tell.book import explorer_html
from pretraining_gain.tell.explorer import UNIT, explorer_numbers, explorer_tables, facts, plain_table
from pretraining_gain.tell.gains import arm_accuracy, group_accuracy, species_gains
from pretraining_gain.tell.results import Evaluation, View, load_evaluation

DRAWS = 60


@pytest.fixture(scope="module")
def mini() -> dict[str, Any]:
    """Of the committed results."""
    return explorer_tables(View(study="mini", draws=DRAWS))


def frame(tables: dict[str, Any], target: str, arm: str) -> pd.DataFrame:
    """Gains and intervals of the species as published, by class id."""
    table = next(one for one in tables["targets"] if one["name"] == target)
    found = next(one for one in table["arms"] if one["arm"] == arm)
    columns = {"net": found["net"], "n_images": table["images"], "low": found["low"], "high": found["high"]}
    frame = pd.DataFrame(columns, index=pd.Index(table["class_id"], name="class_id"))
    return frame.assign(mean=frame["net"] / (frame["n_images"] * len(found["seeds"])))


def test_published_gains_are_those_of_the_figures(mini):
    evaluation = load_evaluation("mini", "caltech101_animals")
    for arm in ("all-k10", "animal-k4", "all-k10-matched_steps"):
        published, wanted = frame(mini, "caltech101_animals", arm), species_gains(evaluation, arm, DRAWS).set_index("class_id")
        assert np.allclose(published["mean"], wanted["mean"], rtol=1e-12, atol=1e-15)
        assert (published["n_images"] == wanted["n_images"]).all()
        for end in ("low", "high"):
            assert np.abs(published[end] * UNIT - wanted[end]).max() <= UNIT / 2 + 1e-12


def test_published_intervals_of_groups_are_those_of_the_figures(mini):
    evaluation, target = load_evaluation("mini", "caltech101_animals"), mini["targets"][0]
    arm = target["arms"][0]
    for level, groups in target["levels"].items():
        wanted = group_accuracy(evaluation, "all-k10", level, DRAWS)
        wanted = wanted[wanted["quantity"] == "gain"].set_index("group").loc[groups["names"]]
        assert np.allclose(np.array(arm["groups"][level]["low"]) * UNIT, wanted["low"], atol=UNIT / 2 + 1e-12)
        net, images = np.array(arm["net"]), np.array(target["images"])
        means = np.bincount(groups["of"], net) / (3 * np.bincount(groups["of"], images))
        assert np.allclose(means, wanted["mean"], rtol=1e-12)
    everything = arm_accuracy(evaluation, DRAWS).set_index(["arm", "quantity"]).loc[("all-k10", "gain")]
    assert arm["all"]["high"][0] * UNIT == pytest.approx(everything["high"], abs=UNIT / 2 + 1e-12)


def test_every_target_and_pretraining_states_its_seeds(mini):
    study = load_study("mini")
    assert [target["name"] for target in mini["targets"]] == [target.name for target in study.downstreams]
    assert (mini["study"], mini["draws"], mini["graded"]) == ("mini", DRAWS, "named")
    for target in mini["targets"]:
        evaluation = load_evaluation("mini", target["name"])
        assert target["arms"][0]["arm"] == study.everything
        assert {arm["arm"] for arm in target["arms"]} == set(evaluation.correct) - {"scratch"}
        for arm in target["arms"]:
            assert arm["seeds"] == sorted(set(evaluation.seeds_of[arm["arm"]]) & set(study.seeds))


def test_the_plain_table_and_the_chapters_numbers_are_of_the_first_target(mini):
    plain, published = plain_table(mini), frame(mini, "caltech101_animals", "all-k10")
    assert plain["gain"].is_monotonic_decreasing and len(plain) == len(published)
    assert plain["gain"].sum() == pytest.approx(100 * published["mean"].sum())
    numbers = explorer_numbers(mini)
    assert numbers["most_gain"] == pytest.approx(published["mean"].max()) and numbers["n_species"] == 36
    assert numbers["n_gains"] == sum(len(arm["net"]) for target in mini["targets"] for arm in target["arms"])
    assert "seeds 0, 1, 2" in facts(mini) and f"{DRAWS} draws" in facts(mini)


def test_missing_results_are_named(results):
    with pytest.raises(InputError, match="no results of study 'paper'"):
        explorer_tables(View(study="paper", draws=5))


def simulated_world(n_species: int, n_arms: int = 1, annotated: bool = True) -> dict[str, Any]:
    """Published tables of an annotated study of that many species, 5 images each and 2 seeds; ImageNet's own names, over
    and over, and taxa of three sizes. Needs the annotations if `annotated`."""
    rng = np.random.default_rng(0)
    source = pd.DataFrame({"represented_by": ["n01855032", "n01530575", "n01518878;n01530575", "", ""]})
    classes = pd.concat([source] * (n_species // 5), ignore_index=True).rename_axis("class_id")
    numbers = classes.index.to_series()
    classes = classes.assign(
        name=numbers.map("species {:04d}".format), taxon=numbers.map("Genus name{}".format), key=numbers.astype(str),
        supercategory=(numbers % 3).map("Great {}".format), order=(numbers % 30).map("Order {}".format),
        family=(numbers % 300).map("Family {}".format),
    )  # fmt: skip
    labels = np.repeat(classes.index, 5)
    arms = [f"animal-k{i + 1}" for i in range(n_arms)]
    correct = {arm: rng.random((2, len(labels))) < 0.4 for arm in ["scratch", *arms]}
    runs = pd.DataFrame({"arm": arms, "pool": "animal", "k": range(1, n_arms + 1), "design": ""})
    study = load_study("paper")
    study = study.model_copy(update={"downstreams": study.downstreams[:1], "representation": "annotated" if annotated else "named"})
    evaluation = Evaluation(study, study.downstreams[0], dict.fromkeys(correct, [0, 1]), labels, labels, correct, runs)
    evaluation.__dict__["classes"] = classes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explorer, "_arms", lambda *_: arms)
        patch.setattr(explorer, "load_study", lambda _: study)
        patch.setattr(explorer, "load_evaluation", lambda *_: evaluation)
        return explorer_tables(View(study="paper", draws=20))


def put_page(folder: Path, *studies: dict[str, Any]) -> Path:
    """A page with the explorer of these studies, as the book's theme frames it; returns its path."""
    shutil.copytree(ROOT / "book" / "_static", folder / "_static", dirs_exist_ok=True)
    shutil.copy(str(files("plotly") / "package_data" / "plotly.min.js"), folder / "_static")
    parts = [explorer_html("explorer", one, plain_table(one), facts(one)) for one in studies]
    parts = [f'{part}<p class="provenance">of study {one["study"]}</p>' for part, one in zip(parts, studies, strict=True)]
    colours = "--pst-color-text-base:#222832;--pst-color-text-muted:#48566b;--pst-color-surface:#f3f4f5;--pst-color-link:#176de8;"
    colours += "--pst-color-primary:#0a7d91;--pst-color-border:#c9c9c9"
    page = folder / "explorer.html"
    page.write_text(
        '<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>explorer</title>'
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="_static/book.css">'
        f"<style>html{{{colours}}}body{{font-family:sans-serif;margin:8px}}</style>"
        f'<script src="_static/figures.js"></script></head><body><article>{"".join(parts)}</article></body></html>',
        encoding="utf-8",
    )
    return page
