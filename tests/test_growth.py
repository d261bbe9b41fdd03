"""Growth: simulated results of a middle-sized study go all the way, pages stay light, and the chapter's tables add up.

Times and memory are never asserted; bytes are, as the same input gives the same page.
"""

from __future__ import annotations

import gzip
import json
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from refusal import refused

from pretraining_gain.bench import growth_checkout
from pretraining_gain.bench.growth import _IMAGES, _PLANS, PARTS, SIZES
from pretraining_gain.bench.growth_checkout import Page, pages_of
from pretraining_gain.bench.growth_tasks import TASKS, Clock
from pretraining_gain.bench.growth_world import INAT, Size, species_table, write_results, write_study
from pretraining_gain.datasets.inat2021.official import OFFICIAL_COUNTS
from pretraining_gain.execute import execute
from pretraining_gain.plan.representation import annotations_path, imagenet_birds
from pretraining_gain.plan.runs import finetuning_runs
from pretraining_gain.plan.studies import load_study
from pretraining_gain.tell.book.build import PLOTLY_JS
from pretraining_gain.tell.results.evaluation import load_evaluation
from pretraining_gain.tell.results.stored import read_predictions
from pretraining_gain.tell.results.tables import write_tables
from pretraining_gain.tell.software import growth

MIDDLE = Size(species=300, images=10)
PAGES = ("10_taxa", "11_subsets", "13_claims", "15_beyond", "18_costs")
N_FIGURES = {"10_taxa": 2, "11_subsets": 3, "13_claims": 0, "15_beyond": 1, "18_costs": 1}


@pytest.fixture(scope="module")
def middle(tmp_path_factory):
    """Path of a study of 300 species with simulated results and tables."""
    if not annotations_path().exists():
        pytest.skip("no annotations: set PRETRAINING_GAIN_DATA, or run `make data STUDY=paper`")
    root = tmp_path_factory.mktemp("growth")
    with pytest.MonkeyPatch.context() as patch:
        for place in ("results", "cache", "prepared"):
            patch.setenv(f"PRETRAINING_GAIN_{place.upper()}", str(root / place))
        path = str(write_study(root / "middle.yml", MIDDLE))
        write_results(path)
        write_tables(path)
        yield path


def test_species_are_as_many_as_published_and_any_part_has_all_groups():
    table = species_table(5388)
    assert table["supercategory"].value_counts().to_dict() == OFFICIAL_COUNTS
    assert table["key"].is_unique and table["taxon"].is_unique
    named = set(imagenet_birds().query("species != ''")["species"])
    assert set(table.loc[table["represented_by"] != "", "taxon"]) == named
    few = species_table(36)
    assert set(few["supercategory"]) == set(OFFICIAL_COUNTS) and (few["represented_by"] != "").any()


def test_simulated_predictions_are_what_the_strict_readers_take(middle):
    study = load_study(middle)
    evaluation = load_evaluation(middle, "inat_mini_animals")
    assert len(evaluation.labels) == 300 * 10 and set(np.bincount(evaluation.labels)) == {10}
    assert len(evaluation.correct) == 16 and all(right.shape == (3, 3000) for right in evaluation.correct.values())
    run = next(run for run in finetuning_runs(study, middle) if run.images.dataset == INAT)
    record = json.loads(run.record_path.read_text())
    table = read_predictions(run.predictions_path, 300, "again", record["sha256"]["predictions"])
    assert record["top1"] == (table["label"] == table["prediction"]).mean() > 0
    assert re.fullmatch(r"train/\d{5}_Animalia\w+[^/]+/[0-9a-f-]{36}\.jpg", table["image_id"][0])


