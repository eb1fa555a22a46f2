"""Tables of labels: those a run writes, and those that others made."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..images.decoding import shown
from ..images.images import Images
from ..system.errors import DataError, UsageError
from ..system.files import atomic, write_text

HEADS = ("head", "label", "cluster")  # how columns of labels begin, of ours and of others


def write_labels(path: Path, images: Images, labels: Tensor, confidence: Tensor) -> None:
    """index, path, a column of labels a head, and one of how much of the plan's row each label has; CSV or parquet."""
    heads = range(labels.shape[1])
    names = ["index", "path", *(f"head_{head}" for head in heads), *(f"confidence_{head}" for head in heads)]
    if path.suffix == ".parquet":
        arrow, parquet = pyarrow_parquet()
        if odd := next((name for name in images.paths if not _is_unicode(name)), None):
            raise UsageError(f"parquet holds UTF-8 only, and {shown(odd)} is none. Use CSV, or rename it.")
        columns = [np.arange(len(images)), images.paths, *labels.T.numpy(), *confidence.T.numpy()]
        with atomic(path) as file:
            parquet.write_table(arrow.table(dict(zip(names, columns, strict=True))), file)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for i, (name, row, sure) in enumerate(zip(images.paths, labels.tolist(), confidence.tolist(), strict=True)):
        writer.writerow([i, name, *row, *map(confidence_text, sure)])
    write_text(path, text.getvalue())


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def confidence_text(value: float) -> str:
    """A confidence as tables show it; empty where labels come from no plan."""
    return "" if math.isnan(value) else f"{value:.4f}"


def read_labels(path: Path, images: Images) -> Tensor:
    """(n, heads) int64 labels of the images, from 0.

    Args:
        path: CSV or parquet, a column of labels a head, called as in ``HEADS``, beside ``path``, by which images are
        found, or ``index``; or without
            both, also as .npy or as CSV without names of columns, a line an image in the order of the images.
    """
    names, columns = _columns(path)
    keyed = "index" in names or "path" in names
    heads = [i for i, name in enumerate(names) if name.startswith(HEADS) or (not keyed and name.isdigit())]
    if not heads:
        raise DataError(
            f"`labels` {path} must have columns of labels, called {', '.join(f'{name}...' for name in HEADS)}, "
            f"got {', '.join(map(repr, names))}."
        )
    try:
        table = np.stack([_integers(columns[i]) for i in heads], axis=1)
    except (ValueError, TypeError) as error:
        raise DataError(f"`labels` {path} must hold whole numbers from 0 as labels: {error}") from None
    labels = table[_rows(path, names, columns, images)]
    if labels.size and labels.max() >= len(images):
        raise DataError(
            f"`labels` {path} must hold labels below the number of images, {len(images)}, got {labels.max()}. "
            "Number the labels from 0."
        )
    return torch.from_numpy(np.ascontiguousarray(labels))


def _integers(column: np.ndarray) -> np.ndarray:
    numbers = np.asarray(column, dtype=np.float64)
    if not (np.isfinite(numbers) & (numbers >= 0) & (numbers == np.floor(numbers))).all():
        raise ValueError(f"got {numbers[~(numbers >= 0) | (numbers != np.floor(numbers))][:3].tolist()}")
    return numbers.astype(np.int64)


def _rows(path: Path, names: list[str], columns: list[np.ndarray], images: Images) -> np.ndarray:
    """The row of the table for each image."""
    count, n = len(columns[0]), len(images)
    if "path" not in names and "index" not in names:
        if count != n:
            raise DataError(
                f"`labels` {path} has no column path or index, so it must have a line for each of the {n} images, "
                f"got {count}."
            )
        return np.arange(n)
    if "path" in names:
        keys: list[Any] = columns[names.index("path")].astype(str).tolist()
        wanted: list[Any] = images.paths
    else:
        keys, wanted = _integers(columns[names.index("index")]).tolist(), list(range(n))
    place = {key: row for row, key in enumerate(keys)}
    if len(place) < count:
        raise DataError(f"`labels` {path} must name every image once, but {count - len(place)} lines repeat another's.")
    missing = [key for key in wanted if key not in place]
    if missing:
        raise DataError(
            f"`labels` {path} must label every image, but {len(missing)} of {n} are missing ({missing[0]} for one). "
            "Is it of these images?"
        )
    return np.array([place[key] for key in wanted])


def _columns(path: Path) -> tuple[list[str], list[np.ndarray]]:
    """Names and values of the columns; without names they are called by their number."""
    try:
        if path.suffix == ".parquet":
            table = pyarrow_parquet()[1].read_table(path)
            return list(table.column_names), [column.to_numpy() for column in table.columns]
        if path.suffix == ".npy":
            array = np.load(path, allow_pickle=False)
            array = array.reshape(len(array), -1)
            return [str(i) for i in range(array.shape[1])], list(array.T)
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            lines = [line for line in csv.reader(file) if line]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"`labels` {path} cannot be read as a table: {error}") from None
    if not lines or any(len(line) != len(lines[0]) for line in lines):
        raise DataError(f"`labels` {path} must be a table, every line with as many columns as the first.")
    named = not all(cell.strip().isdigit() for cell in lines[0])
    names = [cell.strip() for cell in lines[0]] if named else [str(i) for i in range(len(lines[0]))]
    rows = lines[named:]
    if not rows:
        raise DataError(f"`labels` {path} must have a line an image, got none.")
    return names, [np.array(column) for column in zip(*rows, strict=True)]


def pyarrow_parquet():
    """pyarrow and its module of parquet, if they are there."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError(
            "parquet needs pyarrow, which is not installed. Run: pip install pyarrow, or use CSV."
        ) from None
    return pyarrow, pyarrow.parquet
