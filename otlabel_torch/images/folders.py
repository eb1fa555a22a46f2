"""Folders of image files: what is in them, and its squares in memory or on call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS
from tqdm import tqdm

from ..system.devices import free_memory
from ..system.errors import DataError
from .decoding import Files, decode, read

MAX_SIZE = 224
SHARE = 0.5  # of the free memory that decoded images may take
MARGIN = 8 / 7  # files that are decoded anew each time are kept larger than what the network sees, 256 for 224:
# crops of a part of them are then less blurred. In memory that would cost a third more.


@dataclass(frozen=True)
class Listing:
    """Files of images, and their classes if there are any."""

    root: Path
    paths: list[Path]
    targets: list[int] | None
    class_names: list[str]


class Squares(NamedTuple):
    """Of the files that can be read."""

    pixels: Tensor | Files
    kept: list[int]  # indices of the listing's paths
    skipped: list[str]  # why the others are not


def listing(root: Path) -> Listing:
    """root/CLASS/IMAGE, or root/IMAGE without classes."""
    paths = sorted(path for path in root.iterdir() if _is_image(path))
    if paths:
        for folder in (path for path in root.iterdir() if path.is_dir()):
            if any(map(_is_image, folder.rglob("*"))):
                raise DataError(
                    f"{root} must hold images or folders of images, but {paths[0].name} lies beside the folder "
                    f"{folder.name}. Move one of them."
                )
        return Listing(root, paths, None, [])
    try:
        found = ImageFolder(root)
    except FileNotFoundError as error:
        raise DataError(f"{root} must hold images, or a folder of images for every class: {error}") from None
    return Listing(root, [Path(path) for path, _ in found.samples], found.targets, found.classes)


def squares(listing: Listing, size: int | None, keep: str, workers: int, skip_bad: bool) -> Squares:
    """The files decoded into memory, or what decodes them when they are needed.

    Args:
        size: side of the squares, or None for the shorter side of the first image, at most ``MAX_SIZE``.
        keep: "memory", "files", or "auto".
        skip_bad: leave files out that cannot be read, instead of raising. Files on call are all decoded once for that.
    """
    paths = listing.paths
    side = _first_size(paths, skip_bad) if size is None else size
    needed, free = 3 * side**2 * len(paths), free_memory()
    in_memory = keep == "memory" or (keep == "auto" and needed <= SHARE * free)
    if in_memory and needed > free:
        raise DataError(
            f"the {len(paths)} images of {listing.root} take {needed / 2**30:.1f} GiB at {side} px, but "
            f"{free / 2**30:.1f} GiB are free. Add `keep` files, or choose a smaller `image_size`."
        )
    if not in_memory and not skip_bad:
        return Squares(Files(paths, round(side * MARGIN), workers), list(range(len(paths))), [])
    images = torch.empty((len(paths) if in_memory else 0, 3, side, side), dtype=torch.uint8)
    kept: list[int] = []
    skipped: list[str] = []
    title = f"{'decode' if in_memory else 'check'} {listing.root.name}"
    for i, image in enumerate(
        tqdm(decode(paths, side, workers), total=len(paths), desc=title, unit="img", leave=False, disable=None)
    ):
        if isinstance(image, DataError):
            if not skip_bad:
                raise image
            skipped.append(str(image))
            continue
        if in_memory:
            images[len(kept)] = image
        kept.append(i)
    if not kept:
        raise DataError(f"{listing.root} must hold images, but none of its {len(paths)} files can be read.")
    if in_memory:
        return Squares(images[: len(kept)], kept, skipped)
    return Squares(Files([paths[i] for i in kept], round(side * MARGIN), workers), kept, skipped)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMG_EXTENSIONS and path.is_file()


def _first_size(paths: list[Path], skip_bad: bool) -> int:
    """The shorter side of the first image that can be read, at most MAX_SIZE."""
    for path in paths:
        try:
            return min(MAX_SIZE, *read(path).size)
        except DataError:
            if not skip_bad:
                raise
    raise DataError(f"none of the {len(paths)} files can be read as an image, {paths[0]} for one.")
