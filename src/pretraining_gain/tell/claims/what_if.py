"""Test one claim again with another margin, threshold, species or seeds.

The page "Change the analysis" does the same in the browser (`book/_static/what-if-*.js`, on the data of `what_if_data`);
tests compare the two. Command line: `python -m pretraining_gain.tell.claims.what_if --study mini --claim C8 --margin 0.05`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.errors import InputError
from pretraining_gain.plan.parameters import Parameters
from pretraining_gain.plan.pools import Seed
from pretraining_gain.tell.claims.declarations import CLAIMS, Claim, claim_named
from pretraining_gain.tell.claims.evidence import Evidence, evaluate, species_of
from pretraining_gain.tell.claims.ledger import Verdict, judge, verdict_on
from pretraining_gain.tell.results.evaluation import Evaluation
from pretraining_gain.tell.statistics import group_means

Level = Literal["supercategory", "order", "family", "name"]


class Settings(Parameters):
    """Settings that a reader may change; None keeps the book's choice.

    `margin` replaces the bound of parts that say *equal*, `threshold` that of parts that say *greater*; both are fractions
    (0.03: three points). `without`: groups of `level` to leave out. `seeds`: those to keep.
    """

    study: str
    claim: str
    margin: float | None = Field(default=None, gt=0, lt=1)
    threshold: float | None = Field(default=None, gt=-1, lt=1)
    level: Level = "supercategory"
    without: list[str] = Field(default=[])
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None


@dataclass(frozen=True)
class Answer:
    """The verdict with its tests; for claims about species also each group's gain with interval, one row per group."""

    verdict: Verdict
    groups: pd.DataFrame


def recompute(settings: Settings) -> Answer:
    """Test the claim again. Raises `InputError` for settings that are not accepted or leave nothing to test."""
    claim, evidence = claim_named(settings.claim), narrowed(Evidence.load(settings.study), settings)
    return Answer(judge(claim, evidence, settings.threshold), _gain_by_group(claim, evidence))


def narrowed(evidence: Evidence, settings: Settings) -> Evidence:
    """Keep the results that the claim compares and apply the settings, except the threshold."""
    claim = claim_named(settings.claim)
    names = sorted({arm.downstream for arm in claim.arms(evidence.study)})
    _check_known("seed", settings.seeds or [], evidence.seeds(claim))
    margins = {name: settings.margin or evidence.margins[name] for name in names}
    return Evidence(evidence.study, {name: _narrow(evidence.evaluations[name], settings) for name in names}, margins)


def _check_known(what: str, given: Sequence[object], known: Sequence[object]) -> None:
    """Raise `InputError` for the first that is not known."""
    for one in given:
        if one not in known:
            raise InputError(f"{what} {one!r} is unknown; accepted: {', '.join(map(str, known))}")


def _narrow(evaluation: Evaluation, settings: Settings) -> Evaluation:
    """Keep the species and seeds that stay in. Raises `InputError` when no species does, or for an unknown group."""
    groups = evaluation.species[settings.level]
    _check_known("group", settings.without, sorted(set(groups)))
    kept = groups.index[~groups.isin(settings.without)]
    if not len(kept):
        raise InputError("no species is left; accepted: at least one group that stays in")
    images = np.isin(evaluation.labels, kept)
    seeds_of, correct = {}, {}
    for arm, seeds in evaluation.seeds_of.items():
        rows = [row for row, seed in enumerate(seeds) if settings.seeds is None or seed in settings.seeds]
        if rows:
            seeds_of[arm] = [seeds[row] for row in rows]
            correct[arm] = evaluation.correct[arm][rows][:, images]
    labels, image_ids = evaluation.labels[images], evaluation.image_ids[images]
    return replace(evaluation, seeds_of=seeds_of, correct=correct, labels=labels, image_ids=image_ids)


def _gain_by_group(claim: Claim, evidence: Evidence) -> pd.DataFrame:
    """Return the gain in each group of a claim about species: group, mean, low, high, n_classes; else no rows."""
    columns = ["group", "mean", "low", "high", "n_classes"]
    for part in claim.parts(evidence.study)[:1]:
        evaluation = evidence.evaluations[part.downstream]
        species = species_of(part, evaluation)
        if part.column and 0 < species[part.column].nunique() < len(species):
            answers, weights = evidence.answers(part)
            return group_means(answers, weights, species[part.column], random_classes=True)[columns]
    return pd.DataFrame(columns=columns)


