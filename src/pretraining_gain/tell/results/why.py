"""Estimate why pretraining helps: which source classes matter, how near and how many, and what each part of the gain is worth.

Exploratory, as the plan of analysis says: estimates with intervals, and no verdict. Differences of top-1 are fractions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from pretraining_gain.plan import experiments
from pretraining_gain.plan.pools import SCRATCH, sample_classes
from pretraining_gain.plan.relatives import RANKS, kinds
from pretraining_gain.plan.representation import is_named
from pretraining_gain.plan.runs import Run, finetuning_runs
from pretraining_gain.plan.studies import Study
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.tell import statistics
from pretraining_gain.tell.results.designs import assigned_effect
from pretraining_gain.tell.results.evaluation import Evaluation
from pretraining_gain.tell.results.gains import row_of
from pretraining_gain.tell.results.study import StudyResults
from pretraining_gain.tell.statistics import Answers, Estimate

Select = Callable[[Study, list[Run]], list[Run]]
#: In this order: kinds of animals, then of other classes.
KINDS = ("mammals", "birds", "other animals", "animals", "food and plants", "scenes", "artefacts", "other classes")
EXCHANGED = 3  # classes per effect: a tenth of the planned subsets, and fewer than the birds of the source
#: A line is drawn on to ImageNet's animal classes only up to this many times the most classes that it was fitted to.
_FARTHEST = 8


class Why(StudyResults):
    """Results of the experiments on *why*, each a table with a row per estimate; empty where the study has no such runs."""

    def compared(self, select: Select) -> dict[str, list[str]]:
        """Return the arms of an experiment by target, in the study's order."""
        found: dict[str, list[str]] = {}
        for run in select(self.study, finetuning_runs(self.view.study)):
            found.setdefault(run.downstream, []).append(run.arm)
        return {target: list(dict.fromkeys(arms)) for target, arms in found.items()}

    def _rows(self, select: Select, estimate: Callable[[Evaluation, list[str]], list[dict[str, Any]]]) -> pd.DataFrame:
        """Estimate on each target of an experiment; columns `target` (name) and `title` come first."""
        found = []
        for target, arms in self.compared(select).items():
            evaluation = self.load(target)
            facts = {"target": target, "title": evaluation.downstream.title}
            found += [facts | row for row in estimate(evaluation, arms)]
        return pd.DataFrame(found)

    @cached_property
    def kinds(self) -> pd.DataFrame:
        """Effects of three classes of a kind in place of the reference kind: term, reference, whose, mean, low, high."""
        return self._rows(experiments.many_subsets, lambda evaluation, arms: kind_effects(evaluation, arms[0]))

    @cached_property
    def exchanges(self) -> pd.DataFrame:
        """Effect of animal classes in place of others: what, mean, low, high (see `animals_for_others`)."""
        return self._rows(experiments.many_subsets, lambda evaluation, arms: animals_for_others(evaluation, arms[0]))

    @cached_property
    def held_out(self) -> pd.DataFrame:
        """Scores of the regression on kinds on subsets that it has not seen: measure, mean, low, high, n_held_out."""
        return self._rows(
            experiments.many_subsets,
            lambda evaluation, arms: statistics.predict_held_out(*_top1_and_counts(evaluation, arms[0])[:2])
            .rename_axis("measure").reset_index().to_dict("records"),
        )  # fmt: skip

    @cached_property
    def ranks(self) -> pd.DataFrame:
        """Gain of the species by the lowest rank that they share with a source class: rank, n_classes, mean, low, high."""
        return self._rows(experiments.by_distance, lambda evaluation, _: gains_by_rank(evaluation))

    @cached_property
    def rank_trend(self) -> dict[str, Estimate]:
        """Change of a species' gain per step to the next wider rank, by target, and over `all` targets together."""
        found = {}
        for target in self.compared(experiments.by_distance):
            evaluation = self.load(target)
            steps = evaluation.nearest_ranks.map(RANKS.index, na_action="ignore").astype(float)
            if steps.nunique() > 1 and steps.count() > 2:
                weights = evaluation.gain(evaluation.study.everything)
                found[target] = statistics.estimate_slope(evaluation.answers, weights, steps)
        return found | ({"all": statistics.combine(list(found.values()))} if found else {})

    @cached_property
    def target_sizes(self) -> pd.DataFrame:
        """Gain by training images per species, at the same seeds: images, top1_scratch, top1_pretrained, mean, low, high."""
        found = [
            {"images": self.load(target).downstream.images.train_images_per_class}
            | {"top1_scratch": float(answers.correct[SCRATCH].mean())}
            | {"top1_pretrained": float(answers.correct[self.study.everything].mean())}
            | row_of(statistics.estimate_mean(answers, {self.study.everything: 1.0, SCRATCH: -1.0}))
            for target, answers in self._same_seeds.items()
        ]
        return pd.DataFrame(found).sort_values("images", ignore_index=True) if found else pd.DataFrame()

    @cached_property
    def per_doubling(self) -> Estimate | None:
        """Change of the gain when the target has twice the images per species: slope of a line over the logarithm."""
        if not self._same_seeds:
            return None
        loaded, answers = [self.load(target) for target in self._same_seeds], list(self._same_seeds.values())
        slope = statistics.line_weights(np.log2([one.downstream.images.train_images_per_class for one in loaded]))
        gain = {self.study.everything: 1.0, SCRATCH: -1.0}
        if not all(np.array_equal(one.image_ids, loaded[0].image_ids) for one in loaded):  # fewer to train leave more to evaluate
            return statistics.combine([statistics.estimate_mean(one, gain) for one in answers], list(slope))
        summed = {arm: sum(weight * one.correct[arm] for weight, one in zip(slope, answers, strict=True)) for arm in gain}
        return statistics.estimate_mean(Answers(summed, answers[0].labels), gain)

    @cached_property
    def _same_seeds(self) -> dict[str, Answers]:
        """Answers on the targets of different size, of the seeds that all have."""
        runs = experiments.by_target_size(self.study, finetuning_runs(self.view.study))
        seeds, found = sorted({run.seed for run in runs}), {}
        for target, arms in self.compared(experiments.by_target_size).items():
            one = self.load(target)
            correct = {arm: one.correct[arm][[one.seeds_of[arm].index(seed) for seed in seeds]].astype(float) for arm in arms}
            found[target] = Answers(correct, one.labels)
        return found

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Gain of animal classes by their number and by their images, and the lines through them (see `gain_curve`)."""
        return self._rows(experiments.saturation, _both_curves)

    @cached_property
    def equivalents(self) -> pd.DataFrame:
        """Number of other classes that are worth the most animal classes (see `equivalent_number`)."""
        return self._rows(experiments.equivalent_number, equivalent_number)

    @cached_property
    def parts(self) -> pd.DataFrame:
        return self._rows(experiments.parts_of_the_gain, lambda evaluation, _: gain_parts(evaluation))


def _top1_and_counts(evaluation: Evaluation, arm: str) -> tuple[np.ndarray, pd.DataFrame, str]:
    """Return (S,) top-1 of the arm's runs, (S, K) classes of each kind whose number varies, but the reference, and its name.

    The reference is the commonest kind of classes that are no animals.
    """
    source, run = evaluation.study.source_classes, evaluation.runs[evaluation.runs["arm"] == arm].iloc[0]
    subsets = evaluation.study.subsets_of(run["design"])
    kind = kinds(source)
    drawn = [sample_classes(source, "random", run["k"], seed, subsets).class_ids for seed in evaluation.seeds_of[arm]]
    counts = pd.DataFrame([kind.loc[list(ids)].value_counts() for ids in drawn]).fillna(0).reset_index(drop=True)
    reference = str(kind[~source["animal"]].value_counts().index[0])
    held = [name for name in KINDS if name in counts and name != reference and counts[name].nunique() > 1]
    return evaluation.correct[arm].mean(axis=1), counts[held], reference


def kind_effects(evaluation: Evaluation, arm: str) -> list[dict[str, Any]]:
    """Estimate what three classes of each kind change in top-1, in place of three of the reference kind.

    Rows `all species`: over random subsets, for these images. Rows `each species, by its kind`: over subsets and species, of
    classes of the species' own kind and of the other kinds of animals.
    """
    top1, counts, reference = _top1_and_counts(evaluation, arm)
    animals = [name for name in counts if name in KINDS[:4]]
    own = statistics.effects_of_own_kind(evaluation.answers.means[arm], counts, kinds(evaluation.classes), animals)
    whose = {"all species": statistics.effects_of_counts(top1, counts), "each species, by its kind": own}
    facts = {"reference": reference, "n_subsets": len(top1), "n_classes": len(evaluation.answers.ids)}
    return [
        {"whose": name, "term": term, **(EXCHANGED * row).to_dict(), **facts}
        for name, table in whose.items()
        for term, row in table.iterrows()
    ]


def animals_for_others(evaluation: Evaluation, arm: str) -> list[dict[str, Any]]:
    """Estimate what animal classes change in top-1, in place of as many others.

    Row `animals_for_others`: three classes, from the regression on kinds; each kind counts by its number of classes in the
    source. Row `animals_for_all_others`: all classes of a subset of this size, from the arms that hold one sort only.
    """
    top1, counts, reference = _top1_and_counts(evaluation, arm)
    source, k = evaluation.study.source_classes, evaluation.runs.loc[evaluation.runs["arm"] == arm, "k"].iloc[0]
    kind = kinds(source)
    kind = kind[kind.isin([*counts, reference])]
    animals, others = (
        kind[source["animal"] == wanted].value_counts(normalize=True).reindex(counts.columns, fill_value=0.0)
        for wanted in (True, False)
    )
    effect = EXCHANGED * statistics.effect_of_exchange(top1, counts, animals - others)
    rows = [{"what": "animals_for_others", **effect.to_dict()}]
    pair = f"animal-k{k}", f"non_animal-k{k}"
    if set(pair) <= set(evaluation.correct):
        whole = statistics.estimate_mean(evaluation.answers, evaluation.gain(*pair))
        rows.append({"what": "animals_for_all_others", **row_of(whole)})
    return rows


def gains_by_rank(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Estimate the gain from all classes per rank, for species like these, which vary alike at all ranks."""
    ranks = evaluation.nearest_ranks.dropna()
    if ranks.empty:
        return []
    weights = evaluation.gain(evaluation.study.everything)
    table = statistics.group_means(evaluation.answers, weights, ranks, random_classes=True).rename(columns={"group": "rank"})
    order = table["rank"].map(RANKS.index)
    return table.assign(n_seeds=len(evaluation.seeds)).iloc[order.argsort()].to_dict("records")


