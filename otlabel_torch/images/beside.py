"""What is made of packed images, once: a folder beside them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path


def made_beside(root: Path, sources: Sequence[Path], make: Callable[[Path], None]) -> Path:
    """The folder that ``make`` fills: whole, or not there.

    Its name tells the sizes and times of the sources: where those have changed since, it is made anew, under another.

    Args:
        root: what is unpacked; the folder lies beside it.
        sources: the files that it is made of.
        make: fills the folder whose path it is given.

    Raises:
        OSError: it cannot be written; and whatever ``make`` raises.
    """
    stats = [(str(path.relative_to(root)), path.stat()) for path in sources]
    known = "\n".join(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)
    state = hashlib.sha256(known.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    folder = root.with_name(f"{root.name}.{state}.unpacked")
    if not folder.is_dir():
        part = root.with_name(f".{root.name}.{os.getpid()}.part")
        try:
            make(part)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder
