"""Where to go from a point: Newton's direction if it has paid, else that of L-BFGS, else Sinkhorn's.

L-BFGS works in the variable sqrt(b)*g, in which the Hessian's diagonal is near 1 (docs/algorithm.md section 3). What it
has learned serves the next climb too, on lists made at another point.
"""

from __future__ import annotations

import enum

import numpy as np

from .list_model import Model
from .marginal import Marginal
from .point import Point
from .tuning import Tuning

# A change whose square is smaller may be lost to underflow, and no direction is found by dividing by it.
_LOST = 1e-200


class Kind(enum.Enum):
    """How a direction was found."""

    NEWTON = enum.auto()
    LBFGS = enum.auto()
    SINKHORN = enum.auto()


def sinkhorn_step(point: Point, marginal: Marginal) -> np.ndarray:
    """docs/algorithm.md eq. (3): the textbook update of g (m,); never decreases F."""
    if marginal.is_exact:
        return np.log(marginal.target) - point.log_c
    with np.errstate(divide="ignore"):  # a column may be allowed nothing
        up, down = np.log(marginal.lower) - point.log_c, np.log(marginal.upper) - point.log_c
    return marginal.change(point.g, up, down)


class Directions:
    """The choice between the three, over all climbs of a solve to ``tol``."""

    def __init__(self, marginal: Marginal, tuning: Tuning, tol: float):
        self.pairs = Pairs(marginal.target, tuning.pairs(tol), tuning.collinear)
        self._marginal, self._tuning = marginal, tuning
        self._sinkhorn_left = tuning.most_sinkhorn
        self.begin()

    def begin(self) -> None:
        """A new climb: on another model, at other costs."""
        self._saved = 0.0  # evaluations since Newton last disappointed
        self._failed = False
        self._warming = True

    def next(self, model: Model, point: Point, held: np.ndarray, kept: np.ndarray) -> tuple[Kind, np.ndarray]:
        """The direction (m,) to go from ``point``.

        Args:
            held: (m,) bool, labels at the edge of the box that would leave it.
            kept: (m,) bool, labels that stay, these and those at a kink; but in Sinkhorn's steps.
        """
        sinkhorn = sinkhorn_step(point, self._marginal)
        if self._is_far(sinkhorn) or self._failed or sinkhorn.max() > self._tuning.widest:
            # The gradient says nothing about how far the potential of a (nearly) empty column must go: log c does.
            self._failed = False
            return Kind.SINKHORN, sinkhorn
        if point.error <= self._tuning.close and self._saved >= model.newton_cost and not held.any():
            newton = newton_direction(model, point, kept, self._marginal, self._tuning)
            if newton is not None:
                return Kind.NEWTON, newton
            self._saved = 0.0
        if self.pairs.count:
            direction = self.pairs.direction(np.where(kept, 0.0, point.gradient))
            return Kind.LBFGS, np.where(kept, 0.0, direction)
        return Kind.SINKHORN, sinkhorn

    def _is_far(self, sinkhorn: np.ndarray) -> bool:
        """Whether a climb still begins with steps of Sinkhorn's, which are the better ones far away."""
        self._warming = self._warming and self._sinkhorn_left > 0 and np.abs(sinkhorn).max() > self._tuning.far
        self._sinkhorn_left -= self._warming
        return self._warming

    def learn(self, kind: Kind, old: Point, new: Point, evaluations: int) -> None:
        """A direction led from one point to another, after so many evaluations."""
        self._saved += evaluations
        if kind is Kind.NEWTON and new.error > 0.5 * old.error:
            self._saved = 0.0
        if self._warming:
            return
        if kind is Kind.SINKHORN:
            self.pairs.clear()
        # At a kink the gradient jumps: it is the columns that say how F is curved.
        change = old.gradient - new.gradient if self._marginal.is_exact else new.c - old.c
        self.pairs.add(new.g - old.g, change)

    def measured(self, curvature: np.ndarray) -> None:
        """The Hessian's diagonal is not b but b*curvature (m,): L-BFGS works in the variable in which it would be 1."""
        self.pairs.rescale(np.sqrt(self._marginal.target * np.clip(curvature, self._tuning.flattest, 1.0)))

    def failed(self, kind: Kind, evaluations: int) -> None:
        """No step along a direction climbs: what led to it is of no use, and Sinkhorn's comes next."""
        self._saved = 0.0 if kind is Kind.NEWTON else self._saved + evaluations
        self._failed = True
        self.pairs.clear()


