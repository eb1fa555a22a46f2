"""Image files -> squares of pixels, by threads: Pillow decodes and resizes without holding Python's lock.

Threads, not processes: they need no shared memory, whose limit in containers ends many a DataLoader, and no fork of a
process that runs others. Decoding draws no random numbers, so that their number changes nothing but the speed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..system.errors import DataError

Image.MAX_IMAGE_PIXELS = None  # the limit is ``Reading.max_pixels``, which the user can raise
AHEAD = 2  # batches that are being decoded while one is used
MAX_PIXELS = 178_956_970  # of an image: twice what Pillow warns of; more may be an attack on the memory
WIDE = ("I", "F")  # how the modes of gray beyond 8 bits begin
BACKGROUNDS = {"white": (255, 255, 255), "gray": (128, 128, 128), "black": (0, 0, 0)}


@dataclass(frozen=True)
class Reading:
    """How files become pixels: the same for all images of a run, so that the same picture always is.

    Args:
        pixel_range: the values of gray beyond 8 bits that become black and white; None where no file has such.
        background: what is behind transparent pixels.
        upright: turn pictures as their EXIF orientation says.
        max_pixels: of a file.
    """

    pixel_range: tuple[float, float] | None = None
    background: str = "white"
    upright: bool = True
    max_pixels: int = MAX_PIXELS


AS_USUAL = Reading()


class Files:
    """Squares of images that are decoded when they are needed.

    Args:
        paths: the image files.
        size: side of the squares in pixels: the centre of the image, its shorter side resized to that.
        workers: threads.
        reading: how.
    """

    def __init__(self, paths: list[Path], size: int, workers: int, reading: Reading):
        self.paths, self.size, self.workers, self.reading = paths, size, workers, reading

    def __len__(self) -> int:
        return len(self.paths)

    def of(self, rows: list[int]) -> Files:
        """Only these, in this order."""
        return Files([self.paths[i] for i in rows], self.size, self.workers, self.reading)

    def batches(self, rows: Iterable[Tensor]) -> Iterator[Tensor]:
        """Pixels (m, 3, size, size) uint8 for each of the tensors of indices, in order."""
        with _pool(self.workers) as pool:
            for batch in _ahead(
                rows,
                lambda some: [pool.submit(square, self.paths[i], self.size, self.reading) for i in some.tolist()],
            ):
                yield torch.stack([image.result() for image in batch])


def decode(paths: list[Path], size: int, workers: int, reading: Reading) -> Iterator[Tensor | DataError]:
    """The square of each file in order, or why there is none."""

    def tried(path: Path) -> Tensor | DataError:
        try:
            return square(path, size, reading)
        except DataError as error:
            return error

    with _pool(workers) as pool:
        yield from pool.map(tried, paths)


def square(path: Path, size: int, reading: Reading) -> Tensor:
    """(3, size, size) uint8: the centre of the image, its shorter side resized to that."""
    image = read(path, reading, size)
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())


def read(path: Path, reading: Reading, size: int | None = None) -> Image.Image:
    """The image in RGB: its first frame, upright, on its background.

    If only ``size`` pixels of its shorter side are needed, a JPEG is decoded at 1/2, 1/4 or 1/8.

    Raises:
        DataError: the file is damaged, or is no image, or has too many pixels.
    """
    with opened(path, reading.max_pixels) as image:
        turned = orientation(image)  # before the pixels are read: of TIFF files Pillow then turns them, and says 1
        if is_wide(image):
            low, high = reading.pixel_range or (0.0, 255.0)
            values = (wide_values(image).astype(np.float64) - low) * (255 / (high - low))
            gray = Image.fromarray(np.rint(np.clip(np.nan_to_num(values), 0, 255)).astype(np.uint8))
            rgb = gray.convert("RGB")
        elif image.has_transparency_data:
            with_alpha = image.convert("RGBA")
            rgb = Image.new("RGB", with_alpha.size, BACKGROUNDS[reading.background])
            rgb.paste(with_alpha, mask=with_alpha.getchannel("A"))
        else:
            if size is not None:
                image.draft("RGB", (size, size))
            rgb = image.convert("RGB")
        is_upright = orientation(image) != turned
        turn = TURNS.get(turned) if is_upright != reading.upright else None
        if turn is not None and is_upright:
            turn = _BACK.get(turn, turn)
        return rgb if turn is None else rgb.transpose(turn)


ORIENTATION = 0x0112  # of EXIF; 1 is upright
_FLIPS = Image.Transpose
TURNS = {
    2: _FLIPS.FLIP_LEFT_RIGHT,
    3: _FLIPS.ROTATE_180,
    4: _FLIPS.FLIP_TOP_BOTTOM,
    5: _FLIPS.TRANSPOSE,
    6: _FLIPS.ROTATE_270,
    7: _FLIPS.TRANSVERSE,
    8: _FLIPS.ROTATE_90,
}  # what makes each upright
_BACK = {_FLIPS.ROTATE_270: _FLIPS.ROTATE_90, _FLIPS.ROTATE_90: _FLIPS.ROTATE_270}  # the others undo themselves


def orientation(image: Image.Image) -> int:
    """1 to 8; 1 where nothing is said."""
    turn = image.getexif().get(ORIENTATION, 1)
    return turn if turn in range(1, 9) else 1


def is_wide(image: Image.Image) -> bool:
    """Whether it is gray beyond 8 bits, of which Pillow's own conversion would make black or white."""
    return image.mode.startswith(WIDE) or _is_signed(image)


