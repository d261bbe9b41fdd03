"""Features for readers: hints on links, species in the search, how to cite, launch links, previews, the lead figure's steps."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
import yaml
from bs4 import BeautifulSoup
from conftest import ROOT, Watched, soup

from pretraining_gain.paths import results_of
from pretraining_gain.tell.book.reader.citing import bibtex, read_citation
from pretraining_gain.tell.book.reader.launch import NOTEBOOK, launch_links
from pretraining_gain.tell.book.reader.species import explorer_link, species_of
from pretraining_gain.tell.claims.declarations import CLAIMS

CHAPTERS = sorted(path.stem for path in (ROOT / "book").glob("*.md"))


# ---- hints on links


def titles_of_links(book: Path, anchor_prefix: str) -> dict[str, set[str]]:
    """Return anchor -> titles of the links to it, over all chapters."""
    found: dict[str, set[str]] = {}
    for chapter in CHAPTERS:
        for link in soup(book, f"book/{chapter}").select(f'article a.reference.internal[href*="#{anchor_prefix}"]'):
            found.setdefault(link["href"].partition("#")[2], set()).add(link.get("title", ""))
    return found


def test_every_term_is_linked_from_a_chapter_and_explained_there(book):
    terms = soup(book, "book/glossary").select("dl.glossary dt")
    meanings = {term["id"]: {" ".join(term.find_next_sibling("dd").text.split())} for term in terms}
    assert titles_of_links(book, "term-") == meanings


def test_every_claim_is_linked_from_a_chapter_and_given_in_full_there(book):
    claims = {f"claim-{claim.id.lower()}": {f"{claim.id}. {claim.text}"} for claim in CLAIMS}
    assert titles_of_links(book, "claim-") == claims


@pytest.mark.parametrize("width", [1280, 360])
def test_a_hint_shows_on_hover_stays_while_pointed_at_and_leaves_on_escape(book, browser, width):
    watched = Watched(browser, width=width)
    page = watched.open(book / "book" / "related-work.html")
    hint = page.get_by_role("tooltip")
    page.locator("article a[data-hint*='Yosinski']").first.hover()
    hint.filter(has_text="How transferable are features").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.clock.install()
    hint.hover()
    page.clock.run_for(1000)
    assert hint.is_visible()
    page.keyboard.press("Escape")
    hint.wait_for(state="hidden")
    assert watched.complaints == []


def test_a_hint_shows_on_focus_and_describes_its_link(book, browser):
    page = Watched(browser).open(book / "book" / "related-work.html")
    page.locator("article a[data-hint*='Kornblith']").first.focus()
    hint = page.get_by_role("tooltip")
    hint.filter(has_text="Do better ImageNet models transfer better?").wait_for()
    assert page.evaluate("document.activeElement.getAttribute('aria-describedby')") == hint.get_attribute("id")


# ---- species


@pytest.mark.parametrize("study", ["mini", "toy", "paper"])
def test_the_list_has_every_species_once_with_its_way_into_the_explorer(book, study):
    rows = species_of(study).to_dict("records")
    items = soup(book, "book/species").select(f'ul.species-list li[id^="species-{study}-"]')
    assert [item.p.contents[0].get_text().replace("’", "'") for item in items] == [row["name"] for row in rows]
    links = [parse_qs(urlparse(link["href"]).query) for item in items for link in item.select("a")]
    wanted = [{"study": [study], "target": [row["target"]], "species": [f'"{row["name"]}"']} for row in rows]
    assert links == (wanted if (results_of(study) / "runs.csv").exists() else [])


def test_the_search_finds_a_species(book, browser):
    typed, anchor = "owl", "species-paper-n01622779"
    watched = Watched(browser)
    page = watched.open(book / "book" / "index.html")
    page.locator("button.search-button, .search-button-field").first.click()
    page.locator('input[type="search"]:visible').first.fill(typed)
    page.keyboard.press("Enter")
    page.locator(f'#search-results a[href*="#{anchor}"]').first.click()
    page.wait_for_url(f"**/species.html*#{anchor}")
    page.locator(f"#{anchor}").wait_for()
    assert watched.complaints == []


@pytest.mark.parametrize(("study", "target", "species"), [("toy", "field", "anat bird A"), ("mini", "cifar10_animals", "dog")])
def test_a_link_into_the_explorer_selects_study_and_just_that_species(book, browser, study, target, species):
    watched = Watched(browser)
    page = watched.page
    page.goto((book / "book").as_uri() + "/" + explorer_link(study, target, species))
    page.locator(".explorer[data-drawn]").wait_for()
    assert page.locator(".explorer tbody th[title]").all_text_contents() == [species]
    assert page.locator("select[name=study] option:checked").inner_text() == study
    assert watched.complaints == []


# ---- launch links


LINKS = {
    ("", "main"): {},
    ("https://github.com/owner/name.git", "main"): {
        "Binder": f"https://mybinder.org/v2/gh/owner/name/main?urlpath=lab/tree/{NOTEBOOK}",
        "Colab": f"https://colab.research.google.com/github/owner/name/blob/main/{NOTEBOOK}",
    },
    ("https://git.example.org/group/name/", "dev/x"): {
        "Binder": f"https://mybinder.org/v2/git/https%3A%2F%2Fgit.example.org%2Fgroup%2Fname/dev%2Fx?urlpath=lab/tree/{NOTEBOOK}"
    },
}


@pytest.mark.parametrize(("given", "links"), LINKS.items(), ids=["unknown", "GitHub", "elsewhere"])
def test_links_open_the_playground_of_the_repository(given, links):
    assert launch_links(*given) == links


@pytest.mark.parametrize("address", ["github.com/owner/name", "https://github.com/owner", "http://github.com/a/b", "javascript:x"])
def test_a_bad_address_is_refused(address):
    with pytest.raises(ValueError, match="accepted: https://HOST/OWNER/NAME"):
        launch_links(address, "main")


@pytest.mark.parametrize("name", ["book/index", "book/executed/toy/10_taxa", "book/playground"])
def test_every_page_leads_to_the_playground(book, name):
    link = soup(book, name).select_one(".dropdown-launch-buttons a")["href"]
    target = (book / f"{name}.html").parent / link if link != "#" else book / f"{name}.html"
    assert target.resolve() == (book / "book" / "playground.html").resolve()


@pytest.fixture(scope="module")
def small_book(tmp_path_factory) -> Path:
    """Build a book of one page with the addresses of its repository and its site."""
    root = tmp_path_factory.mktemp("small book")
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    config["sphinx"]["extra_extensions"] = ["pretraining_gain.tell.book.extension"]
    del config["bibtex_bibfiles"], config["sphinx"]["config"]["bibtex_reference_style"]
    config["sphinx"]["config"]["html_static_path"] = ["book/_static"]
    (root / "_config.yml").write_text(yaml.safe_dump(config))
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/playground\n")
    shutil.copytree(ROOT / "book" / "_static", root / "book" / "_static")
    (root / "book" / "playground.md").write_text('# Playground & more\n\nIt says "so" here.\n\n```{launch}\n```\n')
    addresses = {"PRETRAINING_GAIN_REPOSITORY": "https://github.com/owner/name", "PRETRAINING_GAIN_SITE": "https://example.org/a"}
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(root), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | addresses)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return root / "_build" / "html"


def test_with_an_address_the_playground_and_the_menu_have_the_links(small_book):
    page = soup(small_book, "book/playground")
    wanted = list(launch_links("https://github.com/owner/name", "main").values())
    assert [link["href"] for link in page.select("p.launch a")] == wanted
    assert [link["href"] for link in page.select(".dropdown-launch-buttons a")][1:] == wanted


@pytest.mark.skipif("PRETRAINING_GAIN_REPOSITORY" in os.environ, reason="this book is built with an address")
def test_without_an_address_the_playground_says_how_to_get_links(book):
    text = soup(book, "book/playground").select_one("article").get_text()
    assert "PRETRAINING_GAIN_REPOSITORY" in text


# ---- previews, and how to cite


def tags_of(page: BeautifulSoup) -> dict[str, str]:
    return {tag["property"].removeprefix("og:"): tag["content"] for tag in page.select('meta[property^="og:"]')}


def test_a_shared_page_has_absolute_addresses_where_the_site_is_known(small_book):
    tags = tags_of(soup(small_book, "book/playground"))
    assert tags["url"] == "https://example.org/a/book/playground.html"
    assert tags["image"] == "https://example.org/a/_static/card.png"


@pytest.mark.parametrize("name", ["book/index", "book/taxa", "book/executed/toy/10_taxa"])
def test_a_shared_page_has_a_title_and_a_description(book, name):
    page = soup(book, name)
    tags = tags_of(page)
    assert page.select_one("title").text.startswith(tags["title"])
    assert 40 <= len(tags["description"]) <= 203
    assert page.select_one('meta[name="twitter:card"]')["content"] == "summary_large_image"
    assert (book / tags["image"].rpartition("_static/")[1] / "card.png").is_file()


def test_the_book_quotes_the_citation_file(book):
    entry = soup(book, "book/references").select_one("div.highlight-bibtex pre").text.strip()
    stated = read_citation(ROOT / "CITATION.cff")
    assert entry == bibtex(stated)
    assert "{Plato and Freud, Anna}" in bibtex(
        stated | {"authors": [{"family-names": "Plato"}, {"family-names": "Freud", "given-names": "Anna"}]}
    )


def test_the_citation_file_and_the_package_agree():
    stated, project = read_citation(ROOT / "CITATION.cff"), (ROOT / "pyproject.toml").read_text()
    assert f'version = "{stated["version"]}"\n' in project
    assert f'license = "{stated["license"]}"\n' in project


def test_a_citation_file_without_a_field_is_refused(tmp_path):
    (tmp_path / "CITATION.cff").write_text("title: one\n")
    with pytest.raises(ValueError, match="lacks cff-version, message, authors"):
        read_citation(tmp_path / "CITATION.cff")


# ---- the theme, the cover


def test_figures_follow_the_switch_of_the_theme(book, browser):
    watched = Watched(browser)
    page = watched.open(book / "book" / "index.html")
    page.locator(".gain-figure").first.scroll_into_view_if_needed()
    page.locator(".gain-figure[data-drawn] .xtick text").first.wait_for()
    ink = "mode => document.documentElement.dataset.mode === mode && document.querySelector('.gain-figure .xtick text').style.fill"
    modes = {"light": "rgb(51, 51, 51)", "dark": "rgb(214, 214, 214)"}
    for _ in range(3):  # the switch goes through light, dark and the system's own
        page.locator("button.theme-switch-button:visible").first.click()
        mode = page.evaluate("document.documentElement.dataset.mode")
        if mode in modes:
            page.wait_for_function(f"([mode, wanted]) => ({ink})(mode) === wanted", arg=[mode, modes.pop(mode)])
    assert modes == {}
    assert watched.complaints == []


def test_the_lead_figure_is_told_step_by_step(book, browser):
    watched = Watched(browser)
    page = watched.open(book / "book" / "index.html")
    page.locator(".gain-figure").first.scroll_into_view_if_needed()  # a figure is drawn when it comes into view
    page.locator(".gain-figure[data-drawn]").first.wait_for()
    steps, place = page.locator(".lead-steps li"), page.locator(".lead-place")
    assert place.inner_text() == f"Step 1 of {steps.count()}"
    opacities = "plot => Object.fromEntries(plot.data.map(trace => [trace.legendgroup, trace.opacity]))"
    plot = page.locator(".gain-figure[data-key=figure_3] .js-plotly-plot").first
    assert set(plot.evaluate(opacities).values()) <= {1, None}
    page.get_by_role("button", name="Next").focus()
    page.keyboard.press("Enter")
    assert [pool for pool, opacity in plot.evaluate(opacities).items() if opacity == 1] == ["scratch"]
    for _ in range(steps.count() - 2):
        page.keyboard.press("Enter")
    assert place.inner_text() == f"Step {steps.count()} of {steps.count()}"
    assert set(plot.evaluate(opacities).values()) == {1}
    assert watched.complaints == []


def test_nothing_plays_for_a_reader_who_wants_less_motion(book, browser):
    watched = Watched(browser)
    watched.page.emulate_media(reduced_motion="reduce")
    page = watched.open(book / "book" / "index.html")
    page.locator(".lead-bar").wait_for()
    assert not page.get_by_role("button", name="Play").is_visible()


def test_the_steps_are_a_list_without_javascript(book, plain_page):
    plain_page.goto((book / "book" / "index.html").as_uri())
    assert plain_page.locator(".lead-steps li:visible").count() == plain_page.locator(".lead-steps li").count()
