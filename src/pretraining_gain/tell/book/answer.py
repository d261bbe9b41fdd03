"""Answer *would pretraining help on my species?* in three sentences; the page of a study shows the rules.

The first says what pretraining gains, the second who gains, the third what cannot be told and which study could.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.paths import results_of
from pretraining_gain.plan.pools import POOLS
from pretraining_gain.plan.representation import NONE
from pretraining_gain.plan.species import NOT_STATED
from pretraining_gain.tell import statistics
from pretraining_gain.tell.book.formats import LEVEL, ends, percent, points
from pretraining_gain.tell.claims.evidence import groups_compare, margin_of
from pretraining_gain.tell.results.leaks import leaks_of

if TYPE_CHECKING:
    from pretraining_gain.tell.results.evaluation import Evaluation
    from pretraining_gain.tell.results.study import StudyResults

FEW_SPECIES = 20
LARGEST = 64  # times the present size; what needs more is out of reach


class Gain(NamedTuple):
    """All runs of a target, and the weights of the arms whose difference is the gain."""

    answers: statistics.Answers
    weights: statistics.Weights


def answer(results: StudyResults, numbers: dict[str, Any]) -> dict[str, str]:
    """Return `answer_gain`, `answer_who`, `answer_limits` and `answer_warnings` (may be empty), each as text.

    `numbers` as from `taxa_numbers`: gain and counts are those that the figures show.
    """
    evaluation = results.out_of_domain
    margin = margin_of(evaluation)
    gain, species = Gain(evaluation.answers, evaluation.gain(results.view.arm)), evaluation.species
    represented, one = _represented(gain, species, margin)
    families, other = _families(gain, species["family"], margin)
    unclear = numbers["gain_low"] <= 0 <= numbers["gain_high"]
    gained = _enlarged(f"To see a gain of {_plain(margin)}", gain, margin) if unclear else ""
    limits = [text for text in (gained, one, other) if text]
    hurt = numbers["n_clearly_hurt"]
    clear = f"{numbers['n_clearly_helped']} of them clearly; {hurt} clearly {'loses' if hurt == 1 else 'lose'}"
    return {
        "answer_gain": _gain(results, numbers),
        "answer_who": f"{numbers['n_helped']} of {numbers['n_species']} species gain, {clear}. {represented}. {families}.",
        "answer_limits": " ".join(limits) or "What this study could test, it decided.",
        "answer_warnings": " ".join(_warnings(results, numbers)),
    }


def _gain(results: StudyResults, numbers: dict[str, Any]) -> str:
    """Say what the main start gains, and whether other weights of the study are better."""
    runs, starts = results.out_of_domain.runs, results.study.starts
    first = runs.drop_duplicates("arm").set_index("arm")
    titles = {arm: starts[start["pool"]].title(start["k"]) for arm, start in first.iterrows()}
    main = results.view.arm
    name = f"pretraining {'on' if first.at[main, 'pool'] in POOLS else 'with'} {titles[main]}"
    change, low, high = (numbers[key] for key in ("gain", "gain_low", "gain_high"))
    reached = f"from {percent(numbers['top1_scratch'])} to {percent(numbers['top1_pretrained'])}"
    if low > 0:
        said = f"Use {name}: it raises top-1 over training from scratch by {_plain(change)} ({_interval(low, high)}), {reached}."
    elif high < 0:
        said = f"Train from scratch: {name} lowers top-1 by {_plain(-change)} ({_interval(-high, -low)}), {reached}."
    else:
        said = f"We cannot tell whether {name} helps: top-1 changes by {points(change)} ({_interval(low, high)}), {reached}."
    others = [arm for arm in results.study.weights if arm in titles and arm != main]
    return " ".join([said, *(_compared(results.out_of_domain, titles, arm, main) for arm in others)])


def _compared(evaluation: Evaluation, titles: dict[str, str], arm: str, main: str) -> str:
    found = statistics.estimate_mean(evaluation.answers, evaluation.gain(arm, main))
    low, high = found.interval()
    size = f"{points(found.mean)}, {_interval(low, high)}"
    verdict = "is better" if low > 0 else "is worse" if high < 0 else "may be better or worse"
    return f"Compared with it, pretraining with {titles[arm]} {verdict} ({size})."


def _represented(gain: Gain, species: pd.DataFrame, margin: float) -> tuple[str, str]:
    """Say whether represented species gain more, and what it would take to tell."""
    stated = species.loc[species["representation"] != NOT_STATED, "representation"]
    first, second = set(stated.index[stated != NONE]), set(stated.index[stated == NONE])
    if min(len(first), len(second)) < 2:
        why = "does not state which are" if stated.empty else f"states that {len(first)} are and {len(second)} are not"
        return f"Whether represented species gain more cannot be tested: the species table {why}", ""
    found = statistics.estimate_difference(gain.answers, gain.weights, first, second)
    size = f"{points(found.mean)}, {_interval(*found.interval())}"
    if found.p_different < statistics.LEVEL:
        return f"Species that the source represents gain {'more' if found.mean > 0 else 'less'} than others ({size})", ""
    if found.p_equivalent(margin) < statistics.LEVEL:
        return f"Species that the source represents gain as much as others, within {_plain(margin)} ({size})", ""
    asked = f"To see whether represented species gain {_plain(margin)} more than others"
    shares = len(first) / len(species), len(second) / len(species)
    return f"Whether species that the source represents gain more, we cannot tell ({size})", _enlarged(asked, gain, margin, shares)


def _families(gain: Gain, family: pd.Series, margin: float) -> tuple[str, str]:
    """Say whether families differ, and what it would take to tell."""
    family = family[family != NOT_STATED]
    if not groups_compare(family):
        return "Whether families differ cannot be tested: most of those stated have one species here, or there is only one", ""
    found = statistics.group_spread(gain.answers, gain.weights, family, margin)
    size = f"standard deviation between families {_plain(found.sd)}"
    if found.p_different < statistics.LEVEL:
        return f"Families differ ({size})", ""
    if found.p_equivalent < statistics.LEVEL:
        return f"Families differ by less than {_plain(margin)} ({size})", ""
    times = (found.smallest_margin / margin) ** 2
    asked = f"To see whether families differ by {_plain(margin)}, the study would need"
    more = f"about {np.ceil(times * len(family)):,.0f}" if times <= LARGEST else f"more than {LARGEST} times as many"
    return f"Whether families differ, we cannot tell ({size})", f"{asked} {more} species."


def _enlarged(asked: str, gain: Gain, effect: float, shares: tuple[float, float] | None = None) -> str:
    """Say how large each part of the study, taken alone, must be to find an effect on the gain with probability 0.8.

    `shares`: those of two groups among all species, where the effect is the difference between them. Returns nothing where
    the variance of the gain cannot be told.
    """
    answers, weights = gain
    try:
        parts, n_arms = statistics.components(answers, weights), len(answers.correct)
    except InputError:  # one evaluation photograph per species
        return ""
    n_species = len(answers.ids)
    present: dict[str, float] = {"seeds": answers.n_seeds(weights), "species": n_species}
    present |= {"evaluation photographs per species": len(answers.labels) / n_species}
    more = [name for name in present if shares or name != "species"]  # the mean gain is of these very species
    found = []
    for name in more:
        for times in np.geomspace(1, LARGEST, 73)[1:]:
            larger = present | {name: float(np.ceil(present[name] * times))}
            seeds, species, photographs = larger.values()
            if shares:
                groups = species * shares[0], species * shares[1]
                error = statistics.difference_error(parts, n_arms, int(seeds), *groups, photographs)
            else:
                error = statistics.design_error(parts, n_arms, int(seeds), species, photographs)
            if statistics.smallest_detectable(*error) <= effect:
                found.append(f"{larger[name]:,.0f} {name}")
                break
    if not found:
        return f"{asked}, more of several kinds would be needed: {LARGEST} times as many {' or '.join(more)} alone do not suffice."
    return f"{asked}, the study would need about {' or '.join(found)}."


def _interval(low: float, high: float) -> str:
    return f"{LEVEL} {ends(points(low), points(high))}"


def _plain(size: float) -> str:
    return points(size).removeprefix("+")


def _warnings(results: StudyResults, numbers: dict[str, Any]) -> list[str]:
    """Warn of one seed, of few species, and of evaluation images that the training has seen."""
    found = []
    if numbers["n_seeds"] == 1:
        found.append("One seed: the intervals do not cover chance in training. Use at least three.")
    if numbers["n_species"] < FEW_SPECIES:
        found.append(f"{numbers['n_species']} species: what is said of families and of representation rests on few.")
    path = results_of(results.study.name) / f"images-{results.out_of_domain.downstream.name}.json"
    if path.exists():
        found += leaks_of(json.loads(path.read_text(encoding="utf-8")))
    return found
