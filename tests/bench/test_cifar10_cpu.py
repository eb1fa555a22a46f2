"""The run of hours on CPU cores, in small: kept at its marks, evaluated, taken up again."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

from benchmarks import cifar10_cpu

SMALL = {"arch": "convnet", "epochs": 2, "relabels": 1, "k": 4, "heads": 1, "batch-size": 8, "precision": "float32"}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10_cpu, "RESULT", tmp_path / "results" / "cifar10_cpu.json")
    monkeypatch.setattr(cifar10_cpu, "MARKS", (1e-4,))
    monkeypatch.setattr(cifar10_cpu, "WATCHED", 0.05)
    (tmp_path / "results").mkdir()
    return tmp_path


def results():
    return json.loads(cifar10_cpu.RESULT.read_text())


class Folder:
    """A run after so many epochs of a minute."""

    missing = None

    def __init__(self, place, epochs):
        self.epochs, self.checkpoint = epochs, place / "last.pt"
        self.checkpoint.write_text(f"after {epochs}")

    def records(self):
        return [{"train_seconds": 45.0, "label_seconds": 15.0}] * self.epochs


def test_what_is_learned_when_a_mark_is_passed_is_kept_once(place, monkeypatch):
    monkeypatch.setattr(cifar10_cpu, "MARKS", (2, 4))
    curve = place / "curve"
    curve.mkdir()
    for epochs in (1, 1, 2, 3, 3, 6, 7):
        assert cifar10_cpu.note(Folder(place, epochs), curve) == epochs
    assert {file.name: file.read_text() for file in curve.iterdir()} == {"2.0000.pt": "after 2", "6.0000.pt": "after 6"}


def test_seeds_rows_are_kept_in_order_and_the_newest_of_each(place):
    report = {"images": 20, "validation_images": 10}
    for seed, value in ((1, 1.0), (0, 2.0), (1, 3.0)):
        cifar10_cpu.keep({"seed": seed, "knn_test": value}, report)
    assert results() == {
        "images": 20,
        "test_images": 10,
        "runs": [{"seed": 0, "knn_test": 2.0}, {"seed": 1, "knn_test": 3.0}],
    }


def test_a_report_without_the_papers_probes_is_said_at_once(place, monkeypatch):
    report = place / "report.json"
    report.write_text(json.dumps({"features": {"features": {cifar10_cpu.KNN: 77.0}}}))
    monkeypatch.setattr(sys, "argv", ["cifar10_cpu.py", str(place), "--probed", str(report)])
    with pytest.raises(SystemExit, match="--linear paper"):
        cifar10_cpu.main()


def test_probes_of_another_machine_are_those_of_the_same_network():
    def evaluation(knn, **probes):
        made = {"versions": {}, "seed": 0, "seconds": 1.0}
        return made | {
            "features": {"features": {cifar10_cpu.KNN: knn}}
            | {name: {cifar10_cpu.PAPERS: probes[name]} for name in probes}
        }

    here, there = evaluation(77.0), evaluation(77.1, maps=80.0)
    there["features"]["features"][cifar10_cpu.PAPERS] = 79.0
    cifar10_cpu.add_probes(here, there)
    assert here["features"] == {
        "features": {cifar10_cpu.KNN: 77.0, cifar10_cpu.PAPERS: 79.0},
        "maps": {cifar10_cpu.PAPERS: 80.0},
    }
    with pytest.raises(SystemExit, match="another network"):
        cifar10_cpu.add_probes(evaluation(76.0), there)


@pytest.mark.slow
def test_a_run_and_its_curve(place, monkeypatch):
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 6)):
        for name in "ab":
            folder = place / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    words = ["cifar10_cpu.py", str(place / "data"), "--out", str(place / "runs"), "--seed", "3"]
    words += [f"--{name}={value}" for name, value in SMALL.items()]
    monkeypatch.setattr(sys, "argv", words)
    cifar10_cpu.main()
    (row,) = results()["runs"]
    assert {name: results()[name] for name in ("images", "test_images")} == {"images": 24, "test_images": 12}
    assert {name: row[name] for name in ("seed", "preset", "arch", "epochs", "relabels", "precision")} == {
        "seed": 3,
        "preset": "thorough",
        "arch": "convnet",
        "epochs": 2,
        "relabels": 1,
        "precision": "float32",
    }
    assert row["linear_layer"] in ("features", "maps")
    assert all(0 <= row[name] <= 100 for name in ("knn_test", "linear_test", "nmi"))
    assert len(row["curve"]) == 1
    published = (place / "results" / "cifar10_cpu" / "seed-3.json").read_text()
    assert str(place) not in published
    assert [len(json.loads(published)[name]) > 0 for name in ("report", "evaluation", "epochs")] == [True] * 3
    cifar10_cpu.main()  # goes on after the last epoch: nothing is left to train
    again = results()["runs"]
    assert again == [row | {"features": again[0]["features"]}]
