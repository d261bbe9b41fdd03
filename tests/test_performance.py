"""The benchmark as the book shows it: every aim with its spread, reasons for what did not run, and a GPU that is missing."""

from __future__ import annotations

import json
import math
import re

import pytest
from conftest import ROOT
from refusal import refused

from pretraining_gain.tell.figures.performance import figure_targets
from pretraining_gain.tell.software.performance import (
    Performance,
    bench_path,
    clone_table,
    growth_rows,
    targets_or_how,
)

SPREAD = {"median": 2.0, "low": 1.5, "high": 3.0}


def comparison(name: str, **more) -> dict:
    outcome = {"items": 10_000, "processor_seconds": [8.0, 9.0, 10.0]}
    outcome |= {"items_per_s": {"median": 2.0, "low": 1.7, "high": 2.5}}
    outcomes = [outcome | {"contestant": one, "ratio": SPREAD} for one in ("ours", "other")]
    given = {"name": name, "setting": f"{name} at 32 px", "reference": "other", "rounds": 3}
    return given | {"outcomes": outcomes, "clock": "wall time", "targets": [], "notes": [], "profiles": {}} | more


@pytest.fixture
def measured(results):
    """A benchmark with an aim met, one missed, a decoder that did not run, a note, a failed part; files of growth and clone."""
    target = {"contestant": "ours", "reference": "other", "ratio": SPREAD}
    targets = [target | {"at_least": at_least, "met": met} for at_least, met in ((1.5, True), (2.5, False), (1.9, None))]
    profiles = {"ours": [{"what": "conv", "share": 0.75, "seconds": 3.0}]}
    parity = {"name": "parity", "setting": "s", "reference": "other", "seeds": [0, 1], "images": 99,
              "top1": {"other": [0.4, 0.5], "ours": [0.42, 0.5]}, "seed_sd": {"other": 0.07, "ours": 0.056},
              "differences": {"ours": {"mean": 0.01, "low": -0.1, "high": 0.12}}}  # fmt: skip
    parts = {
        "limit": {"comparisons": [comparison("limit", targets=targets, profiles=profiles)]},
        "feeding": {"comparisons": [comparison("decoding", clock="processor time"), comparison("per core", notes=["one core"])]},
        "parity": {"comparisons": [], "accuracies": [parity]},
    }
    record = {"schema_version": 1, "device": "cpu", "date": "2026-11-25", "commit": "c" * 40, "images": "drawn", "parts": parts,
              "machine": {"processor": "a processor", "cores": 2}, "versions": {"torch": "2"},
              "failed": {"frozen": "out of memory"}}  # fmt: skip
    row = {"varied": "species", "species": 36, "step": "tables", "seconds": 2.0, "cpu_s": 1.5, "peak_mb": 100}
    (results / "bench").mkdir(parents=True)
    (results / "bench" / "cpu.json").write_text(json.dumps(record))
    (results / "bench" / "growth.json").write_text(json.dumps({"schema_version": 2, "rows": [row]}))
    seconds = {"installation": 30.0, "reproduce": 60.0, "start": 3.0}
    took = {"commands": [{"what": what, "seconds": one} for what, one in seconds.items()], "rules": [{"rule": "book"}]}
    (results / "bench" / "clone.json").write_text(json.dumps({"schema_version": 1} | took))
    return results


def test_every_aim_is_a_row_with_its_spread(measured):
    targets = Performance().targets()
    assert targets["met"].tolist() == ["met", "missed", "too noisy to tell"]
    assert targets.loc[0, ["aim", "reached", "low", "high", "rounds"]].tolist() == [1.5, 2.0, 1.5, 3.0, 3]


def test_the_figure_shows_aims_met_and_missed(measured):
    shown = {trace.name: trace for trace in figure_targets(Performance()).data}
    assert set(shown) == {"reached, aim met", "reached, aim missed", "too noisy to tell", "aim"}
    assert list(shown["reached, aim missed"].error_x.array) == [1.0]
    assert list(shown["aim"].x) == [1.5, 2.5, 1.9]


