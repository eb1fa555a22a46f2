"""Networks: a trunk that makes features, a hidden layer, and one linear layer that holds all heads."""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor, nn

from ..system.errors import UsageError

RESNETS = ("resnet18", "resnet34", "resnet50")
TIMM = "timm/"  # before a name of timm's
LEAST_ALEXNET = 64  # pixels: its strides leave nothing of smaller images
SMALL = 64  # pixels: below them a ResNet's stem would leave little, 1 pixel of 32


class Network(nn.Module):
    """Trunk, hidden layer, heads; one pass through the trunk serves every head.

    The hidden layer stands for the second fully connected layer of SeLa's AlexNet: without it the features must
    themselves be linearly separable into the labels, which costs a small network 3 points of kNN accuracy
    (docs/reproduce.md). ``rotation`` adds a head that tells by which of four right angles an image is turned
    (SeLa+Rot).
    """

    def __init__(self, arch: str, size: int, heads: int, k: int, *, hidden: bool = True, rotation: bool = False):
        super().__init__()
        self.trunk, self.width = _trunk(arch, size)
        self.size, self.heads, self.k = size, heads, k
        self.hidden: nn.Module = nn.Identity()
        if hidden and arch == "alexnet":
            self.hidden = nn.Sequential(nn.Linear(self.width, self.width), nn.ReLU(inplace=True))
        elif hidden:
            self.hidden = nn.Sequential(
                nn.Linear(self.width, self.width, bias=False), nn.BatchNorm1d(self.width), nn.ReLU(inplace=True)
            )
        self.head = nn.Linear(self.width, heads * k)
        self.rotation = nn.Linear(self.width, 4) if rotation else None

    def features(self, images: Tensor) -> Tensor:
        """(n, 3, s, s) -> (n, width)."""
        return self.trunk(images)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores (n, heads, k) of images (n, 3, s, s); with ``rotation`` of the first quarter, and turns (n, 4) of
        all."""
        hidden = self.hidden(self.features(images))
        if self.rotation is None:
            return self.head(hidden).view(-1, self.heads, self.k), None
        upright = hidden[: len(hidden) // 4]
        return self.head(upright).view(-1, self.heads, self.k), self.rotation(hidden)

    def linear(self, head: int) -> tuple[Tensor, Tensor]:
        """Weight (k, width) and bias (k,) of one head."""
        rows = slice(head * self.k, (head + 1) * self.k)
        return self.head.weight.detach()[rows], self.head.bias.detach()[rows]


class AlexNet(nn.Module):
    """SeLa's: batch normalisation in the place of local response normalisation; features after the first of the two
    fully connected layers. Parameters are called as in torchvision's."""

    def __init__(self, size: int):
        super().__init__()
        layers: list[nn.Module] = []
        channels, side = 3, (size - 7) // 4 + 1
        # channels, kernel, stride, padding, pooled
        for width, kernel, stride, padding, pooled in (
            (96, 11, 4, 2, True),
            (256, 5, 1, 2, True),
            (384, 3, 1, 1, False),
            (384, 3, 1, 1, False),
            (256, 3, 1, 1, True),
        ):
            layers.append(nn.Conv2d(channels, width, kernel, stride, padding, bias=False))
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            if pooled:
                layers.append(nn.MaxPool2d(3, 2))
                side = (side - 3) // 2 + 1
            channels = width
        self.features = nn.Sequential(*layers)
        first = nn.Linear(channels * side * side, 4096)
        self.classifier = nn.Sequential(nn.Dropout(0.5), first, nn.ReLU(inplace=True), nn.Dropout(0.5))

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images).flatten(1))


def check_arch(arch: str, size: int) -> None:
    """Raise UsageError if there is no such network for images of this size."""
    if arch == "alexnet" and size < LEAST_ALEXNET:
        raise UsageError(
            f"`arch` alexnet needs images of {LEAST_ALEXNET} px or more, got {size}. Add `image_size` 224."
        )
    if arch.startswith(TIMM):
        _timm(arch)
    elif arch not in ("convnet", "alexnet", *RESNETS):
        raise UsageError(
            f"`arch` must be convnet, alexnet, {', '.join(RESNETS)}, or {TIMM}NAME with a name of timm's, got {arch}."
        )


def check_train_size(arch: str, size: int, train_size: int) -> None:
    """Raise UsageError if the network for images of this size takes none of the size it is to be trained on."""
    trunk, _ = _trunk(arch, size)
    try:
        with torch.no_grad():
            trunk.eval()(torch.zeros(1, 3, train_size, train_size))
    except (AssertionError, RuntimeError) as error:
        raise UsageError(
            f"`train_size` {train_size}: {arch} made for {size} px does not take such images ({error}). Leave it out."
        ) from error


def _trunk(arch: str, size: int) -> tuple[nn.Module, int]:
    if arch == "convnet":
        return _convnet((32, 64, 128, 256)), 256
    if arch == "alexnet":
        return AlexNet(size), 4096
    if arch.startswith(TIMM):
        return _timm_trunk(arch, size)
    net = torchvision.models.get_model(arch, weights=None)
    if size < SMALL:
        net.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        net.maxpool = nn.Identity()
    width = net.fc.in_features
    net.fc = nn.Identity()
    return net, width


def _timm(arch: str):
    """timm, if it is there and knows the network."""
    try:
        import timm
    except ImportError:
        raise UsageError(f"`arch` {arch} needs timm, which is not installed. Run: pip install timm") from None
    name = arch.removeprefix(TIMM)
    if not timm.is_model(name):
        near = timm.list_models(f"*{name}*")[:5]
        raise UsageError(
            f"`arch` {arch}: timm has no {name}. {f'Near it: {near}' if near else 'See timm.list_models()'}."
        )
    return timm


def _timm_trunk(arch: str, size: int) -> tuple[nn.Module, int]:
    timm, name = _timm(arch), arch.removeprefix(TIMM)
    try:
        net = timm.create_model(
            name, pretrained=False, num_classes=0, img_size=size
        )  # transformers are made for a size
    except TypeError:
        net = timm.create_model(name, pretrained=False, num_classes=0)
    with torch.no_grad():
        width = net.eval()(torch.zeros(1, 3, size, size)).shape[1]
    return net.train(), width


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
