"""Embeddings and scores from files as people have them: a row an item, and what else is known of it."""

from __future__ import annotations

import fnmatch
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from .files import How, UnreadableError, is_number, is_zarr, kind, layout_of, load, read_csv

_IDS = ("id", "ids", "index", "key", "row", "uuid", "path", "file", "filename", "name", "label", "cluster", "")
_ID_PATTERNS = ("*_id", "unnamed: *", "__index_level_*__")  # as tables call a column that counts, or names
_UNSEEN = re.compile(r"^[._]")  # files beside shards that are none: .crc, _SUCCESS, _metadata
_BLOCK = 1 << 22  # numbers looked at in one step


@dataclass(frozen=True)
class Vectors:
    """What a file, or a folder of shards, holds."""

    matrix: np.ndarray  # (n, d); mapped from its file where the format allows
    names: list[str] | None  # of its columns, where they have some
    carried: pa.Table  # (n,) what else the items have; maybe no column
    column: str | None = None  # of whole vectors
    files: int = 1
    passed_over: list[str] = field(default_factory=list)  # of a folder: files of other kinds, empty ones, folders


def read(path: Path, how: How | None = None, *, scores: bool = False) -> Vectors:
    """The vectors in a file, a zarr store or a folder of shards, in the order of the numbers in their names.

    Args:
        how: ``columns`` are names, or patterns like ``x*``, of the columns of a table that are the vectors, in the
            table's order; a single one may hold whole vectors. Without any it is the one column of vectors, or all
            columns of numbers that are not called like an id.
        scores: -inf is a number too.

    Raises:
        UnreadableError: what the file is and holds, and what to do.
    """
    how = how or How()
    if not path.exists():
        raise UnreadableError(f"{path} does not exist. Is the name right?")
    if not path.is_dir() or is_zarr(path):
        found = _read_one(path, how, scores)
        if not len(found.matrix):
            raise UnreadableError(f"{path} must have rows, an item each, got none.")
        return found
    seen = sorted(path.iterdir(), key=_in_order)
    shards = [file for file in seen if file.is_file() and kind(file) and not _UNSEEN.match(file.name)]
    kinds = sorted({kind(file) for file in shards})
    if len(kinds) != 1:
        what = " and ".join(kinds) or "no file that can be read"
        raise UnreadableError(f"{path} must hold shards of one kind, got {what}. Move the others away.")
    parts = {file: _read_one(file, how, scores) for file in shards}
    full = {file: part for file, part in parts.items() if len(part.matrix)}
    if not full:
        raise UnreadableError(f"{path} must have rows, an item each, got {len(shards)} empty files.")
    _check_alike(full)
    one = next(iter(full.values()))
    carried = pa.concat_tables([part.carried for part in full.values()], promote_options="none")
    matrix = one.matrix if len(full) == 1 else np.concatenate([part.matrix for part in full.values()])
    passed_over = [file.name + ("/" if file.is_dir() else "") for file in seen if file not in full]
    return Vectors(matrix, one.names, carried, one.column, len(full), passed_over)


def _check_alike(parts: dict[Path, Vectors]) -> None:
    (first, one), *others = parts.items()
    for file, part in others:
        for what, of in (
            ("vectors of", lambda part: (part.matrix.shape[1], part.names, part.column)),
            ("other columns", lambda part: [(column.name, str(column.type)) for column in part.carried.schema]),
        ):
            if of(part) != of(one):
                raise UnreadableError(
                    f"shards must have the same columns, but {file.name} has {what} {_short(of(part))} and "
                    f"{first.name} {_short(of(one))}. Write them alike, or say --columns."
                )


def _short(what: object) -> str:
    text = str(what)
    return text if len(text) < 80 else f"{text[:77]}..."


def _in_order(path: Path) -> tuple:
    """part-2 before part-10."""
    return tuple((int(text), "") if text.isdigit() else (-1, text) for text in re.split(r"(\d+)", path.name))


def _read_one(path: Path, how: How, scores: bool) -> Vectors:
    found = load(path, how)
    if isinstance(found, pa.Table):
        vectors = _of_table(found, how.columns, path)
        if kind(path) == ".csv" and vectors.carried.num_columns:  # ids stay as they are written: 007 is no 7
            carried = read_csv(path, layout_of(path, how.header), vectors.carried.column_names)
            vectors = Vectors(vectors.matrix, vectors.names, carried, vectors.column)
    else:
        if how.columns:
            raise UnreadableError(f"{path} holds an array, whose columns have no names: leave --columns out.")
        if found.ndim != 2 or not found.shape[1] or found.dtype.kind not in "fiub":
            raise UnreadableError(
                f"{path} must hold a matrix of numbers, a row an item, got shape {found.shape} of {found.dtype}."
            )
        vectors = Vectors(found, None, pa.table({"item": np.arange(len(found))}).select([]))
    _check_numbers(path, vectors, scores)
    return vectors