def _both_curves(evaluation: Evaluation, arms: list[str]) -> list[dict[str, Any]]:
    """Return the rows of `gain_curve` by the number of classes and, of the most classes, by their images.

    Keep the first of designs with equally many images: the others change something else.
    """
    facts = evaluation.runs.drop_duplicates("arm").set_index("arm").loc[[arm for arm in arms if arm != SCRATCH]]
    by_number, largest = facts[facts["design"] == ""], facts[facts["k"] == facts["k"].max()]
    most, imagenet = int(by_number["k"].max()), int(load_class_table("imagenet1k")["animal"].sum())
    beyond = [2 * most, *([imagenet] if 2 * most < imagenet <= _FARTHEST * most else [])]
    rows = gain_curve(evaluation, by_number["k"].sort_values(), beyond)
    found = [{"by": "classes", **row} for row in rows]
    images = largest["pretrain_images"].drop_duplicates().sort_values()
    return found + [{"by": "images", **row} for row in gain_curve(evaluation, images, [])]


def gain_curve(evaluation: Evaluation, places: pd.Series, beyond: list[int]) -> list[dict[str, Any]]:
    """Estimate the gain at each of `places` (arm -> classes or images) and fit a line over their logarithm.

    Rows by `what`: `gain` at a place; `line`, its height there; `predicted`, the line at places `beyond`, with the interval of
    a new mean of as many seeds; `slope` per doubling; `last`, the slope between the last two places; `bend`, the last slope
    minus the first. No rows for fewer than two places, no bend for two, nothing predicted where the curve clearly bends.
    """
    if len(places) < 2:
        return []
    answers, arms, logs = evaluation.answers, list(places.index), np.log2(places.to_numpy(float))

    def estimate(weights: np.ndarray, *, gain: bool = False) -> Estimate:
        return statistics.estimate_mean(answers, dict(zip(arms, weights, strict=True)) | ({SCRATCH: -1.0} if gain else {}))

    steps = _steps(logs)
    bend = estimate(steps[-1] - steps[0]) if len(arms) > 2 else None
    if bend and bend.p_different < statistics.LEVEL:
        beyond = []
    new = statistics.estimate_mean(answers, {arms[-1]: 1.0}).run_se
    line = {at: estimate(statistics.line_weights(logs, np.log2(at)), gain=True) for at in [*places, *beyond]}
    found = [("gain", at, estimate(one, gain=True)) for at, one in zip(places, np.eye(len(arms)), strict=True)]
    found += [("line", at, line[at]) for at in places]
    found += [("predicted", at, replace(line[at], se=float(np.hypot(line[at].se, new)))) for at in beyond]
    found += [("slope", 0, estimate(statistics.line_weights(logs))), ("last", 0, estimate(steps[-1]))]
    found += [("bend", 0, bend)] if bend else []
    return [{"what": what, "at": int(at), **row_of(one)} for what, at, one in found]