@pytest.mark.parametrize("page", PAGES)
def test_pages_of_a_larger_study_stay_light(middle, page, tmp_path):
    """300 species; at the paper's 5,388 the figures have at most eighteen times as many points."""
    output = tmp_path / f"{page}.ipynb"
    execute(ROOT / "notebooks" / f"{page}.ipynb", output, {"study": middle})
    outputs = [one for cell in json.loads(output.read_text())["cells"] for one in cell.get("outputs", [])]
    shown = ["".join(one.get("data", {}).get("text/html", [])) for one in outputs]
    figures = [text for text in shown if 'class="gain-figure"' in text]
    assert len(figures) == N_FIGURES[page]
    assert sum(map(len, shown)) < 80_000 and sum(len(gzip.compress(text.encode())) for text in shown) < 20_000
    assert output.stat().st_size < 600_000  # with the machine of each run, as real records name it


def test_each_task_of_the_analysis_works_on_the_middle_study(middle):
    for name in ("tables", "reading", "bootstrap", "figures", "claims", "plan"):
        clock = Clock()
        TASKS[name](clock, middle)
        assert set(clock.found) >= {"seconds", "cpu_s"}, name
    clock = Clock()
    TASKS["bootstrap"](clock, middle)
    assert clock.found["intervals"] == 300


def test_image_sets_of_small_jpegs_are_read_decoded_or_not(tmp_path, monkeypatch):
    for place in ("DATA", "CACHE", "PREPARED"):
        monkeypatch.setenv(f"PRETRAINING_GAIN_{place}", str(tmp_path / place))
    found = {}
    for name in ("folder", "cached", "packs"):
        clock = Clock()
        TASKS[name](clock, "200")
        found[name] = clock.found
    assert [found[name]["images"] for name in found] == [200, 200, 200]
    assert found["folder"]["mb"] == found["cached"]["mb"] == round(200 * 32 * 32 * 3 / 1e6, 2)


def test_a_page_weighs_what_it_loads_by_itself(tmp_path):
    root = tmp_path / "html"
    (root / "_static").mkdir(parents=True)
    script, style, font, plotly = b"let a = 1;" * 90, b"a { src: url(f.woff2) }", bytes(range(256)), b"plotly" * 1000
    for name, content in {"a.js": script, "b.css": style, "f.woff2": font, "plotly.min.js": plotly}.items():
        (root / "_static" / name).write_bytes(content)
    html = '<link rel="stylesheet" href="_static/b.css?v=1"><link rel="next" href="other.html"><script src="_static/a.js"></script>'
    (root / "other.html").write_text(html + '<div class="gain-figure"></div>')
    (root / "plain.html").write_text(html + '<a href="_static/plotly.min.js">code</a>')
    other, plain = pages_of(root)
    assert set(plain.assets) == {"_static/a.js", "_static/b.css", "_static/f.woff2"}
    assert set(other.assets) == {*plain.assets, "_static/plotly.min.js"}
    assert plain.weight()["_static/f.woff2"] == 256 / 1e6  # compressed already
    assert plain.weight()["_static/a.js"] == len(gzip.compress(script, 6)) / 1e6
    assert plain.row()["html_mb"] == len((root / "plain.html").read_bytes()) / 1e6


def test_the_program_executes_each_notebook_of_the_book_and_leaves_the_checkout_alone(tmp_path):
    checkout = growth_checkout.Checkout.make(tmp_path)
    pages = checkout.pages()
    assert ("paper", "10_taxa") in pages and ("", "22_growth") in pages and ("toy", "01_pretrain") in pages
    assert all((ROOT / "notebooks" / f"{page}.ipynb").exists() for _, page in pages)
    environment = checkout.environment()
    places = [environment[f"PRETRAINING_GAIN_{name}"] for name in ("RESULTS", "CACHE", "PREPARED")]
    assert all(Path(place).is_relative_to(tmp_path) for place in [*places, environment["PYTHONPATH"]])


