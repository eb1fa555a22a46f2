"""Folders as people have them: whatever is in them, every file is an image, or counted."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from otlabel_torch.images.images import Source, load
from otlabel_torch.images.walk import walk
from otlabel_torch.labels.given import read_labels
from otlabel_torch.labels.tables import write_labels
from otlabel_torch.system.errors import DataError


@pytest.fixture
def root(tmp_path):
    return tmp_path / "images"


@pytest.fixture
def add(root):
    def write(*names, size=12):
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng().integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path, **({} if path.suffix else {"format": "png"}))

    return write


def loaded(root, **more):
    return load(Source("folder", root, 12, **more))


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("train", "val"),
        ("train", "valid"),
        ("train", "validation"),
        ("Train", "Val"),
        ("training", "TEST"),
        ("train", "test"),
    ],
)
def test_splits_have_many_names(add, root, train, val):
    add(f"{train}/x/1.png", f"{train}/y/2.png", f"{val}/y/3.png")
    images, held_out = loaded(root)
    assert images.paths == [f"{train}/x/1.png", f"{train}/y/2.png"]
    assert (held_out.paths, held_out.classes.tolist()) == ([f"{val}/y/3.png"], [1])
    if val.lower() == "test":
        assert any(f"{val}/ is taken for validation images" in line for line in images.said)


def test_a_third_folder_is_no_class(add, root):
    add("train/x/1.png", "val/x/2.png")
    (root / "annotations").mkdir()
    (root / "annotations" / "a.json").write_text("{}")
    images, _ = loaded(root)
    assert images.class_names == ["x"]
    assert any("annotations/, in which no file is an image: 1 (" in line for line in images.said)
    add("sample/x/3.png")
    with pytest.raises(DataError, match=r"got train, val, sample\. Add `train_dir` train and, if there is"):
        loaded(root)
    images, held_out = loaded(root, train_dir="train", val_dir="val")
    assert (images.paths, held_out.paths) == (["train/x/1.png"], ["val/x/2.png"])
    with pytest.raises(DataError, match="`train_dir` must be a folder below"):
        loaded(root, train_dir="gone")
    with pytest.raises(DataError, match="`val_dir` val needs `train_dir` too"):
        loaded(root, val_dir="val")


def test_val_and_test_and_which_of_them_counts(add, root):
    add("train/x/1.png", "val/x/2.png", "test/x/3.png")
    images, held_out = loaded(root)
    assert held_out.paths == ["val/x/2.png"]
    assert any("left out: images in test/, which `val_dir` test evaluates on: 1 (" in line for line in images.said)
    assert loaded(root, train_dir="train", val_dir="test")[1].paths == ["test/x/3.png"]


def test_what_is_nobody_s_is_left_out_and_counted(add, root):
    add("cat/1.png", "dog/2.png", "cat/.ipynb_checkpoints/1-checkpoint.png", ".ipynb_checkpoints/3.png")
    add("__MACOSX/cat/._1.png", "cat/._1.png", "dog/@eaDir/2.png")
    for name in ("Thumbs.db", ".DS_Store", "cat/notes.txt", "cat/list.csv"):
        (root / name).write_text("nothing")
    (root / "bird").mkdir()
    images, _ = loaded(root)
    assert (images.paths, images.class_names) == (["cat/1.png", "dog/2.png"], ["cat", "dog"])
    notes = " ".join(images.said)
    assert "left out: files that are no images: 2 (" in notes
    assert "those of file managers, and what was unpacked here: 7 (" in notes
    assert "empty folders: 1 (" in notes
    assert "bird" in notes


def test_images_by_content_are_said(add, root):
    add("1.png", "photo")
    images, _ = loaded(root)
    assert images.paths == ["1.png"]
    assert any("images by what is in them, but not by their names: 1 (" in line for line in images.said)


def test_links_are_followed_once(add, root):
    add("cat/1.png", "dog/2.png")
    (root / "cat" / "again").symlink_to(root, target_is_directory=True)
    (root / "cat" / "itself").symlink_to(root / "cat", target_is_directory=True)
    (root / "cat" / "gone.png").symlink_to(root / "nowhere.png")
    (root / "more").symlink_to(root / "dog", target_is_directory=True)  # another class with the same images
    images, _ = loaded(root)
    assert images.paths == ["cat/1.png", "dog/2.png", "more/2.png"]
    assert any("links that lead nowhere or in circles: 3 (" in line for line in images.said)


def test_the_size_is_the_usual_one(add, root):
    add("000.png", size=1)  # a tracking pixel
    add("1.png", "2.png", "3.png", size=20)
    images, _ = load(Source("folder", root))
    assert images.size == 20


@pytest.mark.skipif(sys.platform == "darwin", reason="file systems there take UTF-8 only")
def test_names_of_any_bytes(add, root, tmp_path):

    strange = os.fsdecode(b"caf\xe9.png")
    names = [strange, "cafe\u0301.png", "caf\u00e9.png", 'quo"te,comma.png', "line\nbreak.png"]
    add(*names)
    images, _ = loaded(root)
    assert sorted(images.paths) == sorted(names)
    labels = torch.arange(5)[:, None]
    write_labels(tmp_path / "labels.csv", images, labels, torch.ones(5, 1))
    assert torch.equal(read_labels(tmp_path / "labels.csv", images).labels, labels)
    assert os.fsencode(strange) in (tmp_path / "labels.csv").read_bytes()


def test_the_same_file_twice_is_said_and_may_be_left_out(add, root):
    add("cat/1.png", "cat/2.png", "dog/3.png")
    (root / "dog" / "copy.png").write_bytes((root / "cat" / "1.png").read_bytes())
    (root / "dog" / "again.png").write_bytes((root / "cat" / "1.png").read_bytes())
    images, _ = loaded(root)
    assert len(images) == 5
    assert any("of another, which `drop_duplicates` leaves out: 2 (" in line for line in images.said)
    kept, _ = loaded(root, drop_duplicates=True)
    assert kept.paths == ["cat/1.png", "cat/2.png", "dog/3.png"]
    assert any("left out: files of the content of another: 2 (" in line for line in kept.said)


def test_images_on_both_sides_are_said(add, root):
    """What is trained on is no judge."""
    add("train/x/1.png", "train/y/2.png", "val/x/3.png")
    (root / "val" / "y").mkdir()
    (root / "val" / "y" / "4.png").write_bytes((root / "train" / "y" / "2.png").read_bytes())
    (root / "val" / "y" / "5.png").write_bytes((root / "val" / "y" / "4.png").read_bytes())
    (root / "val" / "y" / "6.png").write_bytes((root / "val" / "x" / "3.png").read_bytes())
    _, val = loaded(root)
    assert any(
        "validation images of the content of a training image: 2 (" in line and "y/4.png" in line for line in val.said
    )


def test_an_archive_in_a_folder_is_pointed_at(root):
    root.mkdir()
    (root / "images.zip").write_bytes(b"")
    with pytest.raises(DataError, match=r"Point `root` at .*images\.zip, or unpack it\."):
        loaded(root)


NAMES = ["1.png", "2.JPG", "b.webp", "notes.txt", ".DS_Store", "Thumbs.db", "photo", "._3.png", "x.csv", "c.bmp"]
FOLDERS = st.lists(st.sampled_from(["cat", "dog", "__MACOSX", ".hidden", "train", "val", "deep"]), max_size=3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tree=st.dictionaries(FOLDERS.map("/".join), st.sets(st.sampled_from(NAMES), min_size=1), min_size=1), data=st.data()
)
def test_every_file_is_an_image_or_counted(tree, data, tmp_path_factory):
    """Of trees of any shape: what is walked, and what is loaded or refused with a reason."""
    root = tmp_path_factory.mktemp("tree")
    mode = data.draw(st.sampled_from(["1", "L", "P", "RGB", "RGBA", "LA", "I;16", "CMYK"]))
    for folder, names in tree.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            path = root / folder / name
            if path.suffix.lower() in (".png", ".jpg", ".webp", ".bmp"):
                fits = mode if path.suffix == ".png" and mode != "CMYK" else "RGB"
                steps = np.tile(np.linspace(0, 255, 12).astype(np.uint8), (12, 1))
                wide = Image.fromarray(steps.astype(np.uint16) * 257)
                (wide if fits == "I;16" else Image.fromarray(steps).convert(fits)).save(path)
            else:
                path.write_text("nothing")
    found = walk(root)
    files = {path for path in root.rglob("*") if path.is_file() and not set(path.parents) & set(found.junk)}
    assert {*found.images, *found.others, *(path for path in found.junk if path.is_file())} == files
    try:
        images, val = load(Source("folder", root, 12))
    except DataError as refused:
        known = "must hold images", "must say which", "may only have classes", "must have its splits above"
        assert any(words in str(refused) for words in known)  # noqa: PT017
        return
    loaded_paths = {root / path for part in (images, val) if part is not None for path in part.paths}
    assert loaded_paths <= set(found.images)
    left = set(found.images) - loaded_paths
    assert not left or any("left out" in line for line in images.said)
    for part in (images, val) if val is not None else (images,):
        bright = part.take(torch.arange(len(part))).float().mean(dim=(1, 2))
        assert (bright[:, -3:].mean(dim=1) > bright[:, :3].mean(dim=1)).all()


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("training_set", "test_set"),
        ("train2017", "val2017"),
        ("train", "dev"),
        ("Train Images", "Eval"),
        ("train", "evaluation"),
    ],
)
def test_splits_are_known_by_their_words(add, root, train, val):
    """As Kaggle, COCO and others call them: a class of that name would be trained on and judged by."""
    add(f"{train}/x/1.png", f"{train}/y/2.png", f"{val}/y/3.png")
    images, held_out = loaded(root)
    assert (images.class_names, held_out.paths) == (["x", "y"], [f"{val}/y/3.png"])


def test_a_class_may_begin_with_the_word(add, root):
    add("train station/1.png", "airport/2.png", "test tube/3.png")
    images, held_out = loaded(root)
    assert (images.class_names, held_out) == (["airport", "test tube", "train station"], None)
    assert "images: 3 classes: airport 1, test tube 1, train station 1" in images.said


@pytest.mark.parametrize("above", ["in", "images", "a/b/c"])
def test_a_root_too_high_is_gone_into(add, root, above):
    """Else its one folder would be the one class, of what is trained on and what judges."""
    add(f"{above}/train/x/1.png", f"{above}/train/y/2.png", f"{above}/val/y/3.png")
    (root / "LICENSE").write_text("MIT")
    images, held_out = loaded(root)
    assert images.paths == [f"{above}/train/x/1.png", f"{above}/train/y/2.png"]
    assert held_out.paths == [f"{above}/val/y/3.png"]
    assert f"images: all images lie in {above}/" in images.said
    assert any("files that are no images: 1 (" in line and "LICENSE" in line for line in images.said)


def test_one_folder_is_no_class(add, root):
    add("cat/1.png", "cat/2.png")
    images, _ = loaded(root)
    assert (images.paths, images.classes) == (["cat/1.png", "cat/2.png"], None)
    assert "images: all images lie in cat/" in images.said


def test_splits_below_classes_are_asked_to_be_above(add, root):
    add("cat/train/1.png", "cat/test/2.png", "dog/train/3.png")
    with pytest.raises(DataError, match=r"splits above its classes, but test lies below cat\. Move them: test/cat"):
        loaded(root)


def test_folders_beside_those_that_are_named_are_said(add, root):
    add("a/x/1.png", "b/x/2.png", "c/x/3.png", "top.png")
    images, _ = loaded(root, train_dir="a", val_dir="b")
    assert any("left out: images outside of `train_dir` and `val_dir`: 2 (" in line for line in images.said)
    for val_dir in ("a", ".", "a/x"):
        with pytest.raises(DataError, match="must not lie in each other"):
            loaded(root, train_dir="a", val_dir=val_dir)


@pytest.mark.parametrize(("train", "val", "which"), [("x/", "", "validation"), ("", "x/", "training")])
def test_classes_of_one_side_only_are_said_to_judge_nothing(add, root, train, val, which):
    add(f"train/{train}1.png", f"val/{val}2.png")
    _, held_out = loaded(root)
    assert held_out.classes is None
    assert f"images: {which} images have no classes, so that those of the others judge nothing" in held_out.said


def test_what_was_unpacked_here_is_no_class(add, root):
    add("cat/1.png", "dog/2.png", "set.zip.01234567.unpacked/images/cat/1.png")
    images, _ = loaded(root)
    assert images.class_names == ["cat", "dog"]
    assert any("and what was unpacked here: 1 (" in line for line in images.said)


def test_a_pipe_is_not_waited_for(add, root):
    add("1.png")
    os.mkfifo(root / "2.png")
    assert loaded(root)[0].paths == ["1.png"]


@pytest.mark.parametrize("name", ["", "dog"])
def test_a_folder_that_is_closed_is_named(add, root, name, monkeypatch):
    """As for anybody but root, who may look everywhere."""
    add("cat/1.png", "dog/2.png")
    look = Path.iterdir

    def looked(path):
        if path == root / name:
            raise PermissionError(13, "Permission denied", str(path))
        return look(path)

    monkeypatch.setattr(Path, "iterdir", looked)
    with pytest.raises(DataError, match=f"{name or root.name} cannot be looked into: Permission denied"):
        loaded(root)
