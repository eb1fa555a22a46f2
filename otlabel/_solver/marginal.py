"""What the column sums of the plan must be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Marginal:
    """Shares of the k labels as an interval: lower_j <= c_j <= upper_j. Where both are the target, c_j must be that.

    The semi-dual has the support function of the interval in the place of b.g (docs/algorithm.md eq. 2):
    F(g) = sum_j min(lower_j g_j, upper_j g_j) - sum_i a_i logsumexp_j(S_ij/epsilon + g_j). F and its gradient are right
    for intervals; Newton's shift, the edge of a box, the certificate of a single label and the rounding's spare places
    take lower = upper, which is all that ``assign`` asks for.
    """

    target: np.ndarray  # (k,) float64, sums to 1: what steps are scaled by, and a column that is too small aims at
    lower: np.ndarray  # (k,)
    upper: np.ndarray  # (k,)

    @classmethod
    def exactly(cls, b: np.ndarray) -> Self:
        """Shares b (k,) that must be met."""
        return cls(b, b, b)

    def of(self, labels: np.ndarray) -> Marginal:
        """For some labels only, by a mask (k,)."""
        return Marginal(self.target[labels], self.lower[labels], self.upper[labels])

    def gauged(self, g: np.ndarray) -> np.ndarray:
        """g (k,) of mean 0, where F is flat along constant g: where every column must be met exactly."""
        return g - g.mean() if (self.lower == self.upper).all() else g

    def support(self, g: np.ndarray) -> float:
        """sum_j min(lower_j g_j, upper_j g_j)."""
        return float(np.where(g > 0, self.lower, self.upper) @ g)

    def wanted(self, g: np.ndarray, c: np.ndarray) -> np.ndarray:
        """What the columns (k,) should have at g: the gradient of F is this less c. A free label is right as it is."""
        free = np.clip(c, self.lower, self.upper)
        return np.where(g > 0, self.lower, np.where(g < 0, self.upper, free))

    def capacities(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Least and most items a label, (k,) int64: floor and ceiling of n shares, or the whole number within 1e-9."""
        lower, upper = n * self.lower, n * self.upper
        least = np.where(_is_whole(lower), np.rint(lower), np.floor(lower)).astype(np.int64)
        most = np.where(_is_whole(upper), np.rint(upper), np.ceil(upper)).astype(np.int64)
        return least, most


def _is_whole(items: np.ndarray) -> np.ndarray:
    return np.abs(items - np.rint(items)) <= 1e-9
