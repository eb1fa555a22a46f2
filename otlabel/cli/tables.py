"""Tables of labels: csv, parquet, Arrow, or the labels alone as npy."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from .._system.files import atomic

KINDS = (".csv", ".parquet", ".arrow", ".npy")


def prepared(path: Path, carried: pa.Table, ours: tuple[str, ...]) -> tuple[pa.Table, list[str]]:
    """What items had, as a file of this kind can hold it beside our columns; and what has another name, or no place."""
    if path.suffix == ".npy":
        left = ", ".join(carried.column_names)
        return carried.select([]), [f"{left}: an .npy file holds labels only"] if left else []
    unfit = [name for name in carried.column_names if not _fits(path, carried.select([name]).slice(0, 1))]
    notes = [f"{name}: a {path.suffix} file has no place for {carried.schema.field(name).type}" for name in unfit]
    table = carried.drop_columns(unfit)
    names = list(table.column_names)
    for place, name in enumerate(names):
        if name in ours:
            free = f"input_{name}"
            while free in table.column_names or free in ours or free in names:
                free = f"{free}_"
            names[place] = free
            notes.append(f"{name} is called {free}")
    return table.rename_columns(names), notes


def write(path: Path, table: pa.Table, columns: dict[str, np.ndarray]) -> None:
    """A prepared table with columns (n,) of ours; an id where it has none. Whole, or not there."""
    if path.suffix != ".npy":
        if not table.num_columns:
            table = pa.table({"id": np.arange(len(columns["label"]))})
        for name, values in columns.items():
            table = table.append_column(name, pa.array(values))
    with atomic(path) as file:
        if path.suffix == ".npy":
            np.save(file, columns["label"])
        else:
            _write(path, table, file)


def _write(path: Path, table: pa.Table, file: BinaryIO | pa.BufferOutputStream) -> None:
    if path.suffix == ".csv":
        from pyarrow import csv

        csv.write_csv(table, file)
    elif path.suffix == ".parquet":
        from pyarrow import parquet

        parquet.write_table(table, file)
    else:
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)


def _fits(path: Path, column: pa.Table) -> bool:
    """Whether a column can be written: known before the work, not after it. Bytes in CSV are no text."""
    kind = column.schema.field(0).type
    if path.suffix == ".csv" and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        return False
    try:
        _write(path, column, pa.BufferOutputStream())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, pa.ArrowKeyError):
        return False
    return True
