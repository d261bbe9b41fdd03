"""How fast this is, as the benchmark measured it: tables, a figure and numbers from `results/bench/<device>.json`.

The files are made by `make bench`, one a device. All ratios in them are medians over rounds, with the smallest and largest.
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
#: Parts of the benchmark in the order of the chapter, and what each compares.
PARTS = {
    "limit": "against the network alone",
    "loaders": "end to end from files",
    "decoding": "decoding and augmenting, one core",
    "evaluation": "evaluation from files",
    "parity": "the same recipe, over seeds",
    "frozen": "frozen backbone, over seeds",
    "study": "the toy study",
    "analysis": "analysis and book",
}
_NETWORK_ALONE, _PLAIN_LOOP = "one batch in memory", "torchvision loop"
_NETWORK_BOUND = [("resnet18", 32), ("resnet50", 64)]
_PACE = {"images": "images per second", "draws": "draws per second"}


def bench_path(device: str) -> Path:
    return results_of("bench", "cpu.json") / f"{device}.json"


def how_to_make(device: str) -> str:
    return f"make bench DEVICE={device}"


def is_measured(device: str) -> bool:
    return bench_path(device).exists()


class PerformanceView(Parameters):
    """The parameters of the notebook: of which device the benchmark is shown."""

    device: str = "cpu"

    def performance(self) -> Performance:
        return Performance.of(self.device)


@dataclass(frozen=True)
class Performance:
    """What the benchmark found on one device; `record` is its file."""

    device: str
    record: dict[str, Any]

    @classmethod
    def of(cls, device: str) -> Performance:
        """Raises `InputError` for an unknown device, and when its file is missing or damaged."""
        if device not in DEVICES:
            raise InputError(f"device={device!r}; accepted: {', '.join(DEVICES)}")
        path = bench_path(device)
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["schema_version"] != 1 or not isinstance(record["parts"], dict):
                raise ValueError("it is of another form")
            return cls(device, record)
        except (OSError, ValueError, LookupError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"benchmark {path} cannot be read ({reason}); make it with `{how_to_make(device)}`"
            ) from None

    def comparisons(self, part: str) -> list[dict[str, Any]]:
        return self.record["parts"].get(part, {"comparisons": []})["comparisons"]

    def accuracies(self, part: str) -> list[dict[str, Any]]:
        return self.record["parts"].get(part, {"accuracies": []})["accuracies"]

    def targets(self) -> pd.DataFrame:
        """One row an aim: what was compared with what, the ratio that was aimed at, the one that was reached with its
        spread over rounds, and whether it is met."""
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
            for part in PARTS
            for comparison in self.comparisons(part)
            for target in comparison["targets"]
        ]
        columns = ["compared", "contestant", "against", "aim", "reached", "low", "high", "rounds", "met"]
        return pd.DataFrame(rows, columns=columns)

    def table(self, part: str) -> pd.DataFrame:
        """One row a contestant of each comparison of a part; those that could not run are named with the reason.

        Raises `InputError` for a part that is none.
        """
        if part not in PARTS:
            raise InputError(f"part {part!r} is unknown; accepted: {', '.join(PARTS)}")
        rows = [row for comparison in self.comparisons(part) for row in _rows(comparison)]
        notes = self.record["parts"].get(part, {}).get("notes", [])
        rows += [{"setting": note, "contestant": "", "speed": "", "ratio": "", "rounds": ""} for note in notes]
        if not rows:
            why = self.record["failed"].get(part, "not measured")
            rows = [{"setting": why, "contestant": "", "speed": "", "ratio": "", "rounds": ""}]
        return pd.DataFrame(rows)

    def accuracy_table(self) -> pd.DataFrame:
        """Top-1 of each contestant: mean and standard deviation over seeds, and the mean difference from the reference's with
        the same seed, with its 95 % interval."""
        rows = [row for part in PARTS for accuracy in self.accuracies(part) for row in _accuracy_rows(accuracy)]
        return pd.DataFrame(
            rows, columns=["recipe", "contestant", "seeds", "images", "top-1", "sd over seeds", "difference"]
        )

    def profiles(self) -> pd.DataFrame:
        """Where the time goes in each comparison that missed an aim: the first lines of its profiles."""
        rows = [
            {
                "compared": f"{comparison['name']}: {comparison['setting']}",
                "contestant": contestant,
                "where the time goes": "; ".join(f"{cost['what']} {cost['share']:.0%}" for cost in costs[:4]),
            }
            for part in PARTS
            for comparison in self.comparisons(part)
            for contestant, costs in comparison["profiles"].items()
            if costs
        ]
        return pd.DataFrame(rows, columns=["compared", "contestant", "where the time goes"])

    def machine(self) -> pd.DataFrame:
        """The machine, the images, the versions, and when: one row a fact."""
        record = self.record
        facts = {name.replace("_", " "): value for name, value in record["machine"].items()}
        facts |= {"images": record["images"], "date": record["date"], "commit": record["commit"][:7]}
        facts |= {"versions": ", ".join(f"{name} {version}" for name, version in record["versions"].items())}
        minutes = sum(part["wall_time_s"] for part in record["parts"].values()) / 60
        facts |= {"minutes for all of it": f"{minutes:.0f}"} | {
            f"failed: {name}": why for name, why in record["failed"].items()
        }
        return pd.DataFrame({"value": {name: str(value) for name, value in facts.items()}}).rename_axis("benchmark")

    def numbers(self) -> dict[str, Any]:
        """For the prose: how many aims are met, and the ratios that chapters name; NaN where something was not measured."""
        targets = self.targets()
        end_to_end = {f"end_to_end_{px}": self._ratio("loaders", f", {px} px", "ours") for px in (32, 64, 224)}
        end_to_end |= {f"ceiling_{px}": self._ceiling(f"{name}, {px} px") for name, px in _NETWORK_BOUND}
        return end_to_end | {
            "end_to_end_small": self._ratio("loaders", "resnet10_w16, 32 px", "ours"),
            "n_targets": len(targets),
            "n_met": int((targets["met"] == "met").sum()),
            "n_missed": int((targets["met"] == "missed").sum()),
            "limit_least": self._ratio("limit", "", "ours"),
            "decoding_least": self._ratio("decoding", "px", "ours"),
            "times_frozen": self._ratio("frozen", "", "ours, features of views"),
            "times_study": self._ratio("study", "", "ours"),
            "least_rounds": min((one["rounds"] for part in PARTS for one in self.comparisons(part)), default=0),
            "processor": self.record["machine"]["processor"],
            "cores": self.record["machine"]["cores"],
            "images": self.record["images"],
            "minutes": sum(part["wall_time_s"] for part in self.record["parts"].values()) / 60,
        }

    def _ceiling(self, setting: str) -> float:
        """How many times as fast as torchvision's loop a training would be that took no time but the network's."""
        speeds = {
            (comparison["name"], outcome["contestant"]): outcome["items_per_s"]["median"]
            for comparison in [*self.comparisons("limit"), *self.comparisons("loaders")]
            if comparison["setting"] == setting
            for outcome in comparison["outcomes"]
        }
        alone, loop = speeds.get(("limit", _NETWORK_ALONE)), speeds.get(("loaders", _PLAIN_LOOP))
        return alone / loop if alone and loop else math.nan

    def _ratio(self, part: str, setting: str, contestant: str) -> float:
        """The smallest median ratio to the reference, over the comparisons of that name whose setting ends so."""
        found = [
            outcome["ratio"]["median"]
            for comparison in self.comparisons(part)
            if comparison["name"] == part and comparison["setting"].endswith(setting)
            for outcome in comparison["outcomes"]
            if outcome["contestant"] == contestant
        ]
        return min(found, default=math.nan)


def _rows(comparison: dict[str, Any]) -> Iterator[dict[str, Any]]:
    unit = comparison["unit"]
    setting = (
        f"{comparison['name']}: {comparison['setting']}"
        if comparison["name"] == "augmenting"
        else comparison["setting"]
    )
    for outcome in comparison["outcomes"]:
        is_reference = outcome["contestant"] == comparison["reference"]
        yield {
            "setting": setting,
            "contestant": outcome["contestant"],
            "speed": _speed(outcome, unit),
            "ratio": "reference" if is_reference else _spread(outcome["ratio"], ".2f"),
            "rounds": str(comparison["rounds"]),
        }
    for contestant, reason in comparison["absent"].items():
        yield {
            "setting": setting,
            "contestant": contestant,
            "speed": f"did not run: {reason}",
            "ratio": "",
            "rounds": "",
        }


def _speed(outcome: dict[str, Any], unit: str) -> str:
    """Images or draws a second; seconds of what is done once."""
    if unit in _PACE:
        return f"{_spread(outcome['items_per_s'], ',.0f')} {_PACE[unit]}"
    seconds = sorted(outcome["seconds"])
    spread = {"median": pd.Series(seconds).median(), "low": seconds[0], "high": seconds[-1]}
    return f"{_spread(spread, '.2f')} s"


def _spread(spread: dict[str, float], form: str) -> str:
    return f"{spread['median']:{form}} ({spread['low']:{form}} to {spread['high']:{form}})"


def _accuracy_rows(accuracy: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for contestant, values in accuracy["top1"].items():
        difference = accuracy["differences"].get(contestant)
        yield {
            "recipe": f"{accuracy['name']}: {accuracy['setting']}",
            "contestant": contestant,
            "seeds": len(values),
            "images": accuracy["images"],
            "top-1": f"{pd.Series(values).mean():.1%}",
            "sd over seeds": f"{accuracy['seed_sd'][contestant]:.1%}",
            "difference": _points(difference) if difference else "reference",
        }


def _points(difference: dict[str, float]) -> str:
    mean, low, high = (100 * difference[name] for name in ("mean", "low", "high"))
    return f"{mean:+.1f} points ({low:+.1f} to {high:+.1f})"


def targets_or_how(device: str) -> pd.DataFrame:
    """The aims of a device that the benchmark ran on; else one row that says how to run it."""
    if is_measured(device):
        return Performance.of(device).targets()
    return pd.DataFrame({"device": [device], "status": ["not run here"], "made by": [how_to_make(device)]})
