"""F between two surveys, as the listed entries have it (docs/algorithm.md eq. 3a)."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .counting import Lists, Scores
from .marginal import Marginal
from .point import Point, Surveyed
from .tuning import Tuning


class Model(Protocol):
    """A concave function that climbs like F: all that a climb knows of it."""

    @property
    def exhausted(self) -> bool:
        """Whether no further evaluation may be made."""

    def evaluate(self, g: np.ndarray) -> Point:
        """The function at g (m,)."""

    @property
    def newton_cost(self) -> float:
        """Of a Newton step, in evaluations; infinite where there is no Hessian."""

    def hessian(self, point: Point) -> np.ndarray:
        """(m, m) of its negative there, lower triangle."""


class ListModel:
    """F^L(g) - F^L(g0) + F(g0) - (c(g0) - c^L(g0)).(g - g0): right at g0, what is not listed is constant.

    Args:
        at: where the lists were made, g0; as it is, it is a point of this model.
        scores, marginal: of the solve.
        spare: sweeps to leave in the budget beside those that certify where this leads.
    """

    def __init__(self, at: Surveyed, scores: Scores, marginal: Marginal, tuning: Tuning, spare: float = 0.0):
        self.at, self._scores, self._marginal, self._tuning, self._spare = at, scores, marginal, tuning, spare
        self._lists = at.lists
        squares, least = self._lists.squares, tuning.barely_listed
        # (m,) of F along each potential at g0, divided by c: 1 where no row is sure of the label
        self.curvature = None if squares is None else 1.0 - squares / np.maximum(at.c, least)
        logsumexp, listed = self._lists.sweep(at.g)
        # c(g0) - c^L(g0), rounded as the gradient is: the model's own is then the true one to the last bit.
        self._unlisted = marginal.wanted(at.g, at.c) - listed - at.gradient
        self._offset = marginal.support(at.g) - logsumexp - at.objective

    def affords(self, evaluations: int) -> bool:
        """Whether the budget has so many and what must follow them."""
        return self._lists.affords(evaluations, self._spare)

    @property
    def exhausted(self) -> bool:
        return not self.affords(1)

    def evaluate(self, g: np.ndarray) -> Point:
        at, marginal = self.at, self._marginal
        logsumexp, listed = self._lists.sweep(g)
        c = listed + self._unlisted
        objective = marginal.support(g) - logsumexp - self._offset - float(self._unlisted @ (g - at.g))
        barely = self._tuning.barely_listed
        log_c = np.where(c > barely, np.log(np.maximum(c, barely)), at.log_c + g - at.g)
        return Point(g, objective, c, log_c, marginal.wanted(g, c) - c)

    @property
    def newton_cost(self) -> float:
        """Pairs of entries, and k^3, against the entries of an evaluation."""
        m, tuning, entries = len(self.at.g), self._tuning, self._lists.density * self._scores.size
        if m > tuning.largest_square or not self.affords(2):  # the Hessian and a step
            return np.inf
        if self.curvature is not None and self.curvature.min() < tuning.too_flat:
            return np.inf
        return self._lists.pairs / tuning.pairs_an_entry + m**3 / (tuning.cubes_an_entry * entries)

    def hessian(self, point: Point) -> np.ndarray:
        """diag(c) - sum_i a_i p_i p_i^T."""
        h = self._lists.hessian(point.g)
        np.negative(h, out=h)
        h[np.diag_indices(len(h))] += point.c
        return h

    def narrowed(self, point: Point, width: float) -> ListModel | None:
        """The same from those listed entries that lie within ``width`` near a point of this model; None if most do."""
        lists: Lists = self._lists.narrowed(point.g, width)
        if lists.density > 0.5 * self._lists.density:
            return None
        inside = Surveyed(point.g, point.objective, point.c, point.log_c, point.gradient, lists, width)
        return ListModel(inside, self._scores, self._marginal, self._tuning, spare=self._lists.density)
