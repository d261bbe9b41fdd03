"""Build classifiers by name, and tell their backbone from their head (paper, D.2: ResNet50).

The head is the linear layer that ends a network: timm's `get_classifier`, and of other networks the last linear layer.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal, get_type_hints

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pretraining_gain.errors import InputError
from pretraining_gain.plan.backbones import BACKBONES, Backbone

_HEAD_SEED = 2**31  # added to a run's seed
_USUAL_SIZE_PX = 224
#: Backbones that weights which do not fit are compared with.
_USUAL = (*BACKBONES, "resnet34", "resnet101", "wide_resnet50_2", "densenet121", "convnext_tiny", "efficientnet_b0",
          "mobilenet_v3_large", "swin_t", "vit_b_16", "vit_small_patch16_224", "vit_base_patch16_224")  # fmt: skip
_RESNET50_FLOPS_PER_PIXEL = 163_000  # forward, at 224 px; a multiplication and an addition are two


def build_model(backbone: str, n_classes: int, seed: int, image_size_px: int | None = None) -> nn.Module:
    """Build a randomly initialised network with a head for `n_classes`, channels_last, for images of `image_size_px`.

    Randomness: a function of `seed` only; torch's global generator stays as it was. Head and backbone draw separately, so
    one seed gives the same backbone whatever the number of classes. Raises `InputError` for an unknown name, and for a
    network that does not take such images or does not end in a linear layer.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _construct(backbone, image_size_px)
        name, head = head_of(model)
        torch.manual_seed(seed + _HEAD_SEED)
        if hasattr(model, "reset_classifier"):
            model.reset_classifier(n_classes)
        else:
            model.set_submodule(name, nn.Linear(head.in_features, n_classes, bias=head.bias is not None))
    return model.to(memory_format=torch.channels_last)


