"""The benchmark: fair turns, paired ratios, none from one repetition; every part works on drawn pictures; CUDA is asked for."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from refusal import refused

from pretraining_gain.bench import __main__ as program
from pretraining_gain.bench import baseline, measure
from pretraining_gain.bench.accuracies import Seeded, accuracy, differences
from pretraining_gain.bench.analysis import plain_bootstrap
from pretraining_gain.bench.decoding import why_absent
from pretraining_gain.bench.given import Given
from pretraining_gain.bench.measure import Contestant, Effort, compare
from pretraining_gain.bench.ours import machine_for, recipe_for
from pretraining_gain.bench.photographs import Photographs
from pretraining_gain.bench.records import Bench, Goal, Part
from pretraining_gain.bench.scale import FULL, TINY, Setting
from pretraining_gain.bench.study import NAME, Workflow, derived_study, naive
from pretraining_gain.errors import InputError
from pretraining_gain.plan.studies import load_study
from pretraining_gain.tell.statistics.bootstrap import bootstrap_means

SMALL = Setting("resnet10_w16", 32, 16, 8, 1)


@pytest.fixture
def clock(monkeypatch):
    """Contestants that take the seconds they are given, one after the other; and the order in which they came."""
    order: list[str] = []
    seconds: dict[str, list[float]] = {}

    def timed(contestant: Contestant, device: str) -> float:
        order.append(contestant.name)
        return seconds[contestant.name].pop(0)

    monkeypatch.setattr(measure, "timed", timed)
    return SimpleNamespace(order=order, seconds=seconds)


def contestants(*names: str) -> list[Contestant]:
    return [Contestant(name, lambda: None, 10) for name in names]


def test_ratios_are_paired_and_their_spread_is_that_of_the_rounds(clock):
    """The machine is ten times slower in the second round: no ratio knows it."""
    clock.seconds |= {"a": [9.0, 1.0, 10.0, 1.0], "b": [9.0, 0.5, 5.0, 0.25]}
    goals = [Goal(contestant="b", reference="a", at_least=2.0), Goal(contestant="a", reference="b", at_least=1.0)]
    found = compare("x", contestants("a", "b"), Effort(100, 3), setting="s", reference="a", goals=goals)
    assert [one.ratio.median for one in found.outcomes] == [1.0, 2.0]
    assert (found.outcomes[1].ratio.low, found.outcomes[1].ratio.high) == (2.0, 4.0)
    assert found.outcomes[0].items_per_s.model_dump() == {"median": 10.0, "low": 1.0, "high": 10.0}
    assert [target.met for target in found.targets] == [True, False]
    assert set(found.profiles) == {"a", "b"}  # a missed aim is explained, and what it was compared with


def test_turns_shift_by_one_each_round_after_a_warm_up(clock):
    clock.seconds |= {name: [1.0] * 4 for name in "abc"}
    compare("x", contestants("a", "b", "c"), Effort(100, 3), setting="s", reference="a")
    assert "".join(clock.order) == "abc" + "abc" + "bca" + "cab"


def test_a_budget_ends_rounds_but_not_before_the_second(clock):
    clock.seconds |= {"a": [1.0] * 9}
    found = compare("x", contestants("a"), Effort(0, 5), setting="s", reference="a")
    assert found.rounds == 2 and len(found.outcomes[0].seconds) == 2


def test_one_repetition_gives_no_ratio(results):
    with refused("rounds=1", "accepted: 2 or more, as one repetition gives no ratio", unchanged=results):
        compare("x", contestants("a"), Effort(100, 1), setting="s", reference="a")
    one = {"a": [1.0], "b": [2.0]}
    with refused("no ratio of 'b' to 'a' from 1 and 1 repetitions", "accepted: 2 or more of each", unchanged=results):
        measure.paired_ratio("b", "a", {"a": 1, "b": 1}, one)
    with refused("no spread of 1 repetition(s)", "accepted: 2 or more", unchanged=results):
        measure.spread([1.0])
    with refused("with 1 seed(s)", "accepted: 2 or more", unchanged=results):
        differences({"a": [0.5], "b": [0.5]}, "a")


def test_accuracies_are_compared_seed_by_seed():
    loops = [
        Seeded("plain", lambda seed: 0.4 + seed / 10, range(3)),
        Seeded("ours", lambda seed: 0.41 + seed / 10, range(3)),
    ]
    for _ in range(4):  # a profile asks once more
        for loop in loops:
            loop.contestant(1).work()
    found = accuracy("parity", "s", loops, "plain", images=7)
    assert found.top1["ours"] == pytest.approx([0.41, 0.51, 0.61]) and found.seed_sd["plain"] == pytest.approx(0.1)
    assert found.differences["ours"].model_dump() == pytest.approx({"mean": 0.01, "low": 0.01, "high": 0.01})


@pytest.fixture
def places(monkeypatch):
    """The benchmark sets variables of the machine for its own process; put them back."""
    for name in ("DEVICE", "PRECISION", "DATA"):
        monkeypatch.setenv(f"PRETRAINING_GAIN_{name}", os.environ.get(f"PRETRAINING_GAIN_{name}", ""))


def test_every_part_but_the_study_runs_on_drawn_pictures(tmp_path, places, capsys):
    names = [name for name in program.PARTS if name != "study"]
    arguments = ["--device", "cpu", "--scale", "tiny", "--drawn", "--out", str(tmp_path), "--only", ",".join(names)]
    assert program.main(arguments) == 0
    record = Bench.model_validate_json((tmp_path / "cpu.json").read_bytes())
    assert list(record.parts) == names and record.failed == {}
    assert record.scale == "tiny" and "drawn" in record.images and "300x225" in record.images
    assert (
        record.machine["cores"] >= 1 and record.machine["processor"] and record.versions["torch"] == torch.__version__
    )
    for part in record.parts.values():
        for comparison in part.comparisons:
            assert comparison.rounds >= 2
            assert {len(one.seconds) for one in comparison.outcomes} == {comparison.rounds}
            assert comparison.reference in [one.contestant for one in comparison.outcomes]
            assert all(reason for reason in comparison.absent.values())
    loaders = record.parts["loaders"].comparisons[0]
    assert {one.contestant for one in loaders.outcomes} | set(loaders.absent) == {
        "ours",
        "torchvision loop",
        "timm loader",
    }
    assert [len(values) for values in record.parts["parity"].accuracies[0].top1.values()][:2] == [2, 2]
    assert "ours, features of views" in record.parts["frozen"].accuracies[0].top1
    said = capsys.readouterr()
    assert said.out == f"The benchmark is in {tmp_path / 'cpu.json'}\n"
    assert all(f"bench: {name} took" in said.err for name in names)


def test_a_part_that_fails_loses_no_other_and_a_second_start_keeps_what_was_measured(tmp_path, places, monkeypatch):
    def fails(given: Given) -> Part:
        raise RuntimeError("out of\nmemory")

    few = replace(TINY, drawn_per_class=1)
    monkeypatch.setattr(program, "PARTS", {"good": lambda given: Part(comparisons=[], notes=["first"]), "bad": fails})
    path = program.bench("cpu", ["good", "bad"], tmp_path, few, only_drawn=True)
    record = json.loads(path.read_text())
    assert record["parts"]["good"]["notes"] == ["first"] and record["failed"] == {"bad": "RuntimeError: out of memory"}
    monkeypatch.setattr(program, "PARTS", {"bad": lambda given: Part(comparisons=[])})
    record = json.loads(program.bench("cpu", ["bad"], tmp_path, few, only_drawn=True).read_text())
    assert set(record["parts"]) == {"good", "bad"} and record["failed"] == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "limit,speed"], "'speed' is no part of the benchmark, which has limit, loaders"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
    ],
)
def test_a_wrong_command_is_one_line(arguments, said, capsys):
    with pytest.raises(SystemExit):
        program.main(arguments)
    message = capsys.readouterr().err
    assert said in message and message.count("\n") == 1


def test_what_is_no_measurement_does_not_go_to_the_results(results, capsys):
    assert program.main(["--scale", "tiny", "--device", "cpu"]) == 1
    assert "--scale tiny is no measurement; accepted: with --out" in capsys.readouterr().err and not results.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU")
def test_a_gpu_that_is_not_there_is_one_line(tmp_path, places, capsys):
    assert program.main(["--device", "cuda", "--out", str(tmp_path)]) == 1
    assert "torch sees no CUDA device" in capsys.readouterr().err and not list(tmp_path.glob("*.json"))


class _Asked:
    """Notes what is asked of it, and gives it on to the CPU."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []


