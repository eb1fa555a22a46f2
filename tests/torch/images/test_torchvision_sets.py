"""torchvision's data sets, from files in their own formats that hold a few images."""

from __future__ import annotations

import pickle
import struct
from typing import get_args

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image
from torchvision import datasets

from otlabel_torch.images import torchvision_sets as sets
from otlabel_torch.images.images import Source, load
from otlabel_torch.options.config import DataSet
from otlabel_torch.system.errors import DataError

N = 30


def test_options_name_every_data_set_that_can_be_read():
    assert set(get_args(DataSet)) == {"digits", "folder", "csv", "hf", "webdataset", "imagenet", *sets.NAMES}


@pytest.fixture
def pixels():
    return np.random.default_rng().integers(0, 256, size=(N, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def trusting(monkeypatch):
    """Files of a few images are not those that torchvision knows the checksums of."""
    for kind in (datasets.CIFAR10, datasets.CIFAR100, datasets.STL10):
        monkeypatch.setattr(kind, "_check_integrity", lambda self: True)
        monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    monkeypatch.setattr(datasets.SVHN, "_check_integrity", lambda self: True)


def rows(pixels):
    return pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_cifar10(tmp_path, pixels, trusting):
    folder = tmp_path / "cifar-10-batches-py"
    for i in range(5):
        some = slice(6 * i, 6 * i + 6)
        write(folder / f"data_batch_{i + 1}", pickle.dumps({"data": rows(pixels[some]), "labels": [i] * 6}))
    write(folder / "test_batch", pickle.dumps({"data": rows(pixels[:4]), "labels": [9] * 4}))
    write(folder / "batches.meta", pickle.dumps({"label_names": [f"class {i}" for i in range(10)]}))
    train, test = load(Source("cifar10", tmp_path, None))
    np.testing.assert_array_equal(train.pixels, pixels.transpose(0, 3, 1, 2))
    assert train.classes.tolist() == [i // 6 for i in range(N)]
    assert train.paths[7] == "cifar10/train/000007"
    assert (len(test), test.classes.tolist(), test.class_names[3]) == (4, [9] * 4, "class 3")
    small, _ = load(Source("cifar10", tmp_path, 16))
    assert small.pixels.shape == (N, 3, 16, 16)


def test_cifar100(tmp_path, pixels, trusting):
    folder = tmp_path / "cifar-100-python"
    write(folder / "train", pickle.dumps({"data": rows(pixels), "fine_labels": list(range(N))}))
    write(folder / "test", pickle.dumps({"data": rows(pixels[:4]), "fine_labels": [1] * 4}))
    write(folder / "meta", pickle.dumps({"fine_label_names": [str(i) for i in range(100)]}))
    train, test = load(Source("cifar100", tmp_path, None))
    assert train.classes.tolist() == list(range(N))
    assert len(test) == 4


def test_svhn(tmp_path, pixels, trusting):
    for split in ("train", "test"):
        digits = np.arange(N)[:, None] % 10 + 1  # 10 stands for 0 there
        scipy.io.savemat(tmp_path / f"{split}_32x32.mat", {"X": pixels.transpose(1, 2, 3, 0), "y": digits})
    train, _ = load(Source("svhn", tmp_path, None))
    np.testing.assert_array_equal(train.pixels, pixels.transpose(0, 3, 1, 2))
    assert train.classes.tolist() == [(i % 10 + 1) % 10 for i in range(N)]


def test_stl10_learns_from_images_without_classes(tmp_path, trusting):
    images = np.random.default_rng().integers(0, 256, size=(6, 3, 96, 96), dtype=np.uint8)
    folder = tmp_path / "stl10_binary"
    write(folder / "unlabeled_X.bin", images.transpose(0, 1, 3, 2).tobytes())
    write(folder / "test_X.bin", images[:2].transpose(0, 1, 3, 2).tobytes())
    write(folder / "test_y.bin", bytes([1, 10]))
    write(folder / "class_names.txt", b"\n".join(f"c{i}".encode() for i in range(10)))
    train, test = load(Source("stl10", tmp_path, None))
    np.testing.assert_array_equal(train.pixels, images)
    assert train.classes is None
    assert test.classes.tolist() == [0, 9]


def test_fashion_mnist(tmp_path):
    images = np.random.default_rng().integers(0, 256, size=(N, 28, 28), dtype=np.uint8)
    folder = tmp_path / "FashionMNIST" / "raw"
    for name in ("train", "t10k"):
        write(folder / f"{name}-images-idx3-ubyte", struct.pack(">4i", 2051, N, 28, 28) + images.tobytes())
        labels = bytes(i % 10 for i in range(N))
        write(folder / f"{name}-labels-idx1-ubyte", struct.pack(">2i", 2049, N) + labels)
    train, test = load(Source("fashion-mnist", tmp_path, None))
    assert train.pixels.shape == (N, 3, 28, 28)
    assert torch.equal(train.pixels[:, 2], torch.from_numpy(images))
    assert test.paths[0] == "fashion-mnist/test/000000"


@pytest.mark.parametrize("name", sets.NAMES)
def test_what_is_not_there_is_named(tmp_path, name):
    with pytest.raises(DataError, match=f"`data` {name} needs its files in `root` .*train with `download`"):
        load(Source(name, tmp_path, None))
    with pytest.raises(DataError, match=f"`data` {name} needs `root` DIR: where torchvision keeps {name}"):
        load(Source(name, None, None))


def test_imagenet(tmp_path, pixels):
    """The folders that torchvision makes of the archives, and its file of names."""
    names = {"n01440764": ("tench", "Tinca tinca"), "n01443537": ("goldfish", "Carassius auratus")}
    torch.save((names, ["n01440764", "n01443537"]), tmp_path / "meta.bin")
    for i, image in enumerate(pixels[:6]):
        path = tmp_path / ("train" if i < 4 else "val") / sorted(names)[i % 2] / f"{i}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    train, val = load(Source("imagenet", tmp_path, 224, keep="files"))
    assert train.paths == [
        "train/n01440764/0.JPEG", "train/n01440764/2.JPEG", "train/n01443537/1.JPEG", "train/n01443537/3.JPEG",
    ]  # fmt: skip
    assert (train.classes.tolist(), val.classes.tolist()) == ([0, 0, 1, 1], [0, 1])
    assert (train.class_names, train.size) == (["tench", "goldfish"], 256)
    assert train.take(torch.tensor([3])).shape == (1, 3, 256, 256)
    held, _ = load(Source("imagenet", tmp_path, 32, keep="memory"))
    with Image.open(tmp_path / train.paths[1]) as decoded:
        np.testing.assert_array_equal(held.pixels[1], np.asarray(decoded).transpose(2, 0, 1))
    with pytest.raises(DataError, match="`data` imagenet needs its files"):
        load(Source("imagenet", tmp_path / "train", 32))