def _steps(logs: np.ndarray) -> np.ndarray:
    """(N - 1, N) weights of values at `logs` (N,) that make the slopes between neighbours."""
    steps = np.zeros((len(logs) - 1, len(logs)))
    for step, (first, second) in enumerate(pairwise(logs)):
        steps[step, step : step + 2] = np.array([-1, 1]) / (second - first)
    return steps


def equivalent_number(evaluation: Evaluation, arms: list[str]) -> list[dict[str, Any]]:
    """Estimate how many other classes gain as much as the most animal classes, from a line over the logarithm of their number.

    The interval holds the numbers at which the line's height does not differ from the animals' top-1 at five percent (Fieller
    1954). It and the mean are NaN where the curve clearly bends, does not clearly rise, or has an end outside 1 to `_FARTHEST`
    times the most others that were tried. Further columns: n_animals; `most`, these others; whether the curve `bends`.
    """
    facts = evaluation.runs.drop_duplicates("arm").set_index("arm").loc[arms]
    animals, others = (facts.loc[chosen, "k"].sort_values() for chosen in (facts["pool"] == "animal", facts["pool"] != "animal"))
    logs, most = np.log2(others.to_numpy(float)), int(others.max())
    steps = _steps(logs)

    def estimate(weights: np.ndarray, **more: float) -> Estimate:
        return statistics.estimate_mean(evaluation.answers, dict(zip(others.index, weights, strict=True)) | more)

    def ahead(log: float) -> Estimate:
        return estimate(statistics.line_weights(logs, log), **{animals.index[0]: -1.0})

    bends = estimate(steps[-1] - steps[0]).p_different < statistics.LEVEL
    rises = estimate(statistics.line_weights(logs)).interval()[0] > 0
    found = dict.fromkeys(("mean", "low", "high"), np.nan)
    least, farthest = 0.0, float(np.log2(_FARTHEST * most))
    if rises and not bends and ahead(least).interval()[1] < 0 < ahead(farthest).interval()[0]:
        heights = (lambda log: ahead(log).mean, lambda log: ahead(log).interval()[1], lambda log: ahead(log).interval()[0])
        found = {name: 2 ** brentq(height, least, farthest) for name, height in zip(found, heights, strict=True)}
    return [{"n_animals": int(animals.iloc[0]), "most": most, "bends": bends, **found}]


