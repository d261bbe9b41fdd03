"""The benchmark: interleaved rounds, paired ratios, every part on drawn pictures, and CUDA requested without a GPU."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT
from refusal import refused

from pretraining_gain.bench import __main__ as program
from pretraining_gain.bench import loops, measure
from pretraining_gain.bench.decoding import why_absent
from pretraining_gain.bench.images import Photographs
from pretraining_gain.bench.measure import Contestant, Effort, compare, paired_difference
from pretraining_gain.bench.scale import CUDA, TINY
from pretraining_gain.bench.study import NAME, derived_study, figure_by_figure
from pretraining_gain.errors import InputError
from pretraining_gain.plan.studies import load_study
from pretraining_gain.tell.software.performance import PARTS, Performance

RECIPE = TINY.settings["loaders"][0].recipe()


@pytest.fixture
def clock(monkeypatch):
    """Contestants take the given seconds, one after the other; `order` says who ran when."""
    order: list[str] = []
    seconds: dict[str, list[float]] = {}

    def timed(contestant, synchronize):
        order.append(contestant.name)
        return seconds[contestant.name].pop(0)

    monkeypatch.setattr(measure, "timed", timed)
    return SimpleNamespace(order=order, seconds=seconds)


def contestants(names: str) -> list[Contestant]:
    return [Contestant(name, lambda: None, 10) for name in names]


def test_ratios_are_paired_within_rounds(clock):
    """The machine is ten times slower in the second round; no ratio shows it."""
    clock.seconds |= {"a": [9.0, 1.0, 10.0, 1.0], "b": [9.0, 0.5, 5.0, 0.25]}
    found = compare("x", "s", contestants("ab"), "a", Effort(3), ("b", "a", 2.0), ("a", "b", 1.0))
    assert found["outcomes"][1]["ratio"] == {"median": 2.0, "low": 2.0, "high": 4.0}
    assert found["outcomes"][0]["items_per_s"] == {"median": 10.0, "low": 1.0, "high": 10.0}
    assert [target["met"] for target in found["targets"]] == [True, False]
    assert set(found["profiles"]) == {"a", "b"}


def test_the_order_shifts_by_one_each_round_after_a_warm_up(clock):
    clock.seconds |= {name: [1.0] * 4 for name in "abc"}
    compare("x", "s", contestants("abc"), "a", Effort(3))
    assert "".join(clock.order) == "abc" + "abc" + "bca" + "cab"


def test_a_budget_ends_rounds_but_not_before_the_second(clock):
    clock.seconds |= {"a": [1.0] * 9}
    assert compare("x", "s", contestants("a"), "a", Effort(5, budget_s=0))["rounds"] == 2


def test_one_round_is_refused(results):
    with refused("rounds=1", "accepted: 2 or more, as one repetition gives no ratio", unchanged=results):
        compare("x", "s", contestants("a"), "a", Effort(1))


def test_top1_is_compared_seed_by_seed():
    found = paired_difference([0.41, 0.51, 0.61], [0.4, 0.5, 0.6])
    assert found == pytest.approx({"mean": 0.01, "low": 0.01, "high": 0.01})


def test_a_repetition_is_timed_to_the_end_of_the_devices_work():
    calls: list[str] = []
    one = Contestant("a", lambda: calls.append("work"), 1, lambda: calls.append("prepare"))
    measure.timed(one, lambda: calls.append("synchronize"))
    assert calls == ["prepare", "synchronize", "work", "synchronize"]


@pytest.fixture
def places(monkeypatch):
    """Restore the variables that the benchmark sets for its own process."""
    for name in ("DEVICE", "PRECISION", "CACHE", "PREPARED", "RESULTS"):
        monkeypatch.setenv(f"PRETRAINING_GAIN_{name}", os.environ.get(f"PRETRAINING_GAIN_{name}", ""))


@pytest.mark.slow
def test_the_tiny_form_writes_a_file_that_the_chapter_reads(tmp_path, places):
    names = [name for name in program.PARTS if name != "study"]
    out = tmp_path / "results" / "bench"
    arguments = ["--device", "cpu", "--tiny", "--drawn", "--out", str(out), "--only", ",".join(names)]
    assert program.main(arguments) == 0
    record = json.loads((out / "cpu.json").read_text())
    found = Performance("cpu", record)
    assert record["failed"] == {}
    assert "drawn" in record["images"]
    contestants = {name: set(found.table(name)["contestant"]) for name in names}
    assert contestants["loaders"] == {"ours", "torchvision loop", "timm loader"}
    assert contestants["frozen"] == {"plain loop, frozen", "ours, every epoch anew", "ours, features of views"}
    assert min(one["rounds"] for one in found.comparisons()) == 2
    assert found.accuracy_table()["seeds"].unique().tolist() == [2]


@pytest.mark.parametrize("scale", [TINY, CUDA])
def test_every_part_of_the_chapter_has_settings(scale):
    assert set(scale.settings) == set(program.PARTS) == set(PARTS)


def test_a_part_that_fails_loses_no_other_and_a_second_start_keeps_what_was_measured(tmp_path, places, monkeypatch):
    def fails(given, setting) -> list:
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(program, "PARTS", {"limit": lambda given, setting: [], "loaders": fails})
    record = json.loads(program.bench("cpu", ["limit", "loaders"], tmp_path, TINY, only_drawn=True).read_text())
    assert record["failed"] == {"loaders": "RuntimeError: out of memory"}
    monkeypatch.setattr(program, "PARTS", {"loaders": lambda given, setting: []})
    record = json.loads(program.bench("cpu", ["loaders"], tmp_path, TINY, only_drawn=True).read_text())
    assert set(record["parts"]) == {"limit", "loaders"}
    assert record["failed"] == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "limit,speed"], "'speed' is not a part of the benchmark; accepted: limit, loaders"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
        (["--tiny", "--device", "cpu"], "--tiny is no measurement; accepted: with --out"),
    ],
)
def test_a_wrong_command_is_one_line_and_writes_no_results(results, arguments, said):
    done = subprocess.run([sys.executable, "-m", "pretraining_gain.bench", *arguments], capture_output=True, text=True)
    assert done.returncode != 0
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not results.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_one_line(tmp_path, places, capsys):
    assert program.main(["--device", "cuda", "--out", str(tmp_path)]) == 1
    assert "torch sees no CUDA device" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.parametrize("amp", [False, True])
def test_on_cuda_the_plain_loop_moves_batches_and_sets_the_precision(monkeypatch, amp):
    """The device is CUDA in name only: calls are recorded and done on the CPU."""
    calls: list[tuple] = []
    to, autocast = torch.Tensor.to, torch.autocast

    def moved(tensor, *args, **kwargs):
        if args and args[0] == "cuda":
            calls.append(("moved", kwargs.get("non_blocking", False)))
            return tensor
        return to(tensor, *args, **kwargs)

    def cast(device, dtype=None, enabled=True):
        calls.append((device, dtype, enabled))
        return autocast("cpu", dtype, enabled=enabled)

    monkeypatch.setattr(torch.Tensor, "to", moved)
    monkeypatch.setattr(torch, "autocast", cast)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    batches = [(torch.rand(4, 3, 2, 2), torch.tensor([0, 1, 0, 1]))]
    loops.plain_train(model, batches, RECIPE, "cuda", amp)
    loops.plain_top1(model, batches, "cuda", amp)
    assert [call for call in calls if call[0] == "cuda"] == [("cuda", torch.bfloat16, amp)] * 2
    assert calls.count(("moved", True)) == 3  # images and labels of the step, images of the evaluation


def test_the_derived_study_has_one_seed_and_its_exact_form_no_frozen_views(tmp_path):
    shared = load_study(str(derived_study(tmp_path)))
    exact = load_study(str(derived_study(tmp_path, frozen_views=False)))
    assert (shared.name, shared.seeds) == (NAME, [0])
    assert any(target.recipe.resolve().frozen_views for target in shared.downstreams)
    assert not any(target.recipe.resolve().frozen_views for target in exact.downstreams)


@pytest.mark.slow
def test_figure_by_figure_trains_and_keeps_nothing(results, small_study):
    figure_by_figure(small_study)
    assert not results.exists()


def test_why_an_engine_is_absent_shows_no_folder_of_this_machine():
    said = why_absent(OSError("cannot load\n/home/me/lib/libx.so: libcuda.so.1 is missing"))
    assert said == "OSError: cannot load libx.so: libcuda.so.1 is missing"


def test_too_few_images_are_named(tmp_path):
    with pytest.raises(InputError, match="a class has 1 images, the benchmark needs 2 or more"):
        Photographs([[tmp_path / "a.jpg"]], "", tmp_path).task(2, 1)


def test_the_peers_are_pinned_and_not_locked():
    lines = [line for line in (ROOT / "requirements-bench.txt").read_text().splitlines() if not line.startswith("#")]
    locked = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines()}
    assert all("==" in line for line in lines)
    assert not locked & {line.split("==")[0] for line in lines}


def test_nothing_imports_the_benchmark():
    imports = re.compile(r"^\s*(from|import) pretraining_gain\.bench", re.MULTILINE)
    package = ROOT / "src" / "pretraining_gain"
    assert not [
        path for path in package.rglob("*.py") if path.parent.name != "bench" and imports.search(path.read_text())
    ]
