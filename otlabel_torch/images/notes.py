"""What is said of the images of a run: what was done to which files, and which were left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .decoding import shown


@dataclass(frozen=True)
class Note:
    """One kind of thing, and all the files that it was done to.

    Args:
        what: stands before the number of the files; all that is said where it is about none in particular.
        files: their paths.
    """

    what: str
    files: Sequence[Path | str] = ()

    def __str__(self) -> str:
        """The line for the screen, with one of the files."""
        if not self.files:
            return self.what
        return f"{self.what}: {len(self.files):,} ({shown(self.files[0])}{' for one' if len(self.files) > 1 else ''})"

    def plain(self) -> dict[str, Any]:
        """For report.json, which names all of the files."""
        return {"what": self.what, "count": len(self.files), "files": [shown(path) for path in self.files]}
