"""Networks: a trunk that makes features, a hidden layer, and one linear layer that holds all heads."""

from __future__ import annotations

from typing import Literal

import torchvision
from torch import Tensor, nn

Architecture = Literal["convnet", "resnet18", "resnet34", "resnet50"]


class Network(nn.Module):
    """Trunk, hidden layer, heads; one pass through the trunk serves every head.

    The hidden layer stands for the fully connected layers of SeLa's AlexNet: without it the features must themselves
    be linearly separable into the labels, which costs 4 points of kNN accuracy (docs/reproduce.md).
    """

    def __init__(self, arch: Architecture, size: int, heads: int, k: int):
        super().__init__()
        self.trunk, self.width = _trunk(arch, size)
        self.heads, self.k = heads, k
        self.hidden = nn.Sequential(
            nn.Linear(self.width, self.width, bias=False), nn.BatchNorm1d(self.width), nn.ReLU(inplace=True)
        )
        self.head = nn.Linear(self.width, heads * k)

    def features(self, images: Tensor) -> Tensor:
        """(n, 3, s, s) -> (n, width)."""
        return self.trunk(images)

    def scores(self, hidden: Tensor) -> Tensor:
        """Outputs of the hidden layer (n, width) -> (n, heads, k)."""
        return self.head(hidden).view(-1, self.heads, self.k)

    def forward(self, images: Tensor) -> Tensor:
        return self.scores(self.hidden(self.features(images)))


def _trunk(arch: Architecture, size: int) -> tuple[nn.Module, int]:
    if arch == "convnet":
        return _convnet((32, 64, 128, 256)), 256
    net = torchvision.models.get_model(arch, weights=None)
    if size < 64:  # the ImageNet stem would leave a 32-pixel image one pixel wide
        net.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        net.maxpool = nn.Identity()
    width = net.fc.in_features
    net.fc = nn.Identity()
    return net, width


def _convnet(widths: tuple[int, ...]) -> nn.Sequential:
    """Pooling before normalisation does a quarter of its work: the whole step is 1.9 times faster on 2 cores."""
    layers: list[nn.Module] = []
    channels = 3
    for depth, width in enumerate(widths):
        layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=False))
        if depth < len(widths) - 1:
            layers.append(nn.MaxPool2d(2))
        layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
