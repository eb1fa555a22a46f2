"""How many items each label may get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np


class Bounds(NamedTuple):
    """Least and most items of each label, (k,) int64."""

    least: np.ndarray
    most: np.ndarray

    @classmethod
    def of_shares(cls, b: np.ndarray, n: float) -> Self:
        """Floor and ceiling of shares (k,) of n items, or the whole number within 1e-9."""
        items = n * b
        is_whole = np.abs(items - np.rint(items)) <= 1e-9
        least, most = (np.where(is_whole, np.rint(items), near(items)).astype(np.int64) for near in (np.floor, np.ceil))
        return cls(least, most)


@dataclass
class Capacities:
    """lower_j <= size_j <= upper_j, and the sizes that the current potentials ask for; (k,) int64 each."""

    lower: np.ndarray
    upper: np.ndarray
    target: np.ndarray  # sums to the number of items
    hub: float  # potential of the spare places: labels above it hold `lower`, labels below it `upper`

    @classmethod
    def at(cls, g: np.ndarray, bounds: Bounds, sizes: np.ndarray) -> Self:
        """Of as many items as sizes (k,) has, which the labels have now.

        The labels with the smallest potentials g (k,) are offered the spare places first; of several alike those that
        are nearest to their sizes then.
        """
        (lower, upper), n = bounds, int(sizes.sum())
        labels = np.flatnonzero(upper > lower)
        labels = labels[np.argsort(g[labels], kind="stable")]
        room = (upper - lower)[labels]
        ends = np.cumsum(room)
        spare = n - int(lower.sum())
        target = lower.copy()
        target[labels] += np.clip(spare - (ends - room), 0, room)
        last, first = np.searchsorted(ends, [spare, spare + 1])  # who is offered the last place, and the one after it
        edge = g[labels[max(0, last) : first + 1]] if spare > 0 else g[labels[:1]]
        hub = float(edge.mean()) if edge.size else 0.0
        alike = labels[g[labels] == hub]
        if len(alike):
            target[alike] = _nearest(sizes[alike], lower[alike], upper[alike], int(target[alike].sum()))
        return cls(lower, upper, target, hub)


def _nearest(sizes: np.ndarray, lower: np.ndarray, upper: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers between bounds with that total, from sizes; what is missing or too much goes to the first."""
    target = np.clip(sizes, lower, upper)
    missing = total - int(target.sum())
    room = upper - target if missing > 0 else target - lower
    given = np.clip(abs(missing) - (np.cumsum(room) - room), 0, room)
    return target + np.sign(missing) * given
