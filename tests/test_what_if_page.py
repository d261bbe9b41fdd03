"""The page "Change the analysis" in a real browser: it finds what Python finds, to 1e-6."""

from __future__ import annotations

import hashlib
import json
import shlex
from functools import cache, partial
from pathlib import Path
from typing import Any

import conftest
import numpy as np
import pytest
from conftest import ROOT, Watched, keep_results_in, simulate_results, write_page
from playwright.sync_api import Page
from scipy.special import ncfdtr, nctdtr, stdtr, stdtrit

from pretraining_gain.errors import InputError
from pretraining_gain.tell.claims.declarations import CLAIMS
from pretraining_gain.tell.claims.evidence import Evidence
from pretraining_gain.tell.claims.what_if import Settings, main, recompute
from pretraining_gain.tell.claims.what_if_data import plain_verdicts, what_if_tables
from pretraining_gain.tell.figures.what_if import what_if

ALL = [claim.id for claim in CLAIMS]
AGREE = 1e-6
BOOK = "These are the book’s settings."
#: In the page: test again with each of these settings.
EACH = """cases => {
  const studies = [...document.querySelectorAll('.gain-what-if script')].map(one => JSON.parse(one.textContent));
  const book = {margin: null, threshold: null, level: 'supercategory', without: [], seeds: null};
  return cases.map(asked => {
    try { return window.gainWhatIf.recompute(studies.find(one => one.study === asked.study), {...book, ...asked}); }
    catch (error) { return {error: error.message, expected: error instanceof window.gainWhatIf.NothingToTest}; }
  });
}"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A page with `mini` as committed and a simulated `toy`, in its own folder."""
    folder = tmp_path_factory.mktemp("what_if")
    with pytest.MonkeyPatch.context() as patch:
        keep_results_in(folder, patch)
        simulate_results("toy", gain=0.1)
        studies = [what_if_tables("mini"), what_if_tables("toy")]
    write_page(folder, *(f'{what_if(one).html}<p class="provenance">of {one["study"]}</p>' for one in studies))
    return folder


@pytest.fixture
def simulated(place, monkeypatch):
    """Python reads the same results as the page."""
    keep_results_in(place, monkeypatch)
    monkeypatch.setattr(Evidence, "load", cache(Evidence.load))


@pytest.fixture
def opened(browser, place):
    """Opens the page with an address; at the end no page has complained or sent a request."""
    all_watched = []

    def open_at(asked: str = "") -> Page:
        all_watched.append(Watched(browser))
        page = all_watched[-1].page
        page.goto(f"{(place / 'page.html').as_uri()}{asked}")
        page.locator(".what-if[data-done]").wait_for()
        return page

    yield open_at
    for watched in all_watched:
        assert watched.complaints == []
        watched.page.context.close()


settle = partial(conftest.settle, selector=".what-if", count="data-done")


def outcome(page: Page) -> dict[str, Any]:
    return page.evaluate("window.gainWhatIf.answer.outcome")


def assert_same(found: dict[str, Any], given: dict[str, Any]) -> None:
    wanted = recompute(Settings(**given))
    verdict = wanted.verdict
    assert (found["verdict"], found["decisive"]) == (verdict.verdict, verdict.decisive), given
    assert found["rule"] == verdict.rule or not verdict.tests, given
    for one, other in zip(found["tests"], verdict.tests, strict=True):
        for name, value in other.model_dump(exclude={"kind"}).items():
            same = value if isinstance(value, str) else pytest.approx(value, abs=AGREE, nan_ok=True)
            assert one[name] == same, (given, other.what, name)
    for one, other in zip(found["groups"], wanted.groups.to_dict("records"), strict=True):
        assert one["group"] == other["group"]
        for name in ("mean", "low", "high"):
            assert one[name] == pytest.approx(other[name], abs=AGREE), (given, other["group"], name)


def choices(n: int) -> list[dict[str, Any]]:
    """Each claim of each study as in the book, and `n` times with other settings. Seeded."""
    rng, cases = np.random.default_rng(7), []
    for study in ("mini", "toy"):
        tables = what_if_tables(study)
        for claim in tables["claims"]:
            cases.append({"study": study, "claim": claim["id"]})
            levels = tables["targets"][claim["target"]]["levels"]
            for _ in range(n):
                level = str(rng.choice(list(levels)))
                names = levels[level]["names"]
                out = rng.choice(names, int(rng.integers(0, max(2, len(names) * 0.6))), replace=False)
                case = {"study": study, "claim": claim["id"], "level": level, "without": [str(name) for name in out]}
                case |= {"margin": float(rng.choice([0.005, 0.02, 0.05, 0.2]))}
                case |= {"threshold": float(rng.choice([-0.02, 0.0, 0.03, 0.4, 0.75]))}
                if rng.random() < 0.4:
                    some = rng.choice(claim["seeds"], int(rng.integers(1, len(claim["seeds"]))), replace=False)
                    case["seeds"] = sorted(int(seed) for seed in some)
                cases.append(case)
    return cases


