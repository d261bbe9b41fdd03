"""The gain explorer: its published tables against the same gains elsewhere, and the application in a real browser."""

from __future__ import annotations

import io
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import conftest
import numpy as np
import pandas as pd
import pytest
from conftest import MAIN, ROOT, Watched, write_page
from playwright.sync_api import Page

from pretraining_gain.errors import InputError
from pretraining_gain.plan.representation import annotations_path, correct_images, load_annotations, representation
from pretraining_gain.plan.species import NOT_STATED
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.tell.figures import explorer
from pretraining_gain.tell.figures.audit import VOTE_CUTS
from pretraining_gain.tell.figures.explorer import UNIT, describe, explorer_numbers, explorer_tables, plain_table
from pretraining_gain.tell.results.evaluation import Evaluation, View, load_evaluation
from pretraining_gain.tell.results.gains import arm_accuracy, group_accuracy, species_gains


@pytest.fixture(scope="module")
def mini() -> dict[str, Any]:
    """Of the committed results."""
    return explorer_tables(View(study="mini"))


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
        published = frame(mini, "caltech101_animals", arm)
        wanted = species_gains(evaluation, arm).set_index("class_id")
        assert np.allclose(published["mean"], wanted["mean"], rtol=1e-12, atol=1e-15)
        assert (published["n_images"] == wanted["n_images"]).all()
        for end in ("low", "high"):
            assert np.abs(published[end] * UNIT - wanted[end]).max() <= UNIT / 2 + 1e-12


def test_published_intervals_of_groups_are_those_of_the_figures(mini):
    evaluation, target = load_evaluation("mini", "caltech101_animals"), mini["targets"][0]
    arm = target["arms"][0]
    for level, groups in target["levels"].items():
        wanted = group_accuracy(evaluation, "all-k10", level)
        wanted = wanted[wanted["quantity"] == "gain"].set_index("group").loc[groups["names"]]
        assert np.allclose(np.array(arm["groups"][level]["low"]) * UNIT, wanted["low"], atol=UNIT / 2 + 1e-12)
        net, images = np.array(arm["net"]), np.array(target["images"])
        means = np.bincount(groups["of"], net) / (len(arm["seeds"]) * np.bincount(groups["of"], images))
        assert np.allclose(means, wanted["mean"], rtol=1e-12)
    everything = arm_accuracy(evaluation).set_index(["arm", "quantity"]).loc[("all-k10", "gain")]
    assert arm["all"]["high"][0] * UNIT == pytest.approx(everything["high"], abs=UNIT / 2 + 1e-12)


def test_every_target_and_pretraining_states_its_seeds(mini):
    study = load_study("mini")
    assert [target["name"] for target in mini["targets"]] == [target.name for target in study.downstreams]
    assert (mini["study"], mini["graded"]) == ("mini", "named")
    for target in mini["targets"]:
        evaluation = load_evaluation("mini", target["name"])
        assert target["arms"][0]["arm"] == study.everything
        assert {arm["arm"] for arm in target["arms"]} == set(evaluation.correct) - {"scratch"}
        for arm in target["arms"]:
            assert arm["seeds"] == evaluation.seeds_of[arm["arm"]]


def test_the_plain_table_and_the_chapters_numbers_are_of_the_first_target(mini):
    plain, published = plain_table(mini), frame(mini, "caltech101_animals", "all-k10")
    assert plain["gain"].is_monotonic_decreasing
    assert len(plain) == len(published)
    assert plain["gain"].sum() == pytest.approx(100 * published["mean"].sum())
    numbers = explorer_numbers(mini)
    assert numbers["most_gain"] == pytest.approx(published["mean"].max())
    assert numbers["n_species"] == 36
    assert numbers["n_gains"] == sum(len(arm["net"]) for target in mini["targets"] for arm in target["arms"])
    assert "seeds 500–509" in describe(mini)


def test_each_search_that_the_chapter_quotes_finds_a_species_of_the_main_study():
    quoted = re.findall(r'\*"([^"*]+)"\*', (ROOT / "book/explorer.md").read_text(encoding="utf-8"))
    tables = {target.images.class_table for target in load_study(MAIN).downstreams}
    names = {name.lower() for table in tables for name in load_class_table(table)["name"]}
    assert quoted != []
    assert [name for name in quoted if name.lower() not in names] == []


def test_missing_results_are_named(results):
    with pytest.raises(InputError, match="no results of study 'paper'"):
        explorer_tables(View(study="paper"))


