"""The benchmark as the book shows it: every aim with its spread, what did not run with its reason, a GPU that was not there."""

from __future__ import annotations

import json

import pytest
from refusal import refused

from pretraining_gain.bench.records import Bench
from pretraining_gain.tell.figures.performance import figure_targets
from pretraining_gain.tell.software.performance import PARTS, Performance, PerformanceView, bench_path, targets_or_how

SPREAD = {"median": 2.0, "low": 1.5, "high": 3.0}


def comparison(name: str, **more) -> dict:
    outcome = {"items": 10, "seconds": [4.0, 5.0, 6.0], "items_per_s": {"median": 2.0, "low": 1.7, "high": 2.5}}
    outcomes = [outcome | {"contestant": one, "ratio": SPREAD} for one in ("ours", "other")]
    given = {"name": name, "setting": f"{name} at 32 px", "unit": "images", "reference": "other", "rounds": 3}
    return given | {"outcomes": outcomes, "targets": [], "absent": {}, "notes": [], "profiles": {}} | more


@pytest.fixture
def measured(results):
    """A benchmark of two parts, with an aim met, one missed, and an engine that did not run."""
    target = {"contestant": "ours", "reference": "other", "ratio": SPREAD}
    targets = [target | {"at_least": 1.5, "met": True}, target | {"at_least": 2.5, "met": False}]
    profiles = {"ours": [{"what": "conv", "share": 0.75, "seconds": 3.0}]}
    limit = comparison("limit", targets=targets, profiles=profiles)
    top1 = {"other": [0.4, 0.5], "ours": [0.42, 0.5]}
    parity = {"name": "parity", "setting": "s", "reference": "other", "seeds": [0, 1], "images": 99, "top1": top1}
    parity |= {
        "seed_sd": {"other": 0.07, "ours": 0.056},
        "differences": {"ours": {"mean": 0.01, "low": -0.1, "high": 0.12}},
    }
    parts = {
        "limit": {"comparisons": [limit]},
        "decoding": {"comparisons": [comparison("decoding", absent={"dali": "no CUDA"})]},
    }
    parts |= {
        "parity": {"comparisons": [], "accuracies": [parity]},
        "study": {"comparisons": [comparison("study", unit="studies")], "notes": ["no book was built here"]},
    }
    record = Bench(
        device="cpu", scale="full", date="2026-11-25", commit="c" * 40, changed=False, images="drawn",
        machine={"processor": "a processor", "cores": 2}, versions={"torch": "2"}, parts=parts, failed={"frozen": "out of memory"},
    )  # fmt: skip
    (results / "bench").mkdir(parents=True)
    (results / "bench" / "cpu.json").write_text(record.model_dump_json())
    return results


def test_every_aim_is_a_row_with_its_spread(measured):
    targets = Performance.of("cpu").targets()
    assert targets["met"].tolist() == ["met", "missed"] and targets["aim"].tolist() == [1.5, 2.5]
    assert targets.loc[0, ["reached", "low", "high", "rounds"]].tolist() == [2.0, 1.5, 3.0, 3]
    figure = figure_targets(targets)
    shown = {trace.name: trace for trace in figure.data}
    assert set(shown) == {"reached, aim met", "reached, aim missed", "aim"}
    assert list(shown["reached, aim missed"].error_x.array) == [1.0] and list(shown["aim"].x) == [1.5, 2.5]


def test_tables_name_what_did_not_run_and_what_failed(measured):
    performance = Performance.of("cpu")
    decoding = performance.table("decoding")
    assert decoding["ratio"].tolist() == ["2.00 (1.50 to 3.00)", "reference", ""]
    assert decoding.iloc[2].tolist()[1:3] == ["dali", "did not run: no CUDA"]
    assert performance.table("study")["speed"].iloc[0] == "5.00 (4.00 to 6.00) s"
    assert performance.table("study")["setting"].iloc[-1] == "no book was built here"
    assert performance.table("frozen")["setting"].tolist() == ["out of memory"]
    assert performance.table("loaders")["setting"].tolist() == ["not measured"]
    assert performance.profiles()["where the time goes"].tolist() == ["conv 75%"]
    assert performance.machine().loc["failed: frozen", "value"] == "out of memory"
    accuracy = performance.accuracy_table()
    assert accuracy["top-1"].tolist() == ["45.0%", "46.0%"]
    assert accuracy["difference"].tolist() == ["reference", "+1.0 points (-10.0 to +12.0)"]
    with refused("part 'speed' is unknown", f"accepted: {', '.join(PARTS)}", unchanged=measured):
        performance.table("speed")


def test_the_numbers_of_the_prose_are_those_of_the_file(measured):
    found = Performance.of("cpu").numbers()
    assert (found["n_targets"], found["n_met"], found["n_missed"], found["least_rounds"]) == (2, 1, 1, 3)
    assert found["limit_least"] == 2.0 and found["times_study"] == 2.0 and found["end_to_end_32"] != found["end_to_end_32"]


def test_a_gpu_that_was_not_there_is_named_with_the_command(measured):
    assert targets_or_how("cuda")["made by"].tolist() == ["make bench DEVICE=cuda"]
    (measured / "bench" / "cuda.json").write_bytes(bench_path("cpu").read_bytes())
    assert targets_or_how("cuda")["met"].tolist() == ["met", "missed"]


@pytest.mark.parametrize("content", ["{", "[]", '{"schema_version": 2, "parts": {}}', '{"schema_version": 1}'])
def test_what_is_missing_or_damaged_is_named(results, content):
    (results / "bench").mkdir(parents=True)
    (results / "bench" / "cpu.json").write_text(content)
    with refused("cannot be read", "make it with `make bench DEVICE=cpu`", unchanged=results):
        PerformanceView(device="cpu").performance()
    with refused("device='tpu'", "accepted: cpu, cuda", unchanged=results):
        PerformanceView(device="tpu").performance()


def test_the_committed_benchmark_is_a_full_one_of_a_named_machine():
    record = json.loads(bench_path("cpu").read_text())
    assert Bench.model_validate(record).scale == "full" and not record["changed"] and not record["failed"]
    assert record["machine"]["processor"] and record["machine"]["cores"] >= 1 and len(record["commit"]) == 40
    assert set(record["parts"]) == set(PARTS)
    rounds = [comparison["rounds"] for part in record["parts"].values() for comparison in part["comparisons"]]
    assert min(rounds) >= 2
    found = Performance.of("cpu").numbers()
    assert found["decoding_least"] >= 1.5 and found["end_to_end_small"] >= 1.5
    compared = record["parts"]["limit"]["comparisons"]
    limits = {one["setting"]: one["targets"][0]["ratio"]["median"] for one in compared}
    assert all(limits[setting] >= 0.95 for setting in ("resnet18, 32 px", "resnet50, 64 px", "resnet50, 224 px"))
