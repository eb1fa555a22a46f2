"""The images of a run: their pixels, a path for each, classes where they are known."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from ..system.devices import sent
from ..system.errors import DataError
from . import folders, listed, packed, splits
from . import torchvision_sets as sets
from .decoding import AS_USUAL, Files, Reading, shown
from .notes import Note
from .walk import all_in, walk

MIN_SIZE = 8
FOLDERS = "a folder of images, or of folders of them for every class, or with train/ and val/ of such inside"


@dataclass(frozen=True)
class Images:
    """n squares of one size, in memory or decoded when they are needed."""

    pixels: Tensor | Files  # (n, 3, size, size) uint8
    paths: list[str]  # the identity of image i: labels are keyed by it
    classes: Tensor | None  # (n,) int64 ground truth, for evaluation only
    class_names: list[str]
    skipped: list[str] = field(default_factory=list)  # files that cannot be read, where that was allowed
    notes: list[Note] = field(default_factory=list)  # what was left out of a folder, and what was done to its images
    pixel_range: tuple[float, float] | None = None  # of gray beyond 8 bits: what became black and white

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.pixels.size if isinstance(self.pixels, Files) else self.pixels.shape[-1]

    @property
    def view_size(self) -> int:
        """Side at which a network sees them if no other is asked for."""
        return round(self.size / folders.MARGIN) if isinstance(self.pixels, Files) else self.size

    @property
    def truth(self) -> Tensor:
        """The classes, of images that have some."""
        assert self.classes is not None
        return self.classes

    @property
    def fingerprint(self) -> str:
        """Of the paths in their order: labels of other images must not be taken for labels of these."""
        return hashlib.sha256("\n".join(self.paths).encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def said(self) -> list[str]:
        """What is printed of them: files that cannot be read, and what was done to the others or left out."""
        return [*(f"skipped: {line}" for line in self.skipped), *(f"images: {note}" for note in self.notes)]

    def batches(self, rows: Iterable[Tensor]) -> Iterator[Tensor]:
        """Pixels (m, 3, size, size) for each of the tensors of m indices, in order."""
        if isinstance(self.pixels, Files):
            return self.pixels.batches(rows)
        pixels = self.pixels
        return (pixels[sent(some, pixels.device)] for some in rows)

    def take(self, rows: Tensor) -> Tensor:
        """Pixels (m, 3, size, size) of m images."""
        return next(self.batches([rows])).cpu()

    def near(self, device: torch.device) -> Images:
        """With pixels on the GPU if they take a small part of its memory: nothing is copied in training then."""
        if not isinstance(self.pixels, Tensor) or device.type != "cuda":
            return self
        free, _total = torch.cuda.mem_get_info(device)
        if self.pixels.nbytes > free / 4:
            return self
        return dataclasses.replace(self, pixels=self.pixels.to(device))

    def of(self, rows: Tensor) -> Images:
        """Only these images, in this order."""
        chosen = rows.tolist()
        if isinstance(self.pixels, Files):
            pixels: Tensor | Files = self.pixels.of(chosen)
        else:
            pixels = self.pixels[rows]
        classes = None if self.classes is None else self.classes[rows]
        return dataclasses.replace(self, pixels=pixels, paths=[self.paths[i] for i in chosen], classes=classes)


@dataclass(frozen=True)
class Source:
    """Where images come from and how they are kept.

    Args:
        data: "digits", "folder", "csv", one of ``packed.KINDS``, or a data set of ``sets.NAMES``.
        root: the folder of images, or where torchvision keeps the data set.
        image_size: side of the images, or None for that of the data.
        download: let torchvision fetch the data set if ``root`` does not hold it.
        skip_bad: leave files out that cannot be read, instead of raising.
        keep: where decoded files stay, "memory", "files" (nowhere) or "auto": memory if it has room.
        workers: threads that decode files.
        reading: how files become pixels.
        train_dir, val_dir: folders below ``root``, where their names do not say what they are.
        drop_duplicates: of files of the same content, in one folder of images, keep the first.
    """

    data: str
    root: Path | None = None
    image_size: int | None = None
    download: bool = False
    skip_bad: bool = False
    keep: str = "auto"
    workers: int = 2
    reading: Reading = AS_USUAL
    train_dir: str | None = None
    val_dir: str | None = None
    drop_duplicates: bool = False


def load(source: Source) -> tuple[Images, Images | None]:
    """The training images and, if there are any, the validation images."""
    data, root, size = source.data, source.root, source.image_size
    if size is not None:
        check_size(size)
    if data == "digits":
        if root is not None:
            raise DataError(f"`data` digits come with scikit-learn and need no `root`, got {root}. Add `data` folder.")
        return _digits(16 if size is None else size), None
    if root is None:
        raise DataError(f"`data` {data} needs `root` DIR: {sets.WHERE.get(data, FOLDERS)}.")
    if data == "folder":
        return _folders(source, root)
    if data in packed.KINDS:
        return _folders(source, root, data)
    if data == "csv":
        if not root.is_file():
            raise DataError(f"`data` csv needs `root` FILE, a CSV or parquet table with a column of paths, got {root}.")
        return _parts(*listed.listings(root), source, root.parent)
    if data == "imagenet":
        train, val = (_listed(part, source, root) for part in sets.read_imagenet(root))
        return train, val
    train, test = (_resized(part, size) for part in sets.read(data, root, source.download))
    return train, test


def check_size(size: int) -> None:
    """Raise DataError if images are too small for any network."""
    if size < MIN_SIZE:
        raise DataError(f"`image_size` must be at least {MIN_SIZE}, got {size}: the networks halve it three times.")


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


def _folders(source: Source, root: Path, kind: str | None = None) -> tuple[Images, Images | None]:
    """A folder of images, or its train/ and val/; or what is packed, of a kind that is said or found out."""
    made = packed.unpacked(root, kind)
    if made is not None:
        folder, said = made
        train, val = _folders(source, all_in(folder))
        return dataclasses.replace(train, notes=[*said, *train.notes]), val
    if not root.is_dir():
        what = "is a file of another kind" if root.exists() else "is not there"
        endings = ", ".join(packed.ENDINGS)
        raise DataError(f"`root` must be a folder, or a file {endings}, but {root} {what}.")
    top = root if source.train_dir else all_in(root)
    where = []
    if top != root:
        beside = walk(root).where(lambda path: not path.is_relative_to(top))
        where = [Note(f"all images lie in {shown(top.relative_to(root))}/"), *beside.notes]
    split = splits.of(top, source.train_dir, source.val_dir)
    if split is None:
        return _listed(folders.listing(top), source, root, where), None
    listing = folders.listing(split.train)
    train = _listed(listing, source, root, [*where, *split.notes])
    if split.val is None:
        return train, None
    val = _listed(folders.listing(split.val).judging(listing), _as_train(source, train), root)
    return train, _renumbered(val, train, split)


def _parts(
    train: folders.Listing, val: folders.Listing | None, source: Source, root: Path
) -> tuple[Images, Images | None]:
    """The images of files that are listed; a path that is not below the folder is one from there all the same."""
    images = _listed(train, source, root)
    return images, None if val is None else _listed(val.judging(train), _as_train(source, images), root)


def _as_train(source: Source, train: Images) -> Source:
    """How validation images are read: as the training images were."""
    return dataclasses.replace(
        source,
        image_size=train.view_size,
        keep=_kept(train),
        reading=dataclasses.replace(source.reading, pixel_range=train.pixel_range or source.reading.pixel_range),
    )


def _listed(listing: folders.Listing, source: Source, base: Path, notes: Sequence[Note] = ()) -> Images:
    """The images of files; an image is called by its path below ``base``."""
    listing = listing.without_twins(source.drop_duplicates)
    squares = folders.squares(listing, source.image_size, source.keep, source.workers, source.skip_bad, source.reading)
    images = Images(
        squares.pixels,
        [_called(listing.paths[i], base) for i in squares.kept],
        None if listing.targets is None else torch.tensor([listing.targets[i] for i in squares.kept]),
        listing.class_names,
        squares.skipped,
        [*notes, *listing.notes, *squares.notes],
        squares.pixel_range,
    )
    if images.size < MIN_SIZE:
        raise DataError(
            f"the images of {listing.root} must be {MIN_SIZE} px or larger, got {images.size}. "
            f"Add `image_size` {MIN_SIZE}."
        )
    return images


def _called(path: Path, base: Path) -> str:
    """By its path below a folder, or the whole of it."""
    return (path.relative_to(base) if path.is_relative_to(base) else path).as_posix()


def _kept(images: Images) -> str:
    return "files" if isinstance(images.pixels, Files) else "memory"


def _renumbered(val: Images, train: Images, split: splits.Split) -> Images:
    """Validation classes by the numbers of the training classes; some may be missing, none may be new."""
    if train.classes is None or val.classes is None:
        which = "validation" if val.classes is None else "training"
        said = [Note(f"{which} images have no classes, so that those of the others judge nothing")]
        alike = train.classes is None and val.classes is None
        return dataclasses.replace(val, classes=None, class_names=[], notes=[*val.notes, *([] if alike else said)])
    unknown = sorted(set(val.class_names) - set(train.class_names))
    if unknown:
        raise DataError(
            f"{split.val} may only have classes of {split.train}, but it also has {', '.join(unknown[:5])}. Rename "
            "them, or move them away."
        )
    number = torch.tensor([train.class_names.index(name) for name in val.class_names])
    return dataclasses.replace(val, classes=number[val.classes], class_names=train.class_names)
