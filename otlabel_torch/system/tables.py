"""Tables that others made, as columns."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from .errors import DataError, UsageError

NOTHING = ("", "nan", "none", "null", "<na>")  # how tables write that there is no value, in small letters


def columns_of(path: Path, option: str) -> tuple[list[str], list[np.ndarray]]:
    """Names and values of the columns of a CSV, parquet or .npy file; without names they are called by their number.

    Args:
        option: that names the file, for errors.

    Raises:
        DataError: it is no table.
    """
    try:
        if path.suffix == ".parquet":
            table = pyarrow_parquet()[1].read_table(path)
            flat = [name for name in table.column_names if table.schema.field(name).type.num_fields == 0]
            return flat, [table.column(name).to_numpy() for name in flat]
        if path.suffix == ".npy":
            array = np.load(path, allow_pickle=False)
            array = array.reshape(len(array), -1)
            return [str(i) for i in range(array.shape[1])], list(array.T)
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            lines = [line for line in csv.reader(file) if line]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"`{option}` {path} cannot be read as a table: {error}") from None
    if not lines or any(len(line) != len(lines[0]) for line in lines):
        raise DataError(f"`{option}` {path} must be a table, every line with as many columns as the first.")
    named = not all(cell.strip().isdigit() for cell in lines[0])
    names = [cell.strip() for cell in lines[0]] if named else [str(i) for i in range(len(lines[0]))]
    rows = lines[named:]
    if not rows:
        raise DataError(f"`{option}` {path} must have a line an image, got none.")
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
