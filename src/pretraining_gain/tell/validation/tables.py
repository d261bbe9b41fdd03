"""Read the tables of the controls, and format them for the book."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import AfterValidator

from pretraining_gain.errors import InputError
from pretraining_gain.paths import results_of
from pretraining_gain.plan.parameters import Parameters
from pretraining_gain.tell.claims.declarations import claim_named
from pretraining_gain.tell.claims.parts import ARMS

#: The study whose design and variability are simulated.
STUDY = "imagenet200"
#: What the simulator is fitted to for claims about species: the gain of all classes. For other claims it is fitted to `ARMS`.
OF_SPECIES = "gain"
COMMAND = "python -m pretraining_gain.tell.validation.controls"


class ControlTables(Parameters):
    """The controls' tables, and the notebook's parameter: one claim, or empty for all. Rates are shares of repetitions."""

    claim: Annotated[str, AfterValidator(lambda name: name and claim_named(name).id)] = ""

    def path(self, name: str) -> Path:
        return results_of("controls", "power.csv") / f"{name}.csv"

    def read(self, name: str) -> pd.DataFrame:
        """Read a table, only the rows of the chosen claim. Raises `InputError` if it is missing or damaged."""
        path = self.path(name)
        try:
            table = pd.read_csv(path)
        except (OSError, ValueError) as error:
            raise InputError(f"table {path} cannot be read ({error}); make it with `{COMMAND}`") from None
        return table[table["claim"] == self.claim] if self.claim and "claim" in table else table

    @cached_property
    def errors(self) -> pd.DataFrame:
        """Rates of wrong verdicts: one row per claim, scenario and margin. Raises `InputError` for a claim without any."""
        if (found := self.read("false_positives")).empty:
            accepted = ", ".join(ControlTables().read("false_positives")["claim"].unique()) or f"those that `{COMMAND}` makes"
            raise InputError(f"the controls have no claim {self.claim!r} of {STUDY}; accepted: {accepted}")
        return found

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Rates of verdicts: one row per claim, number of seeds and planted effect."""
        return self.read("power").query("scenario == 'planted'")

    @cached_property
    def promised(self) -> pd.DataFrame:
        """Rates of `supported` where the design promises to find each part with power 0.8."""
        return self.read("power").query("scenario == 'detectable'")

    def false_positive_table(self) -> pd.DataFrame:
        """Return one row per claim: how many checks it has, and the highest rate of each kind of wrong verdict, as text."""
        wider = self.errors["bounds"].ne(self.errors["bounds"].iloc[0]).map({True: ", wider margin", False: ""})
        kinds = self.errors.assign(kind="wrongly " + self.errors["error"] + wider)
        rates = kinds.pivot_table(index="claim", columns="kind", values="rate", aggfunc="max", sort=False)
        shown = rates.assign(limit=self.errors.groupby("claim")["limit"].max())
        shown = shown.map(lambda rate: "–" if pd.isna(rate) else f"{rate:.1%}").rename_axis(columns=None)
        shown.insert(0, "checks", self.errors.groupby("claim").size())
        return shown

    def world_table(self) -> pd.DataFrame:
        """Return one row per fit: how a difference varies over species, images, runs and answers, in points (standard
        deviations), `real / simulated`."""
        worlds = self.read("worlds")
        parts = {"species": "class", "images": "image", "runs": "run", "answers": "residual"}
        deviations = 100 * worlds.filter(regex="^(real|simulated)_").clip(lower=0) ** 0.5
        shown = deviations.map("{:.1f}".format)
        text = {f"over {name}": shown[f"real_{part}"] + " / " + shown[f"simulated_{part}"] for name, part in parts.items()}
        compared = worlds["compared"].map({ARMS: "two arms", OF_SPECIES: "the gain of all classes"})
        return pd.DataFrame({"target": worlds["target"], "difference": compared} | text)

    def promised_table(self) -> pd.DataFrame:
        """Return one row per claim: test, parts, what each number of seeds detects, and how often it finds it."""
        facts = self.promised.drop_duplicates("claim").set_index("claim")
        by_seeds = self.promised.pivot(index="claim", columns="n_seeds", values=["effect", "supported"])
        detectable = (100 * by_seeds["effect"]).map("{:.1f}".format).rename(columns="detectable with {} seeds, points".format)
        found = by_seeds["supported"].map("{:.1%}".format).rename(columns="found with {} seeds".format)
        return facts[["test", "parts"]].join(detectable).join(found)

    def permutation_table(self) -> pd.DataFrame:
        """Return one row per claim and kind of shuffle, rates as text."""
        rates = ["significant", "supported", "contradicted"]
        shown = self.read("permutations")[["claim", "shuffled", "values", *rates, "uniform_distance", "repetitions"]]
        return _in_percent(shown, rates)

    def estimator_table(self) -> pd.DataFrame:
        """Return one row per measure and quantity: least, mean and largest rate over all simulated worlds, as text."""
        measures = ["coverage", "false_positive_rate", "power"]
        long = self.read("estimators").melt("quantity", measures, "measure", "rate").dropna(subset="rate")
        rates = long.groupby(["measure", "quantity"], sort=False)["rate"].agg(["min", "mean", "max", "size"])
        shown = rates.reset_index().rename(columns={"size": "worlds"}).replace("_", " ", regex=True)
        return _in_percent(shown, ["min", "mean", "max"])

    def numbers(self) -> dict[str, Any]:
        """Collect the chapter's numbers: rates as fractions, sizes in top-1."""
        errors, promised = self.errors, self.promised
        found: dict[str, Any] = {
            "level": float(errors["level"].iloc[0]),
            "limit": float(errors["limit"].max()),
            "repetitions": int(errors["repetitions"].max()),
            "power_repetitions": int(self.curves["repetitions"].max()),
            "n_scenarios": len(errors),
            "n_within": int(errors["within"].sum()),
        }
        for error, worst in errors.loc[errors.groupby("error")["rate"].idxmax()].set_index("error").iterrows():
            name = f"worst_{error.replace(' ', '_')}"
            found |= {name: float(worst["rate"]), f"{name}_claim": worst["claim"]}
        for row in promised.to_dict("records"):
            found[f"{row['claim']}_{row['n_seeds']}_seeds_found"] = row["supported"]
        single = promised.query("repetitions == repetitions.max() and parts == 1")["supported"]  # with the study's own seeds
        found |= {"single_least": float(single.min()), "single_most": float(single.max())}
        for row in self.read("permutations").to_dict("records"):
            way = "centred" if "off" in row["values"] else "shuffled"
            found |= {f"{row['claim']}_{way}_significant": row["significant"], "shuffles": int(row["repetitions"])}
        for row in self.curves.to_dict("records"):
            size = f"{1000 * row['effect']:.0f}".replace("-", "minus_")
            found[f"{row['claim']}_{row['n_seeds']}_seeds_{size}_permille_supported"] = row["supported"]
        coverage = self.read("estimators").query("not quantity.str.endswith('agree')")["coverage"].dropna()
        found |= {"n_coverages": len(coverage), "least_coverage": float(coverage.min())}
        found |= {"n_covered_less": int((coverage < 0.93).sum()), "n_covered_more": int((coverage > 0.97).sum())}
        return found | {"n_never": int((errors["rate"] == 0).sum())}


def _in_percent(table: pd.DataFrame, rates: list[str]) -> pd.DataFrame:
    shown = table.assign(**{name: table[name].map("{:.1%}".format) for name in rates})
    return shown.rename(columns=lambda name: str(name).replace("_", " "))