def simulated_classes(n_species: int) -> pd.DataFrame:
    """ImageNet's own names for three species of five, none for the fourth, the fifth not stated; taxa of three sizes."""
    source = pd.DataFrame({"represented_by": ["n01855032", "n01530575", "n01518878;n01530575", "", NOT_STATED]})
    classes = pd.concat([source] * (n_species // 5), ignore_index=True).rename_axis("class_id")
    numbers = classes.index.to_series()
    classes = classes.assign(
        name=numbers.map("species {:04d}".format), taxon=numbers.map("Genus name{}".format), key=numbers.astype(str),
        supercategory=(numbers % 3).map("Great {}".format), order=(numbers % 30).map("Order {}".format),
        family=(numbers % 300).map("Family {}".format),
    )  # fmt: skip
    return classes


def simulated_world(n_species: int, n_arms: int = 1, annotated: bool = True) -> dict[str, Any]:
    """Published tables of an annotated study of that many species, 5 images each and 2 seeds. Needs the annotations if
    `annotated`."""
    rng, classes = np.random.default_rng(0), simulated_classes(n_species)
    labels = np.repeat(classes.index, 5)
    arms = [f"animal-k{i + 1}" for i in range(n_arms)]
    correct = {arm: rng.random((2, len(labels))) < 0.4 for arm in ["scratch", *arms]}
    runs = pd.DataFrame({"arm": arms, "pool": "animal", "k": range(1, n_arms + 1), "design": ""})
    study = load_study("paper")
    changes = {"downstreams": study.downstreams[:1], "representation": "annotated" if annotated else "named"}
    study = study.model_copy(update=changes)
    evaluation = Evaluation(study, study.downstreams[0], {arm: [0, 1] for arm in correct}, labels, labels, correct, runs)
    evaluation.__dict__["classes"] = classes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explorer, "finetuning_runs", lambda *_: [SimpleNamespace(arm=arm) for arm in correct])
        patch.setattr(explorer, "load_study", lambda _: study)
        patch.setattr(explorer, "load_evaluation", lambda *_: evaluation)
        return explorer_tables(View(study="paper"))


def put_page(folder: Path, *studies: dict[str, Any]) -> Path:
    """Write a page with the explorer of these studies; return its path."""
    return write_page(folder, *(f'{explorer.explorer(one).html}<p class="provenance">of {one["study"]}</p>' for one in studies))


@pytest.fixture(scope="module")
def world() -> dict[str, Any]:
    """Of 300 species, graded by the number of correct images."""
    if not annotations_path().exists():
        pytest.skip("no annotations: fetch them with `python -m pretraining_gain.data annotations`")
    return simulated_world(300, n_arms=2)


def explore(browser, folder: Path, *studies: dict[str, Any], width: int = 1280) -> Watched:
    watched = Watched(browser, width)
    watched.open(put_page(folder, *studies))
    watched.page.locator(".explorer[data-drawn]").wait_for()
    return watched


settle = partial(conftest.settle, selector=".explorer", count="data-drawn")


def table_of(page: Page) -> list[str]:
    """The species in the table, in order."""
    return page.locator(".explorer tbody th[title]").all_text_contents()


def status(page: Page) -> str:
    return page.locator(".explorer-status").inner_text()


def columns_of(page: Page) -> int:
    return page.evaluate("Math.round(document.querySelector('.explorer .js-plotly-plot').layout.xaxis.range[1] + 0.4)")


def downloaded(page: Page) -> tuple[str, pd.DataFrame]:
    with page.expect_download() as found:
        page.get_by_role("button", name="as CSV").click()
    text = Path(found.value.path()).read_text(encoding="utf-8")
    return found.value.suggested_filename, pd.read_csv(io.StringIO(text), keep_default_na=False)


def test_a_species_is_found_and_its_group_zoomed_to_and_left(mini, browser, tmp_path):
    watched = explore(browser, tmp_path, mini)
    page = watched.page
    assert status(page).startswith("36 species in 8 supercategories")
    assert columns_of(page) == 8
    settle(page, lambda: page.get_by_label("Species", exact=True).fill("emu"))
    assert table_of(page) == ["emu"]
    assert "1 species found" in status(page)
    settle(page, lambda: page.keyboard.press("Enter"))
    settle(page, lambda: page.get_by_label("Species", exact=True).fill(""))
    settle(page, lambda: page.get_by_label("Show", exact=True).select_option("Birds"))
    groups = mini["targets"][0]["levels"]["supercategory"]
    assert columns_of(page) == groups["of"].count(groups["names"].index("Birds")) == len(table_of(page))
    assert "emu" in table_of(page)
    settle(page, lambda: page.get_by_role("button", name="Back to all supercategories").click())
    settle(page, lambda: page.get_by_label("Group by").select_option("family"))
    assert columns_of(page) == len(mini["targets"][0]["levels"]["family"]["names"])
    settle(page, lambda: page.locator(".explorer-link", has_text="Felidae").first.click())
    assert set(table_of(page)) == {"cougar", "leopard", "wild cat"}
    settle(page, lambda: page.get_by_label("Group by").select_option("supercategory"))
    page.evaluate("window.scrollTo(0, 0)")
    point = page.locator(".explorer-plot .trace .point").first.bounding_box()
    at = point["x"] + point["width"] / 2, point["y"] + point["height"] / 2
    page.mouse.move(*at)
    page.locator(".explorer-plot .hoverlayer .hovertext").first.wait_for()
    settle(page, lambda: page.mouse.click(*at))
    assert page.get_by_role("button", name="Back").is_visible()
    assert len(table_of(page)) < 36
    assert watched.complaints == []


def test_everything_works_by_keyboard(mini, browser, tmp_path):
    watched = explore(browser, tmp_path, mini)
    page = watched.page
    page.locator(".explorer-plot").focus()
    settle(page, lambda: page.keyboard.press("End"))
    settle(page, lambda: page.keyboard.press("ArrowLeft"))
    said = status(page)
    settle(page, lambda: page.keyboard.press("Enter"))
    assert said.split(":")[0] in status(page)
    assert f"{columns_of(page)} species" in said
    settle(page, lambda: page.keyboard.press("Escape"))
    assert columns_of(page) == 8
    assert page.evaluate("document.activeElement.className") == "explorer-plot"
    for pressed in ("Insects", "Back to all supercategories"):  # these go away when pressed
        page.get_by_role("button", name=pressed).first.focus()
        settle(page, lambda: page.keyboard.press("Enter"))
        assert page.evaluate("document.activeElement.className") == "explorer-plot"
    page.get_by_role("button", name="species").focus()
    page.keyboard.press("Enter")
    assert table_of(page) == sorted(table_of(page), key=str.lower)
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("species")
    page.keyboard.press("Enter")
    assert table_of(page) == sorted(table_of(page), key=str.lower, reverse=True)
    settle(page, lambda: (page.get_by_label("Intervals").focus(), page.keyboard.press("Space")))
    assert page.locator(".explorer-plot .errorbar").count() == 0
    assert watched.complaints == []


def test_the_download_has_the_rows_shown_as_python_has_them(mini, browser, tmp_path):
    watched = explore(browser, tmp_path, mini)
    page = watched.page
    settle(page, lambda: page.get_by_label("Pretrained on").select_option(label="4 animal classes"))
    settle(page, lambda: page.get_by_label("Show", exact=True).select_option("Mammals"))
    name, table = downloaded(page)
    assert name == "gain-mini-caltech101_animals-animal-k4.csv"
    assert table["species"].tolist() == table_of(page)
    assert set(table["supercategory"]) == {"Mammals"}
    wanted = species_gains(load_evaluation("mini", "caltech101_animals"), "animal-k4").set_index("class_id")
    wanted = wanted.loc[table["class_id"]]
    assert np.allclose(table["gain"], wanted["mean"], rtol=1e-9, atol=1e-15)
    for end in ("low", "high"):
        assert np.abs(table[end].to_numpy() - wanted[end].to_numpy()).max() <= UNIT / 2 + 1e-9
    assert set(table["seeds"]) == {"500 501 502 503 504 505 506 507 508 509"}
    assert set(table["study"]) == {"mini"}
    assert table["n_images"].tolist() == wanted["n_images"].tolist()
    assert table["representation"].tolist() == wanted["representation"].tolist()
    assert watched.complaints == []


@pytest.mark.parametrize(("well", "cut"), [(40, "majority (above 0)"), (50, "majority (above 0)"), (49, "unanimous (1)")])
def test_the_threshold_moves_grades_and_means_as_python_has_them(mini, world, browser, tmp_path, well, cut):
    watched = explore(browser, tmp_path, mini, world)
    page = watched.page
    assert not page.get_by_label("Well represented from").is_visible()
    settle(page, lambda: page.get_by_label("Study").select_option("paper"))
    facts_shown = page.locator(".explorer-facts").inner_text()
    assert "Study paper" in facts_shown
    assert "seeds 0, 1." in facts_shown
    page.get_by_label("Well represented from").fill(str(well))
    settle(page, lambda: page.get_by_label("An image is correct by").select_option(cut))
    classes = simulated_classes(300)
    grades = representation(classes, correct_images(load_annotations(), VOTE_CUTS[cut]), well)
    _, table = downloaded(page)
    table = table.set_index("class_id").sort_index()
    assert table["representation"].tolist() == grades.tolist()
    assert len(set(grades)) >= 2
    assert set(table["threshold"]) == {well}
    assert set(table["vote_cut"]) == {cut}
    of_grade = table.assign(total=table["gain"] * table["n_images"]).groupby("representation")
    means = of_grade["total"].sum() / of_grade["n_images"].sum()
    shown = {}
    for row in page.locator(".explorer-summary tbody tr").all():
        shown[row.locator("th").inner_text().split(" ", 1)[1]] = row.locator("td").all_text_contents()
    for grade, mean in means.items():
        assert shown[grade][0] == str((grades == grade).sum())
        assert float(shown[grade][2].replace("−", "-").rstrip("%")) == pytest.approx(100 * mean, abs=0.051)
    assert watched.complaints == []


def test_it_fits_a_phone_and_follows_the_theme(mini, world, browser, tmp_path):
    watched = explore(browser, tmp_path, mini, world, width=360)
    page = watched.page
    ink = "document.querySelector('.explorer .js-plotly-plot').layout.font.color"
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    light = page.evaluate(ink)
    settle(page, lambda: page.evaluate("document.documentElement.dataset.theme = 'dark'"))
    assert page.evaluate(ink) != light
    assert page.evaluate(fits)
    settle(page, lambda: page.get_by_label("Study").select_option("paper"))
    assert page.evaluate(fits)
    assert page.locator(".provenance:visible").all_text_contents() == ["of paper"]
    assert watched.complaints == []


def test_without_javascript_a_plain_table_remains(mini, plain_page, tmp_path):
    plain_page.goto(put_page(tmp_path, mini).as_uri())
    assert plain_page.locator("noscript tbody tr:visible, .gain-explorer tbody tr:visible").count() == 36
    assert "seeds 500–509" in plain_page.locator("article").inner_text()


def test_thousands_of_species_are_drawn(browser, tmp_path):
    world = simulated_world(5385, annotated=False)
    watched = explore(browser, tmp_path, world)
    page = watched.page
    assert page.locator(".explorer-plot .point").count() > 5385
    assert len(table_of(page)) == 60
    assert "drawn once fewer are shown" in status(page)
    settle(page, lambda: page.get_by_label("Species", exact=True).fill("species 0042"))
    assert table_of(page) == ["species 0042"]
    _, table = downloaded(page)
    assert table["representation"].tolist() == ["in the source"]
    settle(page, lambda: page.get_by_label("Species", exact=True).fill("species 0044"))
    assert downloaded(page)[1]["representation"].tolist() == ["not stated"]
    settle(page, lambda: page.get_by_label("Species", exact=True).press("Enter"))
    assert columns_of(page) < 60
    assert watched.complaints == []


def test_species_without_taxa_are_one_group(browser, tmp_path, monkeypatch):
    bare = simulated_classes(10)[["represented_by", "name", "key"]]
    monkeypatch.setattr(f"{__name__}.simulated_classes", lambda _: bare)
    watched = explore(browser, tmp_path, simulated_world(10, annotated=False))
    page = watched.page
    assert status(page).startswith("10 species in 1 group: mean gain ")
    settle(page, lambda: page.get_by_label("Show", exact=True).select_option("all species"))
    assert columns_of(page) == 10
    assert watched.complaints == []


def test_a_missing_interval_is_published_as_none(monkeypatch):
    """A single seed has no interval; its place stays empty."""
    found = pd.DataFrame({"group": ["a", "b"], "low": [np.nan, -0.01234], "high": [np.nan, 0.5]})
    monkeypatch.setattr("pretraining_gain.tell.statistics.group_means", lambda *_, **__: found)
    evaluation = load_evaluation("mini", "caltech101_animals")
    assert explorer._arm(evaluation, "all-k10")["all"] == {"low": [None, -123], "high": [None, 5000]}
