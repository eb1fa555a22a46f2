"""torchvision's data sets: small ones as arrays in memory, ImageNet as a list of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torchvision import datasets

from ..system.errors import DataError
from .folders import Listing


class Part(NamedTuple):
    """The training or the test images."""

    name: str  # as in "cifar10/train"
    pixels: np.ndarray  # (n, channels, side, side) uint8
    classes: np.ndarray | None  # (n,)
    class_names: list[str]


def read(name: str, root: Path, download: bool) -> tuple[Part, Part]:
    """The images to learn from and those to judge by. STL-10 learns from its 100,000 images without classes.

    Raises:
        DataError: ``root`` does not hold the data set, or its files are damaged.
    """
    try:
        return _READERS[name](root, download)
    except (RuntimeError, OSError, ValueError) as error:  # torchvision's own words: not found, damaged, no network
        remedy = "Look at the network" if download else "Point `root` at them, or train with `download` to fetch them"
        raise DataError(f"`data` {name} needs its files in `root` {root}: {error} {remedy}.") from None


def read_imagenet(root: Path) -> tuple[Listing, Listing]:
    """The training and the validation files; torchvision unpacks its archives on first use, and needs SciPy for
    that."""

    def part(split: str) -> Listing:
        data = datasets.ImageNet(root, split=split)
        names = [synonyms[0] for synonyms in data.classes]
        return Listing(root / split, [Path(path) for path, _ in data.samples], data.targets, names)

    try:
        return part("train"), part("val")
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(f"`data` imagenet needs its files in `root` {root}: {error}") from None


def _cifar(kind: Any, name: str, root: Path, download: bool) -> tuple[Part, Part]:
    def part(train: bool) -> Part:
        data = kind(root, train=train, download=download)
        return Part(f"{name}/{_split(train)}", _channels_first(data.data), np.asarray(data.targets), data.classes)

    return part(True), part(False)


def _svhn(root: Path, download: bool) -> tuple[Part, Part]:
    def part(split: str) -> Part:
        data = datasets.SVHN(str(root), split=split, download=download)
        return Part(
            f"svhn/{split}", np.asarray(data.data), np.asarray(data.labels), [str(digit) for digit in range(10)]
        )

    return part("train"), part("test")


def _stl10(root: Path, download: bool) -> tuple[Part, Part]:
    def part(split: str) -> Part:
        data = datasets.STL10(str(root), split=split, download=download)
        classes = None if data.labels is None or (data.labels < 0).any() else np.asarray(data.labels)
        return Part(f"stl10/{split}", np.asarray(data.data), classes, data.classes if classes is not None else [])

    return part("unlabeled"), part("test")


def _fashion_mnist(root: Path, download: bool) -> tuple[Part, Part]:
    def part(train: bool) -> Part:
        data = datasets.FashionMNIST(root, train=train, download=download)
        return Part(f"fashion-mnist/{_split(train)}", data.data.numpy()[:, None], data.targets.numpy(), data.classes)

    return part(True), part(False)


def _split(train: bool) -> str:
    return "train" if train else "test"


def _channels_first(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 1))


_READERS = {
    "cifar10": lambda root, download: _cifar(datasets.CIFAR10, "cifar10", root, download),
    "cifar100": lambda root, download: _cifar(datasets.CIFAR100, "cifar100", root, download),
    "svhn": _svhn,
    "stl10": _stl10,
    "fashion-mnist": _fashion_mnist,
}
NAMES = tuple(_READERS)
WHERE = {name: f"where torchvision keeps {name}; train with `download` to fetch it there" for name in NAMES} | {
    "imagenet": "where torchvision keeps ImageNet: its three archives, or train/, val/ and meta.bin made from them"
}
