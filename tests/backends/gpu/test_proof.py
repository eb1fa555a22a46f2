"""The proof that a GPU will run once there is one: rehearsed, so that its time there is not spent on typing errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "gpu_proof.py"


def test_the_proof_can_be_rehearsed(tmp_path):
    command = [sys.executable, str(SCRIPT), "--rehearse", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = json.loads((tmp_path / "gpu_rehearsal.json").read_text())
    assert {row["part"] for row in rows} == {"conformance", "errors", "bandwidth", "imagenet", "peers"}
    assert not [row for row in rows if row["what"] == "failed"]
    assert all({"device", "driver", "versions"} <= set(row) for row in rows)  # each describes itself
    assert max(row["l1_error"] for row in rows if row["part"] == "errors") < 1e-5
    solves = [row for row in rows if row["part"] == "imagenet"]
    assert all(row["error"] <= 1e-4 and row["bit_identical"] for row in solves)
    assert str(tmp_path / "gpu_rehearsal.json") in done.stdout.splitlines()[-1]


def test_without_a_gpu_the_proof_says_so(tmp_path):
    if torch.cuda.is_available():
        return
    done = subprocess.run([sys.executable, str(SCRIPT), "--out", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "torch sees no CUDA device here" in done.stderr
    assert not list(tmp_path.iterdir())