def test_every_claim_under_many_settings_is_as_python_has_it(simulated, opened):
    cases = choices(2)
    for given, found in zip(cases, opened().evaluate(EACH, cases), strict=True):
        if "error" not in found:
            assert_same(found, given)
            continue
        assert found["expected"], (given, found)
        with pytest.raises(InputError) as caught:
            recompute(Settings(**given))
        assert found["error"] == str(caught.value)


def test_a_part_that_cannot_be_tested_is_as_python_has_it(simulated, opened):
    given = {"study": "mini", "claim": "C4", "margin": 0.5, "without": ["Mammals"]}
    [found] = opened().evaluate(EACH, [given])
    assert_same(found, given)


DFS = [1, 2.7, 11, 35, 300.5, 5000]
GRID = {
    "stdtrit": (stdtrit, [(df, p) for df in DFS for p in (1e-12, 0.002, 0.3, 0.95, 0.9999)]),
    "tTail": (lambda df, t: stdtr(df, -t), [(df, t) for df in DFS for t in (0.01, 0.9, 2.5, 8, 40)]),
    "ncfdtr": (ncfdtr, [(a, b, nc, f) for a, b in ((1, 3), (4, 2.5), (60, 200.3)) for nc in (0.1, 8, 500) for f in (0.3, 1, 9)]),
    "nctdtr": (nctdtr, [(df, nc, t) for df in DFS for nc in (0.01, 2.5, 10) for t in (0.05, 1.7, 12)]),
}  # fmt: skip


def test_distributions_are_scipys(opened):
    ask = """grid => { const all = {...window.gainWhatIf, nctdtr: (df, nc, t) => window.jStat.noncentralt.cdf(t, df, nc)};
      return Object.fromEntries(Object.entries(grid).map(([name, rows]) => [name, rows.map(row => all[name](...row))])); }"""
    found = opened().evaluate(ask, {name: rows for name, (_, rows) in GRID.items()})
    for name, (wanted, rows) in GRID.items():
        assert found[name] == pytest.approx([float(wanted(*row)) for row in rows], abs=AGREE, rel=AGREE), name


def test_jstat_is_the_file_that_npm_publishes():
    """`dist/jstat.min.js` of https://registry.npmjs.org/jstat/-/jstat-1.9.6.tgz (MIT, licence beside it)."""
    published = (ROOT / "book" / "_static" / "jstat.min.js").read_bytes()
    assert hashlib.sha256(published).hexdigest() == "e478a6ab6324e735d927529b5e97506df97dd3a4ced8c744c8e00b90da95dcc0"


def test_a_reader_changes_everything_and_sees_what_python_finds(opened, capsys):
    page = opened()
    assert page.locator(".what-if-changed").inner_text() == BOOK
    settle(page, lambda: page.get_by_label("Claim", exact=True).select_option("C8"))
    assert "as in the book" in page.locator(".what-if-status").inner_text()
    margin = page.get_by_label("Margin, points")
    settle(page, lambda: (margin.fill("7.5"), margin.press("Enter")))
    settle(page, lambda: page.get_by_label("by", exact=True).select_option("order"))
    settle(page, lambda: page.get_by_role("group", name="Groups that stay in").get_by_label("Carnivora").uncheck())
    settle(page, lambda: page.get_by_label("seed 501").uncheck())
    given = {"study": "mini", "claim": "C8", "margin": 0.075, "level": "order", "without": ["Carnivora"]}
    given["seeds"] = [500, *range(502, 510)]
    assert_same(outcome(page), given)
    changed = page.locator(".what-if-changed").inner_text()
    seeds = "500, 502, 503, 504, 505, 506, 507, 508, 509"
    assert changed == f"Changed: margin 7.5 points instead of 2.7; without Carnivora; seeds {seeds} only."
    decided = recompute(Settings(**given)).verdict
    test = decided.tests[decided.decisive]
    rows = page.locator(".what-if-results table").first.locator("tbody tr").all_inner_texts()
    mine = [row.split("\t")[2].replace("−", "-") for row in rows]
    assert mine[:2] == [decided.verdict, decided.rule.replace("−", "-")]
    assert mine[3].startswith(f"{100 * test.effect:+.1f} points")
    assert mine[4:] == [f"{100 * test.detectable:.1f} points", f"9 seeds, {test.n_classes} species, {test.n_images:,} images"]
    command = page.locator(".what-if-command").inner_text()
    assert main(shlex.split(command)[3:]) == 0
    assert f"{decided.verdict}: {decided.rule}" in capsys.readouterr().out


def test_a_threshold_of_a_share_is_in_percent_of_species(opened):
    page = opened()
    threshold = page.get_by_label("Threshold of “greater”, % of species")
    assert threshold.input_value() == "50"
    assert page.get_by_label("Margin").is_disabled()
    settle(page, lambda: (threshold.fill("90"), threshold.press("Enter")))
    assert_same(outcome(page), {"study": "mini", "claim": "C1", "threshold": 0.9})
    assert "in the book: supported" in page.locator(".what-if-status").inner_text()
    assert "Gain by representation" in page.locator(".what-if-results").inner_text()


