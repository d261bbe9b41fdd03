"""How time and memory grow, up to the paper's size: tables, a figure and numbers from what `bench.growth` measured.

`results/bench/growth.json` holds one entry a part: `made` (machine, date, code, repetitions) and what was `found`.
"""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from pretraining_gain.errors import InputError
from pretraining_gain.paths import results_of
from pretraining_gain.plan.pools import starts
from pretraining_gain.tell.figures.style import LAYOUT

PARTS = ("plans", "images", "sizes", "analysis", "book")
#: What the book may weigh and take: seconds to build, MB of the first page as sent with all that it loads, MB of a page's HTML.
LIMITS = {"book_s": 120, "first_page_mb": 1.5, "page_mb": 4}
#: What is varied -> where a measurement has it.
FIELDS = {"species": "species", "seeds": "seeds", "images a class": "images"}
STEPS = {
    "tables": "tables, from predictions",
    "reading": "reading a target's results",
    "bootstrap": "intervals of all species",
    "figures": "Figures 1 to 3",
    "claims": "claims ledger",
}
_IMAGE_STEPS = {
    "start": "nothing read",
    "folder": "decoded, first time",
    "cached": "decoded before",
    "packs": "prepared packs, opened",
}
_COLUMNS = {"seconds": "wall time, s", "cpu_s": "processor time, s", "peak_mb": "peak memory, MB"}


def path() -> Path:
    return results_of("bench", "growth.json") / "growth.json"


def load() -> dict[str, Any]:
    """All parts by name. Raises `InputError` when the file or a part of it is missing or damaged."""
    how = "make it with `python -m pretraining_gain.bench.growth`"
    try:
        state = json.loads(path().read_text(encoding="utf-8"))
        missing = [name for name in PARTS if not {"made", "found"} <= set(state[name])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path()} cannot be read ({type(error).__name__}: {error}); {how}") from None
    if missing:
        raise InputError(f"{path()} lacks {missing[0]!r}; {how}")
    return state


def _found(part: str) -> Any:
    return load()[part]["found"]


def steps_table() -> pd.DataFrame:
    """From predictions to the book at the paper's size: one row a step, in the order in which they are done."""
    book = {"step": "book, from nothing"} | {name: _found("book")[name] for name in _COLUMNS}
    rows = pd.DataFrame([*_found("analysis"), book]).set_index("step")
    return rows[[*_COLUMNS, "mb"]].rename(columns=_COLUMNS | {"mb": "output, MB"}).astype(object).fillna("")


def sizes_table(varied: str) -> pd.DataFrame:
    """Processor time and memory of each step by what is `varied`: species, seeds, or images a class."""
    rows = _varied(varied)
    table = rows.pivot(index="value", columns="step", values=["cpu_s", "peak_mb"])
    table = table[[(what, step) for step in STEPS for what in ("cpu_s", "peak_mb")]]
    table.columns = [f"{step}, {'s' if what == 'cpu_s' else 'MB'}" for what, step in table.columns]
    return table.astype({name: int for name in table if name.endswith(", MB")}).rename_axis(varied)


def _varied(varied: str) -> pd.DataFrame:
    rows = pd.DataFrame(_found("sizes"))
    if varied not in set(rows["varied"]):
        raise InputError(f"varied={varied!r}; accepted: {', '.join(rows['varied'].unique())}")
    return rows[rows["varied"] == varied]


def images_table() -> pd.DataFrame:
    """Image sets as runs read them: one row a way and number of images."""
    rows = pd.DataFrame(_found("images")).replace({"step": _IMAGE_STEPS}).set_index("step")
    return rows[["images", *_COLUMNS]].rename(columns=_COLUMNS)


def plans_table() -> pd.DataFrame:
    """Planning and the workflow's own bookkeeping, by number of runs."""
    rows = pd.DataFrame(_found("plans")).set_index("step")
    return rows[["runs", *_COLUMNS]].rename(columns=_COLUMNS)


