"""Files decoded on call: the same pixels as in memory, in their places, whoever decodes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from otlabel_torch.images import folders
from otlabel_torch.images.decoding import Reading, square
from otlabel_torch.images.images import Source, load
from otlabel_torch.system.errors import DataError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """60 images of several sizes and kinds; image i is of brightness 4 i."""
    root = tmp_path_factory.mktemp("files")
    for i in range(60):
        size = (40 + i % 9, 40 + i % 7)
        picture = Image.fromarray(np.full((*size, 3), 4 * i, np.uint8))
        picture.save(root / f"{i:02d}.{('png', 'jpg', 'webp')[i % 3]}", **({"lossless": True} if i % 3 == 2 else {}))
    return root


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_are_in_order_whatever_the_number_of_threads(root, workers):
    images, _ = load(Source("folder", root, 32, keep="files", workers=workers))
    assert (len(images), images.size, images.view_size) == (60, 37, 32)
    rows = torch.randperm(60).split(7)
    found = list(images.batches(rows))
    for some, batch in zip(rows, found, strict=True):
        assert batch.shape == (len(some), 3, 37, 37)
        assert (batch.float().mean(dim=(1, 2, 3)) - 4 * some).abs().max() < 2
    some = torch.tensor([3, 50, 7])
    assert torch.equal(images.of(some).take(torch.tensor([2])), images.take(torch.tensor([7])))


def test_memory_holds_what_files_give(root):
    held, _ = load(Source("folder", root, 32, keep="memory"))
    assert isinstance(held.pixels, torch.Tensor)
    for i in (0, 31, 59):
        assert torch.equal(held.take(torch.tensor([i]))[0], square(root / held.paths[i], 32, Reading()))


def test_memory_is_chosen_if_it_has_room(root, monkeypatch):
    needed = 60 * 3 * 32 * 32
    for free, held in ((2 * needed, True), (2 * needed - 2, False)):
        monkeypatch.setattr(folders, "free_memory", lambda free=free: free)
        images, _ = load(Source("folder", root, 32))
        assert isinstance(images.pixels, torch.Tensor) == held
    monkeypatch.setattr(folders, "free_memory", lambda: needed - 1)
    with pytest.raises(DataError, match="Add `keep` files"):
        load(Source("folder", root, 32, keep="memory"))


def test_a_file_that_breaks_later_is_named(root, tmp_path):
    for i in range(4):
        Image.fromarray(np.full((20, 20, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:50])
    images, _ = load(Source("folder", tmp_path, 16, keep="files"))
    with pytest.raises(DataError, match=r"2\.png cannot be read as an image"):
        list(images.batches([torch.arange(4)]))
    images, _ = load(Source("folder", tmp_path, 16, keep="files", skip_bad=True))
    assert (len(images), images.paths) == (3, ["0.png", "1.png", "3.png"])
    assert "2.png" in images.skipped[0]


def test_a_large_jpeg_is_decoded_smaller(tmp_path):
    """And looks like the image decoded whole."""
    y, x = np.mgrid[:600, :900]
    smooth = np.stack([x * 255 / 900, y * 255 / 600, (x + y) * 255 / 1500], axis=2).astype(np.uint8)
    for name in ("a.jpg", "a.png"):
        Image.fromarray(smooth).save(tmp_path / name, quality=95)
    jpeg, png = square(tmp_path / "a.jpg", 64, Reading()).float(), square(tmp_path / "a.png", 64, Reading()).float()
    assert (jpeg - png).abs().mean() < 2
