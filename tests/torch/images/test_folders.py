"""Which files of a folder are images, which are classes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from otlabel_torch.images.images import Source, load
from otlabel_torch.system.errors import DataError


@pytest.fixture
def add(tmp_path):
    def write(name, size=12):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng().integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)
        return path

    return write


@pytest.fixture
def root(tmp_path):
    return tmp_path / "images"


def test_images_alone_have_no_classes(add, root):
    for name in ("b.png", "a.jpg"):
        add(name)
    train, val = load(Source("folder", root, None))
    assert (train.paths, train.classes, val) == (["a.jpg", "b.png"], None, None)


def test_splits_and_paths_below_the_root_that_was_given(add, root):
    for name in ("train/x/1.png", "train/y/2.png", "val/y/3.png", "test/y/4.png"):
        add(name)
    train, val = load(Source("folder", root, None))
    assert train.paths == ["train/x/1.png", "train/y/2.png"]
    assert (val.paths, val.classes.tolist(), val.class_names) == (["val/y/3.png"], [1], ["x", "y"])
    below, _ = load(Source("folder", root / "val", None))
    assert below.paths == ["y/3.png"]


def test_a_class_may_be_called_train(add, root):
    for name in ("train/1.png", "car/2.png"):
        add(name)
    train, val = load(Source("folder", root, None))
    assert (train.class_names, train.paths, val) == (["car", "train"], ["car/2.png", "train/1.png"], None)


def test_validation_images_without_classes_judge_nothing(add, root):
    for name in ("train/x/1.png", "val/2.png"):
        add(name)
    _, val = load(Source("folder", root, None))
    assert val.classes is None


def test_what_cannot_be_meant_is_refused(add, root):
    add("1.png")
    add("dogs/2.png")
    with pytest.raises(DataError, match=r"1\.png lies beside the folder dogs"):
        load(Source("folder", root, None))
    with pytest.raises(DataError, match="digits come with scikit-learn and need no `root`"):
        load(Source("digits", root, None))


def test_small_images_are_refused_or_enlarged(add, root):
    add("1.png", size=6)
    with pytest.raises(DataError, match=r"must be 8 px or larger, got 6\. Add `image_size` 8"):
        load(Source("folder", root, None))
    assert load(Source("folder", root, 8))[0].size == 8


@pytest.mark.parametrize(
    "damage", [lambda b: b[:40], lambda b: b[:30] + b"\0" * 20 + b[50:], lambda b: b"", lambda b: b"no"]
)
def test_damaged_files_are_named_or_skipped(add, root, damage):
    add("1.png")
    bad = add("2.png")
    bad.write_bytes(damage(bad.read_bytes()))
    with pytest.raises(DataError, match=r"2\.png cannot be read as an image"):
        load(Source("folder", root, None))
    train, _ = load(Source("folder", root, None, skip_bad=True))
    assert train.paths == ["1.png"]
    assert "2.png" in train.skipped[0]
    (root / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of the 2 files can be read"):
        load(Source("folder", root, None, skip_bad=True))


def test_folders_with_the_names_of_images_are_none(add, root):
    add("1.png")
    (root / "x.png").mkdir()
    assert load(Source("folder", root, None))[0].paths == ["1.png"]
