"""Least and most items a label, as the caller says them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends import library_of

NO_LIMIT = 1 << 52  # items: more than anybody has, and a sum of some is still a number


def bounds_of(size_min: Any, size_max: Any, h: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(h, k) int64 each: 0 and ``NO_LIMIT`` where nothing was said.

    Raises:
        ValueError, TypeError: no counts, or none of these shapes, or a least that is more than the most.
    """
    least = np.zeros((h, k), dtype=np.int64) if size_min is None else _counts("size_min", size_min, h, k)
    most = np.full((h, k), NO_LIMIT) if size_max is None else _counts("size_max", size_max, h, k)
    if not most.any(axis=1).all():
        raise ValueError("size_max must leave some label items, got 0 for all. Raise it, or leave it out.")
    crossed = np.argwhere(least > most)
    if len(crossed):
        label = int(crossed[0, 1])
        low, high = (int(items[tuple(crossed[0])]) for items in (least, most))
        raise ValueError(
            f"size_min must not be above size_max, got {low:,} and {high:,} for label {label}. Lower the one or raise "
            "the other."
        )
    return least, most


def feasible(least: np.ndarray, most: np.ndarray, items: tuple[int, int], where: str = "") -> None:
    """Raise ValueError if no sizes lie between bounds (k,); items: how many get a label, at least and at most."""
    if (low := int(least.sum())) > items[1]:
        raise ValueError(
            f"size_min must not sum to more than the {items[1]:,} items that there are, got a sum of {low:,}{where} "
            f"({_each(least)}). Lower it, or ask for fewer labels."
        )
    most = np.minimum(most, items[1])
    if (high := int(most.sum())) < items[0]:
        raise ValueError(
            f"size_max must sum to at least the {items[0]:,} items that there are, got a sum of {high:,}{where} "
            f"({_each(most)}). Raise it, or ask for more labels."
        )


def without_needless_choice(least: np.ndarray, most: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (k,) on n items; both the same where they leave one choice only."""
    most = np.minimum(most, n)
    if least.sum() == n:
        return least, least
    return most if most.sum() == n else least, most


def _each(items: np.ndarray) -> str:
    low, high = int(items.min()), int(items.max())
    return f"{len(items):,} labels of {low:,}" if low == high else f"{len(items):,} labels of {low:,} to {high:,}"


def _counts(name: str, value: Any, h: int, k: int) -> np.ndarray:
    array = library_of(value).to_numpy(value, name)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be whole numbers of items, got dtype {array.dtype}.")
    if array.shape not in ((), (k,), (h, k)):
        raise ValueError(
            f"{name} must be one number for all labels or have shape ({k},), a number a label, got {array.shape}."
        )
    bad = ~((array >= 0) & (array == np.floor(array)) & (array <= NO_LIMIT))
    if bad.any():
        raise ValueError(f"{name} must be whole numbers of items of at least 0, got {np.ravel(array[bad])[0]}.")
    return np.broadcast_to(array, (h, k)).astype(np.int64)
