"""Show what the benchmark measured: tables and numbers from `<device>.json`, `growth.json` and `clone.json` in `results/bench`.

`make bench`, `python -m pretraining_gain.bench.growth` and `… bench.clone` write these files. Ratios are medians over rounds,
with the smallest and the largest.
"""

from __future__ import annotations

import json
import math
import statistics
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.paths import results_of
from pretraining_gain.plan.parameters import Parameters

Device = Literal["cpu", "cuda"]
#: Parts of the benchmark, in the chapter's order.
PARTS = ("limit", "loaders", "feeding", "evaluation", "parity", "frozen")
_VERDICTS = {True: "met", False: "missed", None: "too noisy to tell"}
_COMMANDS = {"installation": "installation of the environment", "reproduce": "make reproduce, of which",
             "start": "start of one run alone"}  # fmt: skip
_RULES = {"pretrain": "pretrainings", "finetune": "finetunings", "tables": "tables", "study_notebook": "notebooks of a study",
          "notebook": "other notebooks", "book": "book, by Sphinx"}  # fmt: skip
_STEPS = ((32, "resnet10_w16, 32 px", "32 px in memory to 32 px"), (224, "resnet50, 224 px", "256 px in memory to 224 px"))
_RATES = {"cores for 1,000 images/s": 1000, "for an H100 at 2,500": 2500, "for eight H100s": 20_000}


def bench_path(device: str) -> Path:
    """Return the benchmark's file for a device, or `growth` or `clone`."""
    return results_of("bench", f"{device}.json") / f"{device}.json"


def _read(device: str, version: int, field: str, how: str) -> dict[str, Any]:
    path = bench_path(device)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema_version"] != version or not record[field]:
            raise ValueError("it has another form")
        return record
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"benchmark {path} cannot be read ({error}); make it with `{how}`") from None


