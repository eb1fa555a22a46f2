"""Places where F was evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .counting import Lists


@dataclass(frozen=True)
class Point:
    """F and its gradient at g, from all scores or from a model. Vectors hold the m labels in use only."""

    g: np.ndarray  # (m,) float64
    objective: float  # F(g), docs/algorithm.md eq. (2)
    c: np.ndarray  # (m,) column sums of the plan
    log_c: np.ndarray  # (m,) their logarithms, finite even where c underflows
    gradient: np.ndarray  # (m,) of F: what the columns should have less what they have

    @property
    def error(self) -> float:
        """The L1 norm of the gradient."""
        return float(np.abs(self.gradient).sum())

    def improves_on(self, other: Point) -> bool:
        """Whether F is higher, or the error lower."""
        return self.objective > other.objective or self.error < other.error


@dataclass(frozen=True)
class Surveyed(Point):
    """A point that was evaluated on all scores, with the lists of what lies near it: those are long."""

    lists: Lists
    width: float  # nats: of the lists

    def without_lists(self) -> Point:
        """The point alone, to be kept."""
        return Point(self.g, self.objective, self.c, self.log_c, self.gradient)
