"""Augmentation of a whole batch on its device, every image with draws of its own.

What an image undergoes is one affine map of its coordinates (crop, flip, turn) and one of its colours (gray, jitter).
torchvision draws one set of numbers a call, so that images of a batch would share them, or each need a call: 80 ms for
64 images of 32 px on 2 cores and 12 to 17 ms in groups of 8, where this takes 1.8 (docs/training.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as V

from ..options.config import Augmentation
from ..system.devices import sent

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as in the paper
RATIO = (3 / 4, 4 / 3)  # width to height of a crop: torchvision's
TRIES = 10  # crops drawn for an image before all of it is taken: torchvision's
BLUR = (0.1, 2.0)  # spread in pixels of an image of BLURRED; smaller images have less
BLURRED = 224


@dataclass(frozen=True)
class Recipe:
    """How much an image may change."""

    area: float  # least share of the image that a crop keeps
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.4)  # brightness, contrast, saturation, hue
    jittered: float = 1.0  # share of images whose colours change
    gray: float = 0.2  # share of images that lose them
    flip: float = 0.5
    blurred: float = 0.0
    turn: float = 0.0  # degrees
    shear: float = 0.0  # degrees


RECIPES: dict[Augmentation, Recipe] = {
    "imagenet": Recipe(0.08),  # SeLa's on ImageNet
    "cifar": Recipe(0.2),  # SeLa's on CIFAR
    "small": Recipe(
        0.2, jitter=(0.4, 0.4, 0.4, 0.1)
    ),  # 2 points of kNN on 10,000 images of CIFAR-10: docs/reproduce.md
    "moco": Recipe(0.2, jitter=(0.4, 0.4, 0.4, 0.1), jittered=0.8, blurred=0.5),  # MoCo-v2's, "aug++" in SeLa's README
    "crops": Recipe(0.77, jitter=(0, 0, 0, 0), jittered=0.0, gray=0.0),  # of linear probes: 224 of 256 px and mirroring
    # Mirrored or half cut away, a digit is another digit or none.
    "scans": Recipe(0.6, jitter=(0.4, 0.4, 0.4, 0.1), flip=0.0, turn=15.0, shear=7.5),
}


class Augment:
    """uint8 images (n, 3, s, s) on any device -> float32 images (n, 3, size, size) there, randomly changed.

    Numbers are drawn from torch's generator of the CPU: the same for the same seed, whatever the device.

    Args:
        alike: every image of a batch changes in the same way, so that what becomes of it does not depend on its place.
    """

    def __init__(self, size: int, name: Augmentation, *, alike: bool = False):
        self.size, self.recipe, self.alike = size, RECIPES[name], alike

    def __call__(self, pixels: Tensor) -> Tensor:
        n, recipe = len(pixels), self.recipe
        draws = 1 if self.alike else n

        def placed(drawn: Tensor) -> Tensor:
            return sent(drawn, pixels.device).expand(n, *drawn.shape[1:])

        images = _cut(pixels, placed(coordinates(draws, recipe)), self.size)
        images = recolour(images, *map(placed, colour_factors(draws, recipe)))
        if recipe.blurred:
            spread = _uniform(draws, *BLUR) * (torch.rand(draws) < recipe.blurred) * self.size / BLURRED
            images = blur(images, placed(spread), math.ceil(2 * BLUR[1] * self.size / BLURRED))
        return _standardised(images)


def mixed(images: Tensor, alpha: float) -> tuple[Tensor, Tensor, Tensor]:
    """Every image (n, 3, s, s) blended with a partner out of the same images (mixup; Zhang et al., 2018).

    Returns:
        The blends, what share (n,) each image has in its own, at least half, and the partners' indices (n,).
    """
    share = torch.distributions.Beta(alpha, alpha).sample((len(images),))
    share = sent(torch.maximum(share, 1 - share), images.device)
    partner = sent(torch.randperm(len(images)), images.device)
    return torch.lerp(images[partner], images, share[:, None, None, None]), share, partner


def ten_crops(pixels: Tensor, size: int, side: float) -> Iterator[Tensor]:
    """uint8 images (n, 3, s, s) -> float32 images (n, 3, size, size), ten times: their middle and corners, and those
    mirrored.

    Args:
        side: of a crop, where an image's is 1.
    """
    for mirrored in (1, -1):
        for across, down in ((0, 0), (-1, -1), (1, -1), (-1, 1), (1, 1)):
            theta = torch.tensor([[mirrored * side, 0, across * (1 - side)], [0, side, down * (1 - side)]])
            yield _standardised(_cut(pixels, sent(theta, pixels.device).expand(len(pixels), 2, 3), size))


def normalise(pixels: Tensor, size: int) -> Tensor:
    """uint8 images -> float32 images of that size with ImageNet's mean and spread, channels last in memory."""
    if pixels.shape[-1] != size:
        pixels = V.resize(pixels, [size, size], antialias=True)
    return _standardised(pixels.float() / 255)


def _cut(pixels: Tensor, theta: Tensor, size: int) -> Tensor:
    """uint8 images -> float32 images (n, 3, size, size) of 0 to 1, of what ``theta`` (n, 2, 3) says of each."""
    where = F.affine_grid(theta, [len(pixels), 3, size, size], align_corners=False)
    return F.grid_sample(pixels.float() / 255, where, padding_mode="border", align_corners=False)