def pages_table(n: int = 6) -> pd.DataFrame:
    """The book's heaviest pages: MB of their HTML, as it is and compressed."""
    rows = pd.DataFrame(_found("book")["heaviest"][:n]).set_index("page")
    return rows.rename(columns={"html_mb": "HTML, MB", "html_gzip_mb": "compressed, MB"})


def first_page_table() -> pd.DataFrame:
    """What the first page is made of, as it is sent: its heaviest parts."""
    return pd.DataFrame(_found("book")["first_page"]).set_index("file").rename(columns={"gzip_mb": "compressed, MB"})


def figure_species() -> go.Figure:
    """Processor time of each step of the analysis against the number of species; one measurement a mark."""
    rows, figure = _varied("species"), go.Figure()
    for (step, label), style in zip(STEPS.items(), cycle(starts().values()), strict=False):
        part = rows[rows["step"] == step]
        figure.add_trace(
            go.Scatter(
                x=part["species"],
                y=part["cpu_s"],
                name=label,
                mode="lines+markers",
                line={"color": style.colour},
                marker={"symbol": style.marker, "size": 9},
                customdata=part[["peak_mb", "seeds", "images"]],
                hovertemplate=f"<b>{label}</b>, %{{x:,}} species<br>%{{y:,.2f}} s of processors, %{{customdata[0]:,}} MB<br>"
                "%{customdata[1]} seeds, %{customdata[2]} images a class<extra></extra>",
            )
        )
    figure.update_layout(
        **LAYOUT | {"margin": {"l": 60, "r": 15, "t": 90, "b": 60}},
        xaxis={"title": "species", "type": "log"},
        yaxis={"title": "processor time, s", "type": "log"},
    )
    return figure


def numbers() -> dict[str, Any]:
    """What the chapter states: seconds, megabytes, counts; `machine` and `at` of each part."""
    state = load()
    book, analysis = state["book"]["found"], pd.DataFrame(state["analysis"]["found"]).set_index("step")
    notebooks = analysis[analysis.index.str.startswith("notebook")]
    by_species = _varied("species").pivot(index="species", columns="step", values="cpu_s")
    first, last = by_species.index.min(), by_species.index.max()
    facts = {f"{part}_machine": _machine(state[part]["made"]) for part in PARTS}
    return facts | {
        "book_s": book["seconds"], "book_cpu_s": book["cpu_s"], "book_peak_mb": book["peak_mb"], "book_pages": book["pages"],
        "first_page_mb": book["first_page_gzip_mb"], "page_mb": book["heaviest"][0]["html_mb"],
        "heaviest_page": book["heaviest"][0]["page"],
        **{f"{name}_limit": limit for name, limit in LIMITS.items()},
        "book_keeps": "keeps to" if book["seconds"] <= LIMITS["book_s"] else "exceeds",
        "first_page_keeps": "keeps to" if book["first_page_gzip_mb"] <= LIMITS["first_page_mb"] else "exceeds",
        "pages_keep": "keeps to" if book["heaviest"][0]["html_mb"] <= LIMITS["page_mb"] else "exceeds",
        "tables_cpu_s": analysis.at["tables, first time", "cpu_s"],
        "tables_again_cpu_s": analysis.at["tables, nothing new", "cpu_s"],
        "notebooks_cpu_s": float(notebooks["cpu_s"].sum()), "analysis_peak_mb": float(analysis["peak_mb"].max()),
        "least_species": int(first), "most_species": int(last), "times_species": float(last / first),
        "times_figures": float(by_species.at[last, "figures"] / by_species.at[first, "figures"]),
        "repetitions": state["analysis"]["made"]["repetitions"],
    }  # fmt: skip


def _machine(made: dict[str, Any]) -> str:
    one = made["machine"]
    return f"{one['processor']}, {one['cores']} cores, {one['memory_gb']} GB"
