"""One name in several spellings: macOS takes letters with accents apart, Windows writes backslashes."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath


def plain(name: str) -> str:
    """The spelling that all others have in common: Unicode's NFC, slashes, no "./" in front."""
    return unicodedata.normalize("NFC", str(PurePosixPath(name.replace("\\", "/"))))


def found(name: str, base: Path) -> Path:
    """The file of that name below ``base``, or where the name leads, in whichever spelling it is there."""
    spellings = [name, name.replace("\\", "/")]
    spellings += [unicodedata.normalize(form, text) for form in ("NFC", "NFD") for text in spellings]
    paths = [base / text for text in spellings]  # an absolute name stays what it is
    return next((path for path in paths if path.is_file()), paths[0])
