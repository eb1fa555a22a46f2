"""Folders of images in a .zip or .tar file."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath, PureWindowsPath

from ...system.errors import DataError
from ..notes import Note
from .samples import check_room

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
TARS = ENDINGS[1:]
DAMAGED = (OSError, zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, RuntimeError)
_UTF8 = 0x800  # the flag of names in zip files
_LINKS = "left out: links and devices in the archive"
_ODD = "names in the archive that do not say their alphabet, and may look odd"
_RATIO = 200  # of what comes out to what is packed: pictures are packed already; more is an attack on the disk


def is_archive(path: Path) -> bool:
    """Whether it is one, by its name."""
    return path.is_file() and path.name.lower().endswith(ENDINGS)


def unpack(archive: Path, folder: Path) -> list[Note]:
    """All files of an archive.

    Raises:
        DataError: it is unsafe, or there is no room.
    """
    if archive.suffix.lower() == ".zip":
        with zipfile.ZipFile(archive) as file:
            whole = [member for member in file.infolist() if not member.is_dir()]
            members = [member for member in whole if not stat.S_ISLNK(member.external_attr >> 16)]
            for member in members:  # .NET's programs write backslashes; here they would be a part of the name
                if member.filename.isascii():
                    member.filename = member.filename.replace("\\", "/")
            check(archive, [(member.filename, member.file_size) for member in members])
            file.extractall(folder, members)
            left = [member.filename for member in whole if member not in members]
            odd = [member.filename for member in members if not (member.flag_bits & _UTF8 or member.filename.isascii())]
            return [*_twice([member.filename for member in members]), *_notes(_LINKS, left), *_notes(_ODD, odd)]
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
    _check_end(tar)
    return files, _notes(_LINKS, rest)


def _check_end(tar: tarfile.TarFile) -> None:
    """Raise TarError unless what follows the last member is the end: the library takes any damage for that."""
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    rest = tar.fileobj.read(tarfile.BLOCKSIZE)
    if not rest:
        raise tarfile.ReadError("it ends before its end: a part is missing")
    while rest:
        if rest.strip(b"\0"):
            raise tarfile.ReadError(f"it is damaged at byte {tar.fileobj.tell() - len(rest):,}, or joined with another")
        rest = tar.fileobj.read(1 << 20)


def check(archive: Path, sizes: list[tuple[str, int]]) -> None:
    """Before anything is written: names below the folder, and room for what they will take.

    Raises:
        DataError: it is unsafe, or there is no room.
    """
    for name, _ in sizes:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).root:
            raise DataError(
                f"`root` {archive} holds a file outside of itself, {name!r}: it is not to be trusted. If you do, "
                "unpack it yourself, and give the folder."
            )
    total, packed = sum(size for _, size in sizes), archive.stat().st_size
    if total > _RATIO * packed + (1 << 20):
        raise DataError(
            f"`root` {archive} would become {total / packed:,.0f} times as large: it is not to be trusted. If you do, "
            "unpack it yourself, and give the folder."
        )
    check_room(archive, total)


def _twice(names: list[str]) -> list[Note]:
    """Of two files of one name the last is there, as programs that add to archives mean it."""
    more = [name for name, count in Counter(names).items() if count > 1]
    return _notes("names more than once in the archive, of which the last file is taken", more)


def _notes(what: str, names: list[str]) -> list[Note]:
    return [Note(what, names)] if names else []
