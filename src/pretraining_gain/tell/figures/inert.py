"""Escape names that come from data for the places that would read them as code: one function per place.

Names of species, classes and studies may hold anything. HTML itself is escaped with `html.escape`.
"""

from __future__ import annotations

import json
import re
from typing import Any

#: What plotly's pseudo-HTML, its hover templates (`%{x}`) and MathJax (`$x$`) would read, as entities that plotly shows as text.
_PLOTLY = str.maketrans({sign: f"&#{ord(sign)};" for sign in "&<>$%"})
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~$:@&-])")
#: Marks that change the direction of the text that follows them, and letters of scripts written from right to left.
_TURNS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")


def isolate(text: str) -> str:
    """Keep a name that is written from right to left, or turns the direction, from turning the text around it."""
    return f"\u2068{text}\u2069" if _TURNS.search(text) else text


def plotly_text(text: object, at_most: int = 1000) -> str:
    """Escape a name for a plotly figure (axis labels, legends, hover texts, titles), cut to `at_most` characters."""
    name = str(text)
    return isolate(name if len(name) <= at_most else f"{name[: at_most - 1].rstrip()}…").translate(_PLOTLY)


def script_json(content: Any) -> str:
    """Return JSON that may stand in a `<script>` element of a page."""
    text = content if isinstance(content, str) else json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c")


def markdown_text(text: object) -> str:
    """Escape a name for Markdown that Sphinx reads: no link, role, formula, substitution or HTML begins in it."""
    return _MARKDOWN.sub(r"\\\1", " ".join(isolate(str(text)).split()))
