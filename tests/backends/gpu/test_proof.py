"""The proof that a GPU will run once there is one: rehearsed, so that its time there is not spent on typing errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ORDER = ["smoke", "imagenet", "batches", "bandwidth", "errors", "peers", "conformance", "sanitize"]
SCRIPT = Path(__file__).parents[3] / "benchmarks" / "gpu_proof.py"


def proof(out, *options, **environment):
    command = [sys.executable, str(SCRIPT), *options, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    file = out / "gpu_rehearsal.json"
    return done, json.loads(file.read_text()) if file.exists() else []


def test_the_proof_can_be_rehearsed(tmp_path):
    done, rows = proof(tmp_path, "--rehearse")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    parts = [row["part"] for row in rows]
    assert list(dict.fromkeys(parts)) == ORDER
    assert all({"device", "driver", "versions"} <= set(row) for row in rows)  # each describes itself
    assert max(row["l1_error"] for row in rows if row["part"] == "errors") < 1e-5
    solves = [row for row in rows if row["part"] == "imagenet"]
    assert all(row["error"] <= row["tol"] and row["bit_identical"] for row in solves)
    assert all(row["list_evaluations"] > 0 and row["list_seconds"] > 0 for row in solves)
    small = [row for row in rows if row["what"] == "against numba"]
    assert {row["dtype"] for row in small} == {"float64", "float32", "float16", "bfloat16"}
    peers = {row["what"] for row in rows if row["part"] == "peers"}
    assert {"plain torch.logsumexp, tol 0.0001", "textbook, float32, tol 0.0001", "SwAV, 3 iterations"} <= peers
    assert done.stdout.splitlines()[-1] == f"passed: {len(rows)} rows, none of them wrong"


def test_parts_that_die_hang_or_are_wrong_fail_the_proof_and_lose_nothing(tmp_path):
    began = time.monotonic()
    done, rows = proof(tmp_path, "--rehearse", "--parts", "dies", "hangs", "wrong")
    assert time.monotonic() - began < 200
    assert done.returncode == 1
    by_part = {part: [row for row in rows if row["part"] == part] for part in ("dies", "hangs", "wrong")}
    before, failed = by_part["dies"]
    assert before["what"] == "before the end"  # what was there stays
    assert failed["why"] == "it ended with exit status -6"
    assert '"before the end"' in failed["stderr"]
    before, failed = by_part["hangs"]
    assert failed["why"] == "it took longer than its share, and was killed"
    assert [row.get("passed", True) for row in by_part["wrong"]] == [False, False, True, False, False, False, False]
    assert done.stdout.count("FAILED ") == 8
    sleeping = subprocess.run(["pgrep", "-f", "sleep 1000"], capture_output=True, text=True).stdout
    assert not sleeping  # the child of what hung went with it


def test_a_proof_without_time_left_says_what_it_left_out(tmp_path):
    done, rows = proof(tmp_path, "--rehearse", "--budget", "0")
    assert done.returncode == 1
    assert [row["what"] for row in rows] == ["left out"] * 8


@pytest.mark.parametrize("smi", ["", "#!/bin/sh\n", "#!/bin/sh\nexit 9\n"])
def test_the_device_is_called_something_whatever_nvidia_smi_does(tmp_path, monkeypatch, smi):
    """It may not be there, say nothing, or fail."""
    sys.path.insert(0, str(SCRIPT.parent))
    import gpu_proof

    if smi:
        (tmp_path / "nvidia-smi").write_text(smi)
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_proof._slug() == "device"


def test_without_a_gpu_the_proof_says_so(tmp_path):
    if torch.cuda.is_available():
        return
    done, _ = proof(tmp_path)
    assert done.returncode == 1
    assert "torch sees no CUDA device here" in done.stderr
    assert not list(tmp_path.iterdir())
    done, _ = proof(tmp_path, "--parts", "hangs")
    assert done.returncode == 1
