"""What the column sums of the plan must be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

_EVEN = 1e-12  # of the shares: sums that differ by less are the same


@dataclass(frozen=True)
class Marginal:
    """Shares of the k labels as an interval: lower_j <= c_j <= upper_j. Where both are the target, c_j must be that.

    The semi-dual has the support function of the interval in the place of b.g (docs/algorithm.md eq. 2a):
    F(g) = sum_j min(lower_j g_j, upper_j g_j) - sum_i a_i logsumexp_j(S_ij/epsilon + g_j). It has kinks at g_j = 0.
    """

    target: np.ndarray  # (k,) float64, sums to 1, within the interval: what steps are scaled by
    lower: np.ndarray  # (k,)
    upper: np.ndarray  # (k,)

    @classmethod
    def exactly(cls, b: np.ndarray) -> Self:
        """Shares b (k,) that must be met."""
        return cls(b, b, b)

    @classmethod
    def between(cls, lower: np.ndarray, upper: np.ndarray) -> Self:
        """Bounds (k,) between which a sum of 1 is possible. Where it leaves no choice, they are met exactly."""
        for b in (lower, upper):
            if abs(b.sum() - 1) <= _EVEN:
                return cls.exactly(b)
        part = (1 - lower.sum()) / (upper - lower).sum()
        return cls(lower + part * (upper - lower), lower, upper)

    @cached_property
    def is_exact(self) -> bool:
        """Whether every column must be met: then F is smooth, and flat along constant g."""
        return bool((self.lower == self.upper).all())

    def of(self, labels: np.ndarray) -> Marginal:
        """For some labels only, by a mask (k,)."""
        target = self.target[labels]
        return Marginal.exactly(target) if self.is_exact else Marginal(target, self.lower[labels], self.upper[labels])

    def gauged(self, g: np.ndarray) -> np.ndarray:
        """g (k,) plus the constant with which F is largest: mean 0 where F is flat, else some label is at 0."""
        if self.is_exact:
            return g - g.mean()
        fixed = np.where(g > 0, self.lower, self.upper)
        least = np.where(g == 0, self.lower, fixed).sum()
        if least <= 1 + _EVEN and fixed.sum() >= 1 - _EVEN:
            return g
        # F is linear in the constant between two kinks; its slope falls by upper - lower at each.
        kinks = np.flatnonzero(self.upper > self.lower)
        kinks = kinks[np.argsort(-g[kinks], kind="stable")]
        passed = np.cumsum((self.upper - self.lower)[kinks])
        first, last = np.searchsorted(passed, self.upper.sum() - 1 + np.array([-_EVEN, _EVEN]))
        return g + np.clip(0.0, -g[kinks[min(first, len(kinks) - 1)]], -g[kinks[min(last, len(kinks) - 1)]])

    def support(self, g: np.ndarray) -> float:
        """sum_j min(lower_j g_j, upper_j g_j)."""
        return float(np.where(g > 0, self.lower, self.upper) @ g)

    def wanted(self, g: np.ndarray, c: np.ndarray) -> np.ndarray:
        """What the columns (k,) should have at g: the gradient of F is this less c. A free label is right as it is.

        At a kink it is the least of all supergradients: it is 0 at the optimum, and leads uphill anywhere else.
        """
        if self.is_exact:
            return self.target
        free = np.clip(c, self.lower, self.upper)
        return np.where(g > 0, self.lower, np.where(g < 0, self.upper, free))

    def change(self, g: np.ndarray, up: np.ndarray, down: np.ndarray) -> np.ndarray:
        """The change of g (k,) that is best one label at a time, where F without kinks would want two.

        Args:
            up: (k,) the change after which a column has ``lower``.
            down: (k,) the change, no less, after which it has ``upper``.
        """
        return np.clip(0.0, g + up, g + down) - g

    def orthant(self, g: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(k,) each: how low and how high g may go until F bends; a label at a kink goes where the gradient leads.

        As OWL-QN has it (Andrew and Gao, ICML 2007). A label at a kink with no gradient stays.
        """
        bends = self.upper > self.lower
        side = np.where(g != 0, np.sign(g), np.sign(gradient))
        return np.where(bends & (side >= 0), 0.0, -np.inf), np.where(bends & (side <= 0), 0.0, np.inf)

    def relative_error(self, log_c: np.ndarray) -> float:
        """max_j |c_j / b_j - 1|, b_j the nearest that the column may be."""
        with np.errstate(divide="ignore"):
            return float(np.abs(np.expm1(log_c - np.clip(log_c, np.log(self.lower), np.log(self.upper)))).max())
