"""Folders of images in archives, and archives that are not to be trusted."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from otlabel_torch.images.images import Source, load
from otlabel_torch.system.errors import DataError

PICTURES = {"train/x/1.png": 10, "train/y/2.png": 200, "val/x/3.png": 90}


def png(value):
    data = io.BytesIO()
    Image.fromarray(np.full((12, 12, 3), value, np.uint8)).save(data, "png")
    return data.getvalue()


def packed(path, files):
    """An archive of the kind that its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in files.items():
                file.writestr(name, data)
        return path
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as file:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz"])
@pytest.mark.parametrize("inside", ["", "dataset/"])
def test_an_archive_is_the_folder_in_it(tmp_path, name, inside):
    files = {inside + path: png(value) for path, value in PICTURES.items()} | {"__MACOSX/._1.png": b"nothing"}
    archive = packed(tmp_path / name, files)
    for _ in range(2):  # the second time it is there
        images, val = load(Source("folder", archive, 12))
        assert (images.paths, val.paths) == (["train/x/1.png", "train/y/2.png"], ["val/x/3.png"])
        assert images.pixels[:, 0, 0, 0].tolist() == [10, 200]
        assert f"{name} is unpacked" in images.said[0]
    there = sorted(path.name for path in tmp_path.iterdir())
    assert len(there) == 2
    assert re.fullmatch(rf"{name}\.[0-9a-f]{{8}}\.unpacked", there[1])


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_an_archive_that_has_changed_is_unpacked_anew(tmp_path, name):
    """What lies beside it is of the one before."""
    load(Source("folder", packed(tmp_path / name, {"1.png": png(10)}), 12))
    images, _ = load(Source("folder", packed(tmp_path / name, {"1.png": png(20), "2.png": png(30)}), 12))
    assert images.pixels[:, 0, 0, 0].tolist() == [20, 30]


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(
    "name", ["../outside.png", "/tmp/outside.png", "a/../../outside.png", "..\\outside.png", "C:\\outside.png"]
)
def test_nothing_is_written_outside(tmp_path, kind, name):
    folder = tmp_path / "inner"
    folder.mkdir()
    archive = packed(folder / f"a.{kind}", {"1.png": png(1), name: png(2)})
    with pytest.raises(DataError, match="holds a file outside of itself"):
        load(Source("folder", archive, 12))
    assert [path.name for path in folder.iterdir()] == [archive.name]
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]


def test_bombs_and_damage_leave_nothing_behind(tmp_path):
    bomb = packed(tmp_path / "bomb.zip", {"1.png": bytes(300 << 20)})
    with pytest.raises(DataError, match="times as large: it is not to be trusted"):
        load(Source("folder", bomb, 12))
    half = packed(tmp_path / "half.tar.gz", {"1.png": np.random.default_rng().bytes(100_000)})
    half.write_bytes(half.read_bytes()[:50_000])
    noise = tmp_path / "noise.zip"
    noise.write_bytes(b"noise")
    for archive in (half, noise):
        with pytest.raises(DataError, match="cannot be unpacked"):
            load(Source("folder", archive, 12))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bomb.zip", "half.tar.gz", "noise.zip"]


def test_backslashes_in_a_zip_are_folders(tmp_path):
    """As .NET wrote them for years: without folders there would be no classes."""
    archive = packed(tmp_path / "a.zip", {"cat\\1.png": png(10), "dog\\2.png": png(20)})
    images, _ = load(Source("folder", archive, 12))
    assert (images.paths, images.class_names) == (["cat/1.png", "dog/2.png"], ["cat", "dog"])


def test_links_in_an_archive_are_left(tmp_path):
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as file:
        member = tarfile.TarInfo("1.png")
        member.size = len(png(7))
        file.addfile(member, io.BytesIO(png(7)))
        link = tarfile.TarInfo("2.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
    images, _ = load(Source("folder", archive, 12))
    assert images.paths == ["1.png"]
    assert any("links and devices in the archive: 1 (2.png)" in line for line in images.said)


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_of_two_files_of_one_name_the_last_is_there(tmp_path, name):
    path = packed(tmp_path / name, {"1.png": png(10), "2.png": png(20)})
    with zipfile.ZipFile(path, "a") if name == "a.zip" else tarfile.open(path, "a") as file:
        if name == "a.zip":
            with pytest.warns(UserWarning, match="Duplicate name"):
                file.writestr("1.png", png(30))
        else:
            member = tarfile.TarInfo("1.png")
            member.size = len(png(30))
            file.addfile(member, io.BytesIO(png(30)))
    images, _ = load(Source("folder", path, 12))
    assert images.pixels[:, 0, 0, 0].tolist() == [30, 20]
    assert any(
        "names more than once in the archive, of which the last file is taken: 1 (1.png)" in line
        for line in images.said
    )


def test_other_files_are_no_roots(tmp_path):
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    with pytest.raises(DataError, match=r"must be a folder, or a file \.zip, .*, but .* is a file of another kind"):
        load(Source("folder", tmp_path / "a.rar", 12))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
@pytest.mark.parametrize("data", ["folder", "webdataset"])
def test_a_tar_that_is_cut_or_joined_is_not_half_an_archive(tmp_path, name, data):
    """The library takes damage for the end: what follows would be lost without a word."""
    whole = packed(tmp_path / "whole.tar", {f"{i}.png": png(i) for i in range(6)}).read_bytes()
    header = 3 * 1024  # of the fourth file: each takes a block for its header and one for its content
    assert whole[header : header + 5] == b"3.png"
    damaged = bytearray(whole)
    damaged[header + 150] ^= 0xFF  # its checksum
    for content in (bytes(damaged), whole[:header], whole[: header + 100], whole + whole):
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        with pytest.raises(
            DataError, match=r"cannot be unpacked: (it is damaged at byte|it ends before its end|unexpected end)"
        ):
            load(Source(data, path, 12))
    assert not list(tmp_path.glob("*unpacked"))


def test_links_in_a_zip_are_left(tmp_path):
    """Its content is where it leads, no picture."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("1.png", png(7))
        link = zipfile.ZipInfo("2.png")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc/passwd")
    images, _ = load(Source("folder", tmp_path / "a.zip", 12))
    assert images.paths == ["1.png"]
    assert any("links and devices in the archive: 1 (2.png)" in line for line in images.said)


def test_names_of_other_alphabets_in_a_zip_stay_whole(tmp_path):
    """The second byte of some letters of Shift-JIS is a backslash."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("AAAA/1.png", png(10))
        file.writestr("BBBB/2.png", png(20))
    content = (tmp_path / "a.zip").read_bytes()
    for before, after in ((b"AAAA", "表表".encode("shift_jis")), (b"BBBB", "画画".encode("shift_jis"))):
        content = content.replace(before, after)
    (tmp_path / "a.zip").write_bytes(content)
    images, _ = load(Source("folder", tmp_path / "a.zip", 12))
    assert len(images.class_names) == 2
    assert sorted(images.pixels[:, 0, 0, 0].tolist()) == [10, 20]
    assert any("that do not say their alphabet, and may look odd: 2 (" in line for line in images.said)
