"""Draw a plotly figure with matplotlib, as a small picture for readers without JavaScript: no browser is needed.

Covers what the book's figures use: lines, markers, bars, bands, error bars, panels, category and logarithmic axes, rules.
"""

from __future__ import annotations

import base64
import html
import io
import re
import warnings
from typing import Any

import numpy as np
import plotly.graph_objects as go

WIDTH_PX, DPI = 760, 130  # the width as on screen, drawn finer
_MARKS = {"circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "triangle-down": "v", "x": "X", "cross": "P",
          "star": "*", "hexagon": "h", "pentagon": "p", "line-ns": "|"}  # fmt: skip
_DASHES = {"dash": "--", "dot": ":", "dashdot": "-.", "longdash": (0, (8, 3)), "longdashdot": (0, (8, 3, 2, 3))}
_STYLE: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e2e2e2",
          "axes.axisbelow": True, "text.parse_math": False, "font.family": "DejaVu Sans", "legend.frameon": False}  # fmt: skip


def draw_static(figure: go.Figure, mark: str = "") -> bytes:
    """Return the figure as it first appears, as a PNG on white with few colours; `mark` is a comment in the file."""
    from matplotlib import rc_context  # half a second, which only notebooks with figures pay
    from matplotlib.figure import Figure
    from PIL import Image, PngImagePlugin

    layout, buffer = figure.to_plotly_json()["layout"], io.BytesIO()
    with rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks are drawn as boxes
        drawn = Figure(figsize=(WIDTH_PX / 100, layout.get("height", 460) / 100), dpi=DPI)
        axes = _axes(drawn, layout)
        groups = list(dict.fromkeys(trace.offsetgroup or trace.name for trace in figure.data))
        for trace in figure.data:
            if trace.visible in (None, True):
                where = (trace.yaxis or "y")[1:] or "1"
                _trace(axes[where], trace.to_plotly_json(), layout, where, groups)
        _decorate(drawn, axes, layout)
        drawn.savefig(buffer, format="png", bbox_inches="tight", pad_inches=0.08)
    comment, small = PngImagePlugin.PngInfo(), io.BytesIO()
    comment.add_text("Comment", mark)
    picture = Image.open(buffer).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    picture.save(small, format="png", optimize=True, pnginfo=comment)
    return small.getvalue()


def _axes(drawn: Any, layout: dict[str, Any]) -> dict[str, Any]:
    """Return matplotlib's axes by the number of plotly's y axis, each with its title, scale and format."""
    found: dict[str, Any] = {}
    for name in [key for key in layout if re.fullmatch(r"yaxis\d*", key)] or ["yaxis"]:
        number, y = name.removeprefix("yaxis") or "1", layout.get(name, {})
        if over := y.get("overlaying"):
            axes = found[over[1:] or "1"].twinx()
            axes.spines["right"].set_visible(True)
        else:
            x = layout.get(f"xaxis{(y.get('anchor') or 'x')[1:]}", {})
            (left, right), (bottom, top) = x.get("domain", (0, 1)), y.get("domain", (0, 1))
            same = found[y["matches"][1:] or "1"] if "matches" in y else None
            place = (0.1 + 0.88 * left, 0.12 + 0.72 * bottom, 0.88 * (right - left), 0.72 * (top - bottom))
            axes = drawn.add_axes(place, sharey=same)
            _look(axes, x, "x")
        _look(axes, y, "y")
        found[number] = axes
    return found


def _look(axes: Any, given: dict[str, Any], which: str) -> None:
    axis = getattr(axes, f"{which}axis")
    axis.set_label_text(_text((given.get("title") or {}).get("text", "")))
    if given.get("type") == "log":
        getattr(axes, f"set_{which}scale")("log")
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    if "tickvals" in given:
        axis.set_ticks(list(given["tickvals"]), [f"{one:g}" for one in given["tickvals"]], minor=False)
        axis.minorticks_off()
    if form := given.get("tickformat"):
        axis.set_major_formatter(lambda value, _: _tick(value, form))
    if given.get("showticklabels") is False:
        axis.set_tick_params(**{"labelleft" if which == "y" else "labelbottom": False})
    if given.get("rangemode") == "tozero":
        axes.update_datalim([(0, 0)], updatex=which == "x", updatey=which == "y")
    if limits := given.get("range"):
        getattr(axes, f"set_{which}lim")(*(10.0**end if given.get("type") == "log" else end for end in limits))


def _tick(value: float, form: str) -> str:
    """Return a number in d3's format, where `~` cuts trailing zeros."""
    text = format(value, form.replace("~", ""))
    return (re.sub(r"\.0+(?=%?$)", "", text) if "~" in form else text).replace("-", "−")


