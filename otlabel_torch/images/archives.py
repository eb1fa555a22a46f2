"""Folders of images in a .zip or .tar file: unpacked beside it, once."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from ..system.errors import DataError
from .beside import made_beside
from .walk import JUNK

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_RATIO = 200  # of what comes out to what is packed: pictures are packed already; more is an attack on the disk


def is_archive(path: Path) -> bool:
    """Whether it is one, by its name."""
    return path.is_file() and path.name.lower().endswith(ENDINGS)


def unpacked(archive: Path) -> Path:
    """The folder that is in an archive: whole, or not there.

    Where all is in one folder, as most programs pack it, that is the one.

    Raises:
        DataError: it is damaged, or unsafe, or there is no room.
    """
    try:
        folder = made_beside(archive, [archive], lambda folder: _unpack(archive, folder))
    except (OSError, zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"`root` {archive} cannot be unpacked: {error}. Unpack it yourself, or repair it.") from None
    inside = [path for path in folder.iterdir() if path.name not in JUNK and not path.name.startswith(".")]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _unpack(archive: Path, folder: Path) -> None:
    if archive.suffix.lower() == ".zip":
        with zipfile.ZipFile(archive) as file:
            members = [member for member in file.infolist() if not member.is_dir()]
            _check(archive, {member.filename: member.file_size for member in members})
            file.extractall(folder, members)
        return
    with tarfile.open(archive) as tar:
        files = [member for member in tar.getmembers() if member.isfile()]  # neither links nor devices
        _check(archive, {member.name: member.size for member in files})
        tar.extractall(folder, files, filter="data")


def _check(archive: Path, sizes: dict[str, int]) -> None:
    """Before anything is written: names below the folder, and room for what they will take."""
    for name in sizes:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or path.drive:
            raise DataError(f"`root` {archive} holds a file outside of itself, {name!r}: it is not to be trusted.")
    total, packed = sum(sizes.values()), archive.stat().st_size
    if total > _RATIO * packed + (1 << 20):
        raise DataError(f"`root` {archive} would become {total / packed:,.0f} times as large: it is not to be trusted.")
    free = shutil.disk_usage(archive.parent).free
    if total > 0.95 * free:
        raise DataError(
            f"`root` {archive} takes {total / 2**30:.1f} GiB beside it, but {free / 2**30:.1f} are free. Make room, "
            "or move it."
        )