def single_changes(study_name: str) -> pd.DataFrame:
    """Return one row per change: what is changed, how many verdicts change, and which from what to what."""
    evidence = Evidence.load(study_name)

    def verdict(claim: Claim, **changes: Any) -> str:
        """Return the verdict alone, without the detectable effect, which takes longer."""
        left = narrowed(evidence, Settings(study=study_name, claim=claim.id, **changes))
        return verdict_on(claim, left.study, evaluate(claim, left, detectable=False)).verdict

    before = {claim.id: verdict(claim) for claim in CLAIMS}
    rows = []
    for words, changed in _changes(evidence):
        found = []
        for claim in (claim for claim in CLAIMS if claim.domain in evidence.study.domains):
            if (changes := changed(claim)) and (after := verdict(claim, **changes)) != before[claim.id]:
                found.append(f"{claim.id}: {before[claim.id]} → {after}")
        rows.append([words, len(found), "; ".join(found) or "none"])
    return pd.DataFrame(rows, columns=["change", "verdicts that change", "which"])


def _changes(evidence: Evidence) -> Iterator[tuple[str, Callable[[Claim], dict[str, Any]]]]:
    """Yield each change in words, and the settings that make it for a claim, or none where it changes nothing."""
    study = evidence.study
    sizes = {name: one.species["supercategory"].value_counts() for name, one in evidence.evaluations.items()}
    largest = {name: {"without": [size.index[0]]} for name, size in sizes.items() if len(size) > 1}

    def scaled(factor: float, claim: Claim) -> dict[str, Any]:
        return {"margin": evidence.margins[claim.target(study)] * factor}

    def less(seed: int, claim: Claim) -> dict[str, Any]:
        seeds = evidence.seeds(claim)
        return {"seeds": [one for one in seeds if one != seed]} if seed in seeds and len(seeds) > 1 else {}

    for word, factor in (("halved", 0.5), ("doubled", 2)):
        yield f"margin {word}", partial(scaled, factor)
    for seed in study.seeds if len(study.seeds) > 1 else []:
        yield f"seed {seed} left out", partial(less, seed)
    if largest:
        yield "largest supercategory left out", lambda claim: largest.get(claim.target(study), {})


def change_numbers(changes: pd.DataFrame) -> dict[str, int]:
    """Return how many verdicts a change of the margin alters at most, and how many one that leaves something out."""
    margin = changes["change"].str.startswith("margin")
    kinds = {"changed_by_margin": margin, "changed_by_omission": ~margin}
    return {kind: int(changes.loc[rows, "verdicts that change"].max()) if rows.any() else 0 for kind, rows in kinds.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = CommandLine("tell.claims.what_if", __doc__ or "")
    parser.add_argument("--study", required=True, help="name in notebooks/studies/, or the path of a .yml file")
    parser.add_argument("--claim", required=True, help=f"{CLAIMS[0].id} to {CLAIMS[-1].id}")
    parser.add_argument("--margin", type=float, help="fraction within which things count as equal")
    parser.add_argument("--threshold", type=float, help="fraction that must be exceeded")
    parser.add_argument("--level", default="supercategory", help="supercategory, order, family or name")
    parser.add_argument("--without", action="extend", nargs="+", default=[], help="groups of that level to leave out")
    parser.add_argument("--seed", "--seeds", action="extend", nargs="+", type=int, dest="seeds", help="keep only these")
    given = vars(parser.parse_args(arguments))

    def work() -> None:
        found = recompute(Settings(**given))
        verdict = found.verdict
        print(f"{verdict.claim} {verdict.text}\n{verdict.verdict}: {verdict.rule}\n")
        columns = ["what", "test", "bound", "effect", "low", "high", "p_for", "p_against", "p_within", "detectable"]
        tests = pd.DataFrame([test.model_dump() for test in verdict.tests], columns=columns)
        with pd.option_context("display.max_columns", None, "display.width", 200, "display.precision", 12):
            print(*(table.to_string(index=False) for table in (tests, found.groups) if len(table)), sep="\n\n")

    return answer("what_if", work)


if __name__ == "__main__":
    sys.exit(main())