class Performance(Parameters):
    """Results of the benchmark on one device, the parameter of the notebook."""

    device: Device = "cpu"

    @cached_property
    def record(self) -> dict[str, Any]:
        """The content of the device's file. Raises `InputError` for one that is missing or damaged."""
        return _read(self.device, 1, "parts", f"make bench DEVICE={self.device}")

    def comparisons(self, *parts: str) -> list[dict[str, Any]]:
        """Return the comparisons of these parts, or of all."""
        return [one for part in parts or PARTS for one in self.record["parts"].get(part, {}).get("comparisons", [])]

    def targets(self) -> pd.DataFrame:
        """Return one row per aim: what was compared, the ratio reached with its spread, and whether the aim is met."""
        rows = []
        for one in self.comparisons():
            for aim in one["targets"]:
                compared = [f"{one['name']}: {one['setting']}", aim["contestant"], aim["reference"], aim["at_least"]]
                rows.append([*compared, *aim["ratio"].values(), one["rounds"], _VERDICTS[aim["met"]]])
        columns = ["compared", "contestant", "against", "aim", "reached", "low", "high", "rounds", "met"]
        return pd.DataFrame(rows, columns=columns)

    def table(self, part: str) -> pd.DataFrame:
        """Return one row per contestant of a part, and one for the notes on a comparison; or the reason why it did not run."""
        rows: list[list[str]] = []
        for one in self.comparisons(part):
            setting = one["setting"] if one["name"] == part else f"{one['name']}: {one['setting']}"
            for outcome in one["outcomes"]:
                speed = f"{_spread(outcome['items_per_s'], ',.0f')} images per second"
                name, ratio = outcome["contestant"], _spread(outcome["ratio"], ".2f")
                ratio += " of processor time" if one.get("clock") == "processor time" else ""
                ratio = "reference" if name == one["reference"] else ratio
                rows.append([setting, name, speed, ratio, str(one["rounds"])])
            rows += [["; ".join(one["notes"]), "", "", "", ""]] if one["notes"] else []
        rows = rows or [[self.record["failed"].get(part, "not measured"), "", "", "", ""]]
        return pd.DataFrame(rows, columns=["setting", "contestant", "speed", "ratio", "rounds"])

    def sizing(self) -> pd.DataFrame:
        """Return how many cores of this machine feed a device: one row per work of the host, empty if not measured."""
        rows = []
        for outcome in (outcome for one in self.comparisons("feeding") if one["name"] == "per core" for outcome in one["outcomes"]):
            per_core = outcome["items"] / statistics.median(outcome["processor_seconds"])
            cores = [f"{math.ceil(rate / per_core):,}" for rate in _RATES.values()]
            rows.append([outcome["contestant"].removeprefix("ours, "), f"{per_core:,.0f}", *cores])
        return pd.DataFrame(rows, columns=["per image", "images per second and core", *_RATES])

    def accuracy_table(self) -> pd.DataFrame:
        """Return one row per contestant trained over seeds: mean top-1, its standard deviation, the paired difference."""
        rows = []
        for one in (one for part in PARTS for one in self.record["parts"].get(part, {}).get("accuracies", [])):
            for name, top1 in one["top1"].items():
                points = {key: 100 * value for key, value in one["differences"].get(name, {}).items()}
                difference = "{mean:+.1f} points ({low:+.1f} to {high:+.1f})".format(**points) if points else "reference"
                mean, sd = f"{statistics.mean(top1):.1%}", f"{100 * one['seed_sd'][name]:.1f} points"
                rows.append([f"{one['name']}: {one['setting']}", name, len(top1), one["images"], mean, sd, difference])
        columns = ["recipe", "contestant", "seeds", "images", "top-1", "sd over seeds", "difference"]
        return pd.DataFrame(rows, columns=columns)

    def profiles(self) -> pd.DataFrame:
        """Return where the time goes in each comparison that missed an aim: the first lines of its profiles."""
        rows = []
        for one in self.comparisons():
            for name, costs in one["profiles"].items():
                told = "; ".join(f"{cost['what']} {cost['share']:.0%}" for cost in costs[:4])
                rows.append([f"{one['name']}: {one['setting']}", name, told])
        return pd.DataFrame(rows, columns=["compared", "contestant", "where the time goes"])

    def machine(self) -> pd.DataFrame:
        """Return one row per fact: the machine, the images, the versions, the date and what failed."""
        record = self.record
        facts = {name.replace("_", " "): value for name, value in record["machine"].items()}
        facts |= {"images": record["images"], "date": record["date"], "commit": record["commit"][:7]}
        facts |= {"versions": ", ".join(f"{name} {version}" for name, version in record["versions"].items())}
        facts |= {f"failed: {name}": why for name, why in record["failed"].items()}
        return pd.DataFrame({"value": {name: str(value) for name, value in facts.items()}}).rename_axis("benchmark")

    def numbers(self) -> dict[str, Any]:
        """Return what the chapter states; NaN where something was not measured."""
        met, machine, rows = self.targets()["met"], self.record["machine"], growth_rows()
        largest = rows[(rows["varied"] == "species") & (rows["species"] == rows["species"].max())].set_index("step")
        found: dict[str, Any] = {f"end_to_end_{px}": self._least("loaders", f", {px} px") for px in (32, 64, 224)}
        found |= {"end_to_end_small": self._least("loaders", "resnet10_w16, 32 px")}
        found |= {"times_frozen": self._least("frozen", "", "ours, features of views")}
        for name, px in (("resnet18", 32), ("resnet50", 64)):  # had training spent its time in the network only
            alone = self._least("limit", f"{name}, {px} px", "one batch in memory", "items_per_s")
            loop = self._least("loaders", f"{name}, {px} px", "torchvision loop", "items_per_s")
            found[f"ceiling_{px}"] = alone / loop
        for px, step, crop in _STEPS:
            rates = [self._least(part, one, "ours", "items_per_s") for part, one in (("limit", step), ("feeding", crop))]
            found |= {f"augment_share_{px}": rates[0] / rates[1]}
        found |= {"n_targets": len(met), "n_met": int((met == "met").sum()), "n_missed": int((met == "missed").sum())}
        found |= {"least_rounds": min((one["rounds"] for one in self.comparisons()), default=0)}
        found |= {"processor": machine["processor"], "cores": machine["cores"], "images": self.record["images"]}
        found |= {"growth_species": int(rows["species"].max()), "growth_peak_mb": float(rows["peak_mb"].max())}
        found |= {"growth_tables_s": float(largest.at["tables", "cpu_s"])}
        found |= {f"clone_{one['what']}_s": one["seconds"] for one in _clone()["commands"]}
        found |= {"clone_minutes": (found["clone_installation_s"] + found["clone_reproduce_s"]) / 60}
        return found | {"growth_cpu_s": float(largest["cpu_s"].sum())}

    def _least(self, part: str, setting: str, contestant: str = "ours", measure: str = "ratio") -> float:
        """Return a contestant's smallest median over the part's comparisons whose setting ends like this, or NaN."""
        alike = [one for one in self.comparisons(part) if one["setting"].endswith(setting)]
        outcomes = [outcome for one in alike for outcome in one["outcomes"] if outcome["contestant"] == contestant]
        return min((outcome[measure]["median"] for outcome in outcomes), default=math.nan)


def _spread(spread: dict[str, float], form: str) -> str:
    return f"{spread['median']:{form}} ({spread['low']:{form}} to {spread['high']:{form}})"


def targets_or_how(device: Device) -> pd.DataFrame:
    """Return the aims of a device that was benchmarked, otherwise one row that says how to do it."""
    if bench_path(device).exists():
        return Performance(device=device).targets()
    return pd.DataFrame({"device": [device], "status": ["not run here"], "made by": [f"make bench DEVICE={device}"]})


def growth_rows() -> pd.DataFrame:
    """Return one row per step and size of the growth measurement. Raise `InputError` for a missing or damaged file."""
    return pd.DataFrame(_read("growth", 2, "rows", "python -m pretraining_gain.bench.growth")["rows"])


def clone_table() -> pd.DataFrame:
    """Return one row per command and rule from clone to book: jobs, seconds of all jobs, seconds from first to last.

    Raise `InputError` for a missing or damaged file.
    """
    found, rows = _clone(), []
    for one in found["commands"]:
        rows.append([_COMMANDS[one["what"]], "1", *[f"{one['seconds']:.0f}"] * 2])
        for rule in found["rules"] if one["what"] == "reproduce" else ():
            seconds = [f"{rule[name]:.0f}" for name in ("seconds", "from_first_to_last_s")]
            rows.append([f"– {_RULES[rule['rule']]}", str(rule["jobs"]), *seconds])
    return pd.DataFrame(rows, columns=["step", "jobs", "seconds, all jobs", "seconds, first start to last end"])


def _clone() -> dict[str, Any]:
    return _read("clone", 1, "rules", "python -m pretraining_gain.bench.clone")
