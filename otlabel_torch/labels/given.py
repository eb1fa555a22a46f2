"""Labels that others made: a table whose lines are found by the names of the images; its labels become numbers."""

from __future__ import annotations

import dataclasses
import math
import re
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
from ..system.tables import NOTHING, columns_of, is_whole
from .tables import HEADS

NAMES = (*PATHS, "name", "id")  # of columns of names
_EXACT = ("label", "labels", "cluster", "clusters", "head", "label_id", "cluster_id")
_NUMBERED = re.compile(r"(head|label|cluster)s?[ _-]?\d+")
_OURS = re.compile(r"confidence_\d+")  # what tables of labels have beside them
INDEX = "index"  # the column of numbers of images, from 0


class Given(NamedTuple):
    """Of the images that have a label, in their order."""

    labels: Tensor  # (m, heads) int64, each head's from 0 without gaps
    rows: Tensor  # (m,) which images they are
    notes: list[str]  # what was made of the table
    values: list[list[str]]  # what the labels of each head are called in the table
    confidence: Tensor  # (m, heads) float64, nan where the table has none

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
        path: one column of labels, called label, cluster or the like, or several, head_0, head_1, ...; and one of
            ``NAMES`` by which images are found, by their path, in another spelling if it must be, or their name without
            folders; or ``index``. Where a label is empty the image has none.
        in_order: the lines are in the order of the images: for tables without such a column.

    Raises:
        DataError: it is not plain whose labels they are, or they are none.
    """
    names, columns = columns_of(path, "labels")
    keys = [name for name in (*NAMES, INDEX) if name in map(str.lower, names)]
    nameless = all(name.isdigit() for name in names)
    heads = list(range(len(names))) if nameless else _heads(path, names)
    rows, notes = _rows(
        path, {name.lower(): column for name, column in zip(names, columns, strict=True)}, keys, images, in_order
    )
    cells = np.array([[str(cell).strip() for cell in columns[head][rows].tolist()] for head in heads])
    labelled = np.flatnonzero(~np.isin(np.char.lower(cells), NOTHING).any(axis=0))
    if not len(labelled):
        raise DataError(f"`labels` {path} must label images, but all cells of {names[heads[0]]!r} are empty.")
    labels, values = [], []
    for head, column in zip(heads, cells[:, labelled], strict=True):
        numbers, said = _numbered(column, f"`labels` {path}, column {names[head]!r},")
        labels.append(numbers)
        values.append([str(column[row]) for row in np.unique(numbers, return_index=True)[1]])
        notes += said
    sure = [_confidence(names, columns, names[head], len(heads))[rows][labelled] for head in heads]
    taken = [names[head] for head in heads]
    left = [name for name in names if name not in taken and name.lower() not in keys and not _OURS.match(name)]
    if left or (nameless and len(heads) > 1):
        which = f"columns {taken[0]} to {taken[-1]}, a head each" if len(taken) > 1 else f"column {taken[0]}"
        rest = f"; left out: {', '.join(left)}" if left else ""
        notes.insert(0, f"labels are those of {which}{rest}")
    return Given(
        torch.from_numpy(np.stack(labels, axis=1)),
        torch.from_numpy(labelled),
        list(dict.fromkeys(notes)),
        values,
        torch.from_numpy(np.stack(sure, axis=1)),
    )


def _heads(path: Path, names: list[str]) -> list[int]:
    """The columns of labels: head_0, head_1, ...; or the one that is called label or the like."""
    low = [name.lower() for name in names]
    numbered = [i for i, name in enumerate(low) if _NUMBERED.fullmatch(name)]
    exact = [i for i, name in enumerate(low) if name in _EXACT]
    found = numbered or exact or [i for i, name in enumerate(low) if name.startswith(HEADS)]
    if not found:
        raise DataError(
            f"`labels` {path} must have columns of labels, called label, cluster, or head_0, head_1, ..., got "
            f"{', '.join(map(repr, names))}. Rename them."
        )
    if len(found) > 1 and not numbered:
        raise DataError(
            f"`labels` {path} must have one column of labels, or several called head_0, head_1, ..., got "
            f"{', '.join(repr(names[i]) for i in found)}. Rename the others."
        )
    return found


def _confidence(names: list[str], columns: list[np.ndarray], head: str, heads: int) -> np.ndarray:
    """(rows,) of confidence_3 for head_3, or of confidence for a label alone; nan where there is none."""
    of_head = "confidence" if heads == 1 and not head[-1:].isdigit() else f"confidence_{head.rpartition('_')[2]}"
    if of_head not in names:
        return np.full(len(columns[0]), np.nan)
    column = columns[names.index(of_head)].tolist()
    return np.array([float(cell) if _is_number(str(cell)) else np.nan for cell in column])


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
        for key in keys:
            found = _matched(*_names_of(key, columns, images))
            if isinstance(found, np.ndarray) and not np.array_equal(found, np.arange(n)):
                raise DataError(
                    f"`labels` {path} has its lines in another order than the images, by its column {key}. Leave "
                    "`labels_in_order` out."
                )
        return np.arange(n), []
    failures = []
    for key in keys:
        wanted, given = _names_of(key, columns, images)
        for of, how in ((str, ""),) if key == INDEX or wanted is not images.paths else _WAYS:
            found = _matched(list(map(of, wanted)), list(map(of, given)))
            if isinstance(found, np.ndarray):
                more = [f"{count - n} lines of the table are of other images"] if count > n else []
                return found, [f"images are found by {how} (column {key})", *more] if how else more
            failures.append(found)
    raise DataError(f"`labels` {path} must label every image once, but {failures[0]}. Is it of these images?")


def _names_of(key: str, columns: dict[str, np.ndarray], images: Images) -> tuple[list[str], list[str]]:
    """What images are called in a column, and what is there: numbers of images, or their paths."""
    given = [str(cell) for cell in columns[key].tolist()]
    numbers = [cell.removesuffix(".0") for cell in given]
    if key == INDEX or (key == "id" and sorted(numbers) == sorted(map(str, range(len(images))))):
        return list(map(str, range(len(images)))), numbers
    return images.paths, given


def _stem(path: str) -> str:
    return re.sub(r"(?<=[^/])\.[^./]{1,5}$", "", plain(path))


def _base_name(path: str) -> str:
    return PurePosixPath(path.replace("\\", "/")).name


_WAYS = (
    (str, ""),
    (plain, "their paths in another spelling, of accents or slashes"),
    (_base_name, "their names without folders"),
    (lambda path: plain(_base_name(path)), "their names without folders, in another spelling"),
    (_stem, "their paths without endings"),
    (lambda path: _base_name(_stem(path)), "their names without folders and endings"),
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


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell)) and "_" not in cell
    except ValueError:
        return False


def _numbered(cells: np.ndarray, where: str) -> tuple[np.ndarray, list[str]]:
    """Labels as numbers from 0 without gaps, and what was made of what."""
    if not all(map(is_whole, cells.tolist())):
        if all(map(_is_number, cells)) and (fractions := [cell for cell in cells if not float(cell).is_integer()]):
            raise DataError(f"{where} must hold whole numbers or words, got {fractions[0]}. Are these labels?")
        words, labels = np.unique(cells, return_inverse=True)
        first = ", ".join(f"{word} is {number}" for number, word in enumerate(words[:3]))
        more = f" ({len(words)} in all)" if len(words) > 3 else ""
        return labels.astype(np.int64), [f"labels are words: {first}{more}"]
    whole = [int(cell.partition(".")[0]) for cell in cells.tolist()]  # exact, however large
    values = sorted(set(whole))
    number = {value: place for place, value in enumerate(values)}
    labels = np.array([number[value] for value in whole], dtype=np.int64)
    if values == list(range(len(values))):
        return labels, []
    notes = []
    if values[0] == -1:  # noise goes last, so that the others keep their numbers
        labels = np.where(labels == 0, len(values) - 1, labels - 1)
        values = [*values[1:], -1]
        notes.append(
            f"{int((labels == len(values) - 1).sum())} images of label -1, noise, have label {len(values) - 1}"
        )
    if values[: len(values) - len(notes)] != list(range(len(values) - len(notes))):
        notes.append(f"labels {min(values)} to {max(values)} are numbered 0 to {len(values) - 1}, without gaps")
    return labels.astype(np.int64), notes
