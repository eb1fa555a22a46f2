"""Which files of a folder are images, which are something else, and which are nobody's: all of them are counted."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from .decoding import DataError, opened
from .notes import Note

# Of file managers and archives; and what begins with a dot.
JUNK = ("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini", "lost+found")
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

    @property
    def notes(self) -> list[Note]:
        """What was left out, by its kind."""
        hidden = [path for path in self.others if _is_image_inside(path)] if len(self.others) <= LOOKED_INTO else []
        rest = [path for path in self.others if path not in set(hidden)]
        kinds = (
            ("left out: files that are images by what is in them, but not by their names", hidden),
            ("left out: files that are no images", rest),
            ("left out: hidden files and folders, and those of file managers", self.junk),
            ("left out: links that lead nowhere or in circles", self.links),
            ("empty folders", self.empty),
        )
        return [Note(what, paths) for what, paths in kinds if paths]


def walk(root: Path) -> Found:
    """Everything below a folder, in the order of names; links are followed, each folder once."""
    found, known = Found(), extensions()
    _walk(root, found, known, frozenset({os.path.realpath(root)}))
    return found


def _walk(folder: Path, found: Found, known: frozenset[str], above: frozenset[str]) -> None:
    entries = sorted(folder.iterdir())
    if not entries:
        found.empty.append(folder)
    for path in entries:
        if path.name.startswith(".") or path.name in JUNK:
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
    try:
        with opened(path) as image:
            return image.format not in NOT_READ
    except DataError:
        return False
