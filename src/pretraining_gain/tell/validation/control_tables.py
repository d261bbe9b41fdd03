"""The controls' tables as the book shows them: read from `results/controls`, written by `tell.validation.controls`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.paths import results_of
from pretraining_gain.plan.parameters import Parameters
from pretraining_gain.tell.claims.declarations import CLAIMS

_PERCENT = ("rate", "limit", "significant", "supported", "contradicted", "coverage", "false_positive_rate", "power")


class _Choice(Parameters):
    """The parameters of the controls notebook."""

    claim: str = ""


@dataclass(frozen=True)
class ControlTables:
    """The controls' results, for all claims or for one. Rates are shares of the repetitions."""

    claim: str = ""

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> ControlTables:
        """From a notebook's `globals()`: claim, empty for all. Raises `InputError` for an unknown one."""
        claim = _Choice.from_parameters(parameters).claim
        known = [one.id for one in CLAIMS]
        if claim not in ("", *known):
            raise InputError(f"claim {claim!r} is unknown; accepted: {', '.join(known)}, or '' for all")
        return cls(claim)

    def path(self, name: str) -> Path:
        return results_of("controls", "power.csv") / f"{name}.csv"

    def _read(self, name: str) -> pd.DataFrame:
        path = self.path(name)
        try:
            table = pd.read_csv(
                path, keep_default_na=False, na_values={"coverage": "", "power": "", "false_positive_rate": ""}
            )
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"table {path} cannot be read ({reason}); make it with `python -m pretraining_gain.tell.validation.controls`"
            ) from None
        return table[table["claim"] == self.claim] if self.claim and "claim" in table else table

    @cached_property
    def errors(self) -> pd.DataFrame:
        return self._read("false_positives")

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Rates of verdicts: one row a claim, number of seeds and planted effect."""
        table = self._read("power")
        return table[table["scenario"] == "planted"]

    @cached_property
    def promised(self) -> pd.DataFrame:
        """Rates of `supported` where the design says that each part is found with power 0.8."""
        table = self._read("power")
        return table[table["scenario"] == "detectable"]

    @cached_property
    def permuted(self) -> pd.DataFrame:
        return self._read("permutations")

    @cached_property
    def estimators(self) -> pd.DataFrame:
        """Over all simulated worlds, least, mean and largest rate of each quantity and measure."""
        table = self._read("estimators")
        measures = ["coverage", "false_positive_rate", "power"]
        long = table.melt(["quantity", "repetitions"], measures, "measure", "rate").dropna(subset="rate")
        return (
            long.groupby(["measure", "quantity"], sort=False)["rate"].agg(["min", "mean", "max", "size"]).reset_index()
        )

    def false_positive_table(self) -> pd.DataFrame:
        """One row a claim: rates of wrong verdicts; where several parts were put at their bounds, of the one that errs most."""
        wider = self.errors["bounds"].ne(self.errors["bounds"].iloc[0]).map({True: ", wider margin", False: ""})
        kinds = self.errors.assign(kind="wrongly " + self.errors["error"] + wider)
        rates = kinds.pivot_table(index="claim", columns="kind", values="rate", aggfunc="max", sort=False)
        shown = rates.assign(limit=self.errors.groupby("claim")["limit"].max())
        return shown.map(lambda rate: "–" if pd.isna(rate) else f"{rate:.1%}").rename_axis(columns=None)

    def promised_table(self) -> pd.DataFrame:
        """One row a claim: kind of test, parts, what three seeds detect, and how often each number of seeds finds it."""
        facts = self.promised.drop_duplicates("claim").set_index("claim")
        found = self.promised.pivot(index="claim", columns="n_seeds", values="supported").reindex(facts.index)
        found = found.map("{:.1%}".format).rename(columns="found with {} seeds".format)
        detectable = (100 * facts["effect"]).map("{:.1f}".format).rename("detectable with 3 seeds, points")
        return facts[["test", "parts"]].join(detectable).join(found)

    def permutation_table(self) -> pd.DataFrame:
        columns = [
            "claim",
            "shuffled",
            "values",
            "significant",
            "supported",
            "contradicted",
            "uniform_distance",
            "repetitions",
        ]
        return _in_percent(self.permuted[columns])

    def estimator_table(self) -> pd.DataFrame:
        shown = self.estimators.rename(columns={"size": "worlds"}).replace("_", " ", regex=True)
        return _in_percent(shown, ("min", "mean", "max"))

    def numbers(self) -> dict[str, Any]:
        """What the chapter states: rates as fractions, sizes in top-1."""
        errors, repetitions = self.errors, int(self.errors["repetitions"].max())
        found: dict[str, Any] = {
            "level": float(errors["level"].iloc[0]),
            "limit": float(errors["limit"].max()),
            "repetitions": repetitions,
            "power_repetitions": int(self.curves["repetitions"].max()),
            "n_scenarios": len(errors),
            "n_within": int(errors["within"].sum()),
            "margin": float(self.curves["margin"].iloc[0]),
        }
        for error, part in errors.groupby("error"):
            worst = part.loc[part["rate"].idxmax()]
            found |= {f"worst_{error}": float(worst["rate"]), f"worst_{error}_claim": worst["claim"]}
        for row in self.promised.to_dict("records"):
            key = f"{row['claim']}_{row['n_seeds']}_seeds"
            found |= {f"{key}_found": row["supported"], f"{key}_detectable": row["effect"]}
        own = self.promised["repetitions"] == self.promised["repetitions"].max()
        # Families are so small that C3's promise is no more than a guess.
        single = self.promised[own & (self.promised["parts"] == 1) & (self.promised["claim"] != "C3")]
        found |= {"single_least": float(single["supported"].min()), "single_most": float(single["supported"].max())}
        for row in self.permuted.to_dict("records"):
            key = f"{row['claim']}_{'centred' if 'off' in row['values'] else 'shuffled'}"
            found |= {f"{key}_significant": row["significant"], f"{key}_contradicted": row["contradicted"]}
            found["shuffles"] = int(row["repetitions"])
        for row in self.curves.to_dict("records"):
            size = f"{1000 * row['effect']:+.0f}".replace("+", "").replace("-", "minus_")
            key = f"{row['claim']}_{row['n_seeds']}_seeds_{size}_permille"
            found |= {f"{key}_supported": row["supported"], f"{key}_contradicted": row["contradicted"]}
        for row in self.estimators.to_dict("records"):
            key = f"{row['measure']}_{row['quantity']}".replace(" ", "_").replace(",", "").replace(":", "")
            found |= {f"{key}_least": row["min"], f"{key}_most": row["max"]}
        return found | self._worlds()

    def _worlds(self) -> dict[str, float]:
        """Standard deviations of a difference of two arms over seeds, images and the rest, real and simulated."""
        found = {}
        for row in self._read("worlds").to_dict("records"):
            for kind in ("real", "simulated"):
                for part in ("seed", "class", "seed_class", "image", "residual"):
                    found[f"{row['domain']}_{kind}_{part}"] = float(np.sqrt(row[f"{kind}_{part}"]))
        return found


def _in_percent(table: pd.DataFrame, columns: tuple[str, ...] = _PERCENT) -> pd.DataFrame:
    shown = {name: table[name].map("{:.1%}".format) for name in columns if name in table}
    return table.assign(**shown).rename(columns=lambda name: str(name).replace("_", " "))
