"""An analysis changed: one claim tested again with another margin, threshold, species, seeds, or number of draws.

`recompute` uses the same tests as the ledger and the same bootstrap as the figures. The page "Change the analysis" does the
same in the browser (`book/_static/tweak-*.js`, from what `tweak_data` publishes); tests hold the two together.
On the command line: `python -m pretraining_gain.tell.claims.what_if --study mini --claim C8 --margin 0.05`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from pretraining_gain.commands import CommandLine, answer, whole_number
from pretraining_gain.errors import InputError
from pretraining_gain.plan.parameters import Parameters
from pretraining_gain.plan.pools import Seed
from pretraining_gain.plan.studies import Study
from pretraining_gain.tell.claims.declarations import ARMS, Claim, claim_named
from pretraining_gain.tell.claims.evidence import Evidence, Outcome, evaluate, species_of
from pretraining_gain.tell.claims.ledger import Verdict, verdict_on
from pretraining_gain.tell.results.evaluation import Evaluation
from pretraining_gain.tell.statistics.bootstrap import bootstrap_means

DRAWS = 2000
Level = Literal["supercategory", "order", "family", "name"]


class Settings(Parameters):
    """What may be changed; what is None stays as in the book.

    `margin`: of the parts that say *equal*. `threshold`: what the parts that say *greater* must exceed. `without`: groups of
    `level` that are left out. `draws`: of the bootstrap. Margin and threshold are fractions (0.03: three points).
    """

    study: str = "mini"
    claim: str = "C1"
    margin: float | None = Field(default=None, gt=0, lt=1)
    threshold: float | None = Field(default=None, gt=-1, lt=1)
    level: Level = "supercategory"
    without: list[str] = Field(default=[])
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None
    draws: int = Field(default=DRAWS, ge=100, le=20_000)

    @property
    def claim_asked(self) -> Claim:
        return claim_named(self.claim)

    def narrow(self, evaluation: Evaluation) -> Evaluation:
        """Only the species and seeds that are kept. Raises `InputError` when none is, or for an unknown one."""
        groups = evaluation.species[self.level]
        _each_known("group", self.without, sorted(set(groups)))
        _each_known("seed", self.seeds or [], evaluation.seeds)
        kept = groups.index[~groups.isin(self.without)]
        if not len(kept):
            raise InputError("no species is left; accepted: at least one group that stays in")
        images = np.isin(evaluation.labels, kept)
        seeds_of, correct = {}, {}
        for arm, seeds in evaluation.seeds_of.items():
            rows = [row for row, seed in enumerate(seeds) if self.seeds is None or seed in self.seeds]
            if rows:
                seeds_of[arm] = [seeds[row] for row in rows]
                correct[arm] = evaluation.correct[arm][rows][:, images]
        labels, ids = evaluation.labels[images], evaluation.image_ids[images]
        study = self.changed(evaluation.study)
        kept_too: dict[str, Any] = {"vote_cut": evaluation.vote_cut, "well_represented": evaluation.well_represented}
        return Evaluation(study, evaluation.downstream, seeds_of, labels, ids, correct, evaluation.runs, **kept_too)

    def changed(self, study: Study) -> Study:
        return study if self.margin is None else study.model_copy(update={"margin": self.margin})


def _each_known(what: str, given: Sequence[Any], known: Sequence[Any]) -> None:
    for one in given:
        if one not in known:
            raise InputError(f"{what} {one!r} is unknown; accepted: {', '.join(map(str, known))}")


def narrowed(settings: Settings) -> Evidence:
    """A study's results on the claim's downstreams, as the settings leave them."""
    evidence = Evidence.load(settings.study)
    study = settings.changed(evidence.study)
    names = {part.downstream for part in settings.claim_asked.parts(study)}
    names |= {arm.downstream for arm in settings.claim_asked.arms(study)}
    return Evidence(study, {name: settings.narrow(evidence.evaluations[name]) for name in names})


@dataclass(frozen=True)
class Answer:
    """What came of it: the verdict with its tests, and intervals by the bootstrap: one row a part or group."""

    verdict: Verdict
    bootstrap: pd.DataFrame


def recompute(settings: Settings) -> Answer:
    """Test the claim again. Raises `InputError` for settings that are not accepted, or that leave nothing to test."""
    claim, evidence = settings.claim_asked, narrowed(settings)
    outcomes = evaluate(claim, evidence, settings.threshold)
    return Answer(verdict_on(claim, outcomes), _bootstrap(claim, outcomes, evidence, settings.draws))


def _bootstrap(claim: Claim, outcomes: list[Outcome], evidence: Evidence, draws: int) -> pd.DataFrame:
    """Of each contrast (seeds and images resampled); or, of the claims about species, of the gain in each group (seeds and
    species resampled). In double precision, as the browser has it."""
    options: dict[str, Any] = {"draws": draws, "exact": True}
    parts = claim.parts(evidence.study)
    if parts and parts[0].kind != ARMS:
        evaluation = evidence.evaluations[parts[0].downstream]
        values, groups = evidence.contrast(parts[0].weights), species_of(parts[0], evaluation)[parts[0].column]
        return bootstrap_means(values, evaluation.labels, groups, resample_classes=True, **options)  # type: ignore[arg-type]
    rows = []
    for outcome in outcomes:
        together = pd.Series(outcome.part.what, index=np.unique(outcome.labels))
        rows.append(bootstrap_means(outcome.values, outcome.labels, together, resample_classes=False, **options))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["group", "mean", "low", "high"])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = CommandLine("tell.claims.what_if", __doc__ or "")
    parser.add_argument("--study", default="mini", help="name in notebooks/studies/, or the path of a .yml file")
    parser.add_argument("--claim", default="C1", help="C1 to C14")
    parser.add_argument("--margin", type=float, help="fraction within which things count as equal")
    parser.add_argument("--threshold", type=float, help="fraction that must be exceeded")
    parser.add_argument("--level", default="supercategory", help="supercategory, order, family or name")
    parser.add_argument("--without", nargs="+", default=[], help="groups of that level to leave out")
    parser.add_argument("--seeds", nargs="+", type=int, help="only these")
    parser.add_argument("--draws", type=whole_number, default=DRAWS, help="of the bootstrap")
    given = vars(parser.parse_args(arguments))
    return answer("tweak", lambda: _print(recompute(Settings(**given))))


def _print(outcome: Answer) -> None:
    verdict = outcome.verdict
    print(f"{verdict.claim} {verdict.text}\n{verdict.verdict}: {verdict.rule}\n")
    columns = ["what", "test", "bound", "effect", "low", "high", "p_for", "p_against", "detectable"]
    tests = pd.DataFrame([test.model_dump() for test in verdict.tests], columns=columns)
    with pd.option_context("display.max_columns", None, "display.width", 200, "display.precision", 12):
        print(tests.to_string(index=False), outcome.bootstrap.to_string(index=False), sep="\n\n")


if __name__ == "__main__":
    sys.exit(main())
