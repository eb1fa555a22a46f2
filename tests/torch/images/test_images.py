"""Digits, and what augmentation makes of them."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits

from otlabel_torch.images.augment import Augment
from otlabel_torch.images.images import Source, load
from otlabel_torch.system.processes import Processes

ALONE = Processes(torch.device("cpu"))


def test_augmentation_changes_images_and_keeps_their_shape():
    images, _ = load(Source("digits", None, 16))
    torch.manual_seed(0)
    batch = images.pixels[:30]
    augment = Augment(16, "small")
    one, two = augment(batch), augment(batch)
    assert one.shape == (30, 3, 16, 16)
    assert one.dtype == torch.float32
    assert not torch.equal(one, two)
    assert len({tuple(image.flatten().tolist()) for image in one}) == 30


def test_digits_are_the_scans():
    images, test = load(Source("digits", None, 8))
    assert test is None
    digits = load_digits()
    np.testing.assert_array_equal(images.pixels[:, 0], np.rint(digits.images * 255 / 16).astype(np.uint8))
    np.testing.assert_array_equal(images.classes, digits.target)
