"""Files that are either whole or not there: every write of a run goes through here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from otlabel._system import files

from .errors import UnwritableError


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A file that replaces ``path`` when the block ends, and leaves it alone when the block raises.

    Raises:
        UnwritableError: the disk is full, the folder is not ours, ...
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.atomic(path, sole_writer=True) as file:
            yield file
    except OSError as error:
        raise UnwritableError(f"{path} cannot be written: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """UTF-8; names of files that are none stay the bytes that they are."""
    with atomic(path) as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    """JSON lines; the whole file each time, because a file of a run's epochs is small."""
    write_text(path, "".join(json.dumps(record) + "\n" for record in records))
