"""Images in parquet or Arrow files, as Hugging Face's data sets have them.

A column of image files' bytes, by themselves or in a struct beside their names; maybe a column of labels, whose names
are in the file's own notes; splits by the names of files or folders: train-00000-of-00002.parquet, train/0000.parquet.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...system.errors import DataError
from ...system.tables import NOTHING, pyarrow_parquet
from ..notes import Note
from .samples import Samples, check_room, named, splits_of

ENDINGS = (".parquet", ".arrow")
_LABELS = ("label", "labels", "class", "fine_label", "coarse_label", "target")
_CACHE = ("cache-", "tmp")  # how Arrow files begin that the library has left beside the data
_ROWS = 256  # of a file, that are held at a time


def is_shard(path: Path) -> bool:
    """By its name."""
    kind = path.suffix.lower()
    return kind in ENDINGS and not (kind == ".arrow" and path.name.startswith(_CACHE))


def write(root: Path, shards: list[Path], folder: Path) -> list[Note]:
    """The images of the shards, as files.

    Raises:
        DataError: no column holds images, or a row has none, or there is no room.
    """
    arrow = pyarrow_parquet()[0]
    check_room(root, sum(shard.stat().st_size for shard in shards))
    samples, (splits, notes) = Samples(folder), splits_of(root, shards)
    for shard in shards:
        split, called = splits[shard], named(shard, root, ENDINGS)
        try:
            schema, batches = _open(shard)
            image, label, left = _columns(shard, schema, arrow)
            notes.append(left)
            label_of = _label_of(schema, label)
            number = 0
            for batch in batches([name for name in (image, label) if name is not None]):
                for row in batch.to_pylist():
                    name = f"{called}-{number:07d}"
                    samples.add(split, name, _content(row[image], shard, number), label_of(row))
                    number += 1
        except (arrow.ArrowException, KeyError, TypeError) as error:
            raise DataError(f"`root` {shard} cannot be read as a file of images: {error}") from None
    return [*dict.fromkeys(notes), *samples.finish()]


def _open(shard: Path) -> tuple[Any, Callable[[list[str]], Iterator[Any]]]:
    """The schema, and what reads some columns a batch at a time."""
    arrow, parquet = pyarrow_parquet()
    if shard.suffix.lower() == ".parquet":
        file = parquet.ParquetFile(shard)
        return file.schema_arrow, lambda columns: file.iter_batches(_ROWS, columns=columns)
    source = arrow.memory_map(str(shard))
    try:
        stream = arrow.ipc.open_stream(source)
        if not _ends(shard):
            raise DataError(f"`root` {shard} ends before its end: a part is missing. Get it again.")
        batches = stream
    except arrow.ArrowInvalid:  # the other form of Arrow's files
        stream = arrow.ipc.open_file(arrow.memory_map(str(shard)))
        batches = (stream.get_batch(i) for i in range(stream.num_record_batches))
    return stream.schema, lambda columns: (batch.select(columns) for batch in batches)


def _ends(stream: Path) -> bool:
    """Whether the last thing in a stream says that it is: what is cut between two batches looks whole."""
    with stream.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        return file.read() == bytes(4)


def _columns(shard: Path, schema: Any, arrow: Any) -> tuple[str, str | None, Note]:
    """Of images and of labels, and a word on the others."""

    def holds_images(kind: Any) -> bool:
        if arrow.types.is_struct(kind):
            return kind.get_field_index("bytes") >= 0
        return arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind)

    images = [field.name for field in schema if holds_images(field.type)]
    if len(images) != 1:
        raise DataError(
            f"`root` {shard} must have one column of images (bytes of image files), got "
            f"{', '.join(images) or 'none'} of {', '.join(schema.names)}. Leave the other columns out."
        )
    single = [name for name in _LABELS if name in schema.names and not arrow.types.is_nested(schema.field(name).type)]
    label = single[0] if single else None
    others = [name for name in schema.names if name not in (images[0], label)]
    taken = f"images are those of column {images[0]}, " + (f"classes of {label}" if label else "without classes")
    return images[0], label, Note(f"{taken}; left out: {', '.join(others)}" if others else taken)


def _label_of(schema: Any, label: str | None) -> Callable[[dict[str, Any]], str | None]:
    """What the label of a row is called: by Hugging Face's notes in the file, in which -1 is none; else as it is."""
    try:
        about = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    except ValueError:  # somebody else's
        about = {}
    known = about.get("info", {}).get("features", {}).get(label, {})
    names = known.get("names") if isinstance(known, dict) else None

    def called(row: dict[str, Any]) -> str | None:
        value = None if label is None else row[label]
        if names and isinstance(value, int):
            return names[value] if 0 <= value < len(names) else None
        return None if value is None or str(value).lower() in NOTHING else str(value)

    return called


def _content(cell: Any, shard: Path, row: int) -> bytes:
    data = cell["bytes"] if isinstance(cell, dict) else cell
    if data is None:
        where = cell.get("path") if isinstance(cell, dict) else None
        also = f", only the path {where!r}. Embed the files: datasets' to_parquet does" if where else ". Drop the row"
        raise DataError(f"`root` {shard} must have an image in every row, but row {row} has none{also}.")
    return data