@pytest.fixture
def cuda(monkeypatch):
    """A CUDA device in name only: what is asked of it is noted, and done on the CPU."""
    asked, to, module_to, autocast = _Asked(), torch.Tensor.to, torch.nn.Module.to, torch.autocast

    def tensor_to(tensor, *args, **kwargs):
        if args and str(args[0]) == "cuda":
            asked.calls.append(("tensor", kwargs.get("non_blocking", False)))
            return tensor
        return to(tensor, *args, **kwargs)

    def model_to(model, *args, **kwargs):
        if args and str(args[0]) == "cuda":
            asked.calls.append(("model", kwargs.get("memory_format")))
            return module_to(model, **kwargs)
        return module_to(model, *args, **kwargs)

    def cast(device, dtype=None, enabled=True):
        asked.calls.append(("autocast", device, dtype, enabled))
        return autocast("cpu", dtype, enabled=enabled)

    monkeypatch.setattr(torch.Tensor, "to", tensor_to)
    monkeypatch.setattr(torch.nn.Module, "to", model_to)
    monkeypatch.setattr(torch, "autocast", cast)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: asked.calls.append(("synchronise",)))
    return asked


def test_on_cuda_a_repetition_is_timed_to_its_end(cuda):
    steps = Contestant("a", lambda: cuda.calls.append(("work",)), 1, lambda: cuda.calls.append(("before",)))
    measure.timed(steps, "cuda")
    assert cuda.calls == [("before",), ("synchronise",), ("work",), ("synchronise",)]
    cuda.calls.clear()
    measure.timed(steps, "cpu")
    assert cuda.calls == [("before",), ("work",)]


