"""Files are whole or not there: what writes leave behind."""

from __future__ import annotations

import os
import stat

import pytest

from otlabel._system.files import atomic


@pytest.mark.parametrize("sole_writer", [False, True])
def test_a_file_is_replaced_when_it_is_whole(tmp_path, sole_writer):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with atomic(path, sole_writer) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def interrupted(path, sole_writer):
    with atomic(path, sole_writer) as file:
        file.write(b"half")
        raise KeyboardInterrupt


@pytest.mark.parametrize("sole_writer", [False, True])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, sole_writer):
    path = tmp_path / "file"
    path.write_bytes(b"new")
    with pytest.raises(KeyboardInterrupt):
        interrupted(path, sole_writer)
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask to speak of")
def test_permissions_are_those_of_any_new_file(tmp_path):
    with open(tmp_path / "plain", "wb"), atomic(tmp_path / "atomic"):
        pass
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic")]
    assert modes[0] == modes[1]


def test_what_a_kill_left_is_taken_up_by_a_sole_writer(tmp_path):
    (tmp_path / ".file.part").write_bytes(b"half, and longer than what comes")
    with atomic(tmp_path / "file", sole_writer=True) as file:
        file.write(b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["file"]


def test_two_processes_may_write_the_same_file(tmp_path, monkeypatch):
    with atomic(tmp_path / "file") as first:
        first.write(b"first")
        monkeypatch.setattr(os, "getpid", lambda: -1)  # another process comes in between
        with atomic(tmp_path / "file") as second:
            second.write(b"second")
        assert (tmp_path / "file").read_bytes() == b"second"
    assert (tmp_path / "file").read_bytes() == b"first"


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "nowhere" / "file"):
        pass
