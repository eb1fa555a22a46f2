"""Image files -> squares of pixels, by threads: Pillow decodes and resizes without holding Python's lock.

Threads, not processes: they need no shared memory, whose limit in containers ends many a DataLoader, and no fork of a
process that runs others. Decoding draws no random numbers, so that their number changes nothing but the speed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..system.errors import DataError

AHEAD = 2  # batches that are being decoded while one is used


class Files:
    """Squares of images that are decoded when they are needed.

    Args:
        paths: the image files.
        size: side of the squares in pixels: the centre of the image, its shorter side resized to that.
        workers: threads.
    """

    def __init__(self, paths: list[Path], size: int, workers: int):
        self.paths, self.size, self.workers = paths, size, workers

    def __len__(self) -> int:
        return len(self.paths)

    def batches(self, rows: Iterable[Tensor]) -> Iterator[Tensor]:
        """Pixels (m, 3, size, size) uint8 for each of the tensors of indices, in order."""
        with _pool(self.workers) as pool:
            for batch in _ahead(
                rows, lambda some: [pool.submit(square, self.paths[i], self.size) for i in some.tolist()]
            ):
                yield torch.stack([image.result() for image in batch])


def decode(paths: list[Path], size: int, workers: int) -> Iterator[Tensor | DataError]:
    """The square of each file in order, or why there is none."""

    def tried(path: Path) -> Tensor | DataError:
        try:
            return square(path, size)
        except DataError as error:
            return error

    with _pool(workers) as pool:
        yield from pool.map(tried, paths)


def square(path: Path, size: int) -> Tensor:
    """(3, size, size) uint8: the centre of the image, its shorter side resized to that."""
    image = read(path, size)
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())


def read(path: Path, size: int | None = None) -> Image.Image:
    """The image in RGB. If only ``size`` pixels of its shorter side are needed, a JPEG is decoded at 1/2, 1/4 or 1/8.

    Raises:
        DataError: the file is damaged, or is no image.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):  # 16-bit gray, which convert() would clip to white
                return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
            if size is not None:
                image.draft("RGB", (size, size))
            return image.convert("RGB")
    except Exception as error:  # decoders of damaged files raise anything: OSError, SyntaxError, ValueError, ...
        raise DataError(f"{path} cannot be read as an image ({error}). Repair or remove it.") from None


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)  # whoever stops half-way waits for no more than what is in hand


def _ahead(items: Iterable[Tensor], start: Callable[[Tensor], list[Future[Tensor]]]) -> Iterator[list[Future[Tensor]]]:
    """What ``start`` makes of each item, begun ``AHEAD`` items before it is asked for."""
    begun: deque[list[Future[Tensor]]] = deque()
    for item in items:
        begun.append(start(item))
        if len(begun) > AHEAD:
            yield begun.popleft()
    yield from begun
