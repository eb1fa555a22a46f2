"""Images in memory, decoded once: uint8 pixels, a path for each, classes where they are known."""

from __future__ import annotations

import dataclasses
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2 import functional as F
from tqdm import tqdm

MIN_SIZE, MAX_SIZE = 8, 224


class DataError(Exception):
    """The images cannot be used; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Images:
    """n images of one size."""

    pixels: Tensor  # (n, 3, size, size) uint8
    paths: list[str]  # the identity of image i: labels are keyed by it
    classes: Tensor  # (n,) int64 ground truth, for evaluation only
    class_names: list[str]

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.pixels.shape[-1]

    @property
    def fingerprint(self) -> str:
        """Of the paths in their order: labels of other images must not be taken for labels of these."""
        return hashlib.sha256("\n".join(self.paths).encode()).hexdigest()


def load(data: str, root: Path | None, image_size: int | None) -> tuple[Images, Images | None]:
    """The training images and, if there are any, the validation images."""
    if image_size is not None and image_size < MIN_SIZE:
        raise DataError(
            f"--image-size must be at least {MIN_SIZE}, got {image_size}: the networks halve it three times."
        )
    if data == "digits":
        return _digits(16 if image_size is None else image_size), None
    if root is None:
        raise DataError("--data folder needs --root DIR, a folder with train/CLASS/IMAGE inside.")
    if not root.is_dir():
        raise DataError(f"--root must be a folder, but {root} is not there.")
    train_root = root / "train" if (root / "train").is_dir() else root
    train = _folder(train_root, image_size)
    val_root = root / "val"
    val = _folder(val_root, train.pixels.shape[-1]) if train_root != root and val_root.is_dir() else None
    return train, None if val is None else _renumbered(val, train.class_names, root)


def _digits(size: int) -> Images:
    from sklearn.datasets import load_digits

    digits = load_digits()
    gray = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8))[:, None]
    pixels = F.resize(gray, [size, size], antialias=True).expand(-1, 3, -1, -1).contiguous()
    paths = [f"digits/{i:04d}" for i in range(len(gray))]
    return Images(pixels, paths, torch.from_numpy(digits.target).long(), [str(d) for d in digits.target_names])


def _folder(root: Path, size: int | None) -> Images:
    try:
        listing = ImageFolder(root)
    except FileNotFoundError as error:
        raise DataError(f"{root} must hold a folder of images for every class: {error}") from None
    paths = [Path(path) for path, _ in listing.samples]
    if size is None:
        size = min(MAX_SIZE, *_read(paths[0]).size)
    with ThreadPoolExecutor() as pool:
        decoded = pool.map(lambda path: _square(path, size), paths)
        bar = tqdm(decoded, total=len(paths), desc=f"decode {root.name}", unit="img", leave=False, disable=None)
        pixels = torch.stack(list(bar))
    names = [path.relative_to(root.parent if root.name in ("train", "val") else root).as_posix() for path in paths]
    return Images(pixels, names, torch.tensor(listing.targets), listing.classes)


def _renumbered(val: Images, names: list[str], root: Path) -> Images:
    """Validation classes by the numbers of the training classes; some may be missing, none may be new."""
    unknown = sorted(set(val.class_names) - set(names))
    if unknown:
        raise DataError(f"{root}/val may only have classes of {root}/train, but it also has {', '.join(unknown[:5])}.")
    number = torch.tensor([names.index(name) for name in val.class_names])
    return dataclasses.replace(val, classes=number[val.classes], class_names=names)


def _read(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):  # 16-bit gray, which convert() would clip to white
                return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
            return image.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image ({error}). Repair or remove it.") from None


def _square(path: Path, size: int) -> Tensor:
    image = F.pil_to_tensor(_read(path))
    if min(image.shape[1:]) != size:
        image = F.resize(image, [size], antialias=True)
    return F.center_crop(image, [size, size])
