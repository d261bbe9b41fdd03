"""The page that recomputes, driven in a real browser: it gives the numbers that Python gives, to 1e-9."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, Watched, simulate_results
from playwright.sync_api import Page

from pretraining_gain.errors import InputError
from pretraining_gain.tell.claims.declarations import CLAIMS
from pretraining_gain.tell.claims.what_if import Settings, main, recompute
from pretraining_gain.tell.claims.what_if_data import plain_verdicts, tweak_tables
from pretraining_gain.tell.figures.what_if import what_if

pytestmark = pytest.mark.browser
ALL = [claim.id for claim in CLAIMS]
EXACT = 1e-9
#: In the page: test again with each of these settings, beside the worker.
EACH = """cases => {
  const live = {};
  for (const part of window.gainTweak) part(live);
  const studies = [...document.querySelectorAll('.gain-tweak script')].map(one => JSON.parse(one.textContent));
  return cases.map(asked => {
    const tables = studies.find(one => one.study === asked.study);
    const book = {margin: null, threshold: null, level: 'supercategory', without: [], seeds: null, draws: tables.draws};
    try { return {...live.recompute(tables, {...book, ...asked}), bootstrap: live.drawn(tables, {...book, ...asked})}; }
    catch (error) { return {error: error.message, expected: error instanceof live.NothingToTest}; }
  });
}"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A page with `mini` as committed and `toy` as if run, in a folder of its own."""
    folder = tmp_path_factory.mktemp("tweak")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRETRAINING_GAIN_RESULTS", str(folder / "results"))
        patch.setenv("PRETRAINING_GAIN_CACHE", str(folder / "cache"))
        simulate_results("toy", gain=0.1)
        studies = [tweak_tables("mini"), tweak_tables("toy")]
    shutil.copytree(ROOT / "book" / "_static", folder / "_static")
    parts = [what_if(one).html for one in studies]
    parts = [f'{part}<p class="provenance">of {one["study"]}</p>' for part, one in zip(parts, studies, strict=True)]
    colours = "--pst-color-text-base:#222832;--pst-color-text-muted:#48566b;--pst-color-surface:#f3f4f5;--pst-color-border:#c9c9c9"
    (folder / "tweak.html").write_text(
        '<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>tweak</title>'
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="_static/book.css">'
        f"<style>html{{{colours}}}body{{font-family:sans-serif;margin:8px}}</style>"
        f'<script src="_static/figures.js"></script></head><body><article>{"".join(parts)}</article></body></html>',
        encoding="utf-8",
    )
    return folder


@pytest.fixture
def simulated(place, monkeypatch):
    """Python reads the results that the page was made of."""
    monkeypatch.setenv("PRETRAINING_GAIN_RESULTS", str(place / "results"))
    monkeypatch.setenv("PRETRAINING_GAIN_CACHE", str(place / "cache"))


@pytest.fixture
def watched(browser, place):
    watched = Watched(browser)
    open_at(watched, place)
    yield watched
    assert watched.complaints == []
    watched.page.context.close()


def open_at(watched: Watched, place: Path, asked: str = "") -> Page:
    watched.page.goto(f"{(place / 'tweak.html').as_uri()}{asked}")
    watched.page.locator(".tweak[data-done]").wait_for()
    return watched.page


def settle(page: Page, act: Callable[[], Any]) -> None:
    """Do something and wait until the page has recomputed."""
    before = int(page.locator(".tweak").get_attribute("data-done"))
    act()
    page.wait_for_function(f"+document.querySelector('.tweak').dataset.done > {before}")


def answer(page: Page) -> dict[str, Any]:
    return page.evaluate("window.gainTweakPage.answer")


def assert_same(found: dict[str, Any], given: dict[str, Any]) -> None:
    """What the page found (verdict, tests, bootstrap) is what Python finds with the same settings."""
    wanted = recompute(Settings(**given))
    assert (found["verdict"], found["decisive"]) == (wanted.verdict.verdict, wanted.verdict.decisive), given
    assert found["rule"] == wanted.verdict.rule or not wanted.verdict.tests, given
    assert len(found["tests"]) == len(wanted.verdict.tests), given
    for one, other in zip(found["tests"], wanted.verdict.tests, strict=True):
        wanted_numbers = other.model_dump()
        assert {name: one[name] for name in ("what", "test")} == {name: wanted_numbers[name] for name in ("what", "test")}
        for name in set(wanted_numbers) - {"what", "test", "kind", "unit"}:
            assert one[name] == pytest.approx(wanted_numbers[name], abs=EXACT, rel=0, nan_ok=True), (given, other.what, name)
    assert [one["group"] for one in found["bootstrap"]] == wanted.bootstrap["group"].tolist()
    for one, other in zip(found["bootstrap"], wanted.bootstrap.to_dict("records"), strict=True):
        for name in ("mean", "low", "high"):
            assert one[name] == pytest.approx(other[name], abs=EXACT, rel=0, nan_ok=True), (given, other["group"], name)


