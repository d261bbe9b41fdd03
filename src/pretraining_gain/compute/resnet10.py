"""ResNet-10 for small images: the ResNet family of the paper, in seconds on a CPU core."""

from __future__ import annotations

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet


class SmallResNet(ResNet):
    """ResNet with one block per stage, a 3×3 stem of stride 2 without pooling, and `width` channels in its first stage."""

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


def resnet10_w32() -> SmallResNet:
    return SmallResNet(32)


def resnet10_w16() -> SmallResNet:
    return SmallResNet(16)
