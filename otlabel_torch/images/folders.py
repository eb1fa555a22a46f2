"""Folders of image files: what is in them, and its squares in memory or on call."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from ..system.devices import free_memory
from ..system.errors import DataError
from .decoding import Files, Reading, decode, shown
from .duplicates import on_both_sides, without_twins
from .looking import look
from .notes import Note
from .walk import walk

MAX_SIZE = 224
SHOWN = 8  # classes that are named on the screen
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
    notes: list[Note] = field(default_factory=list)  # what was left out

    def without_twins(self, drop: bool) -> Listing:
        """With a word on files of the same content, or only the first of each."""
        kept, notes = without_twins(self.paths, drop)
        targets = None if self.targets is None else [self.targets[row] for row in kept]
        paths = [self.paths[row] for row in kept]
        return dataclasses.replace(self, paths=paths, targets=targets, notes=[*self.notes, *notes])

    def judging(self, train: Listing) -> Listing:
        """With a word on files that are training images too."""
        return dataclasses.replace(self, notes=[*self.notes, *on_both_sides(train.paths, self.paths)])


class Squares(NamedTuple):
    """Of the files that can be read."""

    pixels: Tensor | Files
    kept: list[int]  # indices of the listing's paths
    skipped: list[str]  # why the others are not
    notes: list[Note]  # what was done to them
    pixel_range: tuple[float, float] | None  # of gray beyond 8 bits


def classes_note(targets: list[int], names: list[str]) -> Note:
    """How many images each class has."""
    counts = Counter(targets)
    shown_names = ", ".join(f"{shown(name)} {counts[number]:,}" for number, name in enumerate(names[:SHOWN]))
    return Note(f"{len(names)} classes: {shown_names}{', ...' if len(names) > SHOWN else ''}")


def listing(root: Path) -> Listing:
    """root/CLASS/.../IMAGE, or root/IMAGE without classes.

    Raises:
        DataError: there are no images, or some beside the classes.
    """
    found = walk(root)
    alone = [path for path in found.images if path.parent == root]
    if not found.images:
        also = f" ({'; '.join(map(str, found.notes))})" if found.notes else ""
        packed = [path for path in found.others if path.name.lower().endswith(".zip")]
        one = f" Point `root` at {shown(packed[0])}, or unpack it." if packed else " Is it the right folder?"
        remedy = " Unpack them." if len(packed) > 1 else one
        raise DataError(f"{root} must hold images, or a folder of images for every class, got none{also}.{remedy}")
    if alone and len(alone) < len(found.images):
        other = next(path for path in found.images if path.parent != root).relative_to(root).parts[0]
        raise DataError(
            f"{root} must hold images or folders of images, but {shown(alone[0].name)} lies beside the folder "
            f"{shown(other)}. Move one of them."
        )
    if alone:
        return Listing(root, alone, None, [], found.notes)
    classes = [path.relative_to(root).parts[0] for path in found.images]
    names = sorted(set(classes))
    number = {name: place for place, name in enumerate(names)}
    targets = [number[name] for name in classes]
    return Listing(root, found.images, targets, names, [classes_note(targets, names), *found.notes])


def squares(listing: Listing, size: int | None, keep: str, workers: int, skip_bad: bool, reading: Reading) -> Squares:
    """The files decoded into memory, or what decodes them when they are needed.

    Args:
        size: side of the squares, or None for the median of the images' shorter sides, at most ``MAX_SIZE``.
        keep: "memory", "files", or "auto".
        skip_bad: leave files out that cannot be read, instead of raising. Files on call are all decoded once for that.
        reading: how; without a range of gray it is that of the files.
    """
    paths = listing.paths
    seen = look(paths, reading, workers)
    reading = dataclasses.replace(reading, pixel_range=seen.pixel_range)
    side = min(MAX_SIZE, seen.side) if size is None else size
    needed, free = 3 * side**2 * len(paths), free_memory()
    in_memory = keep == "memory" or (keep == "auto" and needed <= SHARE * free)
    if in_memory and needed > free:
        raise DataError(
            f"the {len(paths)} images of {listing.root} take {needed / 2**30:.1f} GiB at {side} px, but "
            f"{free / 2**30:.1f} GiB are free. Add `keep` files, or choose a smaller `image_size`."
        )
    if not in_memory and not skip_bad:
        files = Files(paths, round(side * MARGIN), workers, reading)
        return Squares(files, list(range(len(paths))), [], seen.notes, seen.pixel_range)
    images = torch.empty((len(paths) if in_memory else 0, 3, side, side), dtype=torch.uint8)
    kept: list[int] = []
    skipped: list[str] = []
    title = f"{'decode' if in_memory else 'check'} {listing.root.name}"
    for i, image in enumerate(
        tqdm(decode(paths, side, workers, reading), total=len(paths), desc=title, unit="img", leave=False, disable=None)
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
        return Squares(images[: len(kept)], kept, skipped, seen.notes, seen.pixel_range)
    files = Files([paths[i] for i in kept], round(side * MARGIN), workers, reading)
    return Squares(files, kept, skipped, seen.notes, seen.pixel_range)