def choices(place: Path, n: int) -> list[dict[str, Any]]:
    """Each claim of each study as in the book, and `n` times with other settings. Seeded."""
    rng, cases = np.random.default_rng(7), []
    for study in ("mini", "toy"):
        tables = tweak_tables(study)
        for claim in tables["claims"]:
            cases.append({"study": study, "claim": claim["id"]})
            levels = tables["targets"][claim["domain"]]["levels"]
            for _ in range(n):
                level = str(rng.choice(list(levels)))
                names = levels[level]["names"]
                out = rng.choice(names, int(rng.integers(0, max(2, len(names) * 0.6))), replace=False)
                case = {"study": study, "claim": claim["id"], "level": level, "without": [str(name) for name in out]}
                case |= {"margin": float(rng.choice([0.005, 0.02, 0.05, 0.2])), "draws": int(rng.choice([100, 333, 1000]))}
                case |= {"threshold": float(rng.choice([-0.02, 0.0, 0.03, 0.4, 0.75]))}
                if rng.random() < 0.4:
                    case["seeds"] = sorted(int(seed) for seed in rng.choice(3, int(rng.integers(1, 3)), replace=False))
                cases.append(case)
    return cases


def test_every_claim_under_many_settings_is_as_python_has_it(place, simulated, watched):
    cases = choices(place, 2)
    refused = 0
    for given, found in zip(cases, watched.page.evaluate(EACH, cases), strict=True):
        if "error" in found:
            with pytest.raises(InputError) as caught:
                recompute(Settings(**given))
            assert found["expected"] and found["error"] == str(caught.value)
            refused += 1
        else:
            assert_same(found, given)
    assert len(cases) == 84 and refused < 10


def test_random_numbers_are_numpys(watched):
    draw = """() => {
      const live = {};
      window.gainTweak[0](live);
      const [a, b, c, d] = [live.generator(0), live.generator(1, 2), live.generator(3), live.generator(5)];
      const some = (n, one) => Array.from({length: n}, one);
      return [some(50, () => a.double()), Array.from(live.order(b, 5000)), some(60000, () => live.normal(c)),
        some(60000, () => live.exponential(d)), Array.from(live.resamples(live.generator(0, 50), 50, 200))];
    }"""
    doubles, order, normals, exponentials, counts = (np.array(one) for one in watched.page.evaluate(draw))
    assert np.array_equal(doubles, np.random.default_rng(0).random(50))
    assert np.array_equal(order, np.random.default_rng([1, 2]).permuted(np.arange(5000, dtype=np.int32)))
    assert np.array_equal(normals, np.random.default_rng(3).standard_normal(60_000, dtype=np.float32))
    wanted = np.random.default_rng(5).standard_exponential(60_000, dtype=np.float32)
    assert np.allclose(exponentials, wanted, rtol=2e-7, atol=0) and (exponentials != wanted).mean() < 1e-4
    wanted = np.random.default_rng([0, 50]).multinomial(50, np.full(50, 1 / 50), size=200).T
    assert np.array_equal(counts.reshape(50, 200), wanted)


