"""Images that a table names: a line an image, with its class and its part of the data if there are such columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..system.errors import DataError
from ..system.tables import NOTHING, columns_of
from . import spelling
from .decoding import shown
from .folders import Listing, classes_note
from .notes import Note
from .split_names import TEST, TRAIN, VAL, kind_of

PATHS = ("path", "filepath", "image_path", "filename", "file_name", "file", "image")
CLASSES = ("class", "class_name", "label", "category", "target")
PARTS = ("split", "part", "subset", "fold", "set", "phase", "partition", "usage", "dataset")


def listings(table: Path) -> tuple[Listing, Listing | None]:
    """Training images and, if the table tells parts, validation images.

    Paths are absolute, or from the folder of the table.

    Raises:
        DataError: no such columns, or files that are not there.
    """
    names, columns = columns_of(table, "root")
    by_name = {name.lower(): column.astype(str) for name, column in zip(names, columns, strict=True)}
    paths = _first(by_name, PATHS)
    if paths is None:
        raise DataError(
            f"`root` {table} must have a column of paths, called {', '.join(PATHS)}, got {', '.join(map(repr, names))}."
        )
    files = [spelling.found(text, table.parent) for text in paths.tolist()]
    gone = [file for file in files if not file.is_file()]
    if gone:
        raise DataError(
            f"`root` {table} must name files, absolute or from its folder, but {len(gone)} of {len(files)} are not "
            f"there ({shown(gone[0])} for one)."
        )
    twice = len(files) - len(set(files))
    if twice:
        raise DataError(f"`root` {table} must name every image once, but {twice} lines repeat another's.")
    classes, parts = _first(by_name, CLASSES), _first(by_name, PARTS)
    said = _of_columns(names)
    labels = [None if name.lower() in NOTHING else name for name in classes.tolist()] if classes is not None else []
    known = sorted({name for name in labels if name is not None})
    number = {name: place for place, name in enumerate(known)}

    def listing(rows: np.ndarray) -> Listing:
        chosen = [files[row] for row in rows.tolist()]
        without = [files[row] for row in rows.tolist() if labels and labels[row] is None]
        if not labels or without:
            notes = (
                [Note("images without a class in the table, so that those of the others are not used", without)]
                if without
                else []
            )
            return Listing(table.parent, chosen, None, [], notes)
        targets = [number[labels[row]] for row in rows.tolist()]
        return Listing(table.parent, chosen, targets, known, [classes_note(targets, known)])

    if parts is None:
        whole = listing(np.arange(len(files)))
        whole.notes.insert(0, said)
        return whole, None
    kinds = [kind_of(part) for part in parts.tolist()]
    train, val, test = (
        np.array([i for i, k in enumerate(kinds) if k == kind], dtype=int) for kind in (TRAIN, VAL, TEST)
    )
    if None in kinds or not len(train):
        odd = sorted({part or "nothing" for part, kind in zip(parts.tolist(), kinds, strict=True) if kind is None})
        raise DataError(
            f"`root` {table} must call parts of the data train and val, valid, validation or test, got "
            f"{', '.join(odd[:5]) or 'no train'}. Rename them, or leave the column out."
        )
    first, held_out = listing(train), val if len(val) else test
    first.notes.insert(0, said)
    if len(val) and len(test):
        first.notes.append(Note("left out: images of the part test", [files[row] for row in test.tolist()]))
    return first, listing(held_out) if len(held_out) else None


def _of_columns(names: list[str]) -> Note:
    """What was taken for what."""
    low = [name.lower() for name in names]
    taken = {}
    for what, group in (("paths", PATHS), ("classes", CLASSES), ("parts", PARTS)):
        if (usual := next((name for name in group if name in low), None)) is not None:
            taken[low.index(usual)] = f"{what}: {names[low.index(usual)]}"
    left = [name for place, name in enumerate(names) if place not in taken]
    return Note(f"columns taken, {', '.join(taken.values())}" + (f"; left out: {', '.join(left)}" if left else ""))


def _first(columns: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray | None:
    return next((columns[name] for name in names if name in columns), None)
