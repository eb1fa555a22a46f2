"""Folders as people have them: whatever is in them, every file is an image, or counted."""

from __future__ import annotations

import os
import sys

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
