"""The book as a book: reading times, terms, claims, citations, species to search for, the lead figure's steps."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qs, urlparse

import pytest
import yaml
from bs4 import BeautifulSoup
from conftest import ROOT, Watched
from docutils import nodes
from docutils.utils import new_document

from pretraining_gain.paths import results_of
from pretraining_gain.tell.book.reader.reading_time import BOOK, WORDS_PER_MINUTE, minutes, parts_of, words_of
from pretraining_gain.tell.book.reader.species import explorer_link, species_of
from pretraining_gain.tell.claims.declarations import CLAIMS

CHAPTERS = sorted((ROOT / "book").glob("*.md"))
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
ROOTS = {"book/index"}


def soup(book, page: str) -> BeautifulSoup:
    return BeautifulSoup((book / f"{page}.html").read_text(encoding="utf-8"), "html.parser")


def stated_minutes(text: str) -> float:
    number, unit = re.search(r"([\d.]+) (minute|hour)", text).groups()
    return float(number) * (60 if unit == "hour" else 1)


# ---- reading times


def test_words_are_those_that_are_read():
    page = new_document("page")
    page += nodes.paragraph("", "Five words, one of_them code:", nodes.literal_block("", "not read at all"))
    page += nodes.comment("", "nor this")
    assert words_of(page) == 5
    assert [minutes(n) for n in (0, WORDS_PER_MINUTE, 10 * WORDS_PER_MINUTE, 89 * WORDS_PER_MINUTE, 150 * WORDS_PER_MINUTE)] == [
        "1 minute", "1 minute", "10 minutes", "89 minutes", "2.5 hours"]  # fmt: skip


@pytest.mark.parametrize("page_name", parts_of(TOC)[BOOK])
def test_a_chapter_states_the_time_that_its_words_take(book, page_name):
    page = soup(book, page_name)
    lines = page.select("p.reading-time")
    if page_name in ROOTS:
        assert lines == []
        return
    [line] = lines
    assert line.find_previous_sibling("h1") is not None
    stated = stated_minutes(line.text)
    article = page.select_one("article")
    unread_too = ".reading-time, .gain-figure, .gain-explorer, table.dataframe, .species-list"
    for unread in article.select(f"script, noscript, pre, style, {unread_too}"):
        unread.decompose()
    counted = len(article.get_text(" ").split()) / WORDS_PER_MINUTE
    assert counted * 0.75 - 1.5 <= stated <= counted * 1.25 + 1.5, counted


def test_the_cover_adds_up_its_parts(book):
    page = soup(book, "book/index")
    said = {one["data-reading-time"]: stated_minutes(one.text) for one in page.select("[data-reading-time]")}
    assert said.keys() == {"The paper", "Appendices"}
    for part, stated in said.items():
        chapters = [stated_minutes(soup(book, one).select_one(".reading-time").text) for one in parts_of(TOC)[part]]
        assert abs(sum(chapters) - stated) <= max(len(chapters) / 2, 15), part


# ---- terms, claims, figures


def test_every_term_is_linked_from_a_chapter_and_explained_there(book):
    glossary = soup(book, "book/glossary")
    terms = {term["id"]: " ".join(term.find_next_sibling("dd").text.split()) for term in glossary.select("dl.glossary dt")}
    assert len(terms) >= 30 and all(terms.values())
    linked: set[str] = set()
    for chapter in set(parts_of(TOC)[BOOK]) - {"book/glossary"}:
        for link in soup(book, chapter).select('article a[href*="glossary.html#"]'):
            anchor = link["href"].partition("#")[2]
            assert link["title"] == terms[anchor], (chapter, anchor)
            linked.add(anchor)
    assert linked == set(terms)


def test_references_to_claims_resolve_and_say_the_claim(book):
    claims = {f"claim-{claim.id.lower()}": f"{claim.id}. {claim.text}" for claim in CLAIMS}
    there = soup(book, "book/claims")
    assert all(there.find(id=anchor) for anchor in claims)
    seen = set()
    for chapter in parts_of(TOC)[BOOK]:
        for link in soup(book, chapter).select('article a.reference.internal[href*="#claim-"]'):
            anchor = link["href"].partition("#")[2]
            assert link["title"] == claims[anchor], chapter
            seen.add(anchor)
    assert seen == set(claims)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_links_each_figure_and_claim_that_it_names(path):
    """Each at least once; captions and the headings of claims are what is linked to."""
    text = re.sub(r"^(?:\*\*Figure \w\d?[.,]|#+ C\d+\.).*$", "", path.read_text(), flags=re.MULTILINE)
    text = re.sub(r"\{(?:n|verdict)\}`[^`]*`|<svg.*?</svg>", "", text, flags=re.DOTALL)
    linked = set(re.findall(r"\]\((fig-[\w-]+|claim-c\d+)\)", text))
    own = set(re.findall(r"^\((fig-[\w-]+|claim-c\d+)\)=", path.read_text(), flags=re.MULTILINE))
    for number in set(re.findall(r"\bFigures? (\d)\b", text)) | set(re.findall(r"\bFigures \d and (\d)", text)):
        assert f"fig-{number}" in linked | own, f"Figure {number}"
    for number in set(re.findall(r"\bC(\d{1,2})\b", text)):
        assert f"claim-c{number}" in linked | own, f"C{number}"


def test_chapters_have_margin_notes(book):
    pages = {chapter for chapter in parts_of(TOC)[BOOK] if soup(book, chapter).select("aside.margin")}
    assert {"book/introduction", "book/taxa", "book/subsets", "book/claims", "book/controls"} <= pages


# ---- hints on links, in the browser


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 360])
def test_a_citation_says_who_when_and_what_on_hover_and_on_focus(book, browser, width):
    watched = Watched(browser, width=width)
    page = watched.open(book / "book" / "related-work.html")
    link, hint = page.locator("article a", has_text="Yosinski").first, page.get_by_role("tooltip")
    assert hint.count() == 0 or not hint.is_visible()
    link.hover()
    hint.wait_for(state="visible")
    said = hint.inner_text()
    assert "Jason Yosinski" in said and "2014" in said and "How transferable are features" in said
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    hint.hover()
    page.wait_for_timeout(400)
    assert hint.is_visible(), "what is pointed at stays"
    page.keyboard.press("Escape")
    assert not hint.is_visible()
    page.locator("article a", has_text="Kornblith").first.focus()
    hint.wait_for(state="visible")
    assert "Do better ImageNet models transfer better?" in hint.inner_text()
    assert page.evaluate("document.activeElement.getAttribute('aria-describedby')") == hint.get_attribute("id")
    assert watched.complaints == []


@pytest.mark.browser
def test_a_term_and_a_claim_are_explained_where_they_stand(book, browser):
    watched = Watched(browser)
    page = watched.open(book / "book" / "claims.html")
    hint = page.get_by_role("tooltip")
    page.locator("article a", has_text="equivalence test").first.hover()
    page.wait_for_function("document.querySelector('.reader-hint').textContent.includes('within the margin')")
    page.locator("table a", has_text="C10").first.hover()
    page.wait_for_function("document.querySelector('.reader-hint').textContent.startsWith('C10. In domain')")
    assert hint.is_visible() and watched.complaints == []


# ---- species


@pytest.mark.parametrize("study", ["mini", "toy", "paper"])
def test_the_list_has_every_species_once_with_its_way_into_the_explorer(book, study):
    found = species_of(study)
    assert len(found) == {"mini": 42, "toy": 24}.get(study, len(found)) and len(found) >= {"paper": 390}.get(study, 0)
    page = soup(book, "book/species")
    items = page.select(f'ul.species-list li[id^="species-{study}-"]')
    assert len(items) == len(found) == len({item["id"] for item in items})
    measured = (results_of(study) / "runs.csv").exists()
    for item, row in zip(items, found.to_dict("records"), strict=True):
        links = item.select("a")
        assert row["name"] in item.text.replace("’", "'") and len(links) == measured
        if links:
            asked = parse_qs(urlparse(links[0]["href"]).query)
            assert asked == {"study": [study], "target": [row["target"]], "species": [f'"{row["name"]}"']}
            assert unescape(links[0]["href"]) == explorer_link(study, row["target"], row["name"])


@pytest.mark.browser
@pytest.mark.parametrize(("typed", "anchor"), [("emu", "species-mini-emu"), ("owl", "species-paper-n01622779")])
def test_the_search_finds_a_species(book, browser, typed, anchor):
    watched = Watched(browser)
    page = watched.open(book / "book" / "index.html")
    page.locator("button.search-button, .search-button-field").first.click()
    page.locator('input[type="search"]:visible').first.fill(typed)
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=*")
    result = page.locator(f'#search-results a[href*="#{anchor}"]')
    result.first.wait_for(timeout=15_000)
    result.first.click()
    page.wait_for_url(f"**/species.html*#{anchor}")
    item = page.locator(f"#{anchor}")
    assert item.is_visible()
    if typed == "emu":
        item.locator("a").click()
        page.locator(".explorer[data-drawn]").wait_for(timeout=15_000)
        assert page.locator(".explorer tbody th[title]").all_text_contents() == ["emu"]
        assert page.locator("select[name=study] option:checked").inner_text() == "mini"
    assert watched.complaints == []


@pytest.mark.browser
@pytest.mark.parametrize(("study", "target", "species"), [("toy", "field", "anat bird A"), ("mini", "cifar10_animals", "dog"),
                                                         ("mini", "caltech101_animals", "ant")])  # fmt: skip
def test_a_link_into_the_explorer_selects_study_target_and_just_that_species(book, browser, study, target, species):
    watched = Watched(browser)
    watched.page.goto((book / "book").as_uri() + "/" + explorer_link(study, target, species))
    page = watched.page
    page.locator(".explorer[data-drawn]").wait_for(timeout=15_000)
    assert page.locator(".explorer tbody th[title]").all_text_contents() == [species]
    assert page.locator("select[name=study] option:checked").inner_text() == study
    assert watched.complaints == []


# ---- the theme, the cover


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 360])
def test_the_switch_of_the_theme_is_there_and_figures_follow_it(book, browser, width):
    watched = Watched(browser, width=width)
    page = watched.open(book / "book" / "index.html")
    page.locator(".gain-figure").first.scroll_into_view_if_needed()
    page.locator(".gain-figure[data-drawn] .xtick text").first.wait_for(timeout=15_000)
    switch = page.locator("button.theme-switch-button:visible").first
    inks = {}
    for _ in range(3):
        switch.click()
        page.wait_for_timeout(400)
        theme = page.evaluate("document.documentElement.dataset.theme")
        inks[theme] = page.evaluate("document.querySelector('.gain-figure .xtick text').style.fill")
    assert inks == {"light": "rgb(51, 51, 51)", "dark": "rgb(214, 214, 214)"}
    assert watched.complaints == []


@pytest.mark.browser
def test_the_lead_figure_is_told_step_by_step(book, browser):
    watched = Watched(browser)
    page = watched.open(book / "book" / "index.html")
    page.locator(".gain-figure[data-drawn]").first.wait_for(timeout=15_000)
    steps, place = page.locator(".lead-steps li"), page.locator(".lead-place")
    shown = "all => all.filter(one => one.offsetParent).length"
    assert steps.count() == 6 and steps.evaluate_all(shown) == 1 and place.inner_text() == "Step 1 of 6"
    assert page.get_by_role("button", name="Back").is_disabled()
    opacities = "plot => Object.fromEntries(plot.data.map(trace => [trace.legendgroup, trace.opacity]))"
    plot = page.locator(".gain-figure[data-key=figure_3] .js-plotly-plot").first
    assert plot.evaluate(opacities) == {"scratch": 1, "animal": 0.12, "non_animal": 0.12, "random": 0.12, "all": 0.12}
    page.get_by_role("button", name="Next").focus()
    for _ in range(2):
        page.keyboard.press("Enter")
    assert place.inner_text() == "Step 3 of 6" and "Is it the animals?" in steps.nth(2).inner_text()
    assert plot.evaluate(opacities)["animal"] == 1 and plot.evaluate(opacities)["random"] == 0.12
    for _ in range(3):
        page.keyboard.press("Enter")
    assert set(plot.evaluate(opacities).values()) == {1}
    assert page.get_by_role("button", name="Play").is_visible() and watched.complaints == []


@pytest.mark.browser
def test_nothing_plays_for_a_reader_who_wants_less_motion_and_steps_are_a_list_without_javascript(book, browser):
    watched = Watched(browser)
    watched.page.emulate_media(reduced_motion="reduce")
    page = watched.open(book / "book" / "index.html")
    page.locator(".lead-bar").wait_for()
    assert not page.get_by_role("button", name="Play").is_visible()
    assert page.get_by_role("button", name="Next").is_visible()
    context = browser.new_context(java_script_enabled=False, offline=True)
    plain = context.new_page()
    plain.goto((book / "book" / "index.html").as_uri())
    assert plain.locator(".lead-steps li:visible").count() == 6
    context.close()