@pytest.mark.parametrize(
    ("part", "column", "expected"),
    [
        ("limit", "ratio", ["2.00 (1.50 to 3.00)", "reference"]),
        ("limit", "speed", ["2 (2 to 2) images per second"] * 2),
        ("feeding", "ratio", ["2.00 (1.50 to 3.00) of processor time", "reference", "2.00 (1.50 to 3.00)", "reference", ""]),
        ("feeding", "setting", ["decoding: decoding at 32 px"] * 2 + ["per core: per core at 32 px"] * 2 + ["one core"]),
        ("frozen", "setting", ["out of memory"]),
        ("loaders", "setting", ["not measured"]),
    ],
)
def test_tables_show_speeds_and_name_what_did_not_run(measured, part, column, expected):
    assert Performance().table(part)[column].tolist() == expected


def test_cores_of_a_node_follow_from_processor_time(measured):
    """10,000 images in 9 seconds of processor time."""
    rows = Performance().sizing().to_numpy().tolist()
    assert rows == [["ours", "1,111", "1", "3", "18"], ["other", "1,111", "1", "3", "18"]]


def test_accuracies_are_differences_in_points(measured):
    accuracy = Performance().accuracy_table()
    assert accuracy["top-1"].tolist() == ["45.0%", "46.0%"]
    assert accuracy["difference"].tolist() == ["reference", "+1.0 points (-10.0 to +12.0)"]


def test_a_missed_aim_has_its_profile_and_a_failure_its_reason(measured):
    performance = Performance()
    assert performance.profiles()["where the time goes"].tolist() == ["conv 75%"]
    assert performance.machine().loc["failed: frozen", "value"] == "out of memory"


def test_the_numbers_of_the_prose_are_those_of_the_files(measured):
    found = Performance().numbers()
    assert (found["n_targets"], found["n_met"], found["n_missed"], found["least_rounds"]) == (3, 1, 1, 3)
    assert (found["growth_species"], found["growth_tables_s"]) == (36, 1.5)
    assert (found["clone_minutes"], found["clone_start_s"]) == (1.5, 3.0)
    assert math.isnan(found["end_to_end_32"])


def test_a_gpu_that_was_not_there_is_named_with_the_command(measured):
    assert targets_or_how("cuda")["made by"].tolist() == ["make bench DEVICE=cuda"]
    (measured / "bench" / "cuda.json").write_bytes(bench_path("cpu").read_bytes())
    assert targets_or_how("cuda")["met"].tolist() == ["met", "missed", "too noisy to tell"]


@pytest.mark.parametrize(
    ("name", "show", "how"),
    [
        ("cpu", lambda: Performance().targets(), "make bench DEVICE=cpu"),
        ("growth", growth_rows, "python -m pretraining_gain.bench.growth"),
        ("clone", clone_table, "python -m pretraining_gain.bench.clone"),
    ],
)
def test_a_damaged_file_is_one_line_with_the_command(results, name, show, how):
    path = results / "bench" / f"{name}.json"
    path.parent.mkdir(parents=True)
    empty, filled = '"parts": {}, "rows": [], "rules": []', '"parts": {"a": {}}, "rows": [1], "rules": [1]'
    others = [f'{{"schema_version": {n}, {fields}}}' for n, fields in ((1, empty), (2, empty), (3, filled))]
    for content in ("{", "[]", '{"schema_version": 1}', *others):
        path.write_text(content)
        with refused(str(path), "cannot be read", f"make it with `{how}`", unchanged=results):
            show()


def test_an_unknown_device_is_named(results):
    with refused("device: Input should be 'cpu' or 'cuda' (got 'tpu')", unchanged=results):
        Performance(device="tpu")


def test_the_chapter_states_only_numbers_that_the_committed_files_have():
    stated = set(re.findall(r"\{n\}`performance\.(\w+)", (ROOT / "book" / "performance.md").read_text()))
    assert not [name for name, value in Performance().numbers().items() if name in stated and value != value]
