"""Augmentation against torchvision's, which changes one image at a time."""

from __future__ import annotations

import itertools
from typing import get_args

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms import v2

from otlabel_torch.images import augment
from otlabel_torch.images.augment import RECIPES, Augment, normalise, ten_crops
from otlabel_torch.options.config import Augmentation
from otlabel_torch.system import devices

V = v2.functional


class Sent(TorchDispatchMode):
    """Counts what is copied to another device."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._to_copy.default and (kwargs or {}).get("device") is not None
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["small", "moco"])
def test_constants_are_brought_to_a_device_once_and_draws_at_every_step(name):
    """On the meta device, which computes nothing: each copy is one that a GPU would be asked for."""
    pixels = torch.zeros(8, 3, 16, 16, dtype=torch.uint8, device="meta")
    augment._constants.cache_clear()
    counts = []
    for _ in range(3):
        with Sent() as copies:
            shown, share, partner = augment.mixed(Augment(16, name)(pixels), 1.0)
            normalise(pixels, 16)
        counts.append(copies.count)
        assert {shown.device.type, share.device.type, partner.device.type} == {"meta"}
    constants = len(augment._constants(pixels.device))
    draws = 7 + (name == "moco")  # places, four factors of colour, shares and partners; spreads
    assert counts == [draws + constants, draws, draws]


def test_copies_to_cuda_alone_are_told_not_to_block():
    class Asked:
        def to(self, device, non_blocking):
            return device.type, non_blocking

    for name, waits in (("cuda", False), ("cpu", True), ("mps", True)):
        assert devices.sent(Asked(), torch.device(name)) == (name, not waits)


def test_options_name_every_recipe():
    assert set(get_args(Augmentation)) == set(RECIPES)


@pytest.fixture
def images():
    """Far enough from 0 and 1 that nothing is cut off."""
    return 0.35 + 0.3 * torch.rand(6, 3, 12, 12)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_colours_are_torchvisions_in_any_order(images, order):
    brightness, contrast, saturation = (0.8 + 0.4 * torch.rand(6) for _ in range(3))
    own = augment.recolour(images, brightness, contrast, saturation, torch.zeros(6))
    for i, image in enumerate(images):
        steps = [
            lambda x, i=i: V.adjust_brightness(x, float(brightness[i])),
            lambda x, i=i: V.adjust_contrast(x, float(contrast[i])),
            lambda x, i=i: V.adjust_saturation(x, float(saturation[i])),
        ]
        for step in order:
            image = steps[step](image)
        torch.testing.assert_close(own[i], image, rtol=0, atol=3e-4)  # torchvision's luma has 4 digits


def test_gray_is_torchvisions(images):
    one, none = torch.ones(6), torch.zeros(6)
    own = augment.recolour(images, one, one, none, none)
    torch.testing.assert_close(own, V.rgb_to_grayscale(images, num_output_channels=3), rtol=0, atol=3e-4)


@pytest.mark.parametrize("turns", [-0.4, -0.1, 0.05, 0.25])
def test_hue_turns_the_chroma_and_leaves_luma_and_gray(images, turns):
    one = torch.ones(6)
    own = augment.recolour(images, one, one, one, torch.full((6,), turns))
    luma = torch.einsum("c,nchw->nhw", augment.LUMA, own - images)
    assert luma.abs().max() < 1e-4
    expected = V.adjust_hue(images, turns)
    wrong = augment.recolour(images, one, one, one, torch.full((6,), -turns))
    assert (own - expected).abs().mean() < 0.7 * (wrong - expected).abs().mean()  # the same direction
    gray = images.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    torch.testing.assert_close(augment.recolour(gray, one, one, one, torch.full((6,), turns)), gray, rtol=0, atol=1e-4)


def test_colours_end_between_0_and_1():
    images = torch.rand(6, 3, 12, 12)
    own = augment.recolour(images, *(torch.full((6,), factor) for factor in (1.4, 1.4, 1.4, 0.3)))
    assert own.min() >= 0
    assert own.max() <= 1


@pytest.mark.parametrize(("left", "top", "width", "height", "mirrored"), [(2, 5, 7, 4, False), (0, 0, 12, 12, True)])
def test_coordinates_are_those_of_a_crop(images, left, top, width, height, mirrored):
    theta = torch.zeros(6, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = (1 - 2 * mirrored) * width / 12, height / 12
    theta[:, 0, 2], theta[:, 1, 2] = (2 * left + width) / 12 - 1, (2 * top + height) / 12 - 1
    where = F.affine_grid(theta, [6, 3, 16, 16], align_corners=False)
    own = F.grid_sample(images, where, padding_mode="border", align_corners=False)
    expected = V.resized_crop(images, top, left, height, width, [16, 16], antialias=False)
    expected = V.horizontal_flip(expected) if mirrored else expected
    inner = (..., slice(3, -3), slice(3, -3))  # at the edge of a crop torchvision cannot look beyond it
    torch.testing.assert_close(own[inner], expected[inner], rtol=0, atol=1e-5)


@pytest.mark.parametrize("area", [0.08, 0.2, 0.9])
def test_crops_are_drawn_as_torchvision_draws_them(area):
    """Means and spreads of 4,000 crops."""
    torch.manual_seed(0)
    own = torch.stack(augment.crops(4000, area), dim=1)
    assert own.max() <= 1
    crop, canvas = v2.RandomResizedCrop(8, scale=(area, 1.0)), torch.zeros(3, 1000, 1000)
    drawn = [crop.make_params([canvas]) for _ in range(4000)]
    peer = torch.tensor([[params["width"], params["height"]] for params in drawn]) / 1000
    for of in (lambda x: x, lambda x: x.prod(dim=1), lambda x: x[:, 0] / x[:, 1]):
        torch.testing.assert_close(of(own).mean(dim=0), of(peer).mean(dim=0), rtol=0.02, atol=0)
        torch.testing.assert_close(of(own).std(dim=0), of(peer).std(dim=0), rtol=0.1, atol=0)


def test_crops_lie_inside_and_reach_everywhere():
    torch.manual_seed(0)
    theta = augment.coordinates(2000, RECIPES["cifar"])
    reach = theta[:, [0, 1], [0, 1]].abs() + theta[:, :, 2].abs()
    assert reach.max() <= 1 + 1e-6
    assert (theta[:, :, 2].max(dim=0).values > 0.4).all()
    assert (theta[:, :, 2].min(dim=0).values < -0.4).all()
    assert 0.45 < (theta[:, 0, 0] < 0).float().mean() < 0.55


def test_scans_are_turned_and_never_mirrored():
    torch.manual_seed(0)
    theta = augment.coordinates(2000, RECIPES["scans"])
    assert (torch.linalg.det(theta[:, :, :2]) > 0).all()
    angle = torch.rad2deg(torch.atan2(theta[:, 1, 0], theta[:, 0, 0]))
    assert 10 < angle.abs().max() < 25


@pytest.mark.parametrize("spread", [0.3, 0.8, 1.9])
def test_blur_is_torchvisions(images, spread):
    own = augment.blur(images, torch.full((6,), spread), 4)
    torch.testing.assert_close(own, V.gaussian_blur(images, [9, 9], [spread, spread]), rtol=0, atol=1e-5)


def test_blur_of_no_spread_leaves_the_image(images):
    spread = torch.tensor([0.0, 1, 0, 1, 0, 1])
    own = augment.blur(images, spread, 4)
    changed = (own - images).abs().amax(dim=(1, 2, 3)) > 1e-4
    assert changed.tolist() == [False, True, False, True, False, True]


@pytest.mark.parametrize("name", list(RECIPES))
@pytest.mark.parametrize("size", [16, 40])
def test_every_image_has_draws_of_its_own(name, size):
    same = torch.randint(0, 256, (1, 3, 24, 24), dtype=torch.uint8).expand(30, -1, -1, -1)
    torch.manual_seed(0)
    one = Augment(size, name)(same)
    assert one.shape == (30, 3, size, size)
    assert one.dtype == torch.float32
    assert one.is_contiguous(memory_format=torch.channels_last)
    assert len({tuple(image.flatten().tolist()) for image in one}) == 30
    torch.manual_seed(0)
    assert torch.equal(one, Augment(size, name)(same))
    assert not torch.equal(one, Augment(size, name)(same))


@pytest.mark.parametrize("name", list(RECIPES))
def test_alike_images_do_not_depend_on_their_place(name):
    pixels = torch.randint(0, 256, (10, 3, 24, 24), dtype=torch.uint8)
    order = torch.randperm(10)
    change = Augment(24, name, alike=True)
    torch.manual_seed(0)
    one = change(pixels)
    torch.manual_seed(0)
    torch.testing.assert_close(change(pixels[order]), one[order], rtol=1e-5, atol=1e-5)


def test_normalise_is_the_papers_mean_and_spread():
    pixels = torch.randint(0, 256, (4, 3, 24, 24), dtype=torch.uint8)
    expected = (pixels.double() / 255 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    np.testing.assert_allclose(normalise(pixels, 24), expected, atol=1e-5)
    assert normalise(pixels, 12).shape == (4, 3, 12, 12)


def test_ten_crops_are_torchvisions():
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    corners = V.ten_crop(pixels, [28, 28])  # its four corners and middle, and those mirrored
    found = list(ten_crops(pixels, 28, 7 / 8))
    assert len(found) == 10
    for crop in corners:
        near = min((one - normalise(crop, 28)).abs().max() for one in found)
        assert near < 1e-5