class Pairs:
    """The last steps s and changes y of the gradient: an approximate inverse Hessian.

    Args:
        b: (m,) shares.
        most: pairs kept.
        least: cosine between s and y of a pair that is kept.
    """

    def __init__(self, b: np.ndarray, most: int, least: float):
        self._root, self._most, self._least = np.sqrt(b), most, least
        self._s, self._y = np.empty((most, len(b))), np.empty((most, len(b)))
        self._sy, self._yy = np.empty((most, most)), np.empty((most, most))
        self.count = 0

    def clear(self) -> None:
        """Forget all."""
        self.count = 0

    def rescale(self, root: np.ndarray) -> None:
        """Work in the variable root*g from here on; what was learned is taken along."""
        factor, known = root / self._root, slice(0, self.count)
        self._s[known] *= factor
        self._y[known] /= factor
        self._yy[known, known] = self._y[known] @ self._y[known].T
        self._root = root

    def add(self, step: np.ndarray, change: np.ndarray) -> None:
        """Learn from a step (m,) and how much the gradient fell, unless rounding error is all there is to learn."""
        s, y = step * self._root, change / self._root
        sy, yy = s @ y, y @ y
        if not sy > self._least * np.sqrt((s @ s) * yy) or yy < _LOST:
            return
        if self.count == self._most:
            for vectors in (self._s, self._y):
                vectors[:-1] = vectors[1:]
            for products in (self._sy, self._yy):
                products[:-1, :-1] = products[1:, 1:]
            self.count -= 1
        last = self.count
        self.count += 1
        self._s[last], self._y[last] = s, y
        older = slice(0, self.count)
        self._sy[older, last] = self._s[older] @ y  # the upper triangle: what came before times what came after
        self._yy[older, last] = self._yy[last, older] = self._y[older] @ y

    def direction(self, gradient: np.ndarray) -> np.ndarray:
        """The ascent direction (m,), in g: the compact form of L-BFGS (Byrd, Nocedal, Schnabel 1994, eq. 3.13)."""
        from scipy.linalg.lapack import dtrtrs  # 0.2 s that a mere import of otlabel does not pay

        m = self.count
        s, y, upper, yy = self._s[:m], self._y[:m], self._sy[:m, :m], self._yy[:m, :m]
        v = gradient / self._root
        gamma = upper[-1, -1] / yy[-1, -1]
        u, _ = dtrtrs(upper, s @ v)
        inner = np.diag(upper) * u + gamma * (yy @ u - y @ v)
        w, _ = dtrtrs(upper, inner, trans=1)
        return (gamma * v + w @ s - gamma * (u @ y)) / self._root


def newton_direction(
    model: Model, point: Point, kept: np.ndarray, marginal: Marginal, tuning: Tuning
) -> np.ndarray | None:
    """Newton's direction (m,), damped, of labels that are not ``kept``; None where the Hessian is not definite."""
    from scipy.linalg import cho_factor, cho_solve

    b, h, goes = marginal.target, model.hessian(point), ~kept
    if goes.all():
        # Along constant g F is flat, or bends at kinks only: this makes it curved there, and only there.
        h += np.outer(b, b)
    else:
        b, h = b[goes], h[np.ix_(goes, goes)]
    h[np.diag_indices(len(b))] += tuning.damping * b
    direction = np.zeros(len(goes))
    try:
        factor = cho_factor(h, lower=True, overwrite_a=True, check_finite=False)
        direction[goes] = cho_solve(factor, point.gradient[goes])
    except np.linalg.LinAlgError:
        return None
    return direction
