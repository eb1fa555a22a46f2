"""Labels of new images, by the command and against the solve that made the potentials."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from commands import called
from PIL import Image
from sklearn.datasets import load_digits


def call(command, *options):
    return called(f"otlabel_torch.{command}", *options)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Scans without classes, in one folder; one of them truncated."""
    root = tmp_path_factory.mktemp("images")
    for i, image in enumerate(load_digits().images[:150]):
        Image.fromarray(np.rint(image * (255 / 16)).astype(np.uint8)).save(root / f"{i:03d}.png")
    (root / "bad.png").write_bytes((root / "000.png").read_bytes()[:60])
    return root


@pytest.fixture(scope="module")
def run(images, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    options = "--data", "folder", "--root", images, "--epochs", 2, "--k", 10, "--heads", 2, "--image-size", 8
    refused = call("train", *options, "--out", out)
    assert refused.returncode == 1
    assert "bad.png cannot be read as an image" in refused.stderr
    done = call("train", *options, "--out", out, "--skip-bad-images")
    assert done.returncode == 0, done.stderr
    assert "bad.png" in done.stdout
    return out


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_flat_folder_trains_without_classes(run):
    rows = table(run / "labels.csv")
    assert [row["path"] for row in rows] == [f"{i:03d}.png" for i in range(150)]
    assert all(0 < float(row["confidence_1"]) <= 1 for row in rows)
    sizes = table(run / "sizes.csv")
    assert [(row["head"], row["label"], row["size"]) for row in sizes] == [
        (str(head), str(label), "15") for head in range(2) for label in range(10)
    ]
    for row in sizes:
        own = [float(r[f"confidence_{row['head']}"]) for r in rows if r[f"head_{row['head']}"] == row["label"]]
        assert float(row["mean_confidence"]) == pytest.approx(np.mean(own), abs=2e-4)
    assert not list(run.rglob("*.part"))


def test_prediction_writes_a_table_and_keeps_what_is_there(run, images, tmp_path):
    new = tmp_path / "new"
    new.mkdir()
    for i in range(20):
        (new / f"{i}.png").write_bytes((images / f"{i:03d}.png").read_bytes())
    done = call("predict", run, "--root", new, "--out", tmp_path / "new.csv")
    assert done.returncode == 0, done.stderr
    assert "20 images" in done.stdout
    rows = table(tmp_path / "new.csv")
    assert sorted(row["path"] for row in rows) == sorted(f"{i}.png" for i in range(20))
    assert {"head_0", "head_1", "confidence_0", "confidence_1"} <= set(rows[0])
    again = call("predict", run, "--root", new, "--out", tmp_path / "new.csv")
    assert again.returncode == 1
    assert "is there already" in again.stderr
    refused = call("predict", tmp_path, "--root", new)
    assert refused.returncode == 1
    assert "RUN must be the --out of a training run" in refused.stderr


def test_labels_do_not_depend_on_the_other_images(run, images, tmp_path):
    """The same file twice, among different others and under another name."""
    labels = {}
    for name, chosen in (("few", (3, 90)), ("many", range(5, 130))):
        folder = tmp_path / name
        folder.mkdir()
        for i in chosen:
            (folder / f"{i if name == 'few' else 900 - i}.png").write_bytes((images / f"{i:03d}.png").read_bytes())
        assert call("predict", run, "--root", folder, "--out", tmp_path / f"{name}.csv").returncode == 0
        labels[name] = {row["path"]: row for row in table(tmp_path / f"{name}.csv")}
    one, other = labels["few"]["90.png"], labels["many"]["810.png"]
    assert all(one[f"head_{head}"] == other[f"head_{head}"] for head in range(2))
    assert float(one["confidence_0"]) == pytest.approx(float(other["confidence_0"]), abs=1e-3)