def test_the_study_can_be_switched(simulated, opened):
    page = opened()
    settle(page, lambda: page.get_by_label("Study").select_option("toy"))
    assert_same(outcome(page), {"study": "toy", "claim": "C1"})
    assert page.locator(".provenance:visible").all_inner_texts() == ["of toy"]


def test_a_claim_that_the_other_study_lacks_gives_way_to_one_that_it_has(simulated, opened):
    page = opened("#study=toy&claim=C3")
    assert_same(outcome(page), {"study": "toy", "claim": "C3"})
    settle(page, lambda: page.get_by_label("Study").select_option("mini"))
    assert_same(outcome(page), {"study": "mini", "claim": "C1"})
    assert page.locator(".what-if-note").text_content().startswith("claim “C3” is unknown; accepted: C1, ")


def test_a_link_keeps_the_settings_and_reset_takes_them_back(opened):
    page = opened("#study=mini&claim=C6&threshold=0.02&level=supercategory&without=Birds")
    assert_same(outcome(page), {"study": "mini", "claim": "C6", "threshold": 0.02, "without": ["Birds"]})
    settle(page, lambda: page.get_by_label("Mammals").uncheck())
    again = opened(page.url[page.url.index("#") :])
    assert again.evaluate("gainWhatIf.answer.settings") == page.evaluate("gainWhatIf.answer.settings")
    settle(page, lambda: page.get_by_role("button", name="Reset to the book’s settings").click())
    assert page.url.endswith("#study=mini&claim=C6")
    assert page.locator(".what-if-changed").inner_text() == BOOK


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("#study=mini&claim=C99", "claim “C99” is unknown; accepted: C1, C4"),
        ("#study=mini&claim=C8&margin=3", "margin “3” is not accepted; accepted: numbers from 0.0001 to 0.9999"),
        ("#study=mini&claim=C8&without=Dragons", "without “Dragons” is unknown here"),
        ("#how-it-is-done", ""),
    ],
)
def test_a_wrong_link_is_one_line_and_the_books_settings(opened, asked, said):
    page = opened(asked)
    note = page.locator(".what-if-note").text_content()
    assert note.startswith(said)
    assert bool(note) == bool(said)
    assert page.locator(".what-if-changed").inner_text() == BOOK


def test_settings_that_leave_no_species_are_refused_in_one_line(opened):
    levels = what_if_tables("mini")["targets"]["cifar10_animals"]["levels"]
    groups = "".join(f"&without={name}" for name in levels["supercategory"]["names"])
    page = opened(f"#study=mini&claim=C10{groups}")
    wanted = "Nothing computed: no species is left; accepted: at least one group that stays in."
    assert page.locator(".what-if-status").inner_text() == wanted
    settle(page, lambda: page.get_by_label("Mammals").check())
    assert page.locator(".what-if-status").inner_text().startswith("C10: ")


def test_the_keyboard_alone_leaves_a_group_out_and_focus_stays(opened):
    page = opened()
    page.get_by_label("Birds").focus()
    settle(page, lambda: page.keyboard.press("Space"))
    assert page.evaluate("gainWhatIf.answer.settings.without") == ["Birds"]
    assert page.evaluate("document.activeElement.closest('label').textContent.trim()").startswith("Birds")


def test_the_download_holds_all_digits(opened):
    page = opened()
    with page.expect_download() as caught:
        page.get_by_role("button", name="Download as JSON").click()
    assert caught.value.suggested_filename == "what-if-mini-C1.json"
    content = json.loads(Path(caught.value.path()).read_text())
    assert_same(content["outcome"], {"study": "mini", "claim": "C1"})
    assert content["command"] == "python -m pretraining_gain.tell.claims.what_if --study mini --claim C1"


def test_without_javascript_there_are_the_books_verdicts(plain_page, place):
    plain_page.goto((place / "page.html").as_uri())
    texts = plain_page.locator("table").first.locator("tbody tr").all_inner_texts()
    for text, row in zip(texts, plain_verdicts(what_if_tables("mini")).to_dict("records"), strict=True):
        assert row["verdict"] in text


def test_the_built_page_on_a_phone_agrees_with_the_book_on_every_claim(book, browser):
    watched = Watched(browser, width=360)
    page = watched.open(book / "book" / "change-the-analysis.html")
    page.locator(".what-if[data-done]").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for study in page.get_by_label("Study").locator("option").evaluate_all("all => all.map(one => one.value)"):
        stated = json.loads((book / "_static" / "claims" / f"{study}.json").read_text())["verdicts"]
        cases = [{"study": study, "claim": one["claim"]} for one in stated if one["tests"]]
        found = [one["verdict"] for one in page.evaluate(EACH, cases)]
        assert found == [one["verdict"] for one in stated if one["tests"]]
    assert watched.complaints == []
