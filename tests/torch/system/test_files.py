"""Writes that fail in this process."""

from __future__ import annotations

import pytest
import torch

from otlabel_torch.system import files
from otlabel_torch.system.processes import Processes

ALONE = Processes(torch.device("cpu"))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    files.write_text(path, "old")

    class PowerCut(Exception):
        pass

    def half_a_write():
        with files.atomic(path) as file:
            file.write(b"half")
            raise PowerCut

    with pytest.raises(PowerCut):
        half_a_write()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
