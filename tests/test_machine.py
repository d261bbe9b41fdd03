"""What is asked of torch, where it runs fast: precision, kernels, memory formats. Without a GPU, what is asked of one is
recorded, and the same step runs on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from conftest import RECIPE, toy_pictures
from torch.utils._python_dispatch import TorchDispatchMode

from pretraining_gain.bench.loops import NoCheckpoint
from pretraining_gain.compute import machine, pipeline
from pretraining_gain.compute.machine import this_machine
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.training import build_optimizer, train
from pretraining_gain.errors import InputError


class Kernels(TorchDispatchMode):
    """Record each kernel that is called: its name, and dtype and channels_last of its first tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[tuple[str, torch.dtype | None, bool]] = []

    def __torch_dispatch__(self, kernel: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        first = next((given for given in args if isinstance(given, torch.Tensor)), None)
        is_image = first is not None and first.dim() == 4
        last = is_image and first.is_contiguous(memory_format=torch.channels_last)
        self.called.append((kernel.overloadpacket.__name__, None if first is None else first.dtype, last))
        return kernel(*args, **kwargs or {})

    def of(self, name: str) -> list[tuple[torch.dtype | None, bool]]:
        return [(dtype, last) for kernel, dtype, last in self.called if kernel == name]


def one_epoch(found: machine.Machine) -> tuple[Kernels, torch.nn.Module]:
    """Train one epoch on a machine; return the kernels that it called and the network."""
    recipe, network = RECIPE.model_copy(update={"epochs": 1, "batch_size": 24}), build_model("resnet10_w16", 8, 0)
    with Kernels() as kernels:
        model, _ = train(network, toy_pictures(), recipe, seed=0, machine=found, checkpoint=NoCheckpoint())
    return kernels, model


def test_a_cpu_step_is_fp32_and_channels_last():
    kernels, _ = one_epoch(this_machine())
    assert set(kernels.of("convolution")) == {(torch.float32, True)}
    assert set(kernels.of("convolution_backward")) == {(torch.float32, True)}
    assert set(kernels.of("_fused_sgd_")) == {(None, False)}


@pytest.fixture
def another_precision():
    """Let accelerate forget its precision, of which it knows one per process."""
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


@pytest.mark.usefixtures("another_precision")
def test_bf16_reaches_the_convolutions_and_leaves_the_weights(monkeypatch):
    """The autocast of a CUDA device, on a CPU, which can emulate it."""
    monkeypatch.setattr(machine, "cpu_has_bf16", lambda: True)
    monkeypatch.setenv("PRETRAINING_GAIN_PRECISION", "bf16")
    kernels, model = one_epoch(this_machine())
    assert set(kernels.of("convolution")) == {(torch.bfloat16, True)}
    assert {dtype for dtype, _ in kernels.of("_log_softmax")} == {torch.float32}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_bf16_is_refused_where_the_cpu_only_emulates_it(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    monkeypatch.setenv("PRETRAINING_GAIN_PRECISION", "bf16")
    with pytest.raises(InputError, match="no bf16 instructions; accepted here: auto, fp32"):
        this_machine()
    monkeypatch.setenv("PRETRAINING_GAIN_PRECISION", "auto")
    assert this_machine().precision == "fp32"


def test_fused_sgd_steps_as_the_papers_recipe_says():
    start = [torch.full((5,), 2.0), torch.full((3, 2), -1.0)]
    ends = []
    for build in (build_optimizer, lambda weights, recipe: torch.optim.SGD(weights, recipe.lr, recipe.momentum,
                                                                           weight_decay=recipe.weight_decay)):  # fmt: skip
        weights = [torch.nn.Parameter(value.clone()) for value in start]
        sgd = build(weights, RECIPE)
        for _ in range(3):
            for weight in weights:
                weight.grad = torch.ones_like(weight)
            sgd.step()
        ends.append(torch.cat([weight.detach().flatten() for weight in weights]))
    assert torch.allclose(*ends, atol=1e-6)


def test_a_network_is_compiled_when_asked_for(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, mode: compiled.append((type(self).__name__, mode)))
    for asked in ("no", "yes", "graphs"):
        monkeypatch.setenv("PRETRAINING_GAIN_COMPILE", asked)
        model = build_model("resnet10_w16", 8, 0)
        this_machine().prepare(model, build_optimizer(model.parameters(), RECIPE))
    assert compiled == [("SmallResNet", None), ("SmallResNet", "reduce-overhead")]
    assert this_machine().describe()["compiled"] == "graphs"


SWITCHES = (
    (torch.backends.cudnn, "benchmark"), (torch.backends.cudnn, "allow_tf32"), (torch.backends.cuda.matmul, "allow_tf32"),
)  # fmt: skip


@pytest.fixture
def gpu(monkeypatch) -> Iterator[dict[str, Any]]:
    """Pretend that there is one GPU; return what is asked of accelerate."""
    asked: dict[str, Any] = {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: None)
    monkeypatch.setattr(machine, "Accelerator", lambda **given: asked.update(given))
    before = [getattr(*switch) for switch in SWITCHES]
    yield asked
    for (owner, name), value in zip(SWITCHES, before, strict=True):
        setattr(owner, name, value)


@pytest.mark.parametrize(("has_bf16", "precision", "mixed"), [(True, "bf16", "bf16"), (False, "fp32", "no")])
def test_a_gpu_is_used_with_the_precision_it_has(monkeypatch, gpu, has_bf16, precision, mixed):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bf16)
    found = this_machine()
    assert (found.device, found.precision) == ("cuda", precision)
    assert gpu == {"cpu": False, "mixed_precision": mixed}
    assert torch.backends.cudnn.benchmark is True


@pytest.mark.parametrize(("precision", "allowed"), [("tf32", True), ("fp32", False)])
def test_a_gpu_rounds_products_to_tf32_only_if_asked(monkeypatch, gpu, precision, allowed):
    """torch's own default rounds convolutions, not products of matrices."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setenv("PRETRAINING_GAIN_PRECISION", precision)
    assert this_machine().precision == precision
    assert [getattr(*switch) for switch in SWITCHES[1:]] == [allowed] * 2
    assert gpu["mixed_precision"] == "no"


def test_more_gpus_than_there_are_is_refused(monkeypatch, gpu):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setenv("PRETRAINING_GAIN_DEVICES", "2")
    with pytest.raises(InputError, match="DEVICES=2, but this machine has 1"):
        this_machine()


def test_each_run_takes_the_gpu_that_the_fewest_others_use(monkeypatch, tmp_path):
    monkeypatch.setenv("PRETRAINING_GAIN_CACHE", str(tmp_path))
    free = machine._free_device.__wrapped__
    held = [free(3) for _ in range(5)]
    assert [number for number, _ in held] == [0, 1, 2, 0, 1]
    held[2][1].release()
    assert free(3)[0] == 2
    assert free(1) == (0, None)


@pytest.mark.parametrize(("device", "wanted"), [("cuda", ["pinned", ("cuda", True)]), ("cpu", [("cpu", True)])])
def test_stored_images_are_pinned_for_a_gpu_and_sent_without_waiting(device, wanted):
    asked = []

    class Pixels:
        def pin_memory(self):
            asked.append("pinned")
            return self

        def to(self, device, non_blocking=False):
            asked.append((device, non_blocking))
            return self

    class Stored:
        def __getitem__(self, positions):
            return Pixels()

    list(pipeline._fetched(Stored(), [torch.arange(3)], device))
    assert asked == wanted


@pytest.mark.parametrize(("free_mb", "moves"), [(100, True), (1, False)])
def test_a_set_in_memory_moves_to_a_gpu_that_has_room(monkeypatch, free_mb, moves):
    """A set of 0.5 MB and a quarter of what is free."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free_mb * 2**20, 2**30))
    sent = []
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device: sent.append(device) or self)
    pictures = pipeline.ImageSet(torch.zeros(170, 3, 32, 32, dtype=torch.uint8), torch.zeros(170), ["a"] * 170)
    assert pictures.near("cpu") is pictures
    pictures.near("cuda")
    assert sent == (["cuda"] if moves else [])


def test_settings_that_code_made_before_a_run_are_undone():
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_float32_matmul_precision("medium")
    torch.use_deterministic_algorithms(False)
    torch.set_flush_denormal(True)
    this_machine()
    made = torch.ones(2) * 1e-40
    settings = (made.dtype, made.device.type, torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled())
    assert settings == (torch.float32, "cpu", "highest", True)
    assert made.sum() > 0  # not flushed to zero
