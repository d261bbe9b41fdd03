"""Anchors of the controls: real training runs in the toy world with its dials turned, beside what is simulated for them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from pydantic import Field

from pretraining_gain.plan.parameters import Parameters
from pretraining_gain.plan.pools import SCRATCH, Seed
from pretraining_gain.plan.representation import NONE
from pretraining_gain.plan.studies import load_study
from pretraining_gain.tell.results.evaluation import Evaluation, load_evaluation
from pretraining_gain.tell.statistics import Estimate, estimate_difference
from pretraining_gain.tell.validation.worlds import Measured, Planted, Scene, measure

STUDY = "anchors"
#: The design in which the source shows nothing of the species: no effect is planted.
NULL_DESIGN = "family_full"


class AnchorView(Parameters):
    """The parameters of the anchors notebook: how many studies are simulated for each anchor, and their seed."""

    simulations: int = Field(ge=10, le=100_000)
    seed: Seed

    def table(self) -> pd.DataFrame:
        """What the source shows, and how much more the species that it has gain than the others: run, and simulated.

        One row a design and target of study `anchors`. Estimand of `effect` (with interval and `se`): mean gain of the
        species whose class the source has minus that of the others, species random, as in claim C2. `simulated`: mean of
        the same estimate over studies drawn from a threshold model fitted to that target, with the groups' top-1 as
        measured; `simulated_se`: the standard deviation of these estimates; `se_low`, `se_high`: where 95 % of their own
        standard errors lie. Randomness: `seed`.
        """
        study = load_study(STUDY)
        titles = {study.everything: "every source image shows its species"}
        titles |= {f"{study.everything}-{design.name}": design.title for design in study.designs}
        targets = [measure(load_evaluation(STUDY, target.name)) for target in study.downstreams]
        rows = []
        for (arm, title), measured in product(titles.items(), targets):
            if arm in measured.evaluation.correct:
                real = _difference(measured.evaluation, measured.evaluation.correct, arm)
                drawn = _simulated(measured, arm, self.simulations, self.seed)
                facts = {"arm": arm, "source": title, "target": measured.evaluation.downstream.name.replace("_", " ")}
                rows.append(facts | _row(real, drawn))
        return pd.DataFrame(rows)

    def shown(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table in points of top-1, as texts."""
        points = 100 * table.select_dtypes("float")
        effects = zip(points["effect"], points["low"], points["high"], strict=True)
        errors = zip(points["se_low"], points["se_high"], strict=True)
        return pd.DataFrame(
            {
                "the source": table["source"],
                "target": table["target"],
                "trained: effect": [f"{effect:+.1f} ({low:+.1f} to {high:+.1f})" for effect, low, high in effects],
                "its standard error": points["se"].map("{:.1f}".format),
                "simulated: mean effect": points["simulated"].map("{:+.1f}".format),
                "varies by": points["simulated_se"].map("{:.1f}".format),
                "standard errors": [f"{low:.1f} to {high:.1f}" for low, high in errors],
            }
        )

    def numbers(self, table: pd.DataFrame) -> dict[str, float | int]:
        """What the chapter states: by design and target the effect with interval; what showing species adds to it over
        showing families only, paired; seeds, and in how many anchors the simulation varies as the networks do."""
        study = load_study(STUDY)
        found: dict[str, float | int] = {"n_seeds": len(study.seeds), "n_anchors": len(table)}
        for row in table.to_dict("records"):
            design = row["arm"].split("-", 2)[2] if row["arm"].count("-") > 1 else "species_full"
            key = f"{row['target'].replace(' ', '_')}_{design}"
            found |= {key: row["effect"], f"{key}_low": row["low"], f"{key}_high": row["high"]}
        for target in study.downstreams:
            evaluation, null = load_evaluation(STUDY, target.name), f"{study.everything}-{NULL_DESIGN}"
            planted = _difference(evaluation, evaluation.correct, study.everything, null)
            low, high = planted.interval()
            key = f"{target.name}_planted"
            found |= {key: planted.mean, f"{key}_low": low, f"{key}_high": high}
        faithful = table["se"].between(table["se_low"], table["se_high"])
        return found | {"n_faithful": int(faithful.sum())}


def _difference(
    evaluation: Evaluation, correct: dict[str, np.ndarray], arm: str, other: str = SCRATCH
) -> Estimate:
    """Represented minus other species, of what `arm` has over `other`, in these predictions of the evaluation's images."""
    grades = evaluation.species["representation"]
    gains = correct[arm].astype(float) - correct[other]
    first, second = set(grades.index[grades != NONE]), set(grades.index[grades == NONE])
    return estimate_difference(gains, evaluation.labels, first, second)


def _simulated(measured: Measured, arm: str, simulations: int, seed: int) -> list[Estimate]:
    """The estimate in studies drawn anew, with both groups' top-1 in both arms as measured."""
    evaluation, rng = measured.evaluation, np.random.default_rng(seed)
    named = (evaluation.species["representation"] != NONE).to_numpy()
    top1 = {}
    for name in (SCRATCH, arm):
        by_class = np.bincount(measured.index, evaluation.correct[name].mean(axis=0)) / np.bincount(measured.index)
        top1[name] = np.where(named, by_class[named].mean(), by_class[~named].mean())
    scene = Scene(measured, Planted(top1, classes="random"), len(evaluation.seeds))
    return [_difference(evaluation, scene.draw(rng), arm) for _ in range(simulations)]


def _row(real: Estimate, drawn: list[Estimate]) -> dict[str, float]:
    low, high = real.interval()
    means, errors = [np.array([getattr(one, part) for one in drawn]) for part in ("mean", "se")]
    se_low, se_high = np.quantile(errors, [0.025, 0.975])
    shown = {"effect": real.mean, "low": low, "high": high, "se": real.se}
    return shown | {"simulated": means.mean(), "simulated_se": means.std(ddof=1), "se_low": se_low, "se_high": se_high}
