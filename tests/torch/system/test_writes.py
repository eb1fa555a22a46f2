"""Writes that fail or are cut off: real kills, real full disks."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from otlabel_torch.runs import estimate
from otlabel_torch.system.errors import UsageError
from otlabel_torch.training import checkpoint

WRITER = """
import sys
from pathlib import Path
import torch
from otlabel_torch.system import files
from otlabel_torch.training import checkpoint
parts = {"heads": {}, "optimiser": {}, "scaler": {}, "epoch": 1, "images": "", "records": []}
parts = dict.fromkeys(checkpoint.PARTS) | parts
out = Path(sys.argv[1])
for i in range(10_000):
    checkpoint.save(out / "last.pt", parts | {"model": {"x": torch.full((3_000_000,), float(i))}})
    files.write_text(out / "labels.csv", f"{i}\\n" * 1_000_000)
    print(i, flush=True)
"""

# Python ignores SIGXFSZ, so that a write past the limit is an OSError
LITTLE_ROOM = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_a_kill_during_a_write_leaves_whole_files(tmp_path):
    """Kills at random moments of a loop that does nothing but write: ten, and more until one of them hits a write.

    Every one finds the files whole.
    """
    halves = 0
    for attempt in range(60):
        if attempt >= 10 and halves:
            break
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline().strip() == "0"
        time.sleep(random.uniform(0, 0.15))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        halves += any(tmp_path.glob(".*.part"))
        number = checkpoint.load(tmp_path / "last.pt")["model"]["x"]
        assert number.shape == (3_000_000,)
        assert (number == number[0]).all()
        lines = (tmp_path / "labels.csv").read_text().split()
        assert len(lines) == 1_000_000
        assert set(lines) <= {str(int(number[0])), str(int(number[0]) - 1)}, attempt
    assert halves  # some of them did hit a write


def test_a_disk_that_fills_up_ends_the_run_and_keeps_what_was_saved(tmp_path):
    """By the limit on the size of a file, which is the same to a program as a full disk."""
    out = tmp_path / "run"
    words = [sys.executable, "-m", "otlabel_torch.train", "--epochs", "2", "--heads", "1", "--image-size", "8"]
    words += ["--device", "cpu", "--out", str(out)]
    whole = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert whole.returncode == 0, whole.stderr
    before = (out / "checkpoints" / "last.pt").read_bytes()

    little_room = [sys.executable, "-c", LITTLE_ROOM]
    failed = subprocess.run([*little_room, *words, "--resume"], capture_output=True, text=True, timeout=300)
    assert failed.returncode == 1
    assert "cannot be written" in failed.stderr
    assert "--resume" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert (out / "checkpoints" / "last.pt").read_bytes() == before
    assert not list(out.rglob("*.part"))


def test_room_is_asked_for_before_the_work(tmp_path):
    with pytest.raises(UsageError, match=r"needs .* on its disk, where .* are free"):
        estimate.check(estimate.Estimate(1.0, 1.0, 1e18), tmp_path / "not" / "there")
    with pytest.raises(UsageError, match=r"the run needs .* of memory"):
        estimate.check(estimate.Estimate(1.0, 1e18, 1.0), tmp_path)
    estimate.check(estimate.Estimate(1.0, 1e6, 1e3), tmp_path)


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "last.pt"
    parts = {"heads": {}, "optimiser": {}, "scaler": {}, "epoch": 1, "images": "", "records": []}
    parts = dict.fromkeys(checkpoint.PARTS) | parts
    checkpoint.save(path, parts | {"model": {"x": torch.ones(3)}})
    with pytest.raises(TypeError):
        checkpoint.save(path, parts | {"model": (i for i in range(3))})
    assert torch.equal(checkpoint.load(path)["model"]["x"], torch.ones(3))
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.pt"]
