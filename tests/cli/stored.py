"""Files of every kind, and what the command prints: for the tests of this folder."""

from __future__ import annotations

import h5py
import numpy as np
import pyarrow as pa
import zarr
from click.testing import CliRunner
from pyarrow import csv, parquet

from otlabel.cli.command import main


def run(*arguments, code=0):
    """What the command prints, in one line."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def table_of(points, **more):
    flat = pa.array(points.ravel())
    return pa.table(
        {
            "path": [f"{i}.jpg" for i in range(len(points))],
            "embedding": pa.FixedSizeListArray.from_arrays(flat, points.shape[1]),
            **more,
        }
    )


def stored(points, path):
    """The points as a file of the kind that its name says."""
    columns = {f"x{j}": points[:, j] for j in range(points.shape[1])}
    match path.suffix:
        case ".npy":
            np.save(path, points)
        case ".npz":
            np.savez(path, points=points, names=np.array(["a"]))
        case ".parquet":
            parquet.write_table(table_of(points), path)
        case ".arrow":
            lists = table_of(points).select(["embedding"]).cast(pa.schema([("embedding", pa.list_(pa.float32()))]))
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, lists.schema) as writer:
                writer.write_table(lists)
        case ".feather":
            from pyarrow import feather

            feather.write_feather(table_of(points), path)
        case ".csv":
            csv.write_csv(pa.table({"id": np.arange(len(points)), **columns}), path)
        case ".tsv":
            np.savetxt(path, points, delimiter="\t", fmt="%.9g")  # no names
        case ".h5":
            with h5py.File(path, "w") as file:
                file["group/points"] = points
        case ".zarr":
            zarr.open_group(path, mode="w").create_array("points", data=points)
    return path