def test_a_reader_changes_everything_and_sees_what_python_finds(watched, capsys):
    page = watched.page
    assert page.locator(".tweak-changed").inner_text() == "These are the book’s settings."
    settle(page, lambda: page.get_by_label("Claim", exact=True).select_option("C8"))
    assert "as in the book" in page.locator(".tweak-status").inner_text()
    margin = page.get_by_label("Margin of “equal”, points")
    settle(page, lambda: (margin.fill("7.5"), margin.press("Enter")))
    settle(page, lambda: page.get_by_label("by", exact=True).select_option("order"))
    settle(page, lambda: page.get_by_role("group", name="Groups that stay in").get_by_label("Carnivora").uncheck())
    settle(page, lambda: page.get_by_label("seed 1").uncheck())
    draws = page.get_by_label("Bootstrap draws")
    settle(page, lambda: (draws.fill("700"), draws.press("Tab")))
    given = {"claim": "C8", "margin": 0.075, "level": "order", "without": ["Carnivora"], "seeds": [0, 2], "draws": 700}
    found = answer(page)
    assert_same(found["outcome"] | {"bootstrap": found["bootstrap"]}, given)
    changed = page.locator(".tweak-changed").inner_text()
    for words in ("margin 7.5 points instead of 3.0", "without Carnivora", "seeds 0, 2 only", "700 draws instead of 2,000"):
        assert words in changed
    decided = recompute(Settings(**given)).verdict
    rows = page.locator(".tweak-results table").first.locator("tbody tr").all_inner_texts()
    test = decided.tests[decided.decisive]
    assert rows[0].split("\t")[2] == decided.verdict and rows[1].split("\t")[2] == decided.rule
    assert f"{100 * test.effect:+.1f} points" in rows[3].replace("−", "-").split("\t")[2]
    assert f"{100 * test.detectable:.1f} points" in rows[4].split("\t")[2]
    assert "2 seeds" in rows[5].split("\t")[2] and "3 seeds, 36 species, 1,312 images" in rows[5].split("\t")[1]
    command = page.locator(".tweak-command").inner_text()
    assert command.startswith("python -m pretraining_gain.tell.claims.what_if ")
    assert main(shlex.split(command)[3:]) == 0
    assert f"{decided.verdict}: {decided.rule}" in capsys.readouterr().out


def test_a_threshold_and_a_share_of_species(watched):
    page = watched.page
    threshold = page.get_by_label("Threshold of “greater”, % of species")
    assert threshold.input_value() == "50" and page.get_by_label("Margin").is_disabled()
    settle(page, lambda: (threshold.fill("90"), threshold.press("Enter")))
    found = answer(page)
    assert_same(found["outcome"] | {"bootstrap": found["bootstrap"]}, {"claim": "C1", "threshold": 0.9})
    assert "in the book: supported" in page.locator(".tweak-status").inner_text()
    assert "Gain by representation" in page.locator(".tweak-results").inner_text()


def test_the_study_can_be_switched(place, simulated, watched):
    page = watched.page
    settle(page, lambda: page.get_by_label("Study").select_option("toy"))
    found = answer(page)
    assert_same(found["outcome"] | {"bootstrap": found["bootstrap"]}, {"study": "toy", "claim": "C1"})
    assert page.locator(".provenance:visible").all_inner_texts() == ["of toy"]


def test_a_link_keeps_the_settings_and_reset_takes_them_back(browser, place):
    watched = Watched(browser)
    page = open_at(watched, place, "#study=mini&claim=C6&threshold=0.02&level=supercategory&without=Birds&draws=300")
    assert page.get_by_label("Threshold").input_value() == "2" and not page.get_by_label("Birds").is_checked()
    found = answer(page)
    given = {"claim": "C6", "threshold": 0.02, "without": ["Birds"], "draws": 300}
    assert_same(found["outcome"] | {"bootstrap": found["bootstrap"]}, given)
    settle(page, lambda: page.get_by_label("Mammals").uncheck())
    link = page.url
    other = Watched(browser)
    again = open_at(other, place, link[link.index("#") :])
    assert answer(again)["settings"] == answer(page)["settings"] != found["settings"]
    settle(page, lambda: page.get_by_role("button", name="Reset to the book’s settings").click())
    assert page.url.endswith("#study=mini&claim=C6")
    assert page.locator(".tweak-changed").inner_text() == "These are the book’s settings."
    assert watched.complaints == other.complaints == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("#study=mini&claim=C99", "claim “C99” is unknown; accepted: C1, C2"),
        ("#study=mini&claim=C8&margin=3", "margin “3” is not accepted; accepted: numbers from 0.0001 to 0.9999"),
        ("#study=mini&claim=C8&draws=1e9", "draws “1e9” is not accepted; accepted: whole numbers from 100 to 20000"),
        ("#study=mini&claim=C8&without=Dragons", "without “Dragons” is unknown here"),
        ("#how-it-is-done", ""),
    ],
)
def test_a_wrong_link_is_one_line_and_the_books_settings(browser, place, asked, said):
    watched = Watched(browser)
    page = open_at(watched, place, asked)
    note = page.locator(".tweak-note").text_content()
    assert note.startswith(said) and "\n" not in note and bool(note) == bool(said)
    assert page.locator(".tweak-changed").inner_text() == "These are the book’s settings."
    assert watched.complaints == []


