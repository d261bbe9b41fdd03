"""Show what the benchmark measured: tables, numbers and growth from `results/bench/<device>.json` and `growth.json`.

`make bench` and `python -m pretraining_gain.bench.growth` write these files. Ratios are medians over rounds, with the
smallest and the largest.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.paths import results_of
from pretraining_gain.plan.parameters import Parameters

DEVICES = ("cpu", "cuda")
#: Parts of the benchmark, in the chapter's order.
PARTS = ("limit", "loaders", "decoding", "evaluation", "parity", "frozen", "study")
_UNITS = {"images": "images per second"}
_COLUMNS = ["setting", "contestant", "speed", "ratio", "rounds"]
_GROWTH = "python -m pretraining_gain.bench.growth"


def bench_path(device: str) -> Path:
    """Return the benchmark's file for a device, or `growth`."""
    return results_of("bench", f"{device}.json") / f"{device}.json"


def _read(device: str, version: int, field: str, how: str) -> dict[str, Any]:
    path = bench_path(device)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema_version"] != version or not record[field]:
            raise ValueError("it has another form")
        return record
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"benchmark {path} cannot be read ({' '.join(str(error).split())}); make it with `{how}`") from None


class PerformanceView(Parameters):
    """The parameter of the notebook: which device's benchmark to show."""

    device: str = "cpu"

    def performance(self) -> Performance:
        """Return the benchmark of the chosen device."""
        return Performance.of(self.device)


@dataclass(frozen=True)
class Performance:
    """Results of the benchmark on one device; `record` is the content of its file."""

    device: str
    record: dict[str, Any]

    @classmethod
    def of(cls, device: str) -> Performance:
        """Read a device's benchmark. Raise `InputError` for an unknown device and for a missing or damaged file."""
        if device not in DEVICES:
            raise InputError(f"device={device!r}; accepted: {', '.join(DEVICES)}")
        return cls(device, _read(device, 1, "parts", f"make bench DEVICE={device}"))

    def comparisons(self, *parts: str) -> list[dict[str, Any]]:
        """Return the comparisons of these parts, or of all."""
        return [one for part in parts or PARTS for one in self.record["parts"].get(part, {}).get("comparisons", [])]

    def targets(self) -> pd.DataFrame:
        """Return one row per aim: what was compared, the aim, the ratio reached with its spread, and whether it is met."""
        rows = [
            {
                "compared": f"{comparison['name']}: {comparison['setting']}",
                "contestant": target["contestant"],
                "against": target["reference"],
                "aim": target["at_least"],
                "reached": target["ratio"]["median"],
                "low": target["ratio"]["low"],
                "high": target["ratio"]["high"],
                "rounds": comparison["rounds"],
                "met": "met" if target["met"] else "missed",
            }
            for comparison in self.comparisons()
            for target in comparison["targets"]
        ]
        return pd.DataFrame(rows, columns=["compared", "contestant", "against", "aim", "reached", "low", "high", "rounds", "met"])

    def table(self, part: str) -> pd.DataFrame:
        """Return one row per contestant of a part; one that could not run has the reason. Raise `InputError` for another part."""
        if part not in PARTS:
            raise InputError(f"part {part!r} is unknown; accepted: {', '.join(PARTS)}")
        rows = [row for comparison in self.comparisons(part) for row in _rows(comparison)]
        notes = self.record["parts"].get(part, {}).get("notes", [])
        if not rows and not notes:
            notes = [self.record["failed"].get(part, "not measured")]
        return pd.DataFrame([*rows, *({"setting": note} for note in notes)], columns=_COLUMNS).fillna("")

    def accuracy_table(self) -> pd.DataFrame:
        """Return one row per contestant trained over seeds: mean top-1, its standard deviation, and the paired difference."""
        rows = [
            {
                "recipe": f"{accuracy['name']}: {accuracy['setting']}",
                "contestant": name,
                "seeds": len(values),
                "images": accuracy["images"],
                "top-1": f"{pd.Series(values).mean():.1%}",
                "sd over seeds": f"{100 * accuracy['seed_sd'][name]:.1f} points",
                "difference": _points(accuracy["differences"].get(name)),
            }
            for part in PARTS
            for accuracy in self.record["parts"].get(part, {}).get("accuracies", [])
            for name, values in accuracy["top1"].items()
        ]
        return pd.DataFrame(rows, columns=["recipe", "contestant", "seeds", "images", "top-1", "sd over seeds", "difference"])

    def profiles(self) -> pd.DataFrame:
        """Return where the time goes in each comparison that missed an aim: the first lines of its profiles."""
        rows = [
            {
                "compared": f"{comparison['name']}: {comparison['setting']}",
                "contestant": contestant,
                "where the time goes": "; ".join(f"{cost['what']} {cost['share']:.0%}" for cost in costs[:4]),
            }
            for comparison in self.comparisons()
            for contestant, costs in comparison["profiles"].items()
        ]
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
        targets, machine, rows = self.targets(), self.record["machine"], growth_rows()
        largest = rows[(rows["varied"] == "species") & (rows["species"] == rows["species"].max())].set_index("step")
        ratios = {f"end_to_end_{px}": self._least_ratio("loaders", f", {px} px") for px in (32, 64, 224)}
        ratios |= {"end_to_end_small": self._least_ratio("loaders", "resnet10_w16, 32 px")}
        ratios |= {"times_frozen": self._least_ratio("frozen", "", "ours, features of views")}
        ratios |= {f"ceiling_{px}": self._ceiling(f"{name}, {px} px") for name, px in (("resnet18", 32), ("resnet50", 64))}
        return ratios | {
            "n_targets": len(targets),
            "n_met": int((targets["met"] == "met").sum()),
            "n_missed": int((targets["met"] == "missed").sum()),
            "least_rounds": min((one["rounds"] for one in self.comparisons()), default=0),
            "processor": machine["processor"],
            "cores": machine["cores"],
            "images": self.record["images"],
            "growth_species": int(rows["species"].max()),
            "growth_cpu_s": float(largest["cpu_s"].sum()),
            "growth_tables_s": float(largest.at["tables", "cpu_s"]),
            "growth_peak_mb": float(rows["peak_mb"].max()),
        }

    def _ceiling(self, setting: str) -> float:
        """Return how many times as fast as torchvision's loop a training would be that spent time in the network only."""
        speeds = {
            outcome["contestant"]: outcome["items_per_s"]["median"]
            for comparison in self.comparisons("limit", "loaders")
            if comparison["setting"] == setting
            for outcome in comparison["outcomes"]
        }
        return speeds.get("one batch in memory", math.nan) / speeds.get("torchvision loop", math.nan)

    def _least_ratio(self, part: str, setting: str, contestant: str = "ours") -> float:
        """Return the smallest median ratio to the reference, over the part's comparisons whose setting ends like this."""
        found = [
            outcome["ratio"]["median"]
            for comparison in self.comparisons(part)
            if comparison["setting"].endswith(setting)
            for outcome in comparison["outcomes"]
            if outcome["contestant"] == contestant
        ]
        return min(found, default=math.nan)