@pytest.mark.parametrize("amp", [False, True])
def test_on_cuda_the_plain_loop_asks_for_device_and_precision(cuda, amp):
    batches = [(torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 0, 1]))]
    model = baseline.network("resnet10_w16", 2, 0, "cuda")
    assert cuda.calls == [("model", torch.contiguous_format)]
    baseline.train(model, batches, recipe_for(SMALL), "cuda", amp)
    baseline.top1(model, batches, "cuda", amp)
    casts = [call for call in cuda.calls if call[0] == "autocast"]
    assert casts == [("autocast", "cuda", torch.bfloat16, amp)] * 2
    assert cuda.calls.count(("tensor", True)) == 3  # images and labels of the step, images of the evaluation


def test_on_cuda_loaders_pin_memory_and_timm_prefetches(monkeypatch, tmp_path):
    pytest.importorskip("timm")
    import timm.data

    asked = {}
    monkeypatch.setattr(baseline, "ImageFolder", lambda *_: [])
    monkeypatch.setattr(baseline, "DataLoader", lambda *_, **given: asked.update(torchvision=given))
    monkeypatch.setattr(timm.data, "create_dataset", lambda *_, **given: [])
    monkeypatch.setattr(timm.data, "create_loader", lambda *_, **given: asked.update(timm=given))
    for make in (baseline.torchvision_loader, baseline.timm_loader):
        make(tmp_path, recipe_for(SMALL), 3, "cuda", True)
    assert asked["torchvision"]["pin_memory"] and asked["torchvision"]["num_workers"] == 3
    assert (
        asked["timm"]["use_prefetcher"]
        and asked["timm"]["device"] == torch.device("cuda")
        and asked["timm"]["pin_memory"]
    )


