"""Files as libraries read them: an array, or a table, by the suffix of the name."""

from __future__ import annotations

import csv
import itertools
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

_LOOKED_AT = 20  # lines that tell how a CSV file is made
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")


class UnreadableError(Exception):
    """A file that is not what it should be; the message is for the user."""


class How(NamedTuple):
    """What the user says of files."""

    columns: tuple[str, ...] = ()  # that are the vectors
    key: str | None = None  # which array of a file of several
    header: bool | None = None  # whether a CSV file begins with names; None: it is plain


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr store."""
    return path.suffix == ".zarr" or any((path / name).exists() for name in ("zarr.json", ".zarray", ".zgroup"))


def kind(path: Path) -> str:
    """The suffix that says how a file is read; empty of what cannot be read."""
    suffix = ".zarr" if path.is_dir() and is_zarr(path) else path.suffix.lower()
    return _ALIASES.get(suffix, suffix if suffix in READERS else "")


def load(path: Path, how: How) -> np.ndarray | pa.Table:
    """What is in a file.

    Raises:
        UnreadableError: it cannot be read, or not as what its name says.
    """
    if not (suffix := kind(path)):
        raise UnreadableError(f"{path} must end in one of {', '.join((*READERS, *_ALIASES))}, to say what it is.")
    if how.key is not None and suffix not in _WITH_KEYS:
        raise UnreadableError(f"--key chooses among arrays of {', '.join(_WITH_KEYS)} files; leave it out for {path}.")
    if how.header is not None and suffix != ".csv":
        raise UnreadableError(f"--header and --no-header are for CSV files; leave them out for {path}.")
    try:
        found = READERS[suffix](path, how)
    except UnreadableError:
        raise
    except ImportError as missing:
        raise UnreadableError(f"{path} needs {missing.name}: pip install {missing.name}.") from None
    except MemoryError:
        raise
    except Exception as error:  # each library has errors of its own for files that are damaged
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UnreadableError(f"{path} cannot be read as {suffix}: {reason}") from None
    if isinstance(found, pa.Table):
        twice = [name for name in found.column_names if found.column_names.count(name) > 1]
        if twice:
            raise UnreadableError(f"{path} must have columns of different names, but {twice[0]!r} is there twice.")
    return found


def _npy(path: Path, how: How) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _npz(path: Path, how: How) -> np.ndarray:
    name = _chosen(path, _shapes_in_npz(path), how.key)
    with np.load(path, allow_pickle=False) as file:
        return file[name]


def _shapes_in_npz(path: Path) -> dict[str, tuple]:
    """From the headers alone: what is beside may be large, or objects."""
    shapes = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as file:
                version = np.lib.format.read_magic(file)
                header = (
                    np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                )
                shapes[name.removesuffix(".npy")] = header(file)[0]
    return shapes


def _h5(path: Path, how: How) -> np.ndarray:
    import h5py

    shapes: dict[str, tuple] = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: shapes.update({name: item.shape}) if hasattr(item, "shape") else None)
        return file[_chosen(path, shapes, how.key)][:]


def _zarr(path: Path, how: How) -> np.ndarray:
    import zarr

    store = zarr.open(path, mode="r")
    if isinstance(store, zarr.Array):
        if how.key is not None:
            raise UnreadableError(f"--key chooses among several arrays, but {path} is one. Leave it out.")
        return np.asarray(store[:])
    arrays = {name: item for name, item in store.members(max_depth=None) if isinstance(item, zarr.Array)}
    return np.asarray(arrays[_chosen(path, {name: array.shape for name, array in arrays.items()}, how.key)][:])


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


def _parquet(path: Path, how: How) -> pa.Table:
    from pyarrow import parquet

    return parquet.ParquetFile(path).read()


def _arrow(path: Path, how: How) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        try:
            return pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            return pa.ipc.open_stream(source).read_all()


class Layout(NamedTuple):
    """How a CSV file is made."""

    delimiter: str
    has_header: bool
    decimal_point: str


def layout_of(path: Path, header: bool | None) -> Layout:
    """From its first lines.

    Raises:
        UnreadableError: it is not plain whether the first line is names or numbers.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = list(itertools.islice((line for line in file if line.strip()), _LOOKED_AT))
    if not lines:
        raise UnreadableError(f"{path} has no rows.")

    def rows(delimiter: str) -> list[list[str]]:
        return list(csv.reader(lines, delimiter=delimiter))

    def worth(delimiter: str) -> tuple[bool, int]:
        widths = {len(row) for row in rows(delimiter)}
        return len(widths) == 1, min(widths)

    delimiter = max((";", "\t", ","), key=worth)
    first, *others = ([cell.strip() for cell in row] for row in rows(delimiter))
    cells = [cell for row in (others or [first]) for cell in row]
    comma = delimiter != "," and any(map(_DECIMAL_COMMA.fullmatch, cells)) and not any("." in cell for cell in cells)
    point = "," if comma else "."
    return Layout(delimiter, _has_header(path, first, others, point) if header is None else header, point)


def _has_header(path: Path, first: list[str], others: list[list[str]], point: str) -> bool:
    filled = [cell for cell in first if cell]
    numbers = [cell for cell in filled if is_number(cell.replace(point, "."))]
    if not numbers:
        return True
    counted = [str(number) for start in (0, 1) for number in range(start, len(first) + start)]
    places = [counted[: len(first)], counted[len(first) :]]
    could_be_places = first in places and any(row not in places and len(row) == len(first) for row in others)
    if len(numbers) < len(filled) or (could_be_places and len(first) > 1):
        raise UnreadableError(
            f"the first line of {path} may be names or numbers ({', '.join(first[:3])}): say --header or --no-header."
        )
    return False


def _csv(path: Path, how: How) -> pa.Table:
    return read_csv(path, layout_of(path, how.header))


def read_csv(path: Path, layout: Layout, as_text: list[str] | None = None) -> pa.Table:
    """A CSV file; of columns that are named their text, to the letter."""
    from pyarrow import csv as reader

    types = {} if as_text is None else {name: pa.string() for name in as_text}
    return reader.read_csv(
        path,
        read_options=reader.ReadOptions(autogenerate_column_names=not layout.has_header),
        parse_options=reader.ParseOptions(delimiter=layout.delimiter),
        convert_options=reader.ConvertOptions(
            decimal_point=layout.decimal_point,
            include_columns=as_text or [],
            column_types=types,
            strings_can_be_null=False,
        ),
    )


def is_number(cell: str) -> bool:
    """Whether a cell of text is one."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


READERS: dict[str, Callable[[Path, How], Any]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".csv": _csv,
    ".h5": _h5,
    ".zarr": _zarr,
}
_WITH_KEYS = (".npz", ".h5", ".zarr")
_ALIASES = {".pq": ".parquet", ".feather": ".arrow", ".ipc": ".arrow", ".tsv": ".csv", ".hdf5": ".h5"}
