"""Networks: torchvision's ResNets, and two small ones of the same family for small images (paper, D.2: ResNet50)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50
from torchvision.models.resnet import BasicBlock, ResNet

from pretraining_gain.errors import InputError


class SmallResNet(ResNet):
    """ResNet-10 for 32-pixel images: one block a stage, 3×3 stem of stride 2 without pooling, `width` first channels."""

    def __init__(self, width: int) -> None:
        super().__init__(BasicBlock, [1, 1, 1, 1])
        self.inplanes = width
        self.conv1 = nn.Conv2d(3, width, kernel_size=3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.Identity()
        self.layer1 = self._make_layer(BasicBlock, width, 1)
        self.layer2 = self._make_layer(BasicBlock, 2 * width, 1, stride=2)
        self.layer3 = self._make_layer(BasicBlock, 4 * width, 1, stride=2)
        self.layer4 = self._make_layer(BasicBlock, 8 * width, 1, stride=2)
        self.fc = nn.Linear(8 * width, 1000)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


BACKBONES: dict[str, Callable[[], ResNet]] = {
    "resnet50": resnet50,
    "resnet18": resnet18,
    "resnet10_w32": lambda: SmallResNet(32),
    "resnet10_w16": lambda: SmallResNet(16),
}
_HEAD = "fc."


def build_model(backbone: str, n_classes: int, seed: int) -> ResNet:
    """A randomly initialised network with a head for `n_classes`, channels_last.

    Randomness: a function of `seed` only; torch's global generator is left as it was. Head and backbone draw apart,
    so for one seed the backbone starts the same whatever the number of classes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BACKBONES[backbone]()
        torch.manual_seed(seed + 2**31)
        model.fc = nn.Linear(model.fc.in_features, n_classes)
    return model.to(memory_format=torch.channels_last)


def load_backbone(model: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Copy pretrained `weights` into `model`, all but the head. Raises `InputError` naming `where` on any other mismatch."""
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith(_HEAD)}
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(_HEAD)}
    wrong = sorted(set(kept) ^ set(own)) or sorted(n for n in own if own[n].shape != kept[n].shape)
    if wrong:
        raise InputError(f"{where}: weights are of another backbone; first mismatch: {wrong[0]}")
    model.load_state_dict(kept, strict=False)


def freeze_backbone(model: nn.Module) -> None:
    """Exclude all but the head from training (paper, D.2, ImageNet-animal recipe)."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(_HEAD))
