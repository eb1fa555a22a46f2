"""How many items each label may get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from .._solver.marginal import Marginal


@dataclass
class Capacities:
    """lower_j <= size_j <= upper_j, and the sizes that the current potentials ask for; (k,) int64 each."""

    lower: np.ndarray
    upper: np.ndarray
    target: np.ndarray  # sums to the number of items
    hub: float  # potential of the spare places: labels above it hold `lower`, labels below it `upper`

    @classmethod
    def at(cls, g: np.ndarray, marginal: Marginal, n: int) -> Self:
        """Of n items; the labels with the smallest potentials g (k,) are offered the spare places first."""
        lower, upper = marginal.capacities(n)
        target = lower.copy()
        flexible = np.flatnonzero(upper > lower)
        spare = n - int(lower.sum())
        order = flexible[np.argsort(g[flexible], kind="stable")]
        target[order[:spare]] += 1
        edge = g[
            order[max(spare - 1, 0) : spare + 1]
        ]  # the last label that is offered a place and the first that is not
        return cls(lower, upper, target, float(edge.mean()) if edge.size else 0.0)
