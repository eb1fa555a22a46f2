"""Networks: a trunk that makes features, a hidden layer, and one linear layer that holds all heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torchvision
from torch import Tensor, nn

from ..system.errors import UsageError
from .convolution import quicken

RESNETS = ("resnet18", "resnet34", "resnet50")
TIMM = "timm/"  # before a name of timm's
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
        kind = _arch(arch)
        self.trunk, self.width = kind.trunk(size)
        quicken(self.trunk)
        self.size, self.heads, self.k = size, heads, k
        self.hidden = kind.hidden(self.width) if hidden else nn.Identity()
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
    if arch.startswith(TIMM):
        _timm(arch)
    elif arch not in ARCHES:
        raise UsageError(f"`arch` must be {', '.join(ARCHES)}, or {TIMM}NAME with a name of timm's, got {arch}.")
    least = _arch(arch).least
    if size < least:
        raise UsageError(f"`arch` {arch} needs images of {least} px or more, got {size}. Add `image_size` 224.")


def check_train_size(arch: str, size: int, train_size: int) -> None:
    """Raise UsageError if the network for images of this size takes none of the size it is to be trained on."""
    trunk, _ = _arch(arch).trunk(size)
    try:
        with torch.no_grad():
            trunk.eval()(torch.zeros(1, 3, train_size, train_size))
    except (AssertionError, RuntimeError) as error:
        raise UsageError(
            f"`train_size` {train_size}: {arch} made for {size} px does not take such images ({error}). Leave it out."
        ) from error


def _resnet(name: str, size: int) -> tuple[nn.Module, int]:
    """torchvision's; for small images the first convolution keeps their size."""
    net = torchvision.models.get_model(name, weights=None)
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


def _convnet(widths: tuple[int, ...], size: int) -> tuple[nn.Module, int]:
    """Pooling before normalisation does a quarter of its work: the whole step is 1.9 times faster on 2 cores."""
    layers: list[nn.Module] = []
    channels = 3
    for depth, width in enumerate(widths):
        layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=False))
        if depth < len(widths) - 1:
            layers.append(nn.MaxPool2d(2))
        layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), channels


def _normalised(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(inplace=True))


def _plain(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(inplace=True))


@dataclass(frozen=True)
class Arch:
    """A kind of network."""

    trunk: Callable[[int], tuple[nn.Module, int]]  # for images of a size: what makes features of them, and their width
    hidden: Callable[[int], nn.Module] = _normalised  # layer of such a width
    least: int = 1  # side in pixels of the images that it takes
    any_size: bool = True  # whether one that was made for a size takes images of another


ARCHES = {
    "convnet": Arch(partial(_convnet, (32, 64, 128, 256))),
    "convnet-2x": Arch(partial(_convnet, (64, 128, 256, 512))),
    "convnet-3x": Arch(partial(_convnet, (96, 192, 384, 768))),
    "convnet-4x": Arch(partial(_convnet, (128, 256, 512, 1024))),
    "convnet-8x": Arch(partial(_convnet, (256, 512, 1024, 2048))),
    # Its strides leave nothing of smaller images; the hidden layer is its second fully connected one.
    "alexnet": Arch(lambda size: (AlexNet(size), 4096), _plain, 64, any_size=False),
    **{name: Arch(partial(_resnet, name)) for name in RESNETS},
}


def takes_any_size(arch: str) -> bool:
    """Whether a network made for one size of images surely takes those of another; of timm's nobody knows."""
    return arch in ARCHES and ARCHES[arch].any_size


def _arch(name: str) -> Arch:
    return Arch(partial(_timm_trunk, name)) if name.startswith(TIMM) else ARCHES[name]
