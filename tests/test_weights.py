"""Weights as a start: files in their usual forms, bad ones in one line, and a study that compares two of them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import same
from refusal import refused
from safetensors.torch import save_file

from pretraining_gain.compute.models import build_model, head_of, load_backbone
from pretraining_gain.compute.weights import fetch_published, read_published
from pretraining_gain.errors import InputError
from pretraining_gain.plan.weights import IMAGENET, normalisation_of, sha256_of, weights_file


def backbone(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}


@pytest.fixture(scope="module")
def resnet50() -> dict[str, torch.Tensor]:
    import torchvision  # after compute.models, which makes it importable beside a CPU build of torch

    torch.manual_seed(5)
    return torchvision.models.resnet50().state_dict()


FORMS = {
    "a state dict": lambda state, path: torch.save(state, path),
    "wrapped": lambda state, path: torch.save({"epoch": 90, "state_dict": state, "best_acc1": 76.1}, path),
    "wrapped twice, of many devices": lambda state, path: torch.save(
        {"model": {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}}, path
    ),
    "in half precision": lambda state, path: torch.save(
        {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}, path
    ),
    "without counters": lambda state, path: torch.save(
        {name: tensor for name, tensor in state.items() if "num_batches" not in name}, path
    ),
    "safetensors": save_file,
}


@pytest.mark.parametrize("form", FORMS)
def test_each_usual_form_gives_the_same_backbone_for_224_px(tmp_path, resnet50, form):
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    FORMS[form](resnet50, path)
    model = build_model("resnet50", 7, 0, 224)
    head = head_of(model)[1].weight.clone()
    load_backbone(model, read_published(path), str(path))
    loaded, wanted = backbone(model.state_dict()), backbone(resnet50)
    if form == "in half precision":
        assert all(torch.allclose(loaded[name].float(), wanted[name].float(), atol=1e-3) for name in wanted)
    else:
        assert same(loaded, wanted)
    assert torch.equal(head_of(model)[1].weight, head)


def test_weights_of_timm_fit_the_same_network_of_torchvision(tmp_path):
    import timm

    state = timm.create_model("resnet50", num_classes=13).state_dict()
    torch.save(state, tmp_path / "w.pt")
    model = build_model("resnet50", 7, 0)
    load_backbone(model, read_published(tmp_path / "w.pt"), "w.pt")
    assert same(backbone(model.state_dict()), backbone(state))


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def cut(state, path):
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:4000])


BAD: dict[str, tuple[Callable[[dict, Path], object], str]] = {
    "a pickle that runs code": (lambda state, path: torch.save({"model": state, "x": Harmful()}, path), "hold more than tensors"),
    "a checkpoint with its arguments": (
        lambda state, path: torch.save({"model": state, "args": argparse.Namespace(lr=1)}, path),
        "argparse.Namespace, which may run code",
    ),
    "cut off": (cut, "cannot be read, they may be cut off"),
    "empty": (lambda state, path: path.write_bytes(b""), "cannot be read, they may be cut off"),
    "a pointer": (lambda state, path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "Git LFS pointer"),
    "a web page": (lambda state, path: path.write_text("<html>Not found</html>"), "accepted: a state dict of tensors"),
    "a whole network's list": (lambda state, path: torch.save([1, 2], path), "hold list without only tensors"),
    "not finite": (lambda state, path: torch.save({"conv": torch.full((3,), torch.nan)}, path), "conv that is not finite"),
    "missing": (lambda state, path: None, "No such file"),
}


@pytest.mark.parametrize(("make", "said"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_holds_no_weights_is_refused_and_runs_no_code(tmp_path, monkeypatch, make, said, suffix):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"w{suffix}"
    make({"a": torch.zeros(2000)}, path)
    said = said if suffix == ".pth" or said.startswith(("Git", "No such")) else "cannot be read"
    with refused(str(path), said, unchanged=tmp_path):
        read_published(path)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("resnet34", "layer1.0.conv1.weight is 64×64×3×3 in the file, 64×64×1×1 in the network; they fit resnet34"),
        ("vit_b_32", "conv1.weight is absent in the file, 64×3×7×7 in the network; they fit none of resnet50, resnet18"),
        ("head only", "conv1.weight is absent in the file, 64×3×7×7 in the network; they fit none of"),
    ],
)
def test_weights_of_another_network_name_the_first_mismatch_and_what_fits(tmp_path, other, said):
    weights = {"fc.weight": torch.zeros(9, 2048)} if other == "head only" else build_model(other, 9, 0).state_dict()
    with refused("w.pth: weights are of another backbone", said, unchanged=tmp_path):
        load_backbone(build_model("resnet50", 7, 0), weights, "w.pth")


def test_published_weights_are_fetched_once_with_their_source(tmp_path, monkeypatch):
    """From torch's own cache of downloads, so that no network is needed."""
    import torchvision

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path / "data"))
    downloads = tmp_path / "torch" / "hub" / "checkpoints"
    downloads.mkdir(parents=True)
    state = build_model("resnet18", 1000, 3).state_dict()
    name = "ResNet18_Weights.IMAGENET1K_V1"
    torch.save(state, downloads / Path(torchvision.models.get_weight(name).url).name)
    path = fetch_published(name)
    assert path == tmp_path / "data" / "weights" / f"{name}.safetensors"
    assert same(read_published(path), state)
    assert normalisation_of(name) == IMAGENET
    digest = sha256_of(name)
    path.unlink()
    assert fetch_published(name) == path
    assert sha256_of(name) == digest


@pytest.mark.parametrize("name", ["ResNet18_Weights.NONE_SUCH", "resnet18.none_such", "no_such_network"])
def test_unknown_published_weights_are_named(tmp_path, monkeypatch, name):
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path))
    with pytest.raises(InputError, match=f"cannot fetch weights '{name}' .*; accepted: a name of torchvision or timm, or a file"):
        fetch_published(name)


def test_weights_of_timm_come_with_their_own_normalisation(tmp_path, monkeypatch):
    """The network's file is not fetched: what timm says of it is real."""
    import timm

    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path))
    real = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: real(name, pretrained=False))
    name = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    fetch_published(name)
    assert normalisation_of(name) == ((0.5,) * 3, (0.5,) * 3)
    save_file({"a": torch.zeros(2)}, weights_file(name), metadata={"about": "{}"})
    with refused(f"weights {weights_file(name)} say nothing of normalisation; delete them and fetch", unchanged=tmp_path):
        normalisation_of(name)
