"""``otlabel explore``: a table of labels as a page to look at."""

from __future__ import annotations

import re
import webbrowser
from pathlib import Path

import click
import numpy as np
import pyarrow as pa

from ..cluster import BalancedKMeans
from ..explore.contents import Contents, called, named
from ..explore.page import write_page
from . import models
from .files import How, UnreadableError, kind, layout_of, load, read_csv
from .options import FILE
from .telling import errors_said, out, progress
from .vectors import read

_LABELS = ("label", "labels", "cluster", "clusters", "cluster_id", "head_0")
_NAMES = ("path", "filepath", "filename", "file", "name", "title", "text", "id", "item")
NO_LABEL = "no label"
_HEAD = re.compile(r"head_\d+")
_BLOCK = 1 << 14  # vectors read at a time


@click.command(epilog="Example: otlabel explore labels.parquet --embeddings embeddings.npy --name title --open")
@click.argument("file", type=FILE)
@click.option("--label", metavar="COLUMN", help=f"The column of labels; else {', '.join(_LABELS)}.")
@click.option("--name", metavar="COLUMN", help=f"What items are called; else {', '.join(_NAMES[:6])}, ..., or the row.")
@click.option("--class", "of_class", metavar="COLUMN", help="Classes to compare with.")
@click.option("--embeddings", type=FILE, help="The items' vectors, which tell clusters that are near.")
@click.option("--columns", multiple=True, metavar="NAME", help="Of a table of embeddings: its vectors.")
@click.option("--key", help="Of a file of several arrays: which are the embeddings.")
@click.option("--model", type=FILE, help="What `cluster --model` saved, which tells that too.")
@click.option("--names", type=FILE, help="Names of clusters: names.csv, as the page saves it.")
@click.option("--out", "where", type=FILE, help="A folder, or an .html file; else beside FILE, called after it.")
@click.option("--embedding-atlas", "atlas", type=FILE, help="Also a .parquet table for that viewer.")
@click.option("--open", "is_opened", is_flag=True, help="Open it in the browser.")
def explore(
    file: Path,
    label: str | None,
    name: str | None,
    of_class: str | None,
    embeddings: Path | None,
    columns: tuple[str, ...],
    key: str | None,
    model: Path | None,
    names: Path | None,
    where: Path | None,
    atlas: Path | None,
    is_opened: bool,
) -> None:
    """A page of the clusters of a table of labels: sizes, confidence, what is near, search, names, corrections.

    FILE is what `cluster`, `label` or `predict` wrote, or any table with a column of labels. The page needs no network
    and no server: any browser opens it.
    """
    with errors_said():
        if atlas is not None and (embeddings is None or atlas.suffix != ".parquet"):
            raise click.UsageError("--embedding-atlas must end in .parquet, and needs --embeddings.")
        where = where or file.with_name(f"{file.stem}-clusters")
        with progress() as bar:
            table = load(file, How())
            if not isinstance(table, pa.Table):
                raise UnreadableError(f"{file} must be a table with a column of labels: .csv, .parquet or .arrow.")
            points = None if embeddings is None else read(embeddings, How(columns, key)).matrix
            bar("clusters")
            contents = contents_of(file, table, label, name, of_class, points, model, names)
            page = write_page(contents, where)
            if atlas is not None:
                from ..explore.atlas import write_atlas

                assert points is not None
                bar("places on a plane")
                try:
                    write_atlas(atlas, contents, points)
                except ImportError as missing:
                    raise UnreadableError(str(missing)) from None
        out.print(f"{len(table):,} items, {contents.k:,} clusters: open {page}", markup=False)
        if is_opened:
            webbrowser.open(page.resolve().as_uri())


def contents_of(
    file: Path,
    table: pa.Table,
    label: str | None,
    name: str | None,
    of_class: str | None,
    points: np.ndarray | None,
    model: Path | None,
    names: Path | None,
) -> Contents:
    """What a table of labels says.

    Raises:
        UnreadableError: it has no such column, or the rows of two files are not the same items.
    """
    heads = [name for name in table.column_names if _HEAD.fullmatch(name)] if label is None else []
    chosen = heads or [_column(file, table, "label", label, _LABELS)]
    if chosen[0] is None:
        raise UnreadableError(f"{file} must have a column of labels, got {', '.join(table.column_names)}: say --label.")
    read_heads = [_labels(file, table.column(name), name) for name in chosen]
    k = max(len(values) for _, values in read_heads)
    is_without = any((labels < 0).any() for labels, _ in read_heads)
    labels = np.stack([np.where(labels < 0, k, labels) for labels, _ in read_heads], axis=1)
    values = [[*values, *[""] * (k - len(values))] for _, values in read_heads]
    names_of = called(values) | {f"{head}/{k}": NO_LABEL for head in range(len(chosen)) if is_without}
    naming = _column(file, table, "name", name, _NAMES)
    items = [str(row) for row in range(len(table))]
    if naming is not None:
        items = [cell or f"row {row}" for row, cell in enumerate(_cells(_as_written(file, table, naming)))]
    classes, class_names = None, []
    if (column := _column(file, table, "class", of_class, ())) is not None:
        cells = _cells(_as_written(file, table, column))
        class_names = sorted({cell for cell in cells if cell is not None})
        number = {cell: place for place, cell in enumerate(class_names)}
        classes = np.array([-1 if cell is None else number[cell] for cell in cells])
    sure = [_sure(file, table, "confidence" if not heads else f"confidence_{name[5:]}") for name in chosen]
    if points is not None and len(points) != len(labels):
        raise UnreadableError(
            f"--embeddings must have a row for each of the {len(labels):,} items, got {len(points):,}."
        )
    if names is not None:
        names_of |= named(read_names(names), values)
    return Contents(
        title=file.name,
        names=items,
        labels=labels,
        k=k + is_without,
        no_label=k if is_without else None,
        values=values if any(value != str(place) for own in values for place, value in enumerate(own)) else None,
        confidence=np.stack(sure, axis=1) if any(np.isfinite(own).any() for own in sure) else None,
        classes=classes,
        class_names=class_names,
        centres=_centres(labels, k + is_without, points, model),
        cluster_names=names_of,
    )