def _rows(comparison: dict[str, Any]) -> Iterator[dict[str, str]]:
    setting = f"{comparison['name']}: {comparison['setting']}" if comparison["name"] == "augmenting" else comparison["setting"]
    for outcome in comparison["outcomes"]:
        if unit := _UNITS.get(comparison["unit"]):
            speed = f"{_spread(outcome['items_per_s'], ',.0f')} {unit}"
        else:
            seconds = pd.Series(outcome["seconds"])
            speed = f"{_spread({'median': seconds.median(), 'low': seconds.min(), 'high': seconds.max()}, '.2f')} s"
        ratio = "reference" if outcome["contestant"] == comparison["reference"] else _spread(outcome["ratio"], ".2f")
        yield dict(zip(_COLUMNS, (setting, outcome["contestant"], speed, ratio, str(comparison["rounds"])), strict=True))
    for contestant, reason in comparison["absent"].items():
        yield {"setting": setting, "contestant": contestant, "speed": f"did not run: {reason}"}


def _spread(spread: dict[str, float], form: str) -> str:
    return f"{spread['median']:{form}} ({spread['low']:{form}} to {spread['high']:{form}})"


def _points(difference: dict[str, float] | None) -> str:
    if difference is None:
        return "reference"
    mean, low, high = (100 * difference[name] for name in ("mean", "low", "high"))
    return f"{mean:+.1f} points ({low:+.1f} to {high:+.1f})"


def targets_or_how(device: str) -> pd.DataFrame:
    """Return the aims of a device that was benchmarked, otherwise one row that says how to do it."""
    if bench_path(device).exists():
        return Performance.of(device).targets()
    return pd.DataFrame({"device": [device], "status": ["not run here"], "made by": [f"make bench DEVICE={device}"]})


def growth_rows() -> pd.DataFrame:
    """Return one row per step and size of the growth measurement. Raise `InputError` for a missing or damaged file."""
    return pd.DataFrame(_read("growth", 2, "rows", _GROWTH)["rows"])