def gain_parts(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Split the gain of all source classes over scratch, on one target, into parts that add up to it.

    With k the largest number of classes that animal and non-animal subsets share:

    - `any images`: k non-animal classes minus scratch;
    - `animals`: k animal classes minus k non-animal ones, less the next part;
    - `own class`: what a species gains from having its own class in the source, where chance decided it (see
      `assigned_effect`), times the share of images whose species have one. Estimated beside all other classes, so that it
      is taken to be the same among k. Where the study cannot tell, it stays within `animals`;
    - `more classes`: all classes minus k animal ones;
    - `all`: the gain itself, all classes minus scratch.
    """
    study, assigned = evaluation.study, assigned_effect(evaluation)
    animal, other = study.animals_and_others
    differences = {"any images": (other, SCRATCH), "animals": (animal, other), "more classes": (study.everything, animal)}
    differences["all"] = study.everything, SCRATCH
    found = {part: statistics.estimate_mean(evaluation.answers, evaluation.gain(*pair)) for part, pair in differences.items()}
    if assigned:
        effect = assigned[1]
        share = np.isin(evaluation.labels, evaluation.classes.index[is_named(evaluation.classes)]).mean()
        own = replace(effect, mean=share * effect.mean, se=share * effect.se)
        found["own class"] = own
        left = statistics.combine([found["animals"], own], [1, -1])
        found["animals"] = replace(left, n_classes=own.n_classes, n_images=own.n_images)
    return [{"part": part, **row_of(found[part])} for part in experiments.PARTS if part in found]
