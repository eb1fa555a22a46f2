"""What the caller gets: labels, potentials and the certificate that goes with them."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from . import _showing, backends
from ._arrays.libraries import NUMPY
from ._input.problem import Problem
from ._predictor import Predictor, predictor_in
from ._solver.outcome import Solution, Status
from ._system.files import atomic
from .backends import Kernels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Saved as they are; the rest of an Assignment is saved piece by piece.
_SAVED = ("labels", "sizes", "error", "max_relative_error", "gap", "n_sweeps", "engine")


@dataclass(frozen=True, eq=False)
class Assignment:
    """Labels of n items, and the proof of how good they are.

    For scores of shape (h, n, k) every field has a leading axis h; a field marked "per head" is then an array of h.
    Pickled or deep-copied, it leaves the scores behind: all but ``plan`` works on.
    """

    labels: Any  # (n,) int64, in the caller's array library; -1 for items that coverage left without one
    predictor: Predictor  # what was learned: labels any items
    sizes: np.ndarray  # (k,) int64: items per label, rows of weight 0 not counted
    error: Any  # per head: sum_j |c_j - b_j| at `potentials`; with known labels, what the others add to it
    max_relative_error: Any  # per head: max_j |c_j / b_j - 1| over the labels in use
    gap: Any  # per head: nats an item between the score of `labels` and an upper bound; nan for rounding="argmax"
    n_sweeps: Any  # per head: scores the solver looked at, divided by n*k; the certificate's included
    history: Any  # per head: (full sweeps, 3) float64, of each: sweeps so far, objective and error
    status: Status  # the worst of all heads
    backend: str
    engine: Any  # per head, what the solve went by: "dense" sweeps, "lists" or "sinkhorn" (docs/algorithm.md section 3)
    row_weights: np.ndarray = field(repr=False)  # (n,) float64: a; (1,) where all rows weigh the same
    _kernels: list[Kernels] = field(repr=False)  # of each head, with the scores; none where those are not at hand
    _known: np.ndarray | None = field(repr=False)  # (n,) int64: labels that were known, -1 for others

    @property
    def converged(self) -> bool:
        """Whether every head reached ``tol``."""
        return self.status is Status.CONVERGED

    @property
    def potentials(self) -> np.ndarray:
        """(k,) float64: g, -inf for labels out of use.

        Of mean 0 over the labels in use; with bounds 0 where none holds a label, with coverage 0 is that of no label.
        """
        return self.predictor.potentials

    @property
    def epsilon(self) -> float:
        """The temperature the labels were made with."""
        return self.predictor.epsilon

    def plan(self, rows: Any) -> np.ndarray:
        """Rows of the transport plan Q, docs/algorithm.md eq. (1).

        Args:
            rows: indices of r items, or one index.

        Returns:
            (r, k) float64, or (h, r, k); row i sums to a_i, with coverage to no more than that. Computed from the
            caller's scores, which are not copied: change them in place and the plan changes.

        Raises:
            ValueError: more than one axis of indices, or no scores: they are neither saved nor pickled.
            TypeError: no integers.
            IndexError: out of range.
        """
        rows = np.atleast_1d(np.asarray(rows))
        if rows.ndim != 1:
            raise ValueError(f"rows must be one index or a list of indices, got shape {rows.shape}. Pass rows.ravel().")
        if rows.size and rows.dtype.kind not in "iu":
            raise TypeError(
                f"rows must be integer indices, got dtype {rows.dtype}. For a mask pass np.flatnonzero(mask)."
            )
        if not self._kernels:
            raise ValueError(
                "a loaded, unpickled or deep-copied Assignment has no scores to compute a plan from. Pass them to "
                "predictor.plan, whose rows sum to 1, or call assign with init=potentials."
            )
        rows = rows.astype(np.intp)
        # Says which index is out of range, before a device is asked.
        weights = np.broadcast_to(self.row_weights, self.labels.shape[-1:])[rows]
        potentials = np.atleast_2d(self.potentials)
        plans = []
        for kernels, g in zip(self._kernels, potentials, strict=True):
            scores = kernels.rows(rows)
            with_none = np.pad(g, (0, scores.shape[1] - len(g)))  # with coverage there is a column more
            plans.append(NUMPY.softmax(scores, 1.0, with_none)[:, : len(g)])
            if self._known is not None:
                sure = np.flatnonzero(self._known[rows] >= 0)
                plans[-1][sure] = np.eye(len(g))[self._known[rows[sure]]]
            plans[-1] *= weights[:, None]
        return np.stack(plans) if self.potentials.ndim == 2 else plans[0]

    def predict(self, logits: Any) -> Any:
        """Labels of items that were not part of the solve: the argmax at the same potentials, free of capacities.

        Args:
            logits: scores of m items, shape (m, k), or (h, m, k) if the solve had h heads.

        Returns:
            (m,) int64, or (h, m), in the array library of ``logits``.

        Raises:
            ValueError: as ``Predictor.predict``.
        """
        return self.predictor.predict(logits)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all but the scores to an .npz file, atomically; ``load`` and ``Predictor.load`` read it.

        Raises:
            OSError: the file cannot be written; what was there before still is.
        """
        has_heads = self.potentials.ndim == 2
        arrays: dict[str, Any] = {name: np.asarray(getattr(self, name)) for name in _SAVED if name != "labels"}
        arrays["labels"] = backends.library_of(self.labels).to_numpy(self.labels, "labels")
        arrays |= {f"history_{head}": steps for head, steps in enumerate(self.history if has_heads else [self.history])}
        arrays |= {"status": np.array(self.status.name), "backend": np.array(self.backend), "a": self.row_weights}
        learned = self.predictor
        arrays |= {"potentials": learned.potentials, "epsilon": np.array(learned.epsilon), "b": learned.shares}
        with atomic(path) as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """What ``save`` wrote. Labels are a NumPy array; ``plan`` needs the scores, which were not saved.

        Raises:
            ValueError: the file holds something else.
            OSError: it cannot be opened.
        """
        predictor, stored = predictor_in(path, "Assignment.save")
        before = np.full(predictor.potentials.shape[:-1], "lists")  # files of before there was a choice of engines
        stored = {"engine": before} | stored
        try:
            fields = {name: stored[name] if stored[name].ndim else stored[name][()] for name in _SAVED}
            history = [stored[f"history_{head}"] for head in range(len(np.atleast_2d(predictor.potentials)))]
            status, backend, weights = Status[str(stored["status"])], str(stored["backend"]), stored["a"]
        except KeyError as missing:
            raise ValueError(
                f"{path} must be what Assignment.save wrote, but it has no {missing}. Save it anew."
            ) from None
        return cls(
            **fields,
            predictor=predictor,
            history=history if predictor.potentials.ndim == 2 else history[0],
            status=status,
            backend=backend,
            row_weights=weights,
            _kernels=[],
            _known=None,
        )

    @classmethod
    def from_heads(
        cls,
        problem: Problem,
        kernels: list[Kernels],
        solutions: list[Solution],
        labels: list[np.ndarray],
        sizes: list[np.ndarray],
        gaps: list[float],
        backend: str,
    ) -> Self:
        """Put the heads of one problem together."""

        def join(values: list[Any]) -> Any:
            return np.stack(values) if problem.has_heads else values[0]

        k, known, free = len(problem.held.items), problem.known, 1 - problem.held.weights.sum()
        potentials, shares = [s.g for s in solutions], list(problem.b)
        for found, rows in zip(labels, problem.lost, strict=True):
            found[rows] = -1
        if problem.coverage is not None:
            labels = [np.where(found == k, -1, found) for found in labels]
            # Bounds may leave no place for items without a label: then that is out of use.
            potentials = [g[:k] - (g[k] if np.isfinite(g[k]) else 0.0) for g in potentials]
            shares = [b[:k] / b[:k].sum() for b in shares]
        if known is not None:
            labels = [np.where(known >= 0, known, found) for found in labels]
        return cls(
            labels=problem.place.give_back(join(labels)),
            predictor=Predictor(join(potentials), problem.epsilon, join(shares)),
            sizes=join([found[:k] + problem.held.items for found in sizes]),
            error=join([free * s.error for s in solutions]),
            max_relative_error=join([s.max_relative_error for s in solutions]),
            gap=join(gaps),
            n_sweeps=join([s.n_sweeps for s in solutions]),
            history=[s.history for s in solutions] if problem.has_heads else solutions[0].history,
            status=max((s.status for s in solutions), key=list(Status).index),
            backend=backend,
            engine=join([s.engine.name.lower() for s in solutions]),
            row_weights=problem.a if np.ptp(problem.a) else problem.a[:1].copy(),
            _kernels=kernels,
            _known=known,
        )

    def plot(self, head: int = 0) -> Figure:
        """A matplotlib figure: items of each label beside their shares, and the L1 error against the sweeps.

        Args:
            head: which, of scores (h, n, k).

        Raises:
            ImportError: matplotlib is not installed.
            IndexError: there is no such head.
        """
        sizes, shares = np.atleast_2d(self.sizes)[head], self.predictor.shares
        if shares is not None:
            shares = np.atleast_2d(shares)[head] * sizes.sum()
            if self.row_weights.size == 1 and np.abs(sizes - shares).max() > 1:
                shares = None  # between bounds, or known: no label is to have just its share
        history = (self.history if self.potentials.ndim == 2 else [self.history])[head]
        figure, (left, right) = _showing.axes(2)
        _showing.draw_sizes(left, sizes, shares)
        _showing.draw_line(right, history[:, 0], history[:, 2], "sweeps", "L1 error", log=True)
        return figure

    def _repr_html_(self) -> str:
        *heads, n = self.labels.shape
        low, high, gap = int(self.sizes.min()), int(self.sizes.max()), float(np.max(self.gap))
        rows = [
            ("items", f"{n:,}" + (f" in {heads[0]} heads" if heads else "")),
            ("labels", f"{self.sizes.shape[-1]:,}"),
            ("sizes", f"{low:,}" if low == high else f"{low:,} to {high:,}"),
            ("L1 error of the plan", f"{np.max(self.error):.1e}"),
            ("gap", "not known" if np.isnan(gap) else f"{max(gap, 0.0):.1e} nats an item"),
            ("sweeps", f"{np.max(self.n_sweeps):.1f}"),
            ("status", f"{self.status.name.lower()}, {self.backend}"),
        ]
        return _showing.table("Assignment", rows, np.atleast_2d(self.sizes)[0])

    def __copy__(self) -> Self:
        return dataclasses.replace(self)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kernels": []}

    def __repr__(self) -> str:
        *heads, n = self.labels.shape
        low, high = int(self.sizes.min()), int(self.sizes.max())
        gap, engines = np.max(self.gap), " and ".join(sorted(set(np.atleast_1d(self.engine))))
        return (
            f"Assignment({f'{heads[0]} heads, ' if heads else ''}{n} items, {self.sizes.shape[-1]} labels, "
            f"sizes {low if low == high else f'{low} to {high}'}, "
            f"L1 error {np.max(self.error):.1e}, {'' if np.isnan(gap) else f'gap {max(gap, 0.0):.1e} nats an item, '}"
            f"{np.max(self.n_sweeps):.1f} sweeps, {self.status.name.lower()}, {self.backend}, {engines})"
        )
