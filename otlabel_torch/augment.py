"""SeLa's augmentation, in batches: crop, gray, jitter, flip, normalise."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms import v2

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as in the paper
HUE = 0.1  # the paper's 0.4 costs about 3 points of kNN on 10,000 CIFAR-10 images: docs/reproduce.md
GROUP = 8
# torchvision draws one set of parameters a call. A call for every image takes 0.20 s a batch of 256 at 32 px on 2
# cores, for every 8 images 0.045 s: 32 draws a batch, and other neighbours each epoch.


class Augment:
    """uint8 images (n, 3, s, s) -> float images (n, 3, size, size), randomly changed.

    Photographs are changed as in the paper, but for less hue and crops of at least a fifth of the area. Scans of digits
    are not mirrored and hardly cropped, which would make other digits of them, but turned and slanted a little.
    """

    def __init__(self, size: int, *, scans: bool = False, group: int = GROUP):
        self.size, self.group = size, group
        if scans:
            geometry = [
                v2.RandomAffine(15, translate=(0.1, 0.1), scale=(0.9, 1.1), shear=7.5),
                v2.RandomResizedCrop(size, scale=(0.6, 1.0), antialias=True),
            ]
        else:
            geometry = [v2.RandomResizedCrop(size, scale=(0.2, 1.0), antialias=True), v2.RandomHorizontalFlip()]
        self.transform = v2.Compose([*geometry, v2.RandomGrayscale(0.2), v2.ColorJitter(0.4, 0.4, 0.4, HUE)])

    def __call__(self, pixels: Tensor) -> Tensor:
        return normalise(torch.cat([self.transform(group) for group in pixels.split(self.group)]), self.size)


def normalise(pixels: Tensor, size: int) -> Tensor:
    """uint8 images -> float32 images of that size with ImageNet's mean and spread, channels last in memory."""
    if pixels.shape[-1] != size:
        pixels = v2.functional.resize(pixels, [size, size], antialias=True)
    scaled = v2.functional.normalize(v2.functional.to_dtype(pixels, torch.float32, scale=True), list(MEAN), list(STD))
    return scaled.contiguous(memory_format=torch.channels_last)
