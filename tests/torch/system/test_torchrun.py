"""Runs under torchrun: two real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from same import tensors_equal

from otlabel_torch.training import checkpoint

# Labels are never updated: those of the end are those that the untrained network gave.
OPTIONS = [
    "--epochs", "3", "--relabels", "1", "--heads", "2", "--k", "12", "--image-size", "8", "--device", "cpu",
    "--accumulate", "2",
]  # fmt: skip


def started(*options, processes=2):
    words = [sys.executable, "-m"]
    if processes > 1:
        words += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    words += ["otlabel_torch.train", *map(str, options)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )


def run(*options, processes=2):
    process = started(*options, processes=processes)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    return out


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("two") / "run"
    return out, run(*OPTIONS, "--out", out)


def test_labels_are_those_of_one_process(whole, tmp_path):
    out, said = whole
    assert "convnet on 2 processes on cpu" in said
    assert said.count("done in") == 1  # only the first one speaks
    run(*OPTIONS, "--out", tmp_path / "one", processes=1)
    assert (out / "labels.csv").read_text() == (tmp_path / "one" / "labels.csv").read_text()
    two, one = (checkpoint.load(path / "checkpoints" / "last.pt") for path in (out, tmp_path / "one"))
    np.testing.assert_allclose(two["potentials"], one["potentials"], atol=1e-9)
    losses = [[record["loss"] for record in saved["records"]] for saved in (two, one)]
    np.testing.assert_allclose(*losses, rtol=0.05)  # each process has its own augmentation and batch statistics


OWN = """
import torch.distributed as dist
import otlabel_torch as ot
from otlabel_torch import train
from otlabel_torch.labels.assigners.clusters import Clusters

@ot.register_loss("compared")
class Compared(ot.Loss):
    def __call__(self, forward, batch, state):
        if len(state.labels) == 1797:  # else it is the estimate's trial, of which each process makes its own number
            heads = [None, None]
            dist.all_gather_object(heads, state.network.head.weight.tolist())
            assert heads[0] == heads[1], "heads differ"
        return ot.entropies(forward(batch.images)[0], batch).mean()

@ot.register_assigner("unlike")
class Unlike(Clusters):
    def after(self, state):
        super().after(state)
        state.network.head.weight.data += dist.get_rank()

train.main()
"""


def test_heads_that_start_anew_are_the_same_in_all(tmp_path):
    program = tmp_path / "own.py"
    program.write_text(OWN)
    more = ["--assigner", "unlike", "--loss", "compared", "--epochs", "2", "--heads", "2", "--k", "12", "--views", "1"]
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", program, *more]
    done = subprocess.run(
        list(map(str, [*words, "--image-size", 8, "--device", "cpu", "--batch-size", 512, "--out", tmp_path / "run"])),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_killed_run_resumed_equals_the_uninterrupted_one(whole, tmp_path):
    out = tmp_path / "killed"
    process = started(*OPTIONS, "--out", out)
    deadline = time.monotonic() + 200
    while not (out / "checkpoints" / "last.pt").exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for pid in [*children(process.pid), process.pid]:  # both processes and their launcher
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert checkpoint.load(out / "checkpoints" / "last.pt")["epoch"] < 3
    assert "resumed after epoch" in run(*OPTIONS, "--out", out, "--resume")
    saved = [checkpoint.load(path / "checkpoints" / "last.pt") for path in (whole[0], out)]
    assert tensors_equal(*saved)
    assert yaml.safe_load((out / "config.yaml").read_text())["epochs"] == 3


def test_an_error_ends_all_processes(tmp_path):
    process = started(*OPTIONS, "--batch-size", 30, "--out", tmp_path / "run")
    _out, err = process.communicate(timeout=200)
    assert process.returncode != 0
    assert "--batch-size must be a multiple of the processes times --accumulate, 2 x 2, got 30" in err
    assert not (tmp_path / "run").exists()
