"""Folders of images in a .zip or .tar file."""

from __future__ import annotations

import tarfile
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath, PureWindowsPath

from ...system.errors import DataError
from ..notes import Note
from ..walk import JUNK
from .samples import check_room

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
TARS = ENDINGS[1:]
DAMAGED = (OSError, zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, RuntimeError)
_RATIO = 200  # of what comes out to what is packed: pictures are packed already; more is an attack on the disk


def is_archive(path: Path) -> bool:
    """Whether it is one, by its name."""
    return path.is_file() and path.name.lower().endswith(ENDINGS)


def only_folder(folder: Path) -> Path:
    """Where all is in one folder, as most programs pack it, that is the one."""
    inside = [path for path in folder.iterdir() if path.name not in JUNK and not path.name.startswith(".")]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def unpack(archive: Path, folder: Path) -> list[Note]:
    """All files of an archive.

    Raises:
        DataError: it is unsafe, or there is no room.
    """
    if archive.suffix.lower() == ".zip":
        with zipfile.ZipFile(archive) as file:
            members = [member for member in file.infolist() if not member.is_dir()]
            for member in members:  # .NET's programs write backslashes; here they would be a part of the name
                member.filename = member.filename.replace("\\", "/")
            check(archive, [(member.filename, member.file_size) for member in members])
            file.extractall(folder, members)
            return _twice([member.filename for member in members])
    with tarfile.open(archive) as tar:
        files, links = members_of(tar)
        check(archive, [(member.name, member.size) for member in files])
        tar.extractall(folder, files, filter="data")
        return [*_twice([member.name for member in files]), *links]


def members_of(tar: tarfile.TarFile) -> tuple[list[tarfile.TarInfo], list[Note]]:
    """The files, and what is said of the rest: links may lead anywhere."""
    files, rest = [], []
    for member in tar.getmembers():
        if member.isfile():
            files.append(member)
        elif not member.isdir():
            rest.append(member.name)
    return files, [Note("left out: links and devices in the archive", rest)] if rest else []


def check(archive: Path, sizes: list[tuple[str, int]]) -> None:
    """Before anything is written: names below the folder, and room for what they will take.

    Raises:
        DataError: it is unsafe, or there is no room.
    """
    for name, _ in sizes:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive:
            raise DataError(f"`root` {archive} holds a file outside of itself, {name!r}: it is not to be trusted.")
    total, packed = sum(size for _, size in sizes), archive.stat().st_size
    if total > _RATIO * packed + (1 << 20):
        raise DataError(f"`root` {archive} would become {total / packed:,.0f} times as large: it is not to be trusted.")
    check_room(archive, total)


def _twice(names: list[str]) -> list[Note]:
    """Of two files of one name the last is there, as programs that add to archives mean it."""
    more = [name for name, count in Counter(names).items() if count > 1]
    return [Note("names more than once in the archive, of which the last file is taken", more)] if more else []
