"""The whole book as one page, to be printed: the chapters as they were built, in the book's order.

Tabs become panels one after another, links between chapters lead within the page, and the executed notebooks, which stay
with the HTML book, become a list at the end. What only a script of another page could show stands in its plain form.
"""

from __future__ import annotations

import html
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from bs4 import BeautifulSoup, Tag

from pretraining_gain.errors import InputError
from pretraining_gain.revision import revision

SCRIPTS = ("figures.js", "print.js")
NUMBERED = re.compile(r"Figure ([A-Z]?\d+)\.")
_SENTENCE = re.compile(r".{20,}?(?=[.:;](?: |$))|.*")
_SCRIPT = 'script:not([type="application/json"])'
_NO_PAPER = (_SCRIPT, ".headerlink", ".toctree-wrapper", ".sd-tab-set > input", ".book-pdf", ".no-print")


@dataclass(frozen=True)
class Page:
    """A page of the book: its name (`book/taxa`), the part it belongs to, and the title that the table of contents gives it."""

    name: str
    part: str
    title: str = ""

    @property
    def executed(self) -> bool:
        return "/executed/" in self.name

    @property
    def anchor(self) -> str:
        """Of its beginning on the one page."""
        return self.name.removeprefix("book/").replace("/", "-")


def pages_of(root: Path) -> list[Page]:
    """The pages of the book in its order."""
    written = root / "_build" / "_toc.yml"
    toc = yaml.safe_load((written if written.exists() else root / "_toc.yml").read_text(encoding="utf-8"))
    parts = [(part["caption"], chapter) for part in toc["parts"] for chapter in part["chapters"]]
    return [Page(toc["root"], ""), *(Page(one["file"], part, one.get("title", "")) for part, one in parts)]


def one_page(root: Path) -> str:
    """The one page, to lie beside the chapters in `_build/html/book`."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    pages = pages_of(root)
    built = {page: _read(root / "_build" / "html" / f"{page.name}.html") for page in pages if not page.executed}
    articles = {page: _on_paper(page, soup, pages) for page, soup in built.items()}
    styles = [str(link) for link in next(iter(built.values())).select('head link[rel~="stylesheet"]')]
    scripts = [f'<script src="../_static/{name}"></script>' for name in SCRIPTS]
    head = [f"<title>{html.escape(config['title'])}</title>", *styles, _running_titles(articles), *scripts]
    body = [_title_page(config), _contents(articles), *map(str, articles.values()), _notebooks(pages)]
    return (
        '<!DOCTYPE html>\n<html lang="en" class="printing" data-theme="light" data-content_root="../"><head><meta charset="utf-8">'
        + "".join(head)
        + '</head>\n<body class="whole-book"><main class="bd-article-container">\n'
        + "\n".join(body)
        + "\n</main></body></html>\n"
    )


def _read(path: Path) -> BeautifulSoup:
    try:
        return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    except OSError:
        raise InputError(f"{path} is missing; accepted: a whole book, as `make reproduce` builds it") from None


def _on_paper(page: Page, soup: BeautifulSoup, pages: list[Page]) -> Tag:
    """The article of a built page, made fit for the one page."""
    article = soup.select_one("article")
    if article is None or article.h1 is None:
        raise InputError(f"{page.name}.html has no article with a title; accepted: a page as Sphinx builds it")
    for unwanted in article.select(", ".join(_NO_PAPER)):
        unwanted.decompose()
    for plain in article("noscript"):
        plain.decompose() if plain.find_parent(class_=["gain-figure", "gain-explorer"]) else plain.unwrap()
    for figure in article.select("div.figure"):
        _lay_out(figure, soup)
    for line in article.select("p.provenance"):
        _name_notebook(line)
    _name_places(page, article)
    for link in article("a", href=True):
        _lead_within(page, link, pages)
    article["class"] = ["bd-article", "chapter"]
    article["id"] = page.anchor
    return article


def _lay_out(figure: Tag, soup: BeautifulSoup) -> None:
    """Tabs one after another, each below its study's name; the caption goes with the first. None is split over pages."""
    caption = next((p for p in reversed(figure.find_all("p", recursive=False)) if p.strong), None)
    number = NUMBERED.fullmatch(caption.strong.get_text()) if caption else None
    if number:
        caption["id"] = f"figure-{number[1]}"
    if caption:
        caption["class"] = ["figure-caption"]
    panels = figure.select(".sd-tab-set > label")
    if not panels:
        figure["class"] = [*figure["class"], "together"]
    for label in panels:
        together = soup.new_tag("div", attrs={"class": "together"})
        content = label.find_next_sibling(class_="sd-tab-content")
        label.insert_before(together)
        label.name, label.attrs = "p", {"class": "study"}
        if number and label is not panels[0]:
            label.string = f"Figure {number[1]}, {label.get_text().strip()}"
        together.extend([label, content])
        if caption and label is panels[0]:
            together.append(caption)


