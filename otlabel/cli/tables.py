"""Tables of labels: csv, parquet, Arrow, or the labels alone as npy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from .._system.files import atomic

KINDS = (".csv", ".parquet", ".arrow", ".npy")


def write(path: Path, carried: pa.Table, columns: dict[str, np.ndarray]) -> list[str]:
    """What items had, and columns (n,) of ours beside it; an id where they had nothing. Whole, or not there.

    Returns:
        what of theirs has another name now, or no place.
    """
    if path.suffix == ".npy":
        with atomic(path) as file:
            np.save(file, columns["label"])
        return [f"{', '.join(carried.column_names)}: an .npy file holds labels only"] if carried.num_columns else []
    notes, table = [], carried
    if path.suffix == ".csv":
        nested = [name for name in table.column_names if pa.types.is_nested(table.schema.field(name).type)]
        table = table.drop_columns(nested)
        notes += [f"{name}: a CSV file has no place for lists"] if (name := ", ".join(nested)) else []
    names = [f"input_{name}" if name in columns else name for name in table.column_names]
    notes += [f"{old} is called {new}" for old, new in zip(table.column_names, names, strict=True) if old != new]
    table = table.rename_columns(names)
    if not table.num_columns:
        table = pa.table({"id": np.arange(len(columns["label"]))})
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    with atomic(path) as file:
        if path.suffix == ".csv":
            from pyarrow import csv

            csv.write_csv(table, file)
        elif path.suffix == ".parquet":
            from pyarrow import parquet

            parquet.write_table(table, file)
        else:
            with pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
    return notes
