"""The script for a GPU, two steps an epoch of it on the CPU: paused, taken up again, evaluated."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SCRIPT = Path(__file__).parent.parent.parent / "benchmarks" / "cifar10_h100.py"


def packed(images):
    files = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(np.rint(image * (255 / 16)).astype(np.uint8)).convert("RGB").resize((32, 32)).save(file, "JPEG")
        files.append(file.getvalue())
    return np.frombuffer(b"".join(files), dtype=np.uint8), np.cumsum([0, *map(len, files)])


def test_two_steps_in_two_commands(tmp_path):
    digits, arrays = load_digits(), {}
    for split, rows in (("train", slice(0, 40)), ("test", slice(40, 80))):
        arrays[f"{split}_jpeg"], arrays[f"{split}_offset"] = packed(digits.images[rows])
        arrays[f"{split}_label"] = digits.target[rows].astype(np.uint8)
    np.savez(tmp_path / "images.npz", classes=np.array([str(i) for i in range(10)]), **arrays)
    words = [sys.executable, str(SCRIPT), str(tmp_path / "images.npz"), "--out", str(tmp_path / "run")]
    words += ["--arch", "convnet-3x", "--images", "32", "--epochs", "2"]
    words += ["--probe-epochs", "1", "--precision", "float32"]
    paused = subprocess.run([*words, "--minutes", "0"], capture_output=True, text=True, timeout=300)
    assert paused.returncode == 0, paused.stderr
    assert "time is up after epoch 1 of 2" in paused.stdout
    assert not (tmp_path / "run" / "cifar10_h100.json").exists()
    other = subprocess.run([*words, "--seed", "1"], capture_output=True, text=True, timeout=300)
    assert other.returncode == 1
    assert "was begun with seed 0, not 1" in other.stderr
    checkpoint = tmp_path / "run" / "checkpoints" / "last.pt"
    parts = sorted(checkpoint.parent.glob("last.pt.*"))
    assert len(parts) > 1
    assert max(part.stat().st_size for part in parts) < 16 << 20
    checkpoint.unlink()
    lost = parts[0].rename(tmp_path / parts[0].name)
    missing = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert missing.returncode == 1
    assert f"{len(parts) - 1} of the {len(parts)} parts" in missing.stderr
    lost.rename(parts[0])
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "epoch 1 of 2" in done.stdout
    found = json.loads((tmp_path / "run" / "cifar10_h100.json").read_text())
    assert found["epochs"] == 2
    assert found["config"]["batch_size"] == 16  # of 32 images: two steps
    assert set(found["accuracy"]) == {
        "weighted kNN accuracy, 10 neighbours",
        "weighted kNN accuracy, 200 neighbours",
        "linear probe accuracy (the paper's recipe), features",
        "linear probe accuracy (the paper's recipe), maps (layer 14)",
    }
    assert all(0 <= value <= 100 for value in found["accuracy"].values())