def _name_notebook(line: Tag) -> None:
    """On paper the line under a figure names its notebook, and not the file for machines."""
    notebook, *others = line("a")
    notebook.string = str(notebook["href"]).rpartition("executed/")[2].removesuffix(".html") + ".ipynb"
    for other in others:
        if other.previous_sibling:
            other.previous_sibling.extract()
        other.decompose()


def _name_places(page: Page, article: Tag) -> None:
    """Each page numbers its places for itself; on the one page their names begin with the page's."""
    for place in article.find_all(id=True):
        place["id"] = f"{page.anchor}--{place['id']}"
    for name in ("aria-controls", "aria-labelledby", "aria-describedby", "for"):
        for place in article.find_all(attrs={name: True}):
            del place[name]


def _lead_within(page: Page, link: Tag, pages: list[Page]) -> None:
    """Let a link to another page lead to its place on the one page; one to a file that is not on paper is plain text."""
    address, _, place = str(link["href"]).partition("#")
    if re.match(r"[a-z]+:", address):
        link["class"] = [*link.get("class", []), *([] if link.get_text().strip() in address else ["leads-out"])]
        return
    name = posixpath.normpath(posixpath.join(posixpath.dirname(page.name), address)).removesuffix(".html")
    goal = page if not address else next((one for one in pages if one.name == name), None)
    if goal is None:
        link.unwrap()
    else:
        link["href"] = f"#{goal.anchor}--{place}" if place and not goal.executed else f"#{goal.anchor}"


def _running_titles(articles: dict[Page, Tag]) -> str:
    """The title of the chapter at the head of each of its pages, by a kind of page of its own."""
    rules = [
        f"@page {kind} {{ @top-left {{ content: {_quoted(article.h1.get_text())}; font: 9pt sans-serif; color: #444; }} }} "
        f"#{page.anchor} {{ page: {kind}; }}"
        for kind, (page, article) in zip((f"chapter{n}" for n in range(len(articles))), articles.items(), strict=True)
    ]
    return f"<style>{' '.join(rules)}</style>"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", r"\\").replace('"', r"\"").replace("<", r"\3c ") + '"'


def _title_page(config: dict[str, Any]) -> str:
    made = revision()
    state = f"Printed from commit {made['commit'][:7]}{' with uncommitted changes' if made['changed'] else ''}."
    lines = [("title", config["title"]), ("author", config["author"]), ("facts", state), ("facts", f"© {config['copyright']}.")]
    return "".join(
        ['<header class="title-page">', *(f'<p class="{kind}">{html.escape(text)}</p>' for kind, text in lines), "</header>"]
    )


def _contents(articles: dict[Page, Tag]) -> str:
    """Table of contents and list of figures; `make pdf` puts the page numbers in once they are known."""
    lines, part = ['<nav class="book-contents"><p class="contents-title">Contents</p>'], ""
    for page, article in articles.items():
        if page.part != part:
            part = page.part
            lines.append(f'<p class="part">{html.escape(part)}</p>')
        lines.append(_entry(page.anchor, article.h1.get_text()))
    lines.append(_entry("notebooks", "Executed notebooks"))
    lines.append('</nav><nav class="book-contents"><p class="contents-title">Figures</p>')
    captions = [caption for article in articles.values() for caption in article.select("p.figure-caption[id]")]
    return "".join([*lines, *(_entry(caption["id"], _first_sentence(caption)) for caption in captions), "</nav>"])


def _entry(anchor: str, text: str) -> str:
    return f'<p class="entry"><a href="#{anchor}">{html.escape(text)}</a><span class="page-number">000</span></p>'


def _first_sentence(caption: Tag) -> str:
    """`Figure 3.` and the first sentence, or what of it comes before a colon, if that is not only a word or two."""
    label, _, text = " ".join(caption.get_text().split()).partition(". ")
    return f"{label}. {_SENTENCE.findall(text)[0]}"


def _notebooks(pages: list[Page]) -> str:
    rows = [
        f'<tr id="{page.anchor}"><td>{html.escape(page.title or page.anchor)}</td><td>{html.escape(page.name)}.ipynb</td></tr>'
        for page in pages
        if page.executed
    ]
    return (
        '<article class="bd-article chapter" id="notebooks"><h1>Executed notebooks</h1>'
        "<p>Every number and figure comes out of one of these. They are part of the book's HTML form, with code, parameters "
        "and outputs; <code>make reproduce</code> makes them.</p>"
        '<table class="table"><thead><tr><th>notebook</th><th>file</th></tr></thead><tbody>'
        f"{''.join(rows)}</tbody></table></article>"
    )
