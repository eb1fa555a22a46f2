"""Which files of a folder are images, which are something else, and which are nobody's: all of them are counted."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from .decoding import DataError, opened, shown
from .notes import Note
from .split_names import TRAIN, kind_of

# Of file managers and archives; and what begins with a dot.
JUNK = ("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini", "lost+found")
MADE_HERE = re.compile(r".\.[0-9a-f]{8}\.unpacked")  # what ``packed`` writes beside archives
# Formats that Pillow knows by name only, or would start other programs for.
NOT_READ = ("BUFR", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "WMF")
LOOKED_INTO = 20_000  # files of other names that are tried as images


def extensions() -> frozenset[str]:
    """Of the image files that the installed Pillow reads, plug-ins included."""
    known = Image.registered_extensions()  # which loads the plug-ins
    return frozenset(name for name, kind in known.items() if kind in Image.OPEN and kind not in NOT_READ)


@dataclass
class Found:
    """What is below a folder."""

    images: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)  # files that are no images by their names
    junk: list[Path] = field(default_factory=list)  # hidden or nobody's, folders too: not looked into
    links: list[Path] = field(default_factory=list)  # symbolic links that lead nowhere, or back to where they are
    empty: list[Path] = field(default_factory=list)  # folders without anything

    def where(self, rule: Callable[[Path], bool]) -> Found:
        """Only the paths for which a rule holds."""
        kinds = self.images, self.others, self.junk, self.links, self.empty
        return Found(*([path for path in paths if rule(path)] for paths in kinds))

    @property
    def notes(self) -> list[Note]:
        """What was left out, by its kind."""
        hidden = [path for path in self.others if _is_image_inside(path)] if len(self.others) <= LOOKED_INTO else []
        rest = [path for path in self.others if path not in set(hidden)]
        kinds = (
            ("left out: files that are images by what is in them, but not by their names", hidden),
            ("left out: files that are no images", rest),
            ("left out: hidden files and folders, those of file managers, and what was unpacked here", self.junk),
            ("left out: links that lead nowhere or in circles", self.links),
            ("empty folders", self.empty),
        )
        return [Note(what, paths) for what, paths in kinds if paths]


def all_in(root: Path) -> Path:
    """The folder that all images below ``root`` lie in: of those in one another the first with images or two folders.

    As archives are packed, and where a level too much is named. A folder of training images is not gone into.
    """
    while True:
        entries = [path for path in entries_of(root) if not _is_junk(path)]
        known = extensions()
        if any(path.suffix.lower() in known and path.is_file() for path in entries):
            return root
        full = list(itertools.islice((path for path in entries if path.is_dir() and _has_images(path)), 2))
        if len(full) != 1 or kind_of(full[0].name) == TRAIN:
            return root
        root = full[0]


def _has_images(folder: Path, above: frozenset[str] = frozenset()) -> bool:
    """Whether there is one, soon."""
    known, above = extensions(), above | {os.path.realpath(folder)}
    entries = [path for path in entries_of(folder) if not _is_junk(path)]
    return any(path.suffix.lower() in known and path.is_file() for path in entries) or any(
        path.is_dir() and os.path.realpath(path) not in above and _has_images(path, above) for path in entries
    )


def entries_of(folder: Path) -> list[Path]:
    """What is in a folder, in the order of names.

    Raises:
        DataError: it is closed.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(
            f"{shown(folder)} cannot be looked into: {error.strerror}. Let yourself read it, or move it away."
        ) from None


def _is_junk(path: Path) -> bool:
    return path.name.startswith(".") or path.name in JUNK or bool(MADE_HERE.search(path.name))


def walk(root: Path) -> Found:
    """Everything below a folder, in the order of names; links are followed, each folder once."""
    found, known = Found(), extensions()
    _walk(root, found, known, frozenset({os.path.realpath(root)}))
    return found


def _walk(folder: Path, found: Found, known: frozenset[str], above: frozenset[str]) -> None:
    entries = entries_of(folder)
    if not entries:
        found.empty.append(folder)
    for path in entries:
        if _is_junk(path):
            found.junk.append(path)
        elif path.is_dir():
            real = os.path.realpath(path)
            if real in above:
                found.links.append(path)
            else:
                _walk(path, found, known, above | {real})
        elif not path.exists():
            found.links.append(path)
        elif path.suffix.lower() in known and path.is_file():
            found.images.append(path)
        else:
            found.others.append(path)


def _is_image_inside(path: Path) -> bool:
    if not path.is_file():  # a pipe would never end
        return False
    try:
        with opened(path) as image:
            return image.format not in NOT_READ
    except DataError:
        return False