def read_names(path: Path) -> list[tuple[str, str, str]]:
    """head, label and name of clusters, from a table of these."""
    table = load(path, How())
    if not isinstance(table, pa.Table) or not {"head", "label", "name"} <= set(table.column_names):
        raise UnreadableError(f"{path} must be a table of head, label and name, as the page saves it.")
    columns = (map(str, _as_written(path, table, name).to_pylist()) for name in ("head", "label", "name"))
    return list(zip(*columns, strict=True))


def _column(file: Path, table: pa.Table, option: str, wanted: str | None, usual: tuple[str, ...]) -> str | None:
    if wanted is not None and wanted not in table.column_names:
        raise UnreadableError(f"--{option} must be a column of {file}, {', '.join(table.column_names)}, got {wanted}.")
    return wanted or next((name for name in usual if name in table.column_names), None)


def _as_written(file: Path, table: pa.Table, column: str) -> pa.ChunkedArray:
    """A column whose cells stay what they are in a file of text: 007 is no 7."""
    return (read_csv(file, layout_of(file, None), [column]) if kind(file) == ".csv" else table).column(column)


def _cells(column: pa.ChunkedArray) -> list[str | None]:
    """As text; None where a cell is empty."""
    return [None if cell is None or cell == "" else str(cell) for cell in column.to_pylist()]


def _sure(file: Path, table: pa.Table, name: str) -> np.ndarray:
    """(n,) how sure each label is, nan where that is not said."""
    if name not in table.column_names:
        return np.full(len(table), np.nan)
    column = table.column(name)
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
        raise UnreadableError(f"{file} must have numbers in column {name!r}, got {column.type}. Rename it.")
    return np.minimum(column.to_numpy().astype(np.float64), 1)


def _labels(file: Path, column: pa.ChunkedArray, name: str) -> tuple[np.ndarray, list[str]]:
    """Labels from 0, -1 for items without one, and what they are called; those of -1 have none either."""
    if column.null_count == len(column):
        raise UnreadableError(f"{file} has no label in column {name!r}. Name another by --label.")
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        cells = _cells(column)
        words = sorted({cell for cell in cells if cell is not None})
        number = {word: place for place, word in enumerate(words)}
        return np.array([-1 if cell is None else number[cell] for cell in cells]), words
    values = column.to_numpy().astype(np.float64)
    missing = ~(values >= 0)  # nan too
    if not (values[~missing] == np.floor(values[~missing])).all():
        raise UnreadableError(f"{file} must have whole numbers in column {name!r}. Name another by --label.")
    labels = np.where(missing, -1, values).astype(np.int64)
    most, limit = int(labels.max()), max(2 * len(labels), 1 << 16)
    if most >= limit:
        raise UnreadableError(f"{file} must have labels below {limit:,} in column {name!r}, got {most:,}.")
    return labels, [str(label) for label in range(most + 1)]


def _centres(all_labels: np.ndarray, k: int, points: np.ndarray | None, model: Path | None) -> list[np.ndarray] | None:
    """Of each head the means of the items, or those of a model; (k, d)."""
    if points is not None:
        return [_means(labels, k, points) for labels in all_labels.T]
    if model is None:
        return None
    learned = models.load(model)
    if not isinstance(learned, BalancedKMeans):
        raise UnreadableError(f"--model must be one of clusters, but {model} is one of scores. Leave it out.")
    centres = np.zeros((k, learned.cluster_centers_.shape[1]))
    known = learned.cluster_centers_[:k]
    centres[: len(known)] = known - learned.cluster_centers_.mean(axis=0)
    return [centres] * all_labels.shape[1]


def _means(labels: np.ndarray, k: int, points: np.ndarray) -> np.ndarray:
    """Centres around their mean; 0 where a label has no items."""
    sums = np.zeros((k, points.shape[1]))
    for start in range(0, len(points), _BLOCK):
        block = slice(start, start + _BLOCK)
        np.add.at(sums, labels[block], np.asarray(points[block], dtype=np.float64))
    sums /= np.maximum(np.bincount(labels, minlength=k), 1)[:, None]
    return sums - sums.mean(axis=0)