def test_on_cuda_there_is_more_to_do():
    larger = FULL.for_cuda()
    assert [setting.image_size_px for setting in larger.limits] == [32, 32, 64, 224]
    assert all(one.images > other.images for one, other in zip(larger.limits, FULL.limits, strict=True))
    assert TINY.for_cuda() is TINY


def given_in(folder: Path) -> Given:
    return Given(machine_for("cpu"), TINY, Photographs(folder, "", folder))


def test_the_derived_study_trains_each_figure_alone_or_all_at_once(results, places, tmp_path):
    path, exact = derived_study(given_in(tmp_path)), derived_study(given_in(tmp_path), frozen_views=False)
    study = load_study(str(path))
    assert study.name == NAME and study.seeds == [0]
    assert any(target.recipe.resolve().frozen_views for target in study.downstreams)
    assert not any(target.recipe.resolve().frozen_views for target in load_study(str(exact)).downstreams)
    naive(exact)
    assert not results.exists()  # nothing is kept for the next figure


def test_where_the_workflows_time_went_is_what_its_records_say(results, tmp_path):
    for name in ("pretrain", "finetune"):
        (results / NAME / name).mkdir(parents=True)
        cost = {"train_wall_time_s": 2.0, "eval_wall_time_s": None if name == "pretrain" else 1.0}
        (results / NAME / name / "one.json").write_text(json.dumps({"cost": cost}))
    found = Workflow(tmp_path, wall_s=10.0).where_time_went()
    assert [cost.seconds for cost in found[:2]] == [4.0, 1.0] and found[0].what.startswith("training, 2 runs")
    assert sum(cost.share for cost in found) == pytest.approx(1)


def test_a_study_that_changed_under_the_benchmark_is_named(places, tmp_path):
    scale = SimpleNamespace(study_changes={"seeds: [7]": "seeds: [0]"})
    with pytest.raises(InputError, match=r"the toy study has no 'seeds: \[7\]'"):
        derived_study(SimpleNamespace(scale=scale, photographs=Photographs(tmp_path, "", tmp_path)))


def test_the_plain_bootstrap_estimates_what_ours_does():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(40), 10)
    gains = (rng.random(40)[labels] < rng.random((2, 400))).astype(float)
    groups = pd.Series(["one"] * 20 + ["two"] * 20, index=range(40))
    plain = plain_bootstrap(gains, labels, groups, 300).set_index("group")
    ours = bootstrap_means(gains, labels, groups, resample_classes=True, draws=2000).set_index("group")
    assert np.allclose((plain["low"] + plain["high"]) / 2, ours["mean"], atol=0.05)
    assert (
        (plain["high"] - plain["low"])
        .between(0.5 * (ours["high"] - ours["low"]), 1.5 * (ours["high"] - ours["low"]))
        .all()
    )


def test_why_an_engine_is_absent_shows_no_folder_of_this_machine():
    said = why_absent(OSError("cannot load\n/home/me/lib/libx.so: libcuda.so.1 is missing"))
    assert said == "OSError: cannot load libx.so: libcuda.so.1 is missing"


def test_the_peers_are_pinned_and_none_is_in_the_lock():
    lines = [line for line in (ROOT / "requirements-bench.txt").read_text().splitlines() if not line.startswith("#")]
    names = [line.split("==")[0] for line in lines]
    assert len(names) > 5 and all("==" in line for line in lines)
    locked = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines()}
    assert not locked & set(names)


def test_nothing_imports_the_benchmark():
    package = ROOT / "src" / "pretraining_gain"
    imports = re.compile(r"^\s*(from|import) pretraining_gain\.bench", re.MULTILINE)
    others = [path for path in package.rglob("*.py") if path.parent.name != "bench"]
    assert len(others) > 50 and not [path for path in others if imports.search(path.read_text())]