def wide_values(image: Image.Image) -> np.ndarray:
    """Gray beyond 8 bits as the file means it: of TIFF files Pillow takes large numbers for negative, and leaves those
    upside down in which 0 is white."""
    values = np.asarray(image)
    if _is_signed(image):
        return values.view(np.int8)
    tags = getattr(image, "tag_v2", {})
    if values.dtype == np.int32 and tags.get(_SAMPLE_FORMAT, (1,))[0] == 1 and tags.get(_BITS, (32,))[0] == 32:
        values = values.view(np.uint32)
    if tags.get(_PHOTOMETRIC) == 0 and values.dtype.kind in "iu":
        values = 2 ** tags.get(_BITS, (16,))[0] - 1 - values.astype(np.int64)
    return values


_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # of TIFF


def _is_signed(image: Image.Image) -> bool:
    """Of 8 bits, from -128."""
    tags = getattr(image, "tag_v2", {})
    return image.mode == "L" and tags.get(_SAMPLE_FORMAT, (1,))[0] == 2


def deep_colours(path: Path) -> bool:
    """Whether a PNG has more than 8 bits a colour, of which Pillow reads the upper 8."""
    with path.open("rb") as file:
        head = file.read(26)
    return head[:8] == b"\x89PNG\r\n\x1a\n" and head[24] == 16 and head[25] in (2, 4, 6)


@contextmanager
def opened(path: Path, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """The file as Pillow has it.

    Raises:
        DataError: it is damaged, or is no image, or has too many pixels; also for what goes wrong inside.
    """
    try:
        with Image.open(path) as image:
            pixels = image.width * image.height
            if pixels > max_pixels:
                raise DataError(
                    f"{shown(path)} has {pixels:,} pixels, more than {max_pixels:,}. If it is what it should be, add "
                    f"`max_pixels` {pixels}, or make it smaller."
                )
            yield image
    except DataError:
        raise
    except Exception as error:  # decoders of damaged files raise anything: OSError, SyntaxError, ValueError, ...
        raise DataError(f"{shown(path)} cannot be read as an image ({error}). Repair, convert or remove it.") from None


def shown(path: Path | str) -> str:
    """A path as any terminal can print it."""
    return str(path).encode("utf-8", "backslashreplace").decode()


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
