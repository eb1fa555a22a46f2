"""What is made of packed images, once: a folder beside them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from ..notes import Note

_IMAGES, _NOTES = "images", "notes.json"


def made_beside(
    root: Path, sources: Sequence[Path], kind: str, make: Callable[[Path], list[Note]]
) -> tuple[Path, list[Note]]:
    """The folder that ``make`` fills, and what it said of that then: whole, or not there.

    Its name tells the sizes and times of the sources: where those have changed since, it is made anew, under another.

    Args:
        root: what is unpacked; the folder lies beside it.
        sources: the files that it is made of.
        kind: what they are taken for.
        make: fills the folder whose path it is given.

    Raises:
        OSError: it cannot be written; and whatever ``make`` raises.
    """
    root = root.resolve()  # "." has no name
    stats = [(str(path.resolve().relative_to(root)), path.stat()) for path in sources]
    known = "\n".join([kind, *(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)])
    state = hashlib.sha256(known.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    folder = root.with_name(f"{root.name}.{state}.unpacked")
    if not folder.is_dir():
        part = root.with_name(f".{root.name}.{os.getpid()}.part")
        try:
            (part / _IMAGES).mkdir(parents=True)
            notes = [note.plain() for note in make(part / _IMAGES)]
            (part / _NOTES).write_text(json.dumps(notes), encoding="utf-8")
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    said = json.loads((folder / _NOTES).read_text(encoding="utf-8"))
    return folder / _IMAGES, [Note(note["what"], note["files"]) for note in said]
