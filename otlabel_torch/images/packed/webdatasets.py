"""WebDataset's shards: .tar files in which the files of a sample have one name and lie together, 7.jpg and 7.cls."""

from __future__ import annotations

import itertools
import tarfile
from collections import defaultdict
from pathlib import Path

from ...system.errors import DataError
from ..notes import Note
from ..walk import extensions
from .archives import TARS, check, members_of
from .samples import Samples, named, splits_of

_CLASS = "cls"  # what the file of a class is called, as the format has it
_LONGEST = 1 << 10  # bytes of such a file


def is_shard(path: Path) -> bool:
    """By its name."""
    return path.name.lower().endswith(TARS)


def has_classes(archive: Path) -> bool:
    """Whether a .tar file says by a .cls that it is a shard; else it may be a folder that was packed."""
    with tarfile.open(archive) as tar:
        return any(_key(member.name)[1].lower() == _CLASS for member in tar)


def write(root: Path, shards: list[Path], folder: Path) -> list[Note]:
    """The images of the shards, as files.

    Raises:
        DataError: a shard is unsafe, or a sample has two images, or there is no room.
    """
    samples, left = Samples(folder), defaultdict[str, list[str]](list)
    splits, notes = splits_of(root, shards)
    for shard in shards:
        split, called = splits[shard], named(shard, root, TARS)
        with tarfile.open(shard) as tar:
            files, links = members_of(tar)
            check(shard, [(member.name, member.size) for member in files])
            notes += links
            for key, members in itertools.groupby(files, lambda member: _key(member.name)[0]):
                _add(samples, split, f"{called}-{key}", tar, list(members), left)
    notes += samples.finish()
    return [*notes, *(Note(f"left out: files .{kind} of samples", names) for kind, names in sorted(left.items()))]


def _add(
    samples: Samples,
    split: str,
    name: str,
    tar: tarfile.TarFile,
    members: list[tarfile.TarInfo],
    left: dict[str, list[str]],
) -> None:
    """One sample; ``left`` takes the files that are neither image nor class."""
    images, label = [], None
    for member in members:
        kind = _key(member.name)[1]
        if f".{kind.rpartition('.')[2].lower()}" in extensions():
            images.append(member)
        elif kind.lower() == _CLASS:
            label = _content(tar, member)[:_LONGEST].decode("utf-8", "replace").strip() or None
        else:
            left[kind].append(member.name)
    if len(images) > 1:
        found = ", ".join(member.name for member in images)
        raise DataError(f"`root` {tar.name!s} must have one image a sample, got {found}. Leave the others out.")
    if images:
        samples.add(split, name, _content(tar, images[0]), label)
    elif label is not None:
        left[f"{_CLASS} without an image"].append(members[0].name)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None  # it is a file
    with file:
        return file.read()


def _key(name: str) -> tuple[str, str]:
    """Of the sample, and what its file is: all behind the first dot of the name without folders."""
    folder, slash, base = name.rpartition("/")
    stem, _, kind = base.partition(".")
    return f"{folder}{slash}{stem}", kind
