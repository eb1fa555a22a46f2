"""All looks of one solve at the scores go through here, and are counted: ``n_sweeps`` is that count.

So does the choice of the labels in use: outside, vectors hold those m labels only; the kernels know all k.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..backends import Counted, Dense, Kernels, Survey, Sweep
from .tuning import Tuning

_FEW = 16  # rows that say how far apart scores are


@dataclass
class Budget:
    """Scores looked at, divided by n*k, and how many may be."""

    limit: float  # max_sweeps
    spent: float = 0.0

    def spend(self, cost: float) -> None:
        """Count a cost in sweeps."""
        self.spent += cost

    @property
    def left(self) -> float:
        """What may still be spent."""
        return self.limit - self.spent

    def allows(self, cost: float) -> bool:
        """Whether so much is left."""
        return self.spent + cost <= self.limit


class Scores:
    """The scores of a solve.

    Args:
        kernels: of the scores.
        shape: n, k.
        active: (k,) bool, the labels in use.
        budget: to be spent.
    """

    def __init__(self, kernels: Kernels, shape: tuple[int, int], active: np.ndarray, budget: Budget, tuning: Tuning):
        n, k = shape
        self.active, self.budget, self.blur = active, budget, kernels.blur
        self.rows, self.size = n, n * k
        self.compiled = tuning.compiled
        self._kernels = kernels
        self._sampled = tuning.sample_of(n)
        self.sample_cost = len(self._sampled) / n

    def rows_apart(self, items: int) -> int:
        """One row of so many makes a sample of about ``items`` rows a label."""
        return max(1, int(self.rows / (len(self.active) * items)))

    def survey(self, g: np.ndarray, width: float, precise: bool) -> tuple[Sweep, bool, Lists]:
        """What a sweep finds at g (m,), whether float32 had a part in it that matters, and the lists."""
        survey = self._kernels.survey(self._all(g), width, precise)
        self.budget.spend(survey.cost)
        logsumexp, c, log_c = survey.swept
        return Sweep(logsumexp, c[self.active], log_c[self.active]), survey.rough, Lists(survey, self)

    def sample(self) -> np.ndarray:
        """(r, m): S/epsilon of some rows."""
        self.budget.spend(self.sample_cost)
        return self._kernels.rows(self._sampled)[:, self.active]

    def depth(self, g: np.ndarray) -> float:
        """Nats between the best and the worst of some few rows at g (m,)."""
        few = self._sampled[:: -(-len(self._sampled) // _FEW)]
        self.budget.spend(len(few) * self.sample_cost / len(self._sampled))
        x = self._kernels.rows(few)[:, self.active] + g
        return float(np.ptp(np.where(np.isneginf(x), x.max(axis=1, keepdims=True), x), axis=1).max())

    def dense(self) -> DenseScores | None:
        """Dense sweeps over them; None where the backend has none."""
        make = getattr(self._kernels, "dense", None)  # backends of others need not know of it
        dense = None if make is None else make()
        return None if dense is None else DenseScores(dense, self)

    def _all(self, g: np.ndarray) -> np.ndarray:
        """Potentials (k,) of all labels, from those in use."""
        full = np.full(len(self.active), -np.inf)
        full[self.active] = g
        return full


class DenseScores:
    """``otlabel.backends.Dense`` for the labels in use, counted: each look is a sweep."""

    def __init__(self, dense: Dense, scores: Scores):
        self._dense, self._scores = dense, scores
        self.is_wide = dense.is_wide
        self.is_small = scores.size <= scores.compiled and bool(scores.active.all())

    def error(self, g: np.ndarray) -> float:
        """A bound on the error of its exponents, in nats."""
        return self._dense.error(self._scores._all(g))

    def rounded(self, g: np.ndarray) -> np.ndarray:
        """The potentials (m,) that a sweep at g works with."""
        return self._dense.rounded(self._scores._all(g))[self._scores.active]

    def sweep(self, g: np.ndarray, every: int = 1) -> tuple[float, np.ndarray, np.ndarray]:
        """logsumexp, c (m,) and the sums of squares (m,), in float32; from one row of ``every`` so many."""
        self._scores.budget.spend(1.0 / every)
        logsumexp, c, squares = self._dense.sweep(self._scores._all(g), every)
        return logsumexp, c[self._scores.active], squares[self._scores.active]

    def count(self, g: np.ndarray, reach: float, every: int = 1) -> Counted:
        """What a quantile step wants to know, of the labels in use; from one row of ``every`` so many."""
        self._scores.budget.spend(1.0 / every)
        active = self._scores.active
        best, wins, edges, near, leads = self._dense.count(self._scores._all(g), reach, every)
        return Counted(best, wins[active], edges, near[:, active], leads[:, active])

    def precise(self, g: np.ndarray) -> Sweep:
        """A sweep in float64."""
        (logsumexp, c, log_c), cost = self._dense.precise(self._scores._all(g))
        self._scores.budget.spend(cost)
        return Sweep(logsumexp, c[self._scores.active], log_c[self._scores.active])

    def climb(self, g: np.ndarray, target: np.ndarray, goal: float, limit: int, tuning: Tuning) -> np.ndarray:
        """A whole climb as one call, all labels in use."""
        end, sweeps = self._dense.climb(g, target, goal, limit, tuning)
        self._scores.budget.spend(sweeps)
        return end


class Lists:
    """What a survey listed: ``otlabel.backends.Survey`` for the labels in use, counted."""

    def __init__(self, survey: Survey, scores: Scores):
        self._survey, self._scores = survey, scores

    @property
    def squares(self) -> np.ndarray | None:
        """(m,) of what is listed, where it was; None where the backend does not know."""
        squares = self._survey.squares
        return None if squares is None else squares[self._scores.active]

    @property
    def cost_to_list(self) -> float:
        """Sweeps that it still takes until there are lists."""
        return self._survey.listing

    @property
    def density(self) -> float:
        """Sweeps that an evaluation takes: the listed share of the entries."""
        return self._survey.density

    @property
    def narrows(self) -> bool:
        """Whether shorter lists are quicker."""
        return self._survey.narrows

    @property
    def pairs(self) -> float:
        """Pairs of entries listed in a row, divided by entries; infinite where there is no Hessian."""
        return self._survey.pairs

    def affords(self, evaluations: int, spare: float = 0.0) -> bool:
        """Whether the budget has so many, and what it takes to certify where they lead: a sweep and a sample.

        Args:
            spare: sweeps to leave beside those.
        """
        certifying = 1 + self._scores.sample_cost + spare
        return self._scores.budget.allows(certifying + evaluations * self.density)

    def pay(self) -> None:
        """Count what it takes until there are lists."""
        self._scores.budget.spend(self.cost_to_list)

    def sweep(self, g: np.ndarray) -> tuple[float, np.ndarray]:
        """logsumexp and c (m,) of the listed entries at g (m,)."""
        self._scores.budget.spend(self.density)
        logsumexp, c = self._survey.sweep(self._scores._all(g))
        return logsumexp, c[self._scores.active]

    def hessian(self, g: np.ndarray) -> np.ndarray:
        """(m, m): sum_i a_i p_i p_i^T of the listed entries; lower triangle."""
        self._scores.budget.spend(self.density)
        active = self._scores.active
        h = self._survey.hessian(self._scores._all(g))
        return h if active.all() else h[np.ix_(active, active)]

    def narrowed(self, g: np.ndarray, width: float) -> Lists:
        """Of these entries those within ``width`` nats of their row's best at g (m,)."""
        self._scores.budget.spend(self.density)
        return Lists(self._survey.narrowed(self._scores._all(g), width), self._scores)
