"""Hand the experiments on *why* to the chapter: numbers by target, and a sentence on what a curve cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pretraining_gain.tell.book.formats import LEVEL, ends, points
from pretraining_gain.tell.results.gains import with_interval

if TYPE_CHECKING:
    import pandas as pd

    from pretraining_gain.tell.results.why import Why


def why_numbers(why: Why) -> dict[str, Any]:
    """Return what the chapter states, by target, e.g. `birds_kind_mammals`, each with `_low` and `_high`."""
    numbers: dict[str, Any] = {}
    for row in why.kinds.to_dict("records"):
        numbers |= with_interval(f"{row['target']}_kind_{_key(row['term'])}", row)
        numbers |= {f"{row['target']}_n_subsets": row["n_subsets"], "reference": row["reference"]}
    for row in why.exchanges.to_dict("records"):
        numbers |= with_interval(f"{row['target']}_{row['what']}", row)
    for row in why.held_out.to_dict("records"):
        numbers |= with_interval(f"{row['target']}_{row['measure']}", row) | {"n_held_out": row["n_held_out"]}
    for row in why.ranks.to_dict("records"):
        key = f"{row['target']}_rank_{row['rank']}"
        numbers |= with_interval(key, row) | {f"{key}_n_species": row["n_classes"]}
    for target, slope in why.rank_trend.items():
        numbers |= with_interval(f"{target}_per_rank", slope)
    for row in why.target_sizes.to_dict("records"):
        numbers |= with_interval(f"size_{row['images']}_gain", row)
        numbers |= {f"size_{row['images']}_top1_{start}": row[f"top1_{start}"] for start in ("scratch", "pretrained")}
        numbers[f"size_{row['images']}_share_of_errors"] = row["mean"] / (1 - row["top1_scratch"])
    numbers |= with_interval("size_per_doubling", why.per_doubling) if why.per_doubling else {}
    for row in why.curves.to_dict("records"):
        place = f"_{row['at']}" if row["at"] else ""
        numbers |= with_interval(f"{row['target']}_{row['by']}_{row['what']}{place}", row)
    numbers |= {f"{target}_saturation": text for target, text in saturation_sentences(why.curves).items()}
    for row in why.equivalents.to_dict("records"):
        numbers |= with_interval(f"{row['target']}_equivalent", row) if row["mean"] == row["mean"] else {}
        numbers[f"{row['target']}_equivalent_said"] = equivalent_sentence(row)
    for row in why.parts.to_dict("records"):
        numbers |= with_interval(f"{row['target']}_part_{_key(row['part'])}", row)
    return numbers


def _key(words: str) -> str:
    return words.replace(" − ", "_minus_").replace(" ", "_")


def saturation_sentences(curves: pd.DataFrame) -> dict[str, str]:
    """Say, by target, whether the gain still rises with the number of animal classes at the end of the curve."""
    found = {}
    for target, rows in curves[curves["by"] == "classes"].groupby("target") if len(curves) else ():
        of = {row["what"]: row for row in rows.to_dict("records")}
        last = of["last"]
        change, interval = points(last["mean"]), ends(points(last["low"]), points(last["high"]))
        size = f"the last doubling of animal classes changes the gain by {change} ({interval})"
        if "predicted" not in of:  # as it clearly bends
            way = "flatter" if of["bend"]["mean"] < 0 else "steeper"
            found[target] = f"The curve gets {way}, so a straight line does not predict beyond it: {size}."
        elif last["low"] > 0:
            found[target] = f"The gain still rises at the end of the curve: {size}."
        elif last["high"] < 0:
            found[target] = f"The gain falls at the end of the curve: {size}."
        else:
            found[target] = f"The fit cannot tell whether the gain still rises: {size}."
    return found


def equivalent_sentence(row: dict[str, Any]) -> str:
    """Say how many other classes are worth the most animal classes, or why there is no such number."""
    animals, tried = f"{row['n_animals']} animal classes", f"the {row['most']:,} others of the largest set"
    if row["bends"]:
        return f"The curve of the other classes clearly bends, so no line says how many of them are worth {animals}."
    if row["mean"] != row["mean"]:  # NaN
        return f"The fit sets no bounds on the number of other classes that are worth {animals}."
    number, interval = f"{row['mean']:,.0f}", f"({LEVEL} {row['low']:,.0f} to {row['high']:,.0f})"
    if row["low"] > row["most"]:
        return f"{animals} are worth more than {tried}, and the line reaches their gain only at {number} {interval}."
    return f"{animals} are worth about as much as {number} others {interval}."
