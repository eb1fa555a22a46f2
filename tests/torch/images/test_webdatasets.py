"""WebDataset's shards, written by its own writer."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
import webdataset
from PIL import Image

from otlabel_torch.images.images import Source, load
from otlabel_torch.system.errors import DataError


def written(path, samples):
    """A shard of samples, each a dictionary from endings to what the writer encodes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(path)) as writer:
        for key, sample in samples.items():
            writer.write({"__key__": key, **sample})
    return path


def picture(value):
    return np.full((12, 12, 3), value, np.uint8)


def shades(images):
    return images.pixels[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("data", ["folder", "webdataset"])
@pytest.mark.parametrize("names", ["{}-{:06d}.tar", "imagenet1k-{}-{:04d}.tar", "{}/{:04d}.tar"])
def test_shards_with_their_classes(tmp_path, names, data):
    root = tmp_path / "set"
    written(
        root / names.format("train", 0), {"a/0": {"png": picture(10), "cls": 3}, "a/1": {"png": picture(20), "cls": 0}}
    )
    written(root / names.format("train", 1), {"a/0": {"png": picture(30), "cls": 10, "json": {"x": 1}, "txt": "text"}})
    written(root / names.format("validation", 0), {"b": {"png": picture(90), "cls": 3}})
    images, val = load(Source(data, root, 12))
    assert images.class_names == ["0", "10", "3"]
    assert sorted(zip(shades(images), images.classes.tolist(), strict=True)) == [(10, 2), (20, 0), (30, 1)]
    assert (shades(val), val.classes.tolist()) == ([90], [2])
    assert any("left out: files .json of samples: 1 (" in line for line in images.said)
    assert any("left out: files .txt of samples: 1 (" in line for line in images.said)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_one_shard_is_told_from_an_archive_by_its_classes(tmp_path, name):
    path = written(tmp_path / name, {str(i): {"png": picture(10 * i), "cls": i % 2} for i in range(4)})
    images, val = load(Source("folder", path, 12))
    assert (sorted(shades(images)), images.class_names, val) == ([0, 10, 20, 30], ["0", "1"], None)


def test_samples_without_a_class(tmp_path):
    written(tmp_path / "set" / "train-0.tar", {"0": {"png": picture(10), "cls": 3}, "1": {"png": picture(20)}})
    images, _ = load(Source("webdataset", tmp_path / "set", 12))
    assert (sorted(shades(images)), images.classes) == ([10, 20], None)
    assert any("so that the 1 of the others are not used: 1 (train-0-1.png)" in line for line in images.said)


def test_capitals_and_keys_that_are_the_same_as_files(tmp_path):
    samples = {"a/b": ("PNG", 0), "a_b": ("png", 0), "A_B": ("png", 1)}
    data = io.BytesIO()
    Image.fromarray(picture(10)).save(data, "png")
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as tar:
        for key, (ending, label) in samples.items():
            for kind, content in ((ending, data.getvalue()), ("cls", str(label).encode())):
                member = tarfile.TarInfo(f"{key}.{kind}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    images, _ = load(Source("webdataset", path, 12))
    assert sorted(images.paths) == ["0/s-a_b-2.png", "0/s-a_b.png", "1/s-A_B-3.png"]


def test_what_is_no_sample(tmp_path):
    written(tmp_path / "two.tar", {"0": {"png": picture(10), "mask.png": picture(20), "cls": 3}})
    with pytest.raises(DataError, match=r"must have one image a sample, got 0\.mask\.png, 0\.png"):
        load(Source("folder", tmp_path / "two.tar", 12))
    (tmp_path / "noise.tar").write_bytes(b"noise")
    for data in ("folder", "webdataset"):
        with pytest.raises(DataError, match="cannot be unpacked"):
            load(Source(data, tmp_path / "noise.tar", 12))
    with pytest.raises(DataError, match=r"needs `root`, \.tar files or a folder of such, but .* is none"):
        load(Source("webdataset", tmp_path / "gone", 12))
    outside = written(tmp_path / "out.tar", {"../0": {"png": picture(10), "cls": 3}})
    with pytest.raises(DataError, match="holds a file outside of itself"):
        load(Source("folder", outside, 12))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["noise.tar", "out.tar", "two.tar"]


def test_a_folder_of_two_kinds_is_asked_for(tmp_path):
    written(tmp_path / "set" / "a.tar", {"0": {"png": picture(10), "cls": 0}})
    (tmp_path / "set" / "a.parquet").write_bytes(b"noise")
    with pytest.raises(DataError, match="Add `data` hf or webdataset"):
        load(Source("folder", tmp_path / "set", 12))
    images, _ = load(Source("webdataset", tmp_path / "set", 12))
    assert shades(images) == [10]
    assert any("files that are no images: 1 (" in line for line in images.said)


def test_pickles_are_left(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trapped"), "w"))

    path = written(tmp_path / "a.tar", {"0": {"png": picture(10), "cls": 0, "pyd": Trap()}})
    images, _ = load(Source("folder", path, 12))
    assert shades(images) == [10]
    assert any("left out: files .pyd of samples: 1 (" in line for line in images.said)
    assert not (tmp_path / "trapped").exists()
