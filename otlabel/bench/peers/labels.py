"""Solvers of labels that are exactly balanced and score the most."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..._system.machine import free_memory
from .. import textbook
from .task import Answer, Task

FAR, RANGE = 1e6, 30.0  # for k-means-constrained: its costs must stay below 2**31 / 1000
NEAR = 10  # labels an item that are its near ties at first
FEW, MORE = 20, 100  # iterations that give potentials: for near ties, and for a warm start, which wants better ones
LOOSE = 1e-3  # or until the L1 error is this
ROUNDING = 1e-12  # of duals, as a share of the largest cost


def assignment(task: Task) -> Callable[[], Answer]:
    """The last place of a label may stay empty if k does not divide n."""
    from scipy.optimize import linear_sum_assignment

    n, k = task.scores.shape
    places = -(-n // k)
    needed, free = 2 * 8 * (k * places) ** 2, free_memory()
    if needed > free:
        raise MemoryError(f"needs {needed / 2**30:.1f} GiB for n x n costs, {free / 2**30:.1f} GiB are free")

    def solve() -> Answer:
        square = np.zeros((k * places, k, places))
        square[:n] = task.scores[:, :, None]
        square[n:, :, :-1] = -1e30  # nobody takes the last place only
        _, columns = linear_sum_assignment(square.reshape(k * places, k * places), maximize=True)
        return Answer(labels=columns[:n] // places)

    return solve


class Places:
    """Balanced labels as transport: an item is a unit, a label has as many places as it gets items.

    If k does not divide n, a label's last place is a column of its own, and one more row fills those that stay empty.
    """

    def __init__(self, scores: np.ndarray) -> None:
        self.n, self.k = scores.shape
        floor, more = divmod(self.n, self.k)
        self.cost = scores.max() - scores.astype(np.float64)
        self.uneven = more > 0
        self.supply, self.demand = np.ones(self.n), np.full(self.k, float(floor))
        if self.uneven:
            self.supply = np.append(self.supply, self.k - more)
            self.demand = np.append(self.demand, np.ones(self.k))

    def dense(self) -> np.ndarray:
        """The costs of all pairs."""
        if not self.uneven:
            return self.cost
        last = np.repeat([self.n * self.cost.max(), 0.0], self.k)
        return np.vstack([np.hstack([self.cost, self.cost]), last])

    def sparse(self, near: np.ndarray) -> Any:
        """The costs of those pairs of items and labels that ``near``, (n, k), says."""
        from scipy.sparse import coo_matrix

        rows, columns = np.nonzero(near)
        cost = self.cost[near]
        if self.uneven:
            rows = np.concatenate([rows, rows, np.full(self.k, self.n)])
            columns = np.concatenate([columns, columns + self.k, np.arange(self.k, 2 * self.k)])
            cost = np.concatenate([cost, cost, np.zeros(self.k)])
        return coo_matrix((cost, (rows, columns)), shape=(len(self.supply), len(self.demand)))


def network_simplex(task: Task) -> Callable[[], Answer]:
    """On all pairs of items and labels."""

    def solve() -> Answer:
        places = Places(task.scores)
        plan, _ = _emd(places, places.dense())
        return Answer(labels=plan[: places.n].argmax(axis=1) % places.k)

    return solve


def warm_emd(task: Task) -> Callable[[], Answer]:
    """The same from potentials of MORE iterations of the textbook's loop, and each item's best answer to them."""

    def solve() -> Answer:
        places = Places(task.scores)
        cost = places.dense()
        v = np.resize(task.epsilon * _potentials(task, MORE), len(places.demand))
        plan, _ = _emd(places, cost, potentials_init=((cost - v).min(axis=1), v))
        return Answer(labels=plan[: places.n].argmax(axis=1) % places.k)

    return solve


def sparse_emd(task: Task) -> Callable[[], Answer]:
    """On near ties only: the best NEAR labels of each item, at potentials of FEW iterations of the textbook's loop.

    Where these allow no balanced labelling, they are doubled. Where the duals say that an item would gain by a label
    that is not among its own, its best at the duals join them, and all is solved again; so the labels are the best.
    """

    def solve() -> Answer:
        places = Places(task.scores)
        values = task.epsilon * _potentials(task, FEW) - places.cost
        count = min(NEAR, places.k)
        near = _largest(values, count)
        while True:
            plan, log = _emd(places, places.sparse(near))
            if log["warning"] is not None:
                count = min(2 * count, places.k)
                near |= _largest(values, count)
                continue
            v = log["v"].reshape(-1, places.k).max(axis=0)
            gains = np.where(near, -np.inf, v - places.cost + log["u"][: places.n, None])
            better = gains.max(axis=1) > ROUNDING * places.cost.max()
            if not better.any():
                return Answer(labels=_labels(plan, places))
            near[better] |= _largest(gains[better], count)

    return solve


def k_means_constrained(task: Task) -> Callable[[], Answer]:
    """Centres are far out on the axes of the scores, at FAR * e_j: the distance to them, which it minimises, is
    FAR - score + a constant an item, up to RANGE**2 / (2 * FAR).

    It rounds distances to multiples of 0.001; the scores are stretched over RANGE, where what is left out is less.
    """
    from k_means_constrained import KMeansConstrained

    n, k = task.scores.shape

    def solve() -> Answer:
        points = task.scores.astype(np.float64)
        points = (points - points.min()) * (RANGE / max(float(np.ptp(points)), 1e-300))
        means = KMeansConstrained(k)
        means.cluster_centers_ = FAR * np.eye(k)
        return Answer(labels=means.predict(points, size_min=n // k, size_max=-(-n // k)).astype(np.int64))

    return solve


def _emd(places: Places, cost: Any, **start: Any) -> tuple[Any, dict[str, Any]]:
    """POT's plan and what it says of it."""
    import ot

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ot.emd(places.supply, places.demand, cost, numItermax=10**9, log=True, **start)


def _labels(plan: Any, places: Places) -> np.ndarray:
    """(n,) of a sparse plan."""
    taken = (plan.data > 0.5) & (plan.row < places.n)
    labels = np.empty(places.n, dtype=np.int64)
    labels[plan.row[taken]] = plan.col[taken] % places.k
    return labels


def _potentials(task: Task, iterations: int) -> np.ndarray:
    """(k,) in nats, of the textbook's loop; zeros where it underflows."""
    with np.errstate(all="ignore"):
        g, _ = textbook.potentials(task.scores, task.epsilon, tol=LOOSE, max_iterations=iterations, limit=task.cap)
    return g if np.isfinite(g).all() else np.zeros_like(g)


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """(n, k) bool: the ``count`` largest of each row."""
    chosen = np.zeros(values.shape, dtype=bool)
    columns = np.argpartition(values, values.shape[1] - count, axis=1)[:, values.shape[1] - count :]
    np.put_along_axis(chosen, columns, True, axis=1)
    return chosen
