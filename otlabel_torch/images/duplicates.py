"""Files of the same content: the same picture twice is twice in the training images, and on both sides of a split."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path

from .notes import Note

COMPARED = 200_000  # files whose contents are compared without being asked: minutes on a slow disk
_END = 1 << 12  # bytes of the end of a file that are looked at before all of it is


def without_twins(paths: list[Path], drop: bool) -> tuple[list[int], list[Note]]:
    """Which files are kept, all unless ``drop``; and what is said of those of the same content."""
    groups = twins(paths) if drop or len(paths) <= COMPARED else []
    more = [path for group in groups for path in group[1:]]
    if not more:
        return list(range(len(paths))), []
    if not drop:
        what = "files of the content of another, which `drop_duplicates` leaves out"
        return list(range(len(paths))), [Note(what, more)]
    dropped = set(more)
    kept = [row for row, path in enumerate(paths) if path not in dropped]
    return kept, [Note("left out: files of the content of another", more)]


def on_both_sides(train: list[Path], val: list[Path]) -> list[Note]:
    """What is said of validation images that are trained on."""
    if len(train) + len(val) > COMPARED:
        return []
    known = set(train)
    seen = [path for group in twins([*train, *val]) if group[0] in known for path in group if path not in known]
    return [Note("validation images of the content of a training image", seen)] if seen else []


def twins(paths: list[Path]) -> list[list[Path]]:
    """Groups of two or more files of the same content, each in the order given.

    Files of a size of their own are not opened; of the others the end is compared first.
    """
    groups = [paths]
    for key in (_size, _end, _content):
        groups = [same for group in groups for same in _by(key, group) if len(same) > 1]
    return groups


def _by(key, paths: list[Path]) -> list[list[Path]]:
    found: dict[object, list[Path]] = defaultdict(list)
    for path in paths:
        try:
            found[key(path)].append(path)
        except OSError:
            continue  # whoever decodes it says so
    return list(found.values())


def _size(path: Path) -> int:
    return path.stat().st_size


def _end(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _END))
        return hashlib.blake2b(file.read(), digest_size=16).digest()


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()
