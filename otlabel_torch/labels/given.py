"""Labels that others made: a table whose lines are found by the names of the images; its labels become numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..images.decoding import shown
from ..images.images import Images
from ..images.listed import PATHS
from ..images.notes import Note
from ..images.spelling import plain
from ..system.errors import DataError
from ..system.tables import NOTHING, columns_of
from .tables import HEADS

NAMES = (*PATHS, "name", "id")  # of columns of names
INDEX = "index"  # the column of numbers of images, from 0


class Given(NamedTuple):
    """Of the images that have a label, in their order."""

    labels: Tensor  # (m, heads) int64, each head's from 0 without gaps
    rows: Tensor  # (m,) which images they are
    notes: list[str]  # what was made of the table

    def only(self, images: Images, table: Path) -> Images:
        """The images that have a label, and a word on the others."""
        if len(self.rows) == len(images):
            return images
        known = set(self.rows.tolist())
        others = [path for i, path in enumerate(images.paths) if i not in known]
        note = Note(f"left out: images without a label in {shown(table)}", others)
        return dataclasses.replace(images.of(self.rows), notes=[*images.notes, note])


def read_labels(path: Path, images: Images, *, in_order: bool = False) -> Given:
    """The labels of images in a CSV, parquet or .npy file.

    Args:
        path: columns of labels, a head each, called as in ``HEADS``; and one of ``NAMES`` by which images are found,
            by their path, in another spelling if it must be, or their name without folders; or ``index``. Where a label
            is empty the image has none.
        in_order: the lines are in the order of the images: for tables without such a column.

    Raises:
        DataError: it is not plain whose labels they are, or they are none.
    """
    names, columns = columns_of(path, "labels")
    keys = [name for name in (*NAMES, INDEX) if name in map(str.lower, names)]
    nameless = all(name.isdigit() for name in names)
    heads = [i for i, name in enumerate(names) if name.lower().startswith(HEADS) or nameless]
    if not heads:
        raise DataError(
            f"`labels` {path} must have columns of labels, called {', '.join(f'{name}...' for name in HEADS)}, "
            f"got {', '.join(map(repr, names))}."
        )
    rows, notes = _rows(
        path, {name.lower(): column for name, column in zip(names, columns, strict=True)}, keys, images, in_order
    )
    cells = np.array([[str(cell).strip() for cell in columns[head][rows].tolist()] for head in heads])
    labelled = np.flatnonzero(~np.isin(np.char.lower(cells), NOTHING).any(axis=0))
    if not len(labelled):
        raise DataError(f"`labels` {path} must label images, but all cells of {names[heads[0]]!r} are empty.")
    labels = []
    for head, column in zip(heads, cells[:, labelled], strict=True):
        numbers, said = _numbered(column, f"`labels` {path}, column {names[head]!r},")
        labels.append(numbers)
        notes += said
    return Given(torch.from_numpy(np.stack(labels, axis=1)), torch.from_numpy(labelled), list(dict.fromkeys(notes)))


def _rows(
    path: Path, columns: dict[str, np.ndarray], keys: list[str], images: Images, in_order: bool
) -> tuple[np.ndarray, list[str]]:
    """The row of the table for each image."""
    n, count = len(images), len(next(iter(columns.values())))
    if in_order or not keys:
        if not in_order:
            raise DataError(
                f"`labels` {path} must say whose labels they are, by a column {', '.join(NAMES)} or {INDEX}. Add "
                "one, or `labels_in_order` if its lines are in the order of the images."
            )
        if count != n:
            raise DataError(f"`labels` {path} must have a line for each of the {n} images, got {count}.")
        return np.arange(n), []
    failures = []
    for key in keys:
        wanted = list(map(str, range(n))) if key == INDEX else images.paths
        given = [str(cell) for cell in columns[key].tolist()]
        if key == INDEX:
            given = [cell.removesuffix(".0") for cell in given]
        for of, how in ((str, ""),) if key == INDEX else _WAYS:
            found = _matched(list(map(of, wanted)), list(map(of, given)))
            if isinstance(found, np.ndarray):
                more = [f"{count - n} lines of the table are of other images"] if count > n else []
                return found, [f"images are found by {how} (column {key})", *more] if how else more
            failures.append(found)
    raise DataError(f"`labels` {path} must label every image once, but {failures[0]}. Is it of these images?")


def _base_name(path: str) -> str:
    return PurePosixPath(path.replace("\\", "/")).name


_WAYS = (
    (str, ""),
    (plain, "their paths in another spelling, of accents or slashes"),
    (_base_name, "their names without folders"),
    (lambda path: plain(_base_name(path)), "their names without folders, in another spelling"),
)


def _matched(wanted: list[str], given: list[str]) -> np.ndarray | str:
    """The place of each that is wanted among those given, or why not."""
    place = {key: row for row, key in enumerate(given)}
    if len(place) < len(given) or len(set(wanted)) < len(wanted):
        return f"{len(given) - len(place) or len(wanted) - len(set(wanted))} lines repeat another's"
    missing = [key for key in wanted if key not in place]
    if missing:
        return f"{len(missing)} of {len(wanted)} are missing ({shown(missing[0])} for one)"
    return np.array([place[key] for key in wanted])


def _numbered(cells: np.ndarray, where: str) -> tuple[np.ndarray, list[str]]:
    """Labels as numbers from 0 without gaps, and what was made of what."""
    try:
        numbers = np.array(cells, dtype=np.float64)
    except ValueError:
        words, labels = np.unique(cells, return_inverse=True)
        first = ", ".join(f"{word} is {number}" for number, word in enumerate(words[:3]))
        more = f" ({len(words)} in all)" if len(words) > 3 else ""
        return labels.astype(np.int64), [f"labels are words: {first}{more}"]
    if not (numbers == np.rint(numbers)).all():
        bad = numbers[numbers != np.rint(numbers)][0]
        raise DataError(f"{where} must hold whole numbers or words, got {bad:g}. Are these labels?")
    values, labels = np.unique(numbers.astype(np.int64), return_inverse=True)
    if np.array_equal(values, np.arange(len(values))):
        return labels.astype(np.int64), []
    notes = []
    if values[0] == -1:  # noise goes last, so that the others keep their numbers
        labels = np.where(labels == 0, len(values) - 1, labels - 1)
        values = np.append(values[1:], -1)
        notes.append(
            f"{int((labels == len(values) - 1).sum())} images of label -1, noise, have label {len(values) - 1}"
        )
    if not np.array_equal(values[: len(values) - len(notes)], np.arange(len(values) - len(notes))):
        notes.append(f"labels {values.min()} to {values.max()} are numbered 0 to {len(values) - 1}, without gaps")
    return labels.astype(np.int64), notes
