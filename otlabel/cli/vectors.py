"""Embeddings and scores from files as people have them: a row an item, and what else is known of it."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

_IDS = ("id", "ids", "index", "key", "row", "uuid", "path", "file", "filename", "name", "label", "cluster")
_UNSEEN = re.compile(r"^[._]")  # files beside shards that are none: .crc, _SUCCESS, _metadata


class UnreadableError(Exception):
    """A file that is not what it should be; the message is for the user."""


@dataclass(frozen=True)
class Vectors:
    """What a file, or a folder of shards, holds."""

    matrix: np.ndarray  # (n, d); mapped from its file where the format allows
    names: list[str] | None  # of its columns, where they have some
    carried: pa.Table  # (n,) what else the items have; maybe no column
    files: int = 1
    passed_over: list[str] = field(default_factory=list)  # of a folder: files of other kinds


def read(path: Path, columns: Sequence[str] = (), key: str | None = None) -> Vectors:
    """The vectors in a file, a zarr store or a folder of shards, in the order of the numbers in their names.

    Args:
        columns: names, or patterns like ``x*``, of the columns of a table that are the vectors, in the table's order; a
            single one may hold whole vectors. Without any it is the one column of vectors, or all columns of numbers
            that are not called like an id.
        key: which array of an .npz, HDF5 or zarr file.

    Raises:
        UnreadableError: what the file is and holds, and what to do.
    """
    if not path.exists():
        raise UnreadableError(f"{path} does not exist.")
    if not path.is_dir() or _is_zarr(path):
        return _read_one(path, columns, key)
    seen = sorted((file for file in path.iterdir() if file.is_file()), key=_in_order)
    shards = [file for file in seen if _kind(file) and not _UNSEEN.match(file.name)]
    kinds = sorted({_kind(file) for file in shards})
    if len(kinds) != 1:
        what = " and ".join(kinds) or "no file that can be read"
        raise UnreadableError(f"{path} must hold shards of one kind ({', '.join(_READERS)}), got {what}.")
    parts = [_read_one(file, columns, key) for file in shards]
    for file, part in zip(shards, parts, strict=True):
        first = parts[0]
        if part.matrix.shape[1] != first.matrix.shape[1] or part.names != first.names:
            raise UnreadableError(
                f"shards must have the same columns, but {file.name} has {_of_shape(part)} and {shards[0].name} "
                f"{_of_shape(first)}."
            )
    try:
        carried = pa.concat_tables([part.carried for part in parts], promote_options="default")
    except pa.ArrowInvalid as error:
        raise UnreadableError(f"shards must have the same columns: {error}") from None
    matrix = np.concatenate([part.matrix for part in parts]) if len(parts) > 1 else parts[0].matrix
    return Vectors(matrix, parts[0].names, carried, len(shards), [file.name for file in seen if file not in shards])


def _of_shape(part: Vectors) -> str:
    return f"{part.matrix.shape[1]} columns" + (f" ({part.names[0]}, ...)" if part.names else "")


def _in_order(path: Path) -> tuple:
    """part-2 before part-10."""
    return tuple((int(text), "") if text.isdigit() else (-1, text) for text in re.split(r"(\d+)", path.name))


def _is_zarr(path: Path) -> bool:
    return path.suffix == ".zarr" or any((path / name).exists() for name in ("zarr.json", ".zarray", ".zgroup"))


def _kind(path: Path) -> str:
    """The suffix that says how a file is read; empty of what cannot be read."""
    suffix = ".zarr" if path.is_dir() and _is_zarr(path) else path.suffix.lower()
    return _ALIASES.get(suffix, suffix if suffix in _READERS else "")


def _read_one(path: Path, columns: Sequence[str], key: str | None) -> Vectors:
    kind = _kind(path)
    if not kind:
        raise UnreadableError(f"{path} must end in one of {', '.join((*_READERS, *_ALIASES))}, to say what it is.")
    try:
        found = _READERS[kind](path, key)
    except UnreadableError:
        raise
    except ImportError as missing:
        raise UnreadableError(f"{path} needs {missing.name}: pip install {missing.name}.") from None
    except MemoryError:
        raise
    except Exception as error:  # each library has errors of its own for files that are damaged
        raise UnreadableError(f"{path} cannot be read as {kind}: {error}") from None
    if isinstance(found, pa.Table):
        return _of_table(found, columns, path)
    if columns:
        raise UnreadableError(f"{path} holds an array, whose columns have no names: leave --columns out.")
    if found.ndim != 2 or 0 in found.shape or found.dtype.kind not in "fiub":
        raise UnreadableError(
            f"{path} must hold a matrix of numbers, a row an item, got shape {found.shape} of {found.dtype}."
        )
    return Vectors(found, None, pa.table({"item": np.arange(len(found))}).select([]), 1)


def _npy(path: Path, key: str | None) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _npz(path: Path, key: str | None) -> np.ndarray:
    with np.load(path, allow_pickle=False) as file:
        return file[_chosen(path, {name: file[name].shape for name in file.files}, key)]


def _h5(path: Path, key: str | None) -> np.ndarray:
    import h5py

    shapes: dict[str, tuple] = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: shapes.update({name: item.shape}) if hasattr(item, "shape") else None)
        return file[_chosen(path, shapes, key)][:]


def _zarr(path: Path, key: str | None) -> np.ndarray:
    import zarr

    store = zarr.open(path, mode="r")
    if isinstance(store, zarr.Array):
        return np.asarray(store[:])
    arrays = {name: item for name, item in store.members(max_depth=None) if isinstance(item, zarr.Array)}
    return np.asarray(arrays[_chosen(path, {name: array.shape for name, array in arrays.items()}, key)][:])


def _chosen(path: Path, shapes: dict[str, tuple], key: str | None) -> str:
    """The one array that is asked for, or the only matrix."""
    all_of_them = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
    if key is not None:
        if key not in shapes:
            raise UnreadableError(f"--key must name an array in {path}, got {key!r}; there are {all_of_them}.")
        return key
    matrices = [name for name, shape in shapes.items() if len(shape) == 2]
    if len(matrices) != 1:
        raise UnreadableError(f"{path} must hold one matrix, or --key say which; there are {all_of_them}.")
    return matrices[0]


def _parquet(path: Path, key: str | None) -> pa.Table:
    from pyarrow import parquet

    return parquet.read_table(path)


def _arrow(path: Path, key: str | None) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        try:
            return pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            return pa.ipc.open_stream(source).read_all()


def _csv(path: Path, key: str | None) -> pa.Table:
    from pyarrow import csv

    with path.open(encoding="utf-8-sig") as file:
        first = file.readline()
    delimiter = max(",;\t", key=first.count)
    is_header = not all(_is_number(cell) for cell in first.strip().split(delimiter))
    table = csv.read_csv(
        path,
        read_options=csv.ReadOptions(autogenerate_column_names=not is_header),
        parse_options=csv.ParseOptions(delimiter=delimiter),
    )
    for name in table.column_names:
        if pa.types.is_string(table.schema.field(name).type):
            cells = table.column(name).to_pylist()
            wrong = [row for row, cell in enumerate(cells) if not _is_number(cell or "")]
            if 0 < len(wrong) < len(cells) / 2:  # numbers, but for some: they would be carried along as text
                raise UnreadableError(
                    f"{path} has {cells[wrong[0]]!r} in row {wrong[0]}, column {name!r}, where most are numbers. Leave "
                    "such rows out, or fill them."
                )
    return table


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


_READERS: dict[str, Callable[[Path, str | None], Any]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".csv": _csv,
    ".h5": _h5,
    ".zarr": _zarr,
}
_ALIASES = {".pq": ".parquet", ".feather": ".arrow", ".ipc": ".arrow", ".tsv": ".csv", ".hdf5": ".h5"}


def _of_table(table: pa.Table, columns: Sequence[str], path: Path) -> Vectors:
    vectors = [name for name in table.column_names if _width(table.schema.field(name).type) is not None]
    numbers = [name for name in table.column_names if _is_numeric(table.schema.field(name).type)]
    if columns:
        chosen = [name for name in table.column_names if any(fnmatch.fnmatchcase(name, one) for one in columns)]
        wrong = [name for name in chosen if name not in vectors and name not in numbers]
        if not chosen or wrong:
            what = f"{', '.join(wrong)} of no numbers" if wrong else "none"
            raise UnreadableError(
                f"--columns must name columns of numbers in {path}, got {what}; "
                f"there are {', '.join(table.column_names)}."
            )
    else:
        chosen = vectors or [name for name in numbers if name.lower() not in _IDS]
        if len(vectors) > 1:
            raise UnreadableError(f"{path} has several columns of vectors, {', '.join(vectors)}: say --columns NAME.")
        if not chosen:
            raise UnreadableError(
                f"{path} must have a column of vectors or columns of numbers, got {', '.join(table.column_names)}."
            )
    if len(chosen) > 1 and any(name in vectors for name in chosen):
        raise UnreadableError(
            f"--columns must be one column of vectors, or columns of numbers, got {', '.join(chosen)}."
        )
    carried = table.select([name for name in table.column_names if name not in chosen])
    if chosen[0] in vectors:
        return Vectors(_stacked(table.column(chosen[0]), chosen[0], path), None, carried)
    for name in chosen:
        column = table.column(name)
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy()))
            raise UnreadableError(
                f"{path} has no number in row {row}, column {name!r}. Leave such rows out, or fill them."
            )
    kinds = [table.schema.field(name).type.to_pandas_dtype() for name in chosen]
    matrix = np.empty((len(table), len(chosen)), dtype=np.result_type(*kinds))
    for place, name in enumerate(chosen):
        matrix[:, place] = table.column(name).to_numpy()
    return Vectors(matrix, chosen, carried)


def _is_numeric(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _width(kind: pa.DataType) -> int | None:
    """Numbers in each vector of a column; 0 where that is not said; None of other columns."""
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    if pa.types.is_fixed_size_list(kind) and _is_numeric(kind.value_type):
        return kind.list_size
    return 0 if (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and _is_numeric(kind.value_type) else None


def _stacked(column: pa.ChunkedArray, name: str, path: Path) -> np.ndarray:
    """(n, d) of a column of vectors."""
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise UnreadableError(f"{path} has no vector in row {row}, column {name!r}. Leave such rows out.")
    parts, width, first = [], None, 0
    for chunk in column.chunks:
        chunk = chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk
        lengths = (
            np.full(len(chunk), chunk.type.list_size)
            if pa.types.is_fixed_size_list(chunk.type)
            else chunk.value_lengths().to_numpy(zero_copy_only=False)
        )
        width = int(lengths[0]) if width is None and len(lengths) else width
        if (lengths != width).any():
            row = int(np.argmax(lengths != width))
            raise UnreadableError(
                f"{path} must have vectors of one length in column {name!r}, got {lengths[row]} numbers in row "
                f"{first + row} after {width}."
            )
        parts.append(chunk.flatten().to_numpy(zero_copy_only=False).reshape(len(chunk), width or 0))
        first += len(chunk)
    if not first:
        raise UnreadableError(f"{path} has no rows.")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
