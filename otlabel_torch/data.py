"""Images in memory, decoded once: uint8 pixels, a path for each, classes where they are known."""

from __future__ import annotations

import dataclasses
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms.v2 import functional as F
from tqdm import tqdm

from . import sets
from .errors import DataError

MIN_SIZE, MAX_SIZE = 8, 224
SPLITS = {"train", "val", "test"}
FOLDERS = "a folder of images, or of folders of them for every class, or with train/ and val/ of such inside"


@dataclass(frozen=True)
class Images:
    """n images of one size."""

    pixels: Tensor  # (n, 3, size, size) uint8
    paths: list[str]  # the identity of image i: labels are keyed by it
    classes: Tensor | None  # (n,) int64 ground truth, for evaluation only
    class_names: list[str]
    skipped: list[str] = field(default_factory=list)  # files that cannot be read, where that was allowed

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.pixels.shape[-1]

    @property
    def truth(self) -> Tensor:
        """The classes, of images that have some."""
        assert self.classes is not None
        return self.classes

    @property
    def fingerprint(self) -> str:
        """Of the paths in their order: labels of other images must not be taken for labels of these."""
        return hashlib.sha256("\n".join(self.paths).encode()).hexdigest()


def load(
    data: str, root: Path | None, image_size: int | None, *, download: bool = False, skip_bad: bool = False
) -> tuple[Images, Images | None]:
    """The training images and, if there are any, the validation images.

    Args:
        data: "digits", "folder", or a data set of ``sets.NAMES``.
        root: the folder of images, or where torchvision keeps the data set.
        image_size: side of the images, or None for that of the data.
        download: let torchvision fetch the data set if ``root`` does not hold it.
        skip_bad: leave files out that cannot be read, instead of raising.
    """
    if image_size is not None and image_size < MIN_SIZE:
        raise DataError(
            f"--image-size must be at least {MIN_SIZE}, got {image_size}: the networks halve it three times."
        )
    if data == "digits":
        if root is not None:
            raise DataError(f"--data digits come with scikit-learn and need no --root, got {root}. Add --data folder.")
        return _digits(16 if image_size is None else image_size), None
    if root is None:
        raise DataError(f"--data {data} needs --root DIR: {sets.WHERE.get(data, FOLDERS)}.")
    if data != "folder":
        train, test = (_resized(part, image_size) for part in sets.read(data, root, download))
        return train, test
    if not root.is_dir():
        raise DataError(f"--root must be a folder, but {root} is not there.")
    folders = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    if "train" not in folders or not folders <= SPLITS:  # a class may be called train
        return _folder(root, root, image_size, skip_bad), None
    train = _folder(root / "train", root, image_size, skip_bad)
    if "val" not in folders:
        return train, None
    return train, _renumbered(_folder(root / "val", root, train.size, skip_bad), train, root)


def _digits(size: int) -> Images:
    from sklearn.datasets import load_digits

    digits = load_digits()
    gray = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8))[:, None]
    pixels = F.resize(gray, [size, size], antialias=True).expand(-1, 3, -1, -1).contiguous()
    paths = [f"digits/{i:04d}" for i in range(len(gray))]
    return Images(pixels, paths, torch.from_numpy(digits.target).long(), [str(d) for d in digits.target_names])


def _resized(part: sets.Part, size: int | None) -> Images:
    """A data set's arrays, made smaller if that is asked for; larger they are made a batch at a time, when needed."""
    pixels = torch.from_numpy(part.pixels)
    if size is not None and size < pixels.shape[-1]:
        pixels = torch.cat([F.resize(some, [size, size], antialias=True) for some in pixels.split(1024)])
    if pixels.shape[1] == 1:
        pixels = pixels.expand(-1, 3, -1, -1).contiguous()
    paths = [f"{part.name}/{i:06d}" for i in range(len(pixels))]
    classes = None if part.classes is None else torch.from_numpy(part.classes).long()
    return Images(pixels, paths, classes, part.class_names)


def _folder(root: Path, base: Path, size: int | None, skip_bad: bool) -> Images:
    """root/CLASS/IMAGE, or root/IMAGE without classes; an image is called by its path below ``base``."""
    paths = sorted(path for path in root.iterdir() if _is_image(path))
    targets: list[int] | None = None
    class_names: list[str] = []
    if paths:
        for folder in (path for path in root.iterdir() if path.is_dir()):
            if any(map(_is_image, folder.rglob("*"))):
                raise DataError(
                    f"{root} must hold images or folders of images, but {paths[0].name} lies beside the folder "
                    f"{folder.name}. Move one of them."
                )
    else:
        try:
            listing = ImageFolder(root)
        except FileNotFoundError as error:
            raise DataError(f"{root} must hold images, or a folder of images for every class: {error}") from None
        paths, targets, class_names = [Path(path) for path, _ in listing.samples], listing.targets, listing.classes
    skipped: list[str] = []
    side = _first_size(paths, skip_bad) if size is None else size

    def decoded(path: Path) -> Tensor | None:
        try:
            return _square(path, side)
        except DataError as error:
            if not skip_bad:
                raise
            skipped.append(str(error))
            return None

    with ThreadPoolExecutor() as pool:
        bar = tqdm(
            pool.map(decoded, paths),
            total=len(paths),
            desc=f"decode {root.name}",
            unit="img",
            leave=False,
            disable=None,
        )
        images = list(bar)
    if side < MIN_SIZE:
        raise DataError(
            f"the images of {root} must be {MIN_SIZE} px or larger, got {side}. Add --image-size {MIN_SIZE}."
        )
    kept = [i for i, image in enumerate(images) if image is not None]
    if not kept:
        raise DataError(f"{root} must hold images, but none of its {len(paths)} files can be read.")
    return Images(
        torch.stack([image for image in images if image is not None]),
        [paths[i].relative_to(base).as_posix() for i in kept],
        None if targets is None else torch.tensor([targets[i] for i in kept]),
        class_names,
        sorted(skipped),
    )


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMG_EXTENSIONS and path.is_file()


def _first_size(paths: list[Path], skip_bad: bool) -> int:
    """The shorter side of the first image that can be read, at most MAX_SIZE."""
    for path in paths:
        try:
            return min(MAX_SIZE, *_read(path).size)
        except DataError:
            if not skip_bad:
                raise
    raise DataError(f"none of the {len(paths)} files can be read as an image, {paths[0]} for one.")


def _renumbered(val: Images, train: Images, root: Path) -> Images:
    """Validation classes by the numbers of the training classes; some may be missing, none may be new."""
    if train.classes is None or val.classes is None:
        return dataclasses.replace(val, classes=None, class_names=[])
    unknown = sorted(set(val.class_names) - set(train.class_names))
    if unknown:
        raise DataError(f"{root}/val may only have classes of {root}/train, but it also has {', '.join(unknown[:5])}.")
    number = torch.tensor([train.class_names.index(name) for name in val.class_names])
    return dataclasses.replace(val, classes=number[val.classes], class_names=train.class_names)


def _read(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):  # 16-bit gray, which convert() would clip to white
                return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
            return image.convert("RGB")
    except Exception as error:  # decoders of damaged files raise anything: OSError, SyntaxError, ValueError, ...
        raise DataError(f"{path} cannot be read as an image ({error}). Repair or remove it.") from None


def _square(path: Path, size: int) -> Tensor:
    image = F.pil_to_tensor(_read(path))
    if min(image.shape[1:]) != size:
        image = F.resize(image, [size], antialias=True)
    return F.center_crop(image, [size, size])
