"""What is asked of torch, where it runs fast: precision, kernels, memory formats. There is no GPU here, so what is asked of
one is recorded, and the same step runs on the CPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from conftest import RECIPE, toy_pictures
from torch.utils._python_dispatch import TorchDispatchMode

from pretraining_gain.compute import machine, pipeline
from pretraining_gain.compute.checkpoints import Checkpoint
from pretraining_gain.compute.machine import this_machine
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.training import train
from pretraining_gain.errors import InputError


class Kernels(TorchDispatchMode):
    """Notes each kernel that is called: its name, and dtype and channels_last of its first tensor."""

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


@pytest.fixture
def one_epoch(tmp_path):
    """Trains one epoch on a machine, and returns the kernels that it called and the network."""

    def run(found: machine.Machine) -> tuple[Kernels, torch.nn.Module]:
        recipe = RECIPE.model_copy(update={"epochs": 1, "batch_size": 24})
        with Kernels() as kernels:
            model, _ = train(build_model("resnet10_w16", 8, 0), toy_pictures(), recipe, seed=0, machine=found,
                             checkpoint=Checkpoint(tmp_path / "c.pt", "run", every_s=999))  # fmt: skip
        return kernels, model

    return run


def test_a_cpu_step_is_fp32_and_channels_last(one_epoch):
    kernels, _ = one_epoch(this_machine())
    convolutions = kernels.of("convolution")
    assert len(convolutions) >= 2 * 9 and set(convolutions) == {(torch.float32, True)}
    assert set(kernels.of("convolution_backward")) == {(torch.float32, True)} and not kernels.of("_fused_sgd_")


@pytest.fixture
def another_precision():
    """accelerate knows one precision a process."""
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


@pytest.mark.usefixtures("another_precision")
def test_bf16_reaches_the_convolutions_and_leaves_the_weights(one_epoch, monkeypatch):
    """The autocast of a CUDA device, on the CPU, which can imitate it."""
    monkeypatch.setattr(machine, "cpu_has_bf16", lambda: True)
    monkeypatch.setenv("PRETRAINING_GAIN_PRECISION", "bf16")
    found = this_machine()
    assert found.precision == "bf16"
    kernels, model = one_epoch(found)
    assert set(kernels.of("convolution")) == {(torch.bfloat16, True)}
    assert {dtype for dtype, _ in kernels.of("_log_softmax")} == {torch.float32}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_bf16_is_refused_where_the_cpu_only_imitates_it(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    monkeypatch.setenv("PRETRAINING_GAIN_PRECISION", "bf16")
    with pytest.raises(InputError, match="no instructions for it, and would be many times slower; accepted here: auto, fp32"):
        this_machine()
    monkeypatch.setenv("PRETRAINING_GAIN_PRECISION", "auto")
    assert this_machine().precision == "fp32"


def test_sgd_is_one_fused_kernel_on_cuda_and_steps_the_same(one_epoch):
    """torch has the fused kernel for CPUs, too; so what CUDA would be asked can run here."""
    start = [torch.full((5,), 2.0), torch.full((3, 2), -1.0)]
    ends = {}
    for device in ("cpu", "cuda"):
        parameters = [torch.nn.Parameter(value.clone()) for value in start]
        sgd = replace(this_machine(), device=device).optimizer(parameters, lr=0.1, momentum=0.9, weight_decay=1e-2)
        with Kernels() as kernels:
            for _ in range(3):
                for parameter in parameters:
                    parameter.grad = torch.ones_like(parameter)
                sgd.step()
        assert bool(kernels.of("_fused_sgd_")) == (device == "cuda")
        ends[device] = torch.cat([parameter.detach().flatten() for parameter in parameters])
    assert torch.allclose(ends["cpu"], ends["cuda"], atol=1e-6)


def test_a_network_is_compiled_when_asked_for(monkeypatch, one_epoch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(type(self).__name__))
    one_epoch(this_machine())
    assert not compiled
    monkeypatch.setenv("PRETRAINING_GAIN_COMPILE", "yes")
    found = this_machine()
    assert found.describe()["compiled"] is True
    found.prepare(build_model("resnet10_w16", 8, 0), torch.optim.SGD([torch.zeros(1, requires_grad=True)]))
    assert compiled == ["SmallResNet"]


@pytest.mark.parametrize(("has_bf16", "precision"), [(True, "bf16"), (False, "fp32")])
def test_a_gpu_is_used_with_the_precision_it_has(monkeypatch, has_bf16, precision):
    """There is no GPU here: what is asked of torch and accelerate is recorded instead."""
    asked = {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bf16)
    monkeypatch.setattr(machine, "Accelerator", lambda **given: asked.update(given))
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    found = machine.this_machine()
    assert torch.backends.cudnn.benchmark is True
    assert (found.device, found.precision) == ("cuda", precision)
    assert asked["cpu"] is False and asked["mixed_precision"] == ("bf16" if has_bf16 else "no")
    monkeypatch.setenv("PRETRAINING_GAIN_DEVICES", "2")
    with pytest.raises(InputError, match="DEVICES=2, but this machine has 1"):
        machine.this_machine()


def test_stored_images_are_pinned_for_a_gpu_and_sent_without_waiting(monkeypatch):
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

    list(pipeline._fetched(Stored(), [torch.arange(3)] * 2, "cuda"))
    assert asked.count("pinned") == 2 and asked.count(("cuda", True)) == 2
    asked.clear()
    list(pipeline._fetched(Stored(), [torch.arange(3)], "cpu"))
    assert asked == [("cpu", True)]


@pytest.mark.parametrize(("free_mb", "moves"), [(100, True), (1, False)])
def test_a_set_in_memory_moves_to_a_gpu_that_has_room(monkeypatch, free_mb, moves):
    """A set of 0.5 MB and a quarter of what is free."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free_mb * 2**20, 2**30))
    sent = []
    monkeypatch.setattr(torch.Tensor, "to", lambda self, device: sent.append(device) or self)
    pictures = pipeline.ImageSet(torch.zeros(170, 3, 32, 32, dtype=torch.uint8), torch.zeros(170), ["a"] * 170)
    assert pictures.near("cpu") is pictures and not sent
    pictures.near("cuda")
    assert sent == (["cuda"] if moves else [])
