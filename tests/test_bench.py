"""The benchmark: interleaved rounds, paired ratios, every part on drawn pictures, and CUDA requested without a GPU."""

from __future__ import annotations

import json
import os
import re
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT

from pretraining_gain.bench import __main__ as program
from pretraining_gain.bench import measure
from pretraining_gain.bench.images import Photographs
from pretraining_gain.bench.measure import Effort, compare, paired_difference
from pretraining_gain.bench.parts import CUDA, Scale, Setting
from pretraining_gain.errors import InputError
from pretraining_gain.tell.software.performance import PARTS, Performance

_SMALL = Setting("resnet10_w16", 32, 24, 8)
#: A form of the benchmark that only shows that it works.
TINY = Scale("tiny", {
    **{part: [_SMALL] for part in ("limit", "evaluation", "parity", "frozen")},
    "loaders": [_SMALL, Setting("resnet10_w16", 224, 16, 8)], "feeding": [Setting("", 224, 16, 8)],
}, rounds=2, budget_s=0, seeds=2, pretrain_epochs=1, drawn_per_class=8, workers=(0,))  # fmt: skip


@pytest.fixture
def clock(monkeypatch):
    """Contestants take the given seconds, one after the other, and `busy` processor seconds; `order` says who ran when."""
    found = SimpleNamespace(order=[], seconds={}, busy={})

    def timed(work, synchronize):
        found.order.append(work.args[0])
        return found.seconds[work.args[0]].pop(0), found.busy.get(work.args[0], 1.0)

    monkeypatch.setattr(measure, "timed", timed)
    return found


def compared(names: str, effort: Effort, *aims) -> dict:
    """Compare contestants of one letter, of which each does ten items; the first is the reference."""
    return compare("x", "s", {name: partial(str, name) for name in names}, 10, effort, *aims)


def test_ratios_are_paired_within_rounds(clock):
    """The machine is ten times slower in the second round; no ratio shows it."""
    clock.seconds |= {"a": [9.0, 1.0, 10.0, 1.0], "b": [9.0, 0.5, 5.0, 0.45]}
    found = compared("ab", Effort(rounds=3), ("b", "a", 2.0), ("a", "b", 1.0))
    assert found["outcomes"][1]["ratio"] == pytest.approx({"median": 2.0, "low": 2.0, "high": 1 / 0.45})
    assert found["outcomes"][0]["items_per_s"] == {"median": 10.0, "low": 1.0, "high": 10.0}
    assert [target["met"] for target in found["targets"]] == [True, False]
    assert set(found["profiles"]) == {"a", "b"}
    assert found["clock"] == "wall time"


@pytest.mark.parametrize(
    ("aim", "on_cpu", "verdict", "used"),
    [
        (2.0, False, None, "wall time"),  # 1, 4, 1, 4, 1, 4 times as fast: on both sides of the aim
        (0.9, False, True, "wall time"),
        (5.0, False, False, "wall time"),
        (2.0, True, True, "processor time"),  # always twice as fast
    ],
)
def test_rounds_that_disagree_are_twice_as_many_and_undecided_or_by_processor_time(clock, aim, on_cpu, verdict, used):
    clock.seconds |= {"a": [1.0, *[1.0] * 6], "b": [1.0, *[1.0, 0.25] * 3]}
    clock.busy |= {"a": 1.0, "b": 0.5}
    found = compared("ab", Effort(rounds=3, on_cpu=on_cpu), ("b", "a", aim))
    assert (found["rounds"], found["clock"]) == (6, used)
    assert found["targets"][0]["met"] is verdict


@pytest.mark.parametrize(
    ("effort", "order"),
    [
        (Effort(rounds=3), "abc" + "abc" + "bca" + "cab"),  # shifts by one each round, after a warm-up
        (Effort(budget_s=0), "abc" + "abc" + "bca"),  # a budget ends rounds, but not before the second
        (Effort(rounds=3, budget_s=0, exactly=True), "abc" + "bca" + "cab"),
    ],
)
def test_contestants_take_turns(clock, effort, order):
    clock.seconds |= {name: [1.0] * 4 for name in "abc"}
    compared("abc", effort)
    assert "".join(clock.order) == order


