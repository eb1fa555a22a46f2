"""A look at some files before they are decoded: how large they are, and what has to be done to them."""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..system.errors import DataError
from .decoding import Reading, deep_colours, is_wide, opened, orientation, shown, wide_values
from .notes import Note

MOST = 200_000  # files, evenly chosen: a minute or two
STANDARD = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)  # largest values of gray: of floats, and of 8 to 16 bits


class Seen(NamedTuple):
    """Of one file."""

    side: int  # the shorter one
    is_turned: bool
    is_transparent: bool
    is_animated: bool
    is_deep: bool
    values: tuple[float, float, bool, bool] | None
    """Of gray beyond 8 bits: least, largest, whether whole, and whether some pixels have no number."""


@dataclass(frozen=True)
class Look:
    """Of all that was looked at."""

    side: int  # median of the shorter sides
    pixel_range: tuple[float, float] | None
    notes: list[Note]


def look(paths: list[Path], reading: Reading, workers: int) -> Look:
    """Open some of the files; those that cannot be read are left to whoever decodes them.

    Raises:
        DataError: none can be read.
    """
    some = paths[:: -(-len(paths) // MOST)]

    def seen(path: Path) -> Seen | DataError:
        try:
            with opened(path, reading.max_pixels) as image:
                values, is_turned = None, orientation(image) != 1
                if is_wide(image):
                    pixels = wide_values(image)
                    finite = pixels[np.isfinite(pixels)]
                    if not finite.size:
                        return DataError(f"{shown(path)} cannot be read as an image (it has no number). Remove it.")
                    whole = bool((finite == np.rint(finite)).all())
                    values = float(finite.min()), float(finite.max()), whole, finite.size < pixels.size
                return Seen(
                    min(image.size),
                    is_turned,
                    bool(image.has_transparency_data) and values is None,
                    bool(getattr(image, "is_animated", False)),  # n_frames would read them all
                    deep_colours(path),
                    values,
                )
        except DataError as error:
            return error

    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(seen, some))
    good = [(path, one) for path, one in zip(some, found, strict=True) if isinstance(one, Seen)]
    if not good:
        raise DataError(f"none of the {len(paths)} files can be read as an image: {found[0]}")
    wide = [one.values for _, one in good if one.values is not None]
    if reading.pixel_range is None:
        _check_alike(good)
    chosen = reading.pixel_range or (_range(wide) if wide else None)
    of = f" of {len(some):,} looked at" if len(some) < len(paths) else ""
    turned = "turned upright, as" if reading.upright else "not turned, whatever"
    notes = []
    for which, what in (
        ([path for path, one in good if one.is_turned], f"{turned} their EXIF orientation says"),
        ([path for path, one in good if one.is_transparent], f"put on {reading.background} where transparent"),
        ([path for path, one in good if one.is_animated], "that are animated, of which the first frame is taken"),
        ([path for path, one in good if one.is_deep], "of 16 bits a colour, of which the upper 8 are taken"),
        (
            [path for path, one in good if one.values and one.values[3]],
            "with pixels of no number, taken as black",
        ),
        ([path for path, one in good if _is_beyond(one, chosen)], "with gray beyond the range, cut off at its ends"),
    ):
        if which:
            notes.append(Note(f"images{of} {what}", which))
    if chosen is not None and wide:
        which = [path for path, one in good if one.values is not None]
        black_white = f"{chosen[0]:g} becomes black and {chosen[1]:g} white, unless `pixel_range` says otherwise"
        notes.append(Note(f"images{of} of gray beyond 8 bits, where {black_white}", which))
    return Look(round(statistics.median(one.side for _, one in good)), chosen, notes)


def _check_alike(good: list[tuple[Path, Seen]]) -> None:
    """Raise DataError where some files count to 1 and others far beyond: one scale would make the former black."""
    small = next((path for path, one in good if one.values and one.values[1] <= 1 and not one.values[2]), None)
    large = next((path for path, one in good if one.values and one.values[1] > STANDARD[1]), None)
    if small is not None and large is not None:
        raise DataError(
            f"gray files must be of one scale, but {shown(small)} counts to 1 and {shown(large)} beyond 255. Convert "
            "one kind, or add `pixel_range`."
        )


def _is_beyond(one: Seen, chosen: tuple[float, float] | None) -> bool:
    return one.values is not None and chosen is not None and (one.values[0] < chosen[0] or one.values[1] > chosen[1])


def _range(values: list[tuple[float, float, bool, bool]]) -> tuple[float, float]:
    """From 0 to the end of the standard range that holds all, if at least half of it is used; else to the largest."""
    low, high = min(each[0] for each in values), max(each[1] for each in values)
    whole = all(each[2] for each in values)
    standard = next((top for top in STANDARD if high <= top and not (top == 1.0 and whole)), np.inf)
    if low >= 0 and high >= standard / 2:
        return 0.0, standard
    low = min(low, 0.0) if low >= 0 else low
    return (low, high) if high > low else (low, low + 1.0)