def _check_numbers(path: Path, vectors: Vectors, scores: bool) -> None:
    """Raise UnreadableError where a number is none."""
    matrix = vectors.matrix
    step = max(1, _BLOCK // matrix.shape[1])
    for start in range(0, len(matrix) if matrix.dtype.kind == "f" else 0, step):
        block = matrix[start : start + step]
        bad = ~np.isfinite(block)
        if scores:
            bad &= ~np.isneginf(block)
        if bad.any():
            row, place = (int(axis[0]) for axis in np.nonzero(bad))
            name = repr(vectors.names[place]) if vectors.names else f"{place} of {vectors.column or 'the matrix'}"
            raise UnreadableError(
                f"{path} must hold numbers, got {block[row, place]} in row {start + row}, column {name}. Leave such "
                "rows out, or fill them."
            )


def _of_table(table: pa.Table, columns: tuple[str, ...], path: Path) -> Vectors:
    if not len(table):
        return Vectors(np.zeros((0, 1)), None, table)
    vectors = [name for name in table.column_names if _width(table.schema.field(name).type) is not None]
    numbers = [name for name in table.column_names if _is_numeric(table.schema.field(name).type)]
    chosen = _named(table, columns, path) if columns else vectors or _features(table, numbers, path)
    wrong = [name for name in chosen if name not in vectors and name not in numbers]
    if wrong:
        raise UnreadableError(
            f"--columns must name columns of numbers, but {wrong[0]!r} of {path} is {table.schema.field(wrong[0]).type}"
            f"{_odd_cell(table.column(wrong[0]))}."
        )
    if not columns and len(vectors) > 1:
        raise UnreadableError(f"{path} has several columns of vectors, {', '.join(vectors)}: say --columns NAME.")
    if not chosen:
        names = ", ".join(table.column_names)
        raise UnreadableError(
            f"{path} must have a column of vectors or columns of numbers, got {names}: say --columns."
        )
    if len(chosen) > 1 and any(name in vectors for name in chosen):
        names = ", ".join(chosen)
        raise UnreadableError(f"--columns must be one column of vectors, or columns of numbers, got {names}.")
    carried = table.select([name for name in table.column_names if name not in chosen])
    if chosen[0] in vectors:
        return Vectors(_stacked(table.column(chosen[0]), chosen[0], path), None, carried, chosen[0])
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


def _named(table: pa.Table, columns: tuple[str, ...], path: Path) -> list[str]:
    """The columns that are asked for, by their names or by patterns, in the table's order."""
    chosen: set[str] = set()
    for one in columns:
        matching = [one] if one in table.column_names else fnmatch.filter(table.column_names, one)
        if not matching:
            names = _short(", ".join(table.column_names))
            raise UnreadableError(f"--columns must name columns of {path}, but there is no {one}; there are {names}.")
        chosen.update(matching)
    return [name for name in table.column_names if name in chosen]


def _features(table: pa.Table, numbers: list[str], path: Path) -> list[str]:
    """Columns of numbers that are not called like an id, nor an index by what pandas says of the table."""
    about = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))
    indices = [name for name in about.get("index_columns", []) if isinstance(name, str)]

    def is_id(name: str) -> bool:
        low = name.lower()
        return low in _IDS or name in indices or any(fnmatch.fnmatchcase(low, pattern) for pattern in _ID_PATTERNS)

    for name in table.column_names:
        column = table.column(name)
        if not is_id(name) and pa.types.is_string(column.type) and (odd := _odd_cell(column)):
            # Numbers, but for some: the column would be carried along as text, without a word.
            raise UnreadableError(
                f"{path} has text in column {name!r}, where most are numbers{odd}. Leave such rows out, fill them, "
                "or name the columns that are the vectors by --columns."
            )
    return [name for name in numbers if not is_id(name)]


def _odd_cell(column: pa.ChunkedArray) -> str:
    """Where a column of text that is mostly numbers has something else."""
    if not pa.types.is_string(column.type):
        return ""
    cells = column.to_pylist()
    wrong = [row for row, cell in enumerate(cells) if not is_number(cell or "")]
    return f" ({cells[wrong[0]]!r} in row {wrong[0]})" if 0 < len(wrong) < len(cells) / 2 else ""


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
                f"{first + row} after {width}. Leave such rows out."
            )
        if len(chunk):
            parts.append(chunk.flatten().to_numpy(zero_copy_only=False).reshape(len(chunk), width or 0))
        first += len(chunk)
    if not width:
        raise UnreadableError(f"{path} must have vectors of numbers in column {name!r}, got empty ones.")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
