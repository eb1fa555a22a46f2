"""Data as people have it, all at once, through the commands: no file is left out or misread without a word."""

from __future__ import annotations

import csv
import json
import os

import mess
import numpy as np
import pytest
import torch
from commands import called

from otlabel_torch.images.images import Source, load
from otlabel_torch.labels.given import read_labels

SMALL = "--epochs", 1, "--relabels", 1, "--k", 4, "--heads", 1


def call(command, *options):
    done = called(f"otlabel_torch.{command}", *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("mess")
    mess.build(root)
    return root


@pytest.fixture(scope="module")
def run(root):
    options = "--data", "folder", "--root", root / "images", "--skip-bad-images", "--out", root / "run"
    said = call("train", *options, *SMALL)
    return root / "run", said


def paths_in(table):
    with table.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [row["path"] for row in csv.DictReader(file)]


def test_every_file_is_labelled_or_named_in_the_report(root, run):
    top, (out, said) = root / "images", run
    report = json.loads((out / "report.json").read_text())
    _, val = load(Source("folder", top, skip_bad=True))
    labelled = paths_in(out / "labels.csv")
    assert sorted(labelled) == sorted(f"Train/{name}" for name in [*mess.pictures(), "photo/again.avif"])
    left = [note for note in report["notes"] if note["what"].startswith(("left out", "empty"))]
    named = [path for note in left for path in note["files"]]
    skipped = [top / "Train" / "broken" / f"{name}" for name in ("empty.png", "half.jpg", "huge.png", "text.png")]
    assert [any(str(path) in line for line in report["skipped"]) for path in skipped] == [True] * 4
    accounted = {*(str(top / path) for path in [*labelled, *val.paths]), *map(str, skipped), *named}
    for path in top.rglob("*"):
        if path.is_dir() and not path.is_symlink() and any(path.iterdir()):
            continue
        shown = str(path).encode("utf-8", "backslashreplace").decode()
        assert {str(path), shown, *map(str, path.parents)} & accounted, path
    assert len(named) == len(set(named))
    for note in report["notes"]:
        assert note["count"] == len(note["files"])
        assert note["what"] in said
        assert not note["files"] or f"{note['what']}: {note['count']} (" in said


def test_prediction_of_the_same_mess_takes_the_same_images(root, run):
    said = call("predict", run[0], "--root", root / "images", "--part", "train", "--out", root / "again.csv")
    assert paths_in(root / "again.csv") == paths_in(run[0] / "labels.csv")
    of_train, of_both = (
        [line for line in text.splitlines() if line.startswith(("skipped", "images"))] for text in (said, run[1])
    )
    assert of_train == [line for line in of_both if "Valid" not in line and "photo 3, xray 1" not in line]


@pytest.mark.parametrize("source", ["folder images.zip", "webdataset shards", "hf hf", "csv paths.csv"])
def test_the_same_pictures_however_they_come(root, source):
    """And each dark on its left, bright on its right."""
    data, where = source.split()
    images, val = load(Source(data, root / where))
    expected = sorted({name.split("/")[0] for name in mess.pictures()})
    assert (images.class_names, val) == (expected, None)
    assert len(images) == len(mess.pictures()) - (data != "csv")  # one name is no UTF-8
    bright = images.take(torch.arange(len(images))).float().mean(dim=(1, 2)).numpy()
    assert (np.diff(bright.reshape(len(images), 4, -1).mean(axis=2)) > 5).all()


def test_labels_of_others_find_their_images(root):
    images, _ = load(Source("csv", root / "paths.csv"))
    classes = [os.fsencode(path).split(b"/")[2].decode() for path in images.paths]
    words = read_labels(root / "words.csv", images)
    assert [sorted(set(classes))[label] for label in words.labels[:, 0].tolist()] == classes
    folder, _ = load(Source("folder", root / "images", skip_bad=True, drop_duplicates=True))
    assert len(folder) == len(images)
    places = {f"Train/{name}": i for i, name in enumerate(mess.pictures())}
    kept = [i for i, path in enumerate(folder.paths) if path in places]
    noise = read_labels(root / "noise.csv", folder.of(torch.tensor(kept)))
    wanted = [places[folder.paths[i]] % 4 for i in kept]
    assert noise.labels[:, 0].tolist() == [(number - 1) % 4 for number in wanted]
    assert noise.notes[1].endswith("images of label -1, noise, have label 3")