def test_plotly_js_is_of_the_version_that_plotly_speaks_to_and_knows_all_traces():
    """The smaller form of it has scatter plots, bars and pies. A newer one: `npm pack plotly.js-basic-dist-min@VERSION`."""
    whole = (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    own = PLOTLY_JS.read_text(encoding="utf-8")
    version = re.compile(r"plotly\.js.* v(\S+)")
    assert version.search(own[:200])[1] == version.search(whole[:200])[1] and "(basic - minified)" in own[:200]
    assert len(gzip.compress(own.encode())) < len(gzip.compress(whole.encode())) / 3
    sources = "".join(path.read_text() for path in (ROOT / "src" / "pretraining_gain" / "tell").glob("*.py"))
    assert set(re.findall(r"\bgo\.(\w+)\(", sources)) <= {"Figure", "Scatter", "Bar"}


def test_what_was_measured_is_all_that_was_asked_for():
    state = growth.load()
    assert set(state) == set(growth.PARTS) == set(PARTS)
    sizes = pd.DataFrame(state["sizes"]["found"])
    wanted = {(varied, vars(size)[growth.FIELDS[varied]]) for varied, some in SIZES.items() for size in some}
    assert set(zip(sizes["varied"], sizes["value"], strict=True)) == wanted
    assert all(steps == [*growth.STEPS] for steps in sizes.groupby(["varied", "value"])["step"].agg(list))
    images = pd.DataFrame(state["images"]["found"]).groupby("step")["images"].agg(tuple).to_dict()
    assert images == {"start": (0,)} | _IMAGES
    assert len(state["plans"]["found"]) == 2 * len(_PLANS)


def test_the_book_with_the_papers_results_keeps_its_limits():
    found = growth.numbers()
    assert found["page_mb"] <= growth.LIMITS["page_mb"] and found["first_page_mb"] <= growth.LIMITS["first_page_mb"]
    assert found["pages_keep"] == found["first_page_keeps"] == "keeps to"
    book = growth.load()["book"]["found"]
    assert found["first_page_mb"] >= sum(part["gzip_mb"] for part in book["first_page"]) > 0
    assert [row["html_mb"] for row in book["heaviest"]] == sorted((row["html_mb"] for row in book["heaviest"]), reverse=True)
    assert found["book_pages"] == book["pages"] >= len(book["heaviest"])


def test_tables_and_figure_say_what_was_measured():
    sizes = growth.load()["sizes"]["found"]
    table = growth.sizes_table("species")
    assert table.index.tolist() == [36, 200, 1000, 5388]
    claims = [row["cpu_s"] for row in sizes if row["varied"] == "species" and row["step"] == "claims"]
    assert table["claims, s"].tolist() == claims
    figure = growth.figure_species()
    drawn = {trace.name: list(trace.y) for trace in figure.data}
    assert len(drawn) == len(growth.STEPS) and drawn[growth.STEPS["claims"]] == claims
    steps = growth.steps_table()
    assert steps.index[0] == "simulating the results" and steps.index[-1] == "book, from nothing"
    assert growth.numbers()["notebooks_cpu_s"] == pytest.approx(
        sum(steps.loc[name, "processor time, s"] for name in steps.index if name.startswith("notebook"))
    )
    assert growth.images_table().loc["nothing read", "images"] == 0
    assert growth.plans_table()["runs"].is_monotonic_increasing and len(growth.pages_table(3)) == 3


def test_what_is_missing_or_damaged_is_named(results):
    folder = results / "bench"
    folder.mkdir(parents=True)
    path = folder / "growth.json"
    path.write_text("{")
    with refused(str(path), "cannot be read", "-m pretraining_gain.bench.growth", unchanged=results):
        growth.load()
    path.write_text(json.dumps({part: {"made": {}, "found": []} for part in growth.PARTS[:-1]}))
    with refused("'book'", "-m pretraining_gain.bench.growth", unchanged=results):
        growth.numbers()
    path.write_text(json.dumps({part: {"made": {}} for part in growth.PARTS}))
    with refused("lacks 'plans'", unchanged=results):
        growth.load()


def test_only_what_was_varied_can_be_shown():
    with pytest.raises(ValueError, match="varied='k'; accepted: species, seeds, images a class"):
        growth.sizes_table("k")


def test_a_page_that_does_not_load_plotly_is_counted_without_it(tmp_path):
    (tmp_path / "a.html").write_text("<p>none</p>")
    assert Page.read(tmp_path, tmp_path / "a.html").assets == {}