def test_top1_is_compared_seed_by_seed():
    found = paired_difference([0.41, 0.51, 0.61], [0.4, 0.5, 0.6])
    assert found == pytest.approx({"mean": 0.01, "low": 0.01, "high": 0.01})


def test_a_repetition_is_timed_to_the_end_of_the_devices_work():
    calls: list[str] = []
    measure.timed(lambda: calls.append("work"), lambda: calls.append("synchronize"))
    assert calls == ["synchronize", "work", "synchronize"]


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Use drawn pictures, as no photographs are there; restore what the benchmark sets for its own process."""
    asked = torch.are_deterministic_algorithms_enabled()
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path))
    for name in ("DEVICE", "PRECISION", "CACHE", "PREPARED", "RESULTS"):
        monkeypatch.setenv(f"PRETRAINING_GAIN_{name}", os.environ.get(f"PRETRAINING_GAIN_{name}", ""))
    yield
    torch.use_deterministic_algorithms(asked)


def test_the_tiny_form_writes_a_file_that_the_chapter_reads(tmp_path, drawn, monkeypatch):
    record = json.loads(program.bench("cpu", tmp_path / "bench", TINY).read_text())
    monkeypatch.setenv("PRETRAINING_GAIN_RESULTS", str(tmp_path))
    found = Performance()
    assert record["failed"] == {}
    assert "drawn" in record["images"]
    contestants = {name: set(found.table(name)["contestant"]) - {""} for name in PARTS}
    assert contestants["loaders"] == {"ours", "torchvision loop", "timm loader"}
    assert contestants["frozen"] == {"plain loop, frozen", "ours, new crops in every epoch", "ours, features of views"}
    assert contestants["feeding"] >= {"Pillow", "Pillow, at a fraction of the size", "ours, decoded"}
    assert found.sizing()["per image"].tolist() == ["decoded and cropped", "decoded"]
    assert min(one["rounds"] for one in found.comparisons()) == 2
    assert found.accuracy_table()["seeds"].unique().tolist() == [2]


@pytest.mark.parametrize("scale", [TINY, CUDA, CUDA.short()])
def test_every_part_of_the_chapter_has_settings(scale):
    assert set(scale.settings) == set(program.PARTS) == set(PARTS)


def test_a_part_that_fails_loses_no_other(tmp_path, drawn, monkeypatch):
    def fails(given, setting) -> list:
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(Photographs, "find", lambda *_: Photographs([], "none", tmp_path))
    monkeypatch.setattr(program, "PARTS", {"loaders": fails, "limit": lambda given, setting: []})
    record = json.loads(program.bench("cpu", tmp_path, TINY).read_text())
    assert record["failed"] == {"loaders": "RuntimeError: out of memory"}
    assert set(record["parts"]) == {"limit"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_one_line(tmp_path, drawn, capsys, monkeypatch):
    monkeypatch.setenv("PRETRAINING_GAIN_RESULTS", str(tmp_path))
    assert program.main(["--device", "cuda"]) == 1
    assert "torch sees no CUDA device" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.json"))


def test_too_few_images_are_named(tmp_path):
    with pytest.raises(InputError, match="a class has 1 images, the benchmark needs 2 or more"):
        Photographs([[tmp_path / "a.jpg"]], "", tmp_path).task(1, 1, n_eval=1)


def test_nothing_imports_the_benchmark():
    imports = re.compile(r"^\s*(from|import) pretraining_gain\.bench", re.MULTILINE)
    package = ROOT / "src" / "pretraining_gain"
    assert not [path for path in package.rglob("*.py") if path.parent.name != "bench" and imports.search(path.read_text())]