def test_what_cannot_be_computed_is_said_in_one_line(browser, place):
    watched = Watched(browser)
    levels = tweak_tables("mini")["targets"]["in_domain"]["levels"]
    groups = "".join(f"&without={name}" for name in levels["supercategory"]["names"])
    page = open_at(watched, place, f"#study=mini&claim=C10{groups}")
    assert page.locator(".tweak-status").inner_text() == (
        "Nothing computed: no species is left; accepted: at least one group that stays in."
    )
    settle(page, lambda: page.get_by_label("Mammals").check())
    assert page.locator(".tweak-status").inner_text().startswith("C10: ")
    page.get_by_label("Bootstrap draws").fill("7")
    page.keyboard.press("Tab")
    assert page.locator(".tweak-note").inner_text() == "Draws: whole numbers from 100 to 20,000."
    assert watched.complaints == []


def test_the_keyboard_alone_leaves_a_group_out_and_stays_where_it_is(watched):
    page = watched.page
    page.get_by_label("Birds").focus()
    settle(page, lambda: page.keyboard.press("Space"))
    assert answer(page)["settings"]["without"] == ["Birds"]
    focused = "document.activeElement.closest('label').textContent.trim()"
    assert page.evaluate(focused).startswith("Birds")
    page.keyboard.press("Tab")
    assert page.evaluate(focused).startswith("Insects")


def test_the_download_holds_all_digits(watched):
    page = watched.page
    with page.expect_download() as caught:
        page.get_by_role("button", name="Download as JSON").click()
    assert caught.value.suggested_filename == "tweak-mini-C1.json"
    content = json.loads(Path(caught.value.path()).read_text())
    assert_same(content["outcome"] | {"bootstrap": content["bootstrap"]}, {"claim": "C1"})
    assert content["command"] == "python -m pretraining_gain.tell.claims.what_if --study mini --claim C1"


def test_without_a_worker_the_page_computes_by_itself(browser, place):
    watched = Watched(browser)
    watched.page.add_init_script("delete window.Worker")
    page = open_at(watched, place, "#study=mini&claim=C13")
    found = answer(page)
    assert_same(found["outcome"] | {"bootstrap": found["bootstrap"]}, {"claim": "C13"})
    assert watched.complaints == []


def test_a_newer_wish_overtakes_a_long_computation(watched):
    page = watched.page
    settle(page, lambda: page.get_by_label("Claim", exact=True).select_option("C10"))
    draws = page.get_by_label("Bootstrap draws")
    draws.fill("20000")
    draws.press("Enter")
    settle(page, lambda: (draws.fill("200"), draws.press("Enter")))
    found = answer(page)
    assert_same(found["outcome"] | {"bootstrap": found["bootstrap"]}, {"claim": "C10", "draws": 200})


def test_without_javascript_there_are_the_books_verdicts(browser, place):
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto((place / "tweak.html").as_uri())
    assert page.locator("table").count() == 2
    texts = page.locator("table").first.locator("tbody tr").all_inner_texts()
    plain = plain_verdicts(tweak_tables("mini"))
    assert len(texts) == len(ALL)
    for text, row in zip(texts, plain.to_dict("records"), strict=True):
        assert row["verdict"] in text and f"{row['effect']:,.1f}" in text
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_built_page_on_a_phone_agrees_with_the_book_on_every_claim(book, browser, scheme):
    watched = Watched(browser, width=360, scheme=scheme)
    page = watched.open(book / "book" / "tweak.html")
    page.locator(".tweak[data-done]").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    studies = page.get_by_label("Study").locator("option").evaluate_all("all => all.map(one => one.value)")
    assert studies == ["mini", "toy"]
    cases = [{"study": study, "claim": claim, "draws": 100} for study in studies for claim in ALL]
    published = {study: book / "_static" / "claims" / f"{study}.json" for study in studies}
    ledgers = {study: json.loads(path.read_text())["verdicts"] for study, path in published.items()}
    for case, found in zip(cases, page.evaluate(EACH, cases), strict=True):
        stated = next(verdict for verdict in ledgers[case["study"]] if verdict["claim"] == case["claim"])
        assert (found["verdict"], found["rule"]) == (stated["verdict"], stated["rule"])
    assert watched.complaints == []