def _trace(axes: Any, trace: dict[str, Any], layout: dict[str, Any], where: str, groups: list[Any]) -> None:
    """Draw one trace; where the layout groups bars or marks, those of different `groups` stand side by side."""
    number = (trace.get("xaxis") or "x")[1:]
    x = _places(axes, trace.get("x"), layout.get(f"xaxis{number}", {}), "x")
    y = _places(axes, trace.get("y"), layout.get(f"yaxis{'' if where == '1' else where}", {}), "y")
    line, marker, mode = trace.get("line", {}), trace.get("marker", {}), trace.get("mode", "lines+markers")
    colour = _colour(marker.get("color") or line.get("color"))
    errors = {f"{way}err": _error(trace.get(f"error_{way}")) for way in "xy"}
    label = None if trace.get("showlegend") is False or not trace.get("name") else _text(trace["name"])
    grouped, horizontal = "group" in (layout.get("barmode"), layout.get("scattermode")), trace.get("orientation") == "h"
    width = 0.8 / (len(groups) if grouped else 1)
    if grouped:
        offset = (groups.index(trace.get("offsetgroup") or trace.get("name")) - (len(groups) - 1) / 2) * width
        x, y = (x, y + offset) if horizontal else (x + offset, y)
    if trace.get("type") == "bar" and horizontal:
        axes.barh(y, x, width, **errors, color=colour, label=label, ecolor="#333333")
    elif trace.get("type") == "bar":
        axes.bar(x, y, width, **errors, color=colour, label=label, ecolor="#333333")
    elif trace.get("fill") == "toself":
        axes.fill(x, y, color=_colour(trace.get("fillcolor")), lw=0)
    else:
        symbol = str(marker.get("symbol", "circle"))
        size = marker.get("size") if isinstance(marker.get("size"), int | float) else 8
        axes.errorbar(
            x, y, **errors, color=colour, label=label, elinewidth=1, alpha=marker.get("opacity"),
            linestyle=_DASHES.get(line.get("dash"), "-") if "lines" in mode else "none",
            marker=_MARKS[symbol.removesuffix("-open")] if "markers" in mode else "", markersize=0.65 * size,
            markerfacecolor="white" if symbol.endswith("-open") else None,
            drawstyle="steps-post" if line.get("shape") == "hv" else "default",
        )  # fmt: skip


def _places(axes: Any, values: Any, given: dict[str, Any], which: str) -> Any:
    """Return numbers as they are, and names as their places on the axis, which gets their labels."""
    values = list(_array(values))
    if not any(isinstance(value, str) for value in values):
        return np.asarray(values, dtype=float)
    order = vars(axes).setdefault(f"_names_{which}", [_text(one) for one in given.get("categoryarray") or ()])
    order += [one for one in dict.fromkeys(map(_text, values)) if one not in order]
    slanted = which == "x" and ("tickangle" in given or len("".join(order)) > 60)
    turned = {"rotation": 50, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axis = getattr(axes, f"{which}axis")
    axis.set_ticks(range(len(order)), order, fontsize=7 if len(order) > 12 else None, **turned)
    if which == "y" and given.get("autorange") == "reversed":
        axes.set_ylim(len(order) - 0.4, -0.6)
    return np.array([order.index(_text(one)) for one in values], dtype=float)


def _decorate(drawn: Any, axes: dict[str, Any], layout: dict[str, Any]) -> None:
    """Add rules, titles of panels, and one legend for all panels."""
    for shape in layout.get("shapes", ()):
        own = axes.get((shape.get("yref", "y").split()[0])[1:] or "1", axes["1"])
        style = {"color": "#767676", "lw": 1, "ls": _DASHES.get(shape.get("line", {}).get("dash"), "-")}
        if shape.get("x0") == shape.get("x1"):
            own.axvline(shape["x0"], **style)
        elif shape.get("y0") == shape.get("y1"):
            own.axhline(shape["y0"], **style)
    titles = [note for note in layout.get("annotations", ()) if note.get("xref") == "paper" and not note.get("showarrow")]
    for one, note in zip(axes.values(), titles, strict=False):
        one.set_title(_text(note["text"]), fontsize=9)
    for note in titles[len(axes) :]:  # the title that all panels share
        drawn.supxlabel(_text(note["text"]), fontsize=9)
    handles = dict(pair[::-1] for one in axes.values() for pair in zip(*one.get_legend_handles_labels(), strict=True))
    if handles and layout.get("showlegend") is not False and len(handles) > 1:
        top = max(one.get_position().y1 for one in axes.values()) + (0.1 if titles else 0.02)
        drawn.legend(handles.values(), handles, loc="lower left", bbox_to_anchor=(0.08, top), ncols=3)


def _error(given: dict[str, Any] | None) -> Any:
    if not given or given.get("array") is None:
        return None
    up, down = _array(given["array"]), _array(given.get("arrayminus", given["array"]))
    return np.nan_to_num(np.array([down, up], dtype=float))


def _array(values: Any) -> Any:
    """Return the values of an array, which plotly may hold as packed bytes."""
    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"])
    return [] if values is None else values


def _colour(text: Any) -> Any:
    """Return a colour for matplotlib, or one per bar; plotly also writes `rgba(1, 2, 3, 0.5)`."""
    if isinstance(text, list | tuple):
        return [_colour(one) for one in text]
    if not isinstance(text, str):
        return "#0072B2"
    if parts := re.fullmatch(r"rgba?\((.*)\)", text):
        red, green, blue, *alpha = map(float, parts[1].split(","))
        return red / 255, green / 255, blue / 255, alpha[0] if alpha else 1
    return text


def _text(text: Any) -> str:
    """Return plotly's pseudo-HTML as plain text."""
    return re.sub("[\u2066-\u2069]", "", html.unescape(re.sub(r"<br>|</?b>", " ", str(text)))).strip()
