"""Images that are packed: in an archive, in parquet or Arrow files, in WebDataset's shards. Unpacked once, beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...system.errors import DataError
from ..decoding import shown
from ..notes import Note
from ..walk import Found, walk
from . import archives, huggingface, webdatasets
from .beside import made_beside

KINDS = {"hf": huggingface, "webdataset": webdatasets}
_ARE = {"hf": ".parquet or .arrow files", "webdataset": ".tar files"}
ENDINGS = (*archives.ENDINGS, *huggingface.ENDINGS)


def unpacked(root: Path, kind: str | None = None) -> tuple[Path, list[Note]] | None:
    """The folder of images that is made of ``root``, and what is said of that; None if nothing is packed.

    Args:
        root: a file, or a folder of such; one with images of its own is a folder of images, whatever else is there.
        kind: of ``KINDS``, where that is said; else it is found out.

    Raises:
        DataError: it is damaged, or unsafe, or there is no room, or it is not plain what it is.
    """
    if kind is None and archives.is_archive(root) and not _is_shard(root):
        folder, notes = _made(root, [root], "archive", lambda folder: archives.unpack(root, folder))
        return folder, [Note(f"{shown(root.name)} is unpacked: {shown(folder)}"), *notes]
    there = walk(root) if root.is_dir() else Found(others=[root] if root.is_file() else [])
    shards = {name: [path for path in there.others if KINDS[name].is_shard(path)] for name in KINDS}
    found = {name: files for name, files in shards.items() if files and kind in (None, name)}
    if kind is not None and not found:
        raise DataError(f"`data` {kind} needs `root`, {_ARE[kind]} or a folder of such, but {root} is none.")
    if not found or (kind is None and there.images):
        return None
    if len(found) > 1:
        raise DataError(f"{root} holds {' and '.join(_ARE[name] for name in found)}. Add `data` {' or '.join(found)}.")
    ((name, files),) = found.items()
    files = sorted(files)
    folder, notes = _made(root, files, name, lambda folder: KINDS[name].write(root, files, folder))
    beside = Found(others=sorted({*there.others} - {*files}), junk=there.junk, links=there.links).notes
    if there.images:
        beside.append(Note("left out: images beside them", there.images))
    first = Note(f"the images in {shown(root.name)} ({len(files)} files) are written out: {shown(folder)}")
    return folder, [first, *notes, *beside]


def _is_shard(archive: Path) -> bool:
    if not archive.name.lower().endswith(archives.TARS):
        return False
    with _readable(archive):
        return webdatasets.has_classes(archive)


def _made(root: Path, files: list[Path], kind: str, make: Callable[[Path], list[Note]]) -> tuple[Path, list[Note]]:
    with _readable(root):
        return made_beside(root, files, kind, make)


@contextmanager
def _readable(root: Path) -> Iterator[None]:
    try:
        yield
    except archives.DAMAGED as error:
        raise DataError(f"`root` {root} cannot be unpacked: {error}. Unpack it yourself, or repair it.") from None
