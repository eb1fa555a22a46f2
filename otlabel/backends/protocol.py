"""What a backend provides: the answers of one pass over the scores, and what else rounding asks for.

``Kernels`` is the protocol of a backend, ``Survey`` of what its main answer is. tests/backends/test_kernels.py holds
any backend to what is said here.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from .._arrays.score_source import ScoreSource

TINY = 1e-13  # a column sum below this is computed again, in the log domain


class Sweep(NamedTuple):
    """What one pass over the scores returns at g."""

    logsumexp: float  # sum_i a_i logsumexp_j(S_ij/epsilon + g_j)
    c: np.ndarray  # (k,) float64: column sums of the plan
    log_c: np.ndarray  # (k,) float64: their logarithms, finite for every label in use even where c underflows


class Shortlist(NamedTuple):
    """The labels of each row within a width of its best, in compressed rows."""

    best: np.ndarray  # (n,) float64: max_j(S_ij/epsilon + g_j)
    indptr: np.ndarray  # (n+1,) int64: row i has entries indptr[i]:indptr[i+1]
    label: np.ndarray  # (entries,) int32, ascending within a row
    value: np.ndarray  # (entries,) float64: S_ij/epsilon, without g


ENTRY = 12  # bytes of a listed entry: label and value


class Survey(Protocol):
    """A sweep at g that also listed, for each row, the labels within a width of its best."""

    swept: Sweep
    cost: float  # scores looked at, divided by n*k
    rough: bool  # whether entries that matter are summed in float32: good to 1e-4 or so
    narrows: bool  # whether ``narrowed`` is worth its while: not where an evaluation costs the same on fewer entries
    squares: np.ndarray | None  # (k,) sum_i a_i p_ij^2 of what is listed, where it was: p_i as in ``hessian``; if known

    @property
    def listing(self) -> float:
        """Scores still to be looked at before there are lists, divided by n*k."""

    @property
    def density(self) -> float:
        """Entries listed, divided by n*k."""

    @property
    def pairs(self) -> float:
        """Pairs of entries listed in the same row, divided by entries: what a Hessian costs beside a sweep.

        Infinite where there is none.
        """

    def sweep(self, g: np.ndarray) -> tuple[float, np.ndarray]:
        """logsumexp and c at a g near by, as if the plan had no other entries than those listed."""

    def narrowed(self, g: np.ndarray, width: float) -> Survey:
        """The same survey, with those entries only that lie within ``width`` nats of their row's best listed at g."""

    def hessian(self, g: np.ndarray) -> np.ndarray:
        """(k, k): sum_i a_i p_i p_i^T of the same plan, p_i its row i divided by a_i; lower triangle."""


class Counted(NamedTuple):
    """Which labels the rows would choose at g, and at potentials near by: tables that add up over rows."""

    best: float  # sum_i a_i max_j(S_ij/epsilon + g_j)
    wins: np.ndarray  # (k,) weight of the rows whose best is label j
    edges: np.ndarray  # (e,) distances in nats, ascending
    near: np.ndarray  # (e, k) weight of the rows in which label j is less than an edge below the best
    leads: np.ndarray  # (e, k) weight of the rows whose best is j, and the next less than an edge below


class Dense(Protocol):
    """Quick sweeps over all scores, in float32 and without lists. It may remember the rows' logsumexp of the last time.

    A backend need not have it: then every step goes by lists.
    """

    is_wide: bool  # whether the scores are float64

    def error(self, g: np.ndarray) -> float:
        """A bound on the error of its exponents at g, in nats."""

    def rounded(self, g: np.ndarray) -> np.ndarray:
        """The potentials that a sweep at g really works with."""

    def sweep(self, g: np.ndarray, every: int = 1) -> tuple[float, np.ndarray, np.ndarray]:
        """logsumexp, c (k,) and sum_i a_i p_ij^2 (k,) at ``rounded(g)`` as float32 has them; p_i as in ``hessian``.

        The same bits for any number of threads.

        every: one row of so many, or about, is looked at; their weights sum to 1.
        """

    def count(self, g: np.ndarray, reach: float, every: int = 1) -> Counted:
        """What a quantile step (docs/algorithm.md eq. 3b) of up to ``reach`` nats wants to know; ``every`` as there."""

    def precise(self, g: np.ndarray) -> tuple[Sweep, float]:
        """A sweep in float64 at g, quick where the last ``sweep`` was near it; and what it cost, in sweeps."""

    def climb(self, g: np.ndarray, target: np.ndarray, goal: float, limit: int, tuning: Any) -> tuple[np.ndarray, int]:
        """A climb from g to an error of ``goal`` as one call, all labels in use; where it led, and its sweeps.

        limit: sweeps at most. tuning: ``otlabel._solver.tuning.Tuning``.
        """


class Kernels(Protocol):
    """Kernels bound to one matrix of scores. g is (k,) float64; g_j = -inf takes label j out of use."""

    in_host_memory: bool  # whether lists are made there
    blur: float  # nats: float64's own rounding of the largest S_ij/epsilon

    def __init__(self, source: ScoreSource, scale: float, a: np.ndarray, largest: float):
        """Bind the kernels; nothing is computed yet.

        Args:
            source: the scores (n, k), always as a ``ScoreSource``: an array in memory is ``source.array``, where
                ``source.in_memory``; of anything else rows are asked for. Its place is one that the backend reads:
                host memory, or an array of its own library.
            scale: 1/epsilon.
            a: (n,) float64 row weights, which sum to 1 over all processes.
            largest: no score but -inf is larger than this in size.
        """

    def rescaled(self, factor: float) -> Kernels:
        """Kernels of the same scores at epsilon/factor."""

    def seekable(self) -> Kernels:
        """Kernels of the same scores that are quick to give single rows."""

    def survey(self, g: np.ndarray, width: float, precise: bool) -> Survey:
        """One pass over the scores, bit-identical from run to run; lists what lies within ``width`` nats.

        precise: what is listed is summed in float64; a backend that does so anyway may disregard it.
        """

    def dense(self) -> Dense | None:
        """Dense sweeps over the same scores, for one solve; None where they are not to be had. May be missing.

        Kernels that have them have a ``source`` and ``a`` too, and ``holding(scores, a)``, kernels of other scores.
        """

    def labels(self, g: np.ndarray) -> np.ndarray:
        """(n,) int64: the first j with the largest S_ij/epsilon + g_j."""

    def shortlist(self, g: np.ndarray, width: float) -> Shortlist:
        """The labels in use with S_ij/epsilon + g_j >= max_j - width (nats)."""

    def regrets(self, items: list[np.ndarray], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cheapest moves to each label: of each array of items and its label u, which they have.

        Returns:
            (m, k) float64: the least (S_iu - S_ij)/epsilon over the items, inf without any; (m, k) int64: whose it is.
        """

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """(r, k) float64: S_ij/epsilon of the given rows."""
