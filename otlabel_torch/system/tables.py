"""Tables that others made, as columns."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np

from .errors import DataError, UsageError

KINDS = (".csv", ".tsv", ".txt", ".parquet", ".npy")
_WHOLE = re.compile(r"-?(0|[1-9]\d*)(\.0*)?")
_PARTINGS = (",", ";", "\t")
NOTHING = ("", "nan", "none", "null", "<na>")  # how tables write that there is no value, in small letters


def columns_of(path: Path, option: str) -> tuple[list[str], list[np.ndarray]]:
    """Names and values of the columns of a CSV, parquet or .npy file; without names they are called by their number.

    Args:
        option: that names the file, for errors.

    Raises:
        DataError: it is no table.
    """
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise DataError(f"`{option}` {path} must end in {', '.join(KINDS)}. Save the table as one of these.")
    try:
        if kind == ".parquet":
            table = pyarrow_parquet()[1].read_table(path)
            flat = [field.name for field in table.schema if field.type.num_fields == 0]
            if not flat:
                raise DataError(
                    f"`{option}` {path} has no column of plain values, only {', '.join(table.column_names)}."
                )
            _check_names(path, option, table.column_names)
            return flat, [table.column(name).to_numpy() for name in flat]
        if kind == ".npy":
            array = np.load(path, allow_pickle=False)
            if array.ndim not in (1, 2):
                raise DataError(f"`{option}` {path} must have a line an image, (n,) or (n, heads), got {array.shape}.")
            array = array.reshape(len(array), -1)
            return [str(i) for i in range(array.shape[1])], list(array.T)
        lines = _lines(path)
    except (OSError, ValueError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"`{option}` {path} cannot be read as a table: {reason}. Save it as UTF-8, or as parquet."
        ) from None
    if not lines or any(len(line) != len(lines[0]) for line in lines):
        odd = next((number for number, line in enumerate(lines, 1) if len(line) != len(lines[0])), 0)
        raise DataError(
            f"`{option}` {path} must be a table, every line with as many columns as the first"
            f"{f', but line {odd} has {len(lines[odd - 1])} after {len(lines[0])}' if odd else ', got an empty one'}."
        )
    named = not all(is_whole(cell.strip()) for cell in lines[0])
    names = [cell.strip() for cell in lines[0]] if named else [str(i) for i in range(len(lines[0]))]
    rows = lines[named:]
    _check_names(path, option, names)
    if not rows:
        raise DataError(f"`{option}` {path} must have a line an image, got none.")
    return names, [np.array(column) for column in zip(*rows, strict=True)]


def is_whole(text: str) -> bool:
    """Whether a cell is a whole number as one writes it: 12, -1 or 3.0; neither 007 nor 1e3 nor 1_000."""
    return bool(_WHOLE.fullmatch(text))


def _lines(path: Path) -> list[list[str]]:
    """The cells of a CSV file, whose columns are parted as in its first line."""
    encoding = "utf-16" if path.read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    with path.open(newline="", encoding=encoding, errors="surrogateescape") as file:
        text = file.read()
    first, _, rest = text.partition("\n")
    said = re.fullmatch(r"sep=(.)\r?", first)  # a line of Excel's
    text = rest if said else text
    head = text.partition("\n")[0]
    parting = said[1] if said else max(_PARTINGS, key=lambda mark: (head.count(mark), mark == ","))
    return [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=parting) if line]


def _check_names(path: Path, option: str, names: list[str]) -> None:
    low = [name.lower() for name in names]
    twice = next((name for name in names if low.count(name.lower()) > 1), None)
    if twice is not None:
        raise DataError(
            f"`{option}` {path} must have columns of different names, but {twice!r} is there twice. Rename one."
        )


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
