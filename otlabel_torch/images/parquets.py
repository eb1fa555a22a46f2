"""Images in parquet files, as Hugging Face's data sets have them: written out as files beside them, once.

A column of structs with the bytes of an image file, and maybe its name; maybe a column of labels, whose names are in
the file's own notes; splits by the names of the files: train-00000-of-00002.parquet.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

from PIL import Image

from ..system.errors import DataError
from ..system.tables import pyarrow_parquet
from .beside import made_beside
from .splits import TEST, TRAIN, VAL
from .walk import extensions

_LABELS = ("label", "labels", "class", "fine_label", "coarse_label", "target")
_ROWS = 256  # of a file, that are held at a time
_SPLITS = {name: split for split, names in (("train", TRAIN), ("val", VAL), ("test", TEST)) for name in names}


def shards_in(root: Path) -> list[Path]:
    """The parquet files that ``root`` is, or has, below it too; none if it has others."""
    if root.is_file():
        return [root] if root.suffix == ".parquet" else []
    return sorted(root.rglob("*.parquet")) if root.is_dir() else []


def unpacked(root: Path, shards: list[Path]) -> Path:
    """The folder that the images of parquet files are written to: whole, or not there.

    Raises:
        DataError: no column holds images, or two classes would have one folder, or there is no room.
    """

    top = root if root.is_dir() else root.parent

    def write(folder: Path) -> None:
        classes: dict[str, str] = {}
        for shard in shards:
            called = "-".join(shard.relative_to(top).with_suffix("").parts)  # two folders may have one of a name
            _write(shard, folder / _split_of(shard), called, classes)

    try:
        return made_beside(root, shards, write)
    except OSError as error:
        raise DataError(f"`root` {root} cannot be written out as files: {error}.") from None


def _split_of(shard: Path) -> str:
    """By the first word of the file's name; "" where that says nothing."""
    word = re.split(r"[-_.]", shard.name)[0].lower()
    return _SPLITS.get(word, "")


def _write(shard: Path, folder: Path, called: str, classes: dict[str, str]) -> None:
    """The images of a shard; ``classes`` are the folders so far, and whose they are."""
    arrow, parquet = pyarrow_parquet()
    try:
        file = parquet.ParquetFile(shard)
        image, label = _columns(shard, file.schema_arrow, arrow)
        names = _names(file.schema_arrow, label)
        columns = [name for name in (image, label) if name is not None]
        number = 0
        for batch in file.iter_batches(_ROWS, columns=columns):
            for row in batch.to_pylist():
                data = row[image]["bytes"] if isinstance(row[image], dict) else row[image]
                place = folder if label is None else folder / _folder_of(names(row[label]), classes, shard)
                place.mkdir(parents=True, exist_ok=True)
                with (place / f"{called}-{number:07d}{_suffix(data)}").open("xb") as image_file:
                    image_file.write(data or b"")
                number += 1
    except (arrow.ArrowException, KeyError, TypeError) as error:
        raise DataError(f"`root` {shard} cannot be read as a parquet file of images: {error}") from None


def _columns(shard: Path, schema: Any, arrow: Any) -> tuple[str, str | None]:
    """Of images and of labels."""

    def holds_images(kind: Any) -> bool:
        if arrow.types.is_struct(kind):
            return kind.get_field_index("bytes") >= 0
        return arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind)

    images = [field.name for field in schema if holds_images(field.type)]
    if len(images) != 1:
        raise DataError(
            f"`root` {shard} must have one column of images (bytes of image files), got "
            f"{', '.join(images) or 'none'} of {', '.join(schema.names)}."
        )
    return images[0], next((name for name in _LABELS if name in schema.names), None)


def _names(schema: Any, label: str | None) -> Any:
    """What a label is called: by Hugging Face's notes in the file, else as it is."""
    about = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    known = about.get("info", {}).get("features", {}).get(label, {})
    names = known.get("names") if isinstance(known, dict) else None
    return lambda value: names[value] if names and isinstance(value, int) and 0 <= value < len(names) else str(value)


def _folder_of(name: str, classes: dict[str, str], shard: Path) -> str:
    """A class's name as a folder may have it."""
    folder = re.sub(r"[^\w .()+-]", "_", name).strip(". ") or "_"
    if classes.setdefault(folder, name) != name:
        raise DataError(
            f"`root` {shard} must have classes whose names differ as names of folders do, but {classes[folder]!r} and "
            f"{name!r} are both {folder!r}. Rename one."
        )
    return folder


def _suffix(data: bytes | None) -> str:
    """By what is in it; what cannot be read is called an image all the same, and named when it is decoded."""
    try:
        with Image.open(io.BytesIO(data or b"")) as image:
            known = f".{(image.format or '').lower()}"
            return known if known in extensions() else ".png"
    except Exception:  # decoders of damaged files raise anything
        return ".png"
