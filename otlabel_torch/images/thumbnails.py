"""Small pictures of the images of a run, many on a sheet, for the explorer."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from .images import Images

MOST = 64  # pixels of a side
SIDE = 16  # pictures of a side of a sheet: 256 of them are a quarter of a megabyte
_QUALITY = 75


class Thumbnails:
    """Sheets of the squares that the network sees, at most ``MOST`` pixels each."""

    side = SIDE

    def __init__(self, images: Images):
        self._images, self._size = images, min(images.size, MOST)

    def sheets(self, order: np.ndarray) -> Iterator[bytes]:
        """Files of WebP: the images ``order``, row by row, a sheet at a time."""
        rows = torch.from_numpy(order).split(SIDE * SIDE)
        for pixels in self._images.batches(rows):
            yield _webp(self._sheet(pixels.cpu()))

    def files(self) -> Iterator[bytes]:
        """A file of WebP for every image, in their order."""
        rows = torch.arange(len(self._images)).split(SIDE * SIDE)
        for pixels in self._images.batches(rows):
            yield from (_webp(pixel) for pixel in self._small(pixels.cpu()))

    def _small(self, pixels: Tensor) -> Tensor:
        size = [self._size, self._size]
        return F.resize(pixels, size, antialias=True) if pixels.shape[-1] != self._size else pixels

    def _sheet(self, pixels: Tensor) -> Tensor:
        """(3, SIDE * size, SIDE * size) of up to SIDE**2 squares."""
        size, small = self._size, self._small(pixels)
        sheet = torch.zeros(SIDE * SIDE, 3, size, size, dtype=torch.uint8)
        sheet[: len(small)] = small
        return sheet.view(SIDE, SIDE, 3, size, size).permute(2, 0, 3, 1, 4).reshape(3, SIDE * size, SIDE * size)


def _webp(pixels: Tensor) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(data, "webp", quality=_QUALITY, method=2)
    return data.getvalue()
