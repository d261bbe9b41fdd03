"""Compare networks trained in toy worlds with a planted effect to studies simulated with the same accuracies."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import Field

from pretraining_gain.plan.parameters import Parameters
from pretraining_gain.plan.pools import SCRATCH, Seed
from pretraining_gain.plan.representation import NONE
from pretraining_gain.plan.studies import load_study
from pretraining_gain.tell.results.evaluation import Evaluation, load_evaluation
from pretraining_gain.tell.results.gains import Numbers, row_of, with_interval
from pretraining_gain.tell.statistics import Answers, Estimate, estimate_difference
from pretraining_gain.tell.validation.simulator import Correct, Target, paper_arms

#: The study whose designs are the toy worlds, and the design whose source shows families but no species.
STUDY, FAMILIES_ONLY = "anchors", "family_full"


class AnchorView(Parameters):
    """Parameters of the anchors notebook: number of simulated studies per anchor, and their seed."""

    simulations: int = Field(ge=10, le=100_000)
    seed: Seed

    def table(self) -> pd.DataFrame:
        """Estimate how much more represented species gain than the others; one row per design and target.

        Estimand of `mean` (top-1, with `low`, `high`, `se`): mean gain of species in the source minus that of the others,
        species random. `simulated` and `simulated_se`: mean and standard deviation of the same estimate over studies
        simulated with both groups' accuracies; `se_low` to `se_high` covers 95 % of their standard errors. Randomness: `seed`.
        """
        study = load_study(STUDY)
        titles = {study.everything: "every source image shows its species"}
        titles |= {f"{study.everything}-{design.name}": design.title for design in study.designs}
        evaluations = [load_evaluation(STUDY, downstream.name) for downstream in study.downstreams]
        targets = {one.downstream.name.replace("_", " "): Target.of(one, paper_arms(one)) for one in evaluations}
        rows = [
            {"arm": arm, "source": title, "target": name} | self._row(target, arm)
            for arm, title in titles.items()
            for name, target in targets.items()
            if arm in target.evaluation.correct
        ]
        return pd.DataFrame(rows)

    def _row(self, target: Target, arm: str) -> dict[str, float]:
        """Compare the estimate from trained networks with those from simulations, whose groups have the same top-1."""
        evaluation, rng = target.evaluation, np.random.default_rng(self.seed)
        trained = _represented_gain_more(evaluation, evaluation.correct, arm)
        represented, top1 = (evaluation.species["representation"] != NONE).to_numpy(), {}
        for name in (SCRATCH, arm):
            by_class = pd.Series(evaluation.correct[name].mean(axis=0)).groupby(evaluation.labels).mean().to_numpy()
            top1[name] = np.where(represented, by_class[represented].mean(), by_class[~represented].mean())
        simulator = target.simulator(top1, len(evaluation.seeds), "random")
        drawn = [_represented_gain_more(evaluation, simulator.draw(rng), arm) for _ in range(self.simulations)]
        means, ses = pd.Series([one.mean for one in drawn]), pd.Series([one.se for one in drawn])
        row = row_of(trained) | {"se": trained.se, "simulated": means.mean(), "simulated_se": means.std()}
        return row | {"se_low": ses.quantile(0.025), "se_high": ses.quantile(0.975)}

    def shown(self, table: pd.DataFrame) -> pd.DataFrame:
        """Format the table as text, effects and errors in points of top-1."""
        shown = table[["source", "target"]].rename(columns={"source": "the source"})
        formats = {
            "trained: effect": "{mean:+.1f} ({low:+.1f} to {high:+.1f})",
            "its standard error": "{se:.1f}",
            "simulated: mean effect": "{simulated:+.1f}",
            "varies by": "{simulated_se:.1f}",
            "standard errors": "{se_low:.1f} to {se_high:.1f}",
        }
        points = (100 * table.select_dtypes("float")).to_dict("records")
        return shown.assign(**{name: [text.format(**row) for row in points] for name, text in formats.items()})

    def numbers(self, table: pd.DataFrame) -> Numbers:
        """Collect the chapter's numbers, in top-1: effects with intervals per target and design; `<target>_planted`, the paired
        effect of showing species over showing families only; in how many anchors the simulation varies as networks do."""
        study = load_study(STUDY)
        found: Numbers = {"n_seeds": len(study.seeds), "n_anchors": len(table)}
        found["n_faithful"] = int(table["se"].between(table["se_low"], table["se_high"]).sum())
        for row in table.to_dict("records"):
            design = row["arm"].removeprefix(study.everything).removeprefix("-") or "species_full"
            key = f"{row['target'].replace(' ', '_')}_{design}"
            found |= with_interval(key, row)
        for downstream in study.downstreams:
            evaluation, families_only = load_evaluation(STUDY, downstream.name), f"{study.everything}-{FAMILIES_ONLY}"
            planted = _represented_gain_more(evaluation, evaluation.correct, study.everything, families_only)
            found |= with_interval(f"{downstream.name}_planted", planted)
        return found


def _represented_gain_more(evaluation: Evaluation, correct: Correct, arm: str, other: str = SCRATCH) -> Estimate:
    """Estimate represented minus other species of `arm` minus `other`, from `correct` on the evaluation's images."""
    grades = evaluation.species["representation"]
    represented, others = grades.index[grades != NONE], grades.index[grades == NONE]
    return estimate_difference(Answers(correct, evaluation.labels), {arm: 1.0, other: -1.0}, represented, others)
