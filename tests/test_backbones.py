"""Backbones: any classifier by name, one entry for what is listed, and the same network for the same seed."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from conftest import change_study, same

from pretraining_gain.compute.finetune import finetune
from pretraining_gain.compute.models import build_model, features_of, freeze_backbone, head_of, load_backbone, measure
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.errors import InputError
from pretraining_gain.plan.backbones import BACKBONES, MEASURED, Backbone, find_backbone
from pretraining_gain.plan.costs import device_hours
from pretraining_gain.plan.resources import resources_of
from pretraining_gain.plan.runs import Run

#: Listed, torchvision's, timm's: ResNets, a convolutional network without BatchNorm, a vision transformer.
NETWORKS = ["resnet50", "resnet18", "resnet10_w16", "resnet34", "vit_b_32", "test_convnext", "test_vit"]
UNLISTED = ["resnet34", "test_vit"]


def without_head(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    head = head_of(model)[0]
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(f"{head}.")}


@pytest.mark.parametrize("backbone", ["resnet18", "resnet10_w16", "vit_b_32", *UNLISTED, "test_convnext"])
def test_the_seed_alone_decides_the_network(backbone):
    before = torch.random.get_rng_state()
    one, again, wide = (build_model(backbone, n_classes, 5, 32) for n_classes in (7, 7, 9))
    assert torch.equal(before, torch.random.get_rng_state())
    assert same(one.state_dict(), again.state_dict())
    assert same(without_head(one), without_head(wide))
    assert not same(without_head(one), without_head(build_model(backbone, 7, 6, 32)))


@pytest.mark.parametrize("backbone", NETWORKS)
def test_the_head_is_a_linear_layer_on_the_features(backbone):
    model = build_model(backbone, 7, 5, 32).eval()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    features = features_of(model, images)
    assert features.shape == (2, find_backbone(backbone).n_features)
    assert torch.equal(head_of(model)[1](features), model(images))


@pytest.mark.parametrize("backbone", ["resnet18", "test_vit"])
def test_freezing_leaves_only_the_head_trainable(backbone):
    model = build_model(backbone, 4, 0, 32)
    freeze_backbone(model)
    head = head_of(model)[0]
    assert [name for name, weight in model.named_parameters() if weight.requires_grad] == [f"{head}.weight", f"{head}.bias"]


@pytest.mark.parametrize("backbone", ["resnet10_w16", "test_convnext"])
def test_loading_a_backbone_leaves_the_head(backbone):
    source, target = build_model(backbone, 7, 1, 32), build_model(backbone, 9, 2, 32)
    head = head_of(target)[1].weight.clone()
    load_backbone(target, source.state_dict(), "weights.safetensors")
    assert torch.equal(head_of(target)[1].weight, head)
    assert same(without_head(target), without_head(source))


@pytest.mark.parametrize(
    ("backbone", "size_px", "said"),
    [
        ("squeezenet1_0", 64, "SqueezeNet does not end in one linear layer; accepted"),
        ("levit_128", 224, "LevitDistilled does not end in one linear layer; accepted"),
        ("test_vit", 33, "backbone 'test_vit' does not take images of 33 px .* accepted: another image_size_px"),
        ("nope", 32, "backbone 'nope' is unknown; accepted: resnet50, .* or a classifier of torchvision or timm"),
    ],
)
def test_a_network_that_cannot_be_used_is_refused_in_one_line(backbone, size_px, said):
    with pytest.raises(InputError, match=said) as caught:
        build_model(backbone, 3, 0, size_px)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["vgg", "resnet50.a1_in1k", "Resnet50", "../x", "hf-hub:a/b"])
def test_an_unknown_name_is_refused_in_a_study_and_a_notebook(small_study, name):
    with pytest.raises(InputError, match=r"is unknown; accepted: resnet50, resnet18, .* or a classifier of torchvision or timm"):
        Run(study=small_study, backbone=name)
    change_study(small_study, {"backbone: resnet10_w16": f"backbone: {name!r}"})
    with pytest.raises(InputError, match="is unknown; accepted: resnet50, resnet18"):
        Run(study=small_study)


@pytest.mark.parametrize("backbone", ["test_convnext", "test_vit"])
def test_a_study_with_a_network_of_timm_is_trained_and_frozen(results, small_study, backbone):
    change_study(small_study, {"backbone: resnet10_w16": f"backbone: {backbone}"})
    runs = [Run(study=small_study, pool="animal", k=4, downstream=name) for name in ("field", "clean")]
    pretrain(runs[0].pretraining)
    for run in runs:
        assert finetune(run)["eval_images"] == 120
        assert run.weights_path.name.startswith(f"{run.downstream}--animal-k4-s0-{backbone}.")


def test_listed_numbers_agree_with_those_measured_on_the_network():
    for name in ("resnet50", "resnet18", *MEASURED):
        entry, found = find_backbone(name), measure(name)
        assert found.n_features == entry.n_features
        assert found.weights_mb == pytest.approx(entry.weights_mb, rel=0.01)
        assert found.cost == pytest.approx(entry.cost, rel=0.3)
        assert found.kept_kb_per_pixel == pytest.approx(entry.kept_kb_per_pixel, rel=0.4)


@pytest.mark.parametrize("backbone", UNLISTED)
def test_an_unlisted_network_has_a_price_and_asks_for_memory(small_study, backbone):
    run, usual = Run(study=small_study, backbone=backbone), Run(study=small_study)
    assert device_hours(run) / device_hours(usual) == pytest.approx(find_backbone(backbone).cost / 0.042)
    assert resources_of(run).mem_mb >= 1500


def test_one_entry_is_priced_offered_and_accepted(monkeypatch, small_study):
    others = [Run(study=small_study).fingerprint, Run(study=small_study, backbone="resnet18").fingerprint]
    entry = Backbone("my_net", "torchvision.models:resnet34", cost=84.0, kept_kb_per_pixel=500.0, n_features=512, weights_mb=9000.0)
    monkeypatch.setitem(BACKBONES, "my_net", entry)
    run = Run.from_parameters({"study": small_study, "backbone": "my_net"})
    assert device_hours(run) == pytest.approx(2000 * device_hours(Run(study=small_study)))
    assert resources_of(run).mem_mb > 7 * 9000
    with pytest.raises(InputError, match=r"accepted: .*, my_net, or a classifier"):
        Run(study=small_study, backbone="my_nett")
    assert same(build_model("my_net", 3, 0).state_dict(), build_model("resnet34", 3, 0).state_dict())
    assert others == [Run(study=small_study).fingerprint, Run(study=small_study, backbone="resnet18").fingerprint]


def test_another_builder_is_another_fingerprint(monkeypatch, small_study):
    before = Run(study=small_study, backbone="resnet18").fingerprint
    monkeypatch.setitem(BACKBONES, "resnet18", Backbone("resnet18", "timm.models.resnet:resnet18", 0.36, 0.6, 512, 46.8))
    assert Run(study=small_study, backbone="resnet18").fingerprint != before


def test_where_torch_is_missing_names_are_accepted_and_prices_say_what_is_missing():
    code = """
import sys
sys.modules["torch"] = None
from pretraining_gain.plan.backbones import find_backbone, known_backbone
print(known_backbone("convnext_tiny"), find_backbone("resnet18").n_features)
try:
    find_backbone("convnext_tiny")
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("convnext_tiny 512\nthe price of backbone 'convnext_tiny' is measured on the network")