def _standardised(images: Tensor) -> Tensor:
    _luma, _gray, _turned, mean, std = _constants(images.device)
    return images.sub(mean).div_(std).contiguous(memory_format=torch.channels_last)


def coordinates(n: int, recipe: Recipe) -> Tensor:
    """(n, 2, 3): where a point of the result lies in the image, both within -1 and 1: ``affine_grid``'s theta."""
    width, height = crops(n, recipe.area)
    centre_x, centre_y = (_uniform(n, -1, 1) * (1 - side) for side in (width, height))
    mirrored = 1 - 2 * (torch.rand(n) < recipe.flip).float()
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = width * mirrored, height
    theta[:, 0, 2], theta[:, 1, 2] = centre_x, centre_y
    if recipe.turn or recipe.shear:
        angle, shear = (_uniform(n, -most, most) * (math.pi / 180) for most in (recipe.turn, recipe.shear))
        turned = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).view(n, 2, 2)
        turned[:, :, 1] += turned[:, :, 0] * shear.tan()[:, None]
        theta = turned @ theta
    return theta


def crops(n: int, area: float) -> tuple[Tensor, Tensor]:
    """Widths and heights (n,) of crops that keep ``area`` to 1 of a square of side 1: RandomResizedCrop's draw."""
    kept = _uniform((n, TRIES), area, 1.0)
    ratio = _uniform((n, TRIES), math.log(RATIO[0]), math.log(RATIO[1])).exp()
    width, height = (kept * ratio).sqrt(), (kept / ratio).sqrt()
    fits = (width <= 1) & (height <= 1)
    first = fits.int().argmax(dim=1, keepdim=True)
    some = fits.any(dim=1)
    return tuple(torch.where(some, side.gather(1, first)[:, 0], 1.0) for side in (width, height))  # type: ignore[return-value]


LUMA = torch.tensor([0.299, 0.587, 0.114])
_GRAY = torch.ones(3, 1) * LUMA  # of any colour the gray of its brightness
# Chroma in the axes I and Q of the YIQ colours, turned by a right angle.
_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_TURNED = torch.linalg.inv(_YIQ) @ torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, -1, 0]]) @ _YIQ


def colour_factors(n: int, recipe: Recipe) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Brightness, contrast, saturation (1 leaves them) and hue in turns of the circle (0 leaves it), (n,) each."""
    changed = torch.rand(n) < recipe.jittered
    brightness, contrast, saturation = (
        torch.where(changed, _uniform(n, 1 - most, 1 + most), 1.0) for most in recipe.jitter[:3]
    )
    hue = torch.where(changed, _uniform(n, -recipe.jitter[3], recipe.jitter[3]), 0.0)
    return brightness, contrast, torch.where(torch.rand(n) < recipe.gray, 0.0, saturation), hue


def recolour(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, hue: Tensor) -> Tensor:
    """Images (n, 3, h, w) of 0 to 1 with other colours; factors (n,) as torchvision's, but hue by a turn of the chroma.

    Saturation (0: gray) and hue leave a pixel's luma alone, and therefore the mean luma, the point about which contrast
    stretches. So all four commute, and are one matrix and one offset an image. torchvision cuts off at 0 and 1 after
    each, here that is done once.
    """
    luma, gray, turned, _mean, _std = _constants(images.device)
    angle = 2 * math.pi * hue
    along, across = (saturation * part for part in (angle.cos(), angle.sin()))
    chroma = along[:, None, None] * (torch.eye(3, device=images.device) - gray) + across[:, None, None] * turned
    matrix = (brightness * contrast)[:, None, None] * (gray + chroma)
    mean = torch.einsum("c,nc->n", luma, images.mean(dim=(2, 3)))
    offset = brightness * (1 - contrast) * mean
    n, _, height, width = images.shape
    mapped = torch.baddbmm(offset[:, None, None], matrix, images.reshape(n, 3, -1))
    return mapped.clamp_(0, 1).view(n, 3, height, width)


@cache
def _constants(device: torch.device) -> tuple[Tensor, ...]:
    """LUMA, _GRAY, _TURNED, MEAN and STD where they are wanted at every step: brought there once."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return tuple(value.to(device) for value in (LUMA, _GRAY, _TURNED, mean, std))


def blur(images: Tensor, spread: Tensor, radius: int) -> Tensor:
    """Gaussian blur of images (n, 3, h, w), each with its spread (n,) in pixels; 0 leaves it."""
    n, channels, height, width = images.shape
    distance = torch.arange(-radius, radius + 1, device=images.device)
    kernel = torch.exp(-0.5 * (distance / spread.clamp(min=1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    flat = F.pad(images, [radius] * 4, mode="reflect").view(1, n * channels, height + 2 * radius, width + 2 * radius)
    flat = F.conv2d(flat, kernel[:, None, None, :], groups=n * channels)
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=n * channels)
    return flat.view(n, channels, height, width)


def _uniform(shape: int | tuple[int, ...], low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(shape)