def head_of(model: nn.Module) -> tuple[str, nn.Linear]:
    """Return name and module of a network's head. Raises `InputError` where it is not one linear layer."""
    linear = {module: name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    classifier = getattr(model, "get_classifier", None)
    head = classifier() if classifier else next(reversed(linear), None)
    if head not in linear:
        raise InputError(f"{type(model).__name__} does not end in one linear layer; accepted: a classifier that does")
    return linear[head], head


def features_of(model: nn.Module, images: Tensor) -> Tensor:
    """Compute the input of the head: (B, 3, P, P) -> (B, D)."""
    kept: list[Tensor] = []
    hook = head_of(model)[1].register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    try:
        model(images)
    finally:
        hook.remove()
    return kept[0]


def load_backbone(model: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Copy pretrained `weights` into `model`, except the head.

    Raises `InputError` on any other mismatch, naming `where`, the first mismatch and the backbones that would fit.
    """
    wrong = _mismatch(model, weights)
    if wrong:
        fitting = fitting_backbones(weights)
        fit = f"they fit {', '.join(fitting)}" if fitting else f"they fit none of {', '.join(_USUAL)} either"
        raise InputError(f"{where}: weights are of another backbone; first mismatch: {wrong}; {fit}")
    head = head_of(model)[0]
    model.load_state_dict({name: tensor for name, tensor in weights.items() if not name.startswith(f"{head}.")}, strict=False)


def fitting_backbones(weights: Mapping[str, Tensor]) -> list[str]:
    """Return the usual backbones that weights fit, whatever their head."""
    return [name for name in _USUAL if not _mismatch(_construct(name, None, "meta"), weights)]


def _mismatch(model: nn.Module, weights: Mapping[str, Tensor]) -> str:
    """Name the first tensor outside the head that `model` and `weights` do not share; empty if they fit.

    Counters of batches, which old files lack and training does not use, may be missing.
    """
    head = f"{head_of(model)[0]}."
    shapes = [
        {name: tuple(tensor.shape) for name, tensor in state.items() if not name.startswith(head)}
        for state in (model.state_dict(), weights)
    ]
    for name in dict.fromkeys(name for one in shapes for name in one):
        own, given = (one.get(name) for one in shapes)
        if own != given and not (given is None and name.endswith("num_batches_tracked")):
            says = ["absent" if shape is None else "×".join(map(str, shape)) or "a number" for shape in (given, own)]
            return f"{name} is {says[0]} in the file, {says[1]} in the network"
    return ""


def freeze_backbone(model: nn.Module) -> None:
    """Exclude all parameters but the head's from training (paper, D.2, ImageNet-animal recipe)."""
    model.requires_grad_(False)
    head_of(model)[1].requires_grad_(True)


def library_of(name: str) -> Literal["torchvision", "timm"] | None:
    """Return which library builds a classifier of this name; torchvision where both do, as for ResNet50."""
    import timm
    import torchvision

    if name in torchvision.models.list_models(module=torchvision.models):
        return "torchvision"
    return "timm" if timm.is_model(name) else None


def download_weights(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Download published weights by their name in torchvision or timm; return the state dict, and what is known about it:
    source, licence and normalisation (see `plan.weights`).

    Raises what the libraries raise for an unknown name or a failed download.
    """
    import timm
    import torchvision

    if "_Weights." in name:
        entry = torchvision.models.get_weight(name)
        shown = entry.transforms()
        about = {"source": entry.url, "licence": "BSD-3-Clause", "normalisation": [shown.mean, shown.std]}
        return dict(entry.get_state_dict(check_hash=True, progress=True)), about
    model = timm.create_model(name, pretrained=True)
    found: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    about = {"source": str(found.get("hf_hub_id") or found.get("url", "")), "licence": found.get("license") or "not stated"}
    return model.state_dict(), about | {"normalisation": [found["mean"], found["std"]]}


def measure(name: str) -> Backbone:
    """Measure an unlisted backbone on torch's meta device, which computes shapes only, at 224 px or its own fixed size.

    `cost` compares floating point operations of a forward pass with ResNet50's.
    """
    model = _construct(name, None)
    size_px = getattr(model, "default_cfg", {}).get("input_size", (3, _USUAL_SIZE_PX))[1]
    n_features, weights = head_of(model)[1].in_features, sum(weight.nbytes for weight in model.parameters())
    model = model.to("meta").train()
    own = {weight.untyped_storage()._cdata for weight in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    images = torch.zeros(2, 3, size_px, size_px, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), FlopCounterMode(display=False) as flops:
        model(images)
    pixels = 2 * size_px**2
    kept_bytes = sum(tensor.untyped_storage().nbytes() for key, tensor in kept.items() if key not in own)
    cost = flops.get_total_flops() / pixels / _RESNET50_FLOPS_PER_PIXEL
    return Backbone(name, "", cost, kept_bytes / pixels / 1000, n_features, weights / 1e6)


def _construct(name: str, image_size_px: int | None, device: str = "cpu") -> Any:
    """Call the builder of a backbone, and check that the network takes the images. Same randomness as its builder."""
    if name in BACKBONES:
        module, _, function = BACKBONES[name].builder.partition(":")
        build = getattr(import_module(module), function)
    elif library := library_of(name):
        build = import_module("torchvision.models").get_model_builder(name) if library == "torchvision" else (
            import_module("timm.models").model_entrypoint(name))  # fmt: skip
    else:
        raise InputError(f"backbone {name!r} is unknown; accepted: {', '.join(BACKBONES)}, or a classifier of torchvision or timm")
    # Transformers take the image size. Inceptions have auxiliary heads, which only their own recipe trains.
    options = {"image_size": image_size_px, "img_size": image_size_px, "aux_logits": False, "init_weights": True}
    taken = inspect.signature(get_type_hints(build).get("return", build)).parameters
    try:
        with torch.device(device):
            model = build(**{key: value for key, value in options.items() if key in taken and value is not None})
        if image_size_px:
            with torch.no_grad():
                features_of(model.eval(), torch.zeros(2, 3, image_size_px, image_size_px))
    except InputError:
        raise
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"backbone {name!r} does not take images of {image_size_px} px ({reason}); accepted: another image_size_px or backbone"
        ) from None
    return model.train()


def _declare_missing_operators() -> None:
    """Let PyPI's torchvision, built for CUDA, be imported beside a CPU build of torch.

    Its detection operators cannot be loaded there, and the import fails because it describes one that does not exist. This
    project uses torchvision's networks only, so the missing names are declared.
    """
    if torch.version.cuda is not None:
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        try:
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        except RuntimeError:  # a torchvision built for this torch has it already
            return
    _KEPT.append(library)  # its operators live as long as it does


_KEPT: list[torch.library.Library] = []
_declare_missing_operators()
