"""The experiments: their declaration, one of them in small, and the page that shows them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import tyro
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from benchmarks.experiments import cells, draw, grids
from otlabel_torch.options.command import FLAGS
from otlabel_torch.options.config import PRESETS, Config

HERE = Path(__file__).parent.parent.parent


def all_cells():
    return [cell for grid in grids.GRIDS.values() for row in grid.rows for cell in row.cells(grid.seeds)]


def test_every_run_is_a_command_that_train_understands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a file of shares is written
    seen = {}
    for cell in all_cells():
        config = tyro.cli(Config, args=cells.options(cell, Path("data"), Path("out")), config=FLAGS)
        assert seen.setdefault(cell.key, config) == config  # one key, one run
    assert len(set(map(str, seen.values()))) == len(seen)


def test_the_grid_of_the_preset_is_the_preset():
    preset = yaml.safe_load((PRESETS / "modern.yaml").read_text())
    whole = {name: value for name, value in (grids.BASE | grids.MODERN).items() if name != "data"}
    assert {name: list(value) if isinstance(value, tuple) else value for name, value in whole.items()} == preset


def test_shares_of_the_classes_sum_to_one_class_by_class(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shares = np.loadtxt(cells._class_shares("heavy", 64))
    owner = np.arange(64) * 10 // 64
    sums = np.bincount(owner, weights=shares)
    np.testing.assert_allclose(sums, np.arange(10, 0, -1) / 55, atol=1e-4)


def test_runs_are_made_once_with_the_labels_of_others_and_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digits = load_digits()
    for i, (image, digit) in enumerate(zip(digits.images[:240], digits.target, strict=False)):
        folder = tmp_path / "data" / ("val" if i % 4 == 3 else "train") / str(digit)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(image * (255 / 16)).astype(np.uint8)).save(folder / f"{i}.png")
    script = """
from pathlib import Path
from benchmarks.experiments import __main__ as experiments, draw, grids
grids.BASE.update(epochs=1, k=10, heads=2, views=1)
rows = (
    grids.Row("SeLa", {"images": 180}),
    grids.Row("its labels", {"assigner": "file", "images": 180}, {"images": 180}),
)
experiments.GRIDS["small"] = grids.Grid("Small", rows, "Paper.", (0,))
experiments.run(["small"], Path("data"), 2, 1, None)
print(draw.table("small"))
draw.picture("small", grids.GRIDS["small"])
"""
    # From the checkout's own otlabel, whatever the folder.
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    first, again = (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, env=environment)
        for _ in range(2)
    )
    assert first.returncode == 0, first.stderr
    assert "failed" not in first.stdout + first.stderr
    lines = [line for line in first.stdout.splitlines() if line.startswith(("| SeLa", "| its labels"))]
    assert len(lines) == 2
    nmi = [line.split("|")[4] for line in lines]
    assert nmi[0] == nmi[1]  # the labels are the same
    key = "images-180--seed-0:"
    assert key in first.stdout
    assert key not in again.stdout  # nothing was run again
    assert lines[0] in again.stdout
    with Image.open(tmp_path / "docs" / "experiments" / "small.png") as picture:
        assert picture.width > 500


def test_the_page_shows_the_committed_numbers(monkeypatch):
    monkeypatch.chdir(HERE)
    text = draw.PAGE.read_text()
    assert draw.page(text) == text
    for block in draw.BLOCK.finditer(text):
        assert (draw.PICTURES / f"{block[2]}.png").exists()
    example = "<!-- begin: experiment heads -->\nold\n<!-- end -->"
    assert "old" not in draw.page(example)
    assert grids.GRIDS["heads"].paper in draw.page(example)
