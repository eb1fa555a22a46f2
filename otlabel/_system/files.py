"""Files that are either whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic(path: str | os.PathLike[str], sole_writer: bool = False) -> Iterator[BinaryIO]:
    """A file that replaces ``path`` when the block ends, and leaves what was there alone when the block raises.

    It is on the disk before it is there; its permissions are those of any new file.

    Args:
        path: in a folder that exists.
        sole_writer: no other process writes ``path`` at the same time. What a kill left half written is then taken up
            by the next write; or else it stays, under a name of its own.

    Raises:
        OSError: the disk is full, the folder is not ours, ...
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.part" if sole_writer else f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
