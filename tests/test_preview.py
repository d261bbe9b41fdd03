"""What others see of the book: a page that is shared has a title, a description and a card; it says how it is cited."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from conftest import ROOT

from pretraining_gain.paths import results_of
from pretraining_gain.tell.book.reader.card import SIZE, curves_of, draw_card
from pretraining_gain.tell.book.reader.citing import bibtex, names_of, read_citation
from pretraining_gain.tell.book.reader.preview import Preview


def soup(book, page: str) -> BeautifulSoup:
    return BeautifulSoup((book / f"{page}.html").read_text(encoding="utf-8"), "html.parser")


@pytest.mark.parametrize("page_name", ["book/index", "book/taxa", "book/executed/toy/10_taxa"])
def test_a_shared_page_has_a_title_a_description_and_a_card(book, page_name):
    page = soup(book, page_name)
    facts = {tag["property"].removeprefix("og:"): tag["content"] for tag in page.select("meta[property]")}
    assert page.select_one("title").text.startswith(facts["title"]) and facts["title"]
    assert 40 <= len(facts["description"]) <= 200 and "<" not in facts["description"]
    assert page.select_one('meta[name="description"]')["content"] == facts["description"]
    assert page.select_one('meta[name="twitter:card"]')["content"] == "summary_large_image"
    card = ((book / page_name).parent / facts["image"]).resolve()
    content = card.read_bytes()
    assert content.startswith(b"\x89PNG") and struct.unpack(">II", content[16:24]) == SIZE and len(content) < 300_000
    icon = page.select_one('link[rel~="icon"]')
    assert ((book / page_name).parent / icon["href"].partition("?")[0]).is_file()


@pytest.mark.parametrize(
    ("site", "image"), [("", "../_static/card.png"), ("https://example.org/a", "https://example.org/a/_static/card.png")]
)
def test_addresses_are_whole_where_the_site_is_known(monkeypatch, site, image):
    monkeypatch.setenv("PRETRAINING_GAIN_SITE", site)
    config = SimpleNamespace(html_baseurl="", html_title="The book")
    app = SimpleNamespace(config=config, builder=SimpleNamespace(get_target_uri=lambda page: f"{page}.html"))
    context = {"title": "A <em>page</em> &amp; more", "body": '<h1>A</h1><p class="x">no</p><p>It says "so" &lt; here.</p>'}
    Preview()._where(app, config)
    Preview()._describe(app, "book/page", "page.html", context, None)
    tags = BeautifulSoup(context["metatags"], "html.parser")
    facts = {tag["property"]: tag["content"] for tag in tags.select("meta[property]")}
    assert facts["og:image"] == image and facts["og:title"] == "A page & more"
    assert facts["og:description"] == 'It says "so" < here.'
    assert facts.get("og:url") == (f"{site}/book/page.html" if site else None)


def test_the_card_shows_the_curves_of_the_results(book):
    curves = curves_of(ROOT / "book" / "executed" / "mini" / "11_subsets.ipynb")
    assert set(curves) == {"animal", "non_animal", "random", "all", "scratch"}
    runs = pd.read_csv(results_of("mini") / "runs.csv", keep_default_na=False)
    mine = runs[(runs["downstream"] == "caltech101_animals") & (runs["design"] == "")]
    for pool, (x, y) in curves.items():
        means = mine[mine["pool"] == pool].groupby("k")["top1"].mean()
        assert y[: len(means)] == pytest.approx(means.to_numpy())
        assert pool == "scratch" or x == pytest.approx(means.index.to_numpy(dtype=float))
    assert draw_card(curves, "one line") != draw_card({}, "one line")
    assert curves_of(ROOT / "no such notebook.ipynb") == {}


def test_the_citation_file_is_whole_and_the_book_quotes_it(book, tmp_path):
    stated = read_citation(ROOT / "CITATION.cff")
    assert stated["cff-version"] == "1.2.0" and stated["type"] in ("software", "dataset")
    project = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{stated["version"]}"' in project and f'license = "{stated["license"]}"' in project
    entry = bibtex(stated)
    assert stated["title"] in " ".join(entry.split()) and str(stated["date-released"])[:4] in entry
    assert soup(book, "book/references").select_one("div.highlight-bibtex pre").text.strip() == entry
    assert names_of({"authors": [{"family-names": "Doe", "given-names": "Ann"}]}) == ["Doe, Ann"]
    (tmp_path / "CITATION.cff").write_text("title: one\n")
    with pytest.raises(ValueError, match="lacks cff-version, message, authors"):
        read_citation(tmp_path / "CITATION.cff")
