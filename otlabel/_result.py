"""What the caller gets: labels, potentials and the certificate that goes with them."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from . import backends
from ._input.libraries import HOST
from ._input.problem import Problem, as_heads, as_scores, check_finite, reached_labels
from ._system.files import atomic

if TYPE_CHECKING:
    from ._solver.outline import Solution
    from .backends import Kernels


# Saved as they are; the rest of an Assignment is saved piece by piece.
_SAVED = ("labels", "potentials", "sizes", "error", "max_relative_error", "gap", "n_sweeps")


class ConvergenceWarning(UserWarning):
    """The solve stopped before the L1 error of the column sums reached ``tol``."""


class Status(enum.Enum):
    """How a solve ended; the value is the message for the reader. Ordered from best to worst."""

    CONVERGED = "The column sums are within tol of the marginal b."
    PLATEAU = "Neither the objective nor the error improves any more: this is the limit of float64 on these scores."
    SWEEP_LIMIT = "The limit max_sweeps was reached before tol: raise max_sweeps, tol or epsilon."


class Step(NamedTuple):
    """One full sweep of a solve, as the callback sees it."""

    head: int
    sweeps: float  # so far: scores looked at, divided by n*k
    objective: float  # the semi-dual F(g), docs/algorithm.md eq. (2), in nats
    error: float  # sum_j |c_j - b_j| at this sweep's g


@dataclass(frozen=True, eq=False)
class Assignment:
    """Labels of n items, and the proof of how good they are.

    For scores of shape (h, n, k) every field has a leading axis h; a field marked "per head" is then an array of h.
    """

    labels: Any  # (n,) int64, in the caller's array library
    potentials: np.ndarray  # (k,) float64: g, mean 0 over the labels in use, -inf where b_j = 0
    sizes: np.ndarray  # (k,) int64: items per label, rows of weight 0 not counted
    error: Any  # per head: sum_j |c_j - b_j| at `potentials`
    max_relative_error: Any  # per head: max_j |c_j / b_j - 1| over the labels in use
    gap: Any  # per head: nats an item between the score of `labels` and an upper bound; nan for rounding="argmax"
    n_sweeps: Any  # per head: scores the solver looked at, divided by n*k; the certificate's included
    history: Any  # per head: (full sweeps, 3) float64, of each: sweeps so far, objective and error
    status: Status  # the worst of all heads
    backend: str
    _problem: Problem = field(repr=False)
    _kernels: list[Kernels] = field(repr=False)

    @property
    def converged(self) -> bool:
        """Whether every head reached ``tol``."""
        return self.status is Status.CONVERGED

    @property
    def epsilon(self) -> float:
        """The temperature the labels were made with."""
        return self._problem.epsilon

    def plan(self, rows: Any) -> np.ndarray:
        """Rows of the transport plan Q, docs/algorithm.md eq. (1).

        Args:
            rows: indices of r items, or one index.

        Returns:
            (r, k) float64, or (h, r, k); row i sums to a_i. Computed from the caller's scores, which are not copied:
            change them in place and the plan changes.
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
                "a loaded Assignment has no scores to compute a plan from. Call assign with init=potentials."
            )
        rows = rows.astype(np.intp)
        weights = self._problem.a[rows]  # says which index is out of range, before a device is asked
        potentials = self.potentials.reshape(len(self._kernels), -1)
        plans = []
        for kernels, g in zip(self._kernels, potentials, strict=True):
            exponent = kernels.rows(rows) + g
            plan = np.exp(exponent - exponent.max(axis=1, keepdims=True))
            plans.append(plan * (weights / plan.sum(axis=1))[:, None])
        return np.stack(plans) if self._problem.has_heads else plans[0]

    def predict(self, logits: Any) -> Any:
        """Labels of items that were not part of the solve: the argmax at the same potentials, free of capacities.

        Args:
            logits: scores of m items, shape (m, k), or (h, m, k) if the solve had h heads.

        Returns:
            (m,) int64, or (h, m), in the array library of ``logits``.
        """
        scores = as_scores(logits)
        h, _, k = self._problem.shape
        expected, where = ((h, k), f"({h}, any, {k})") if self._problem.has_heads else ((k,), f"(any, {k})")
        if scores.shape[:-2] + scores.shape[-1:] != expected:
            raise ValueError(f"logits must have the shape of the solve, {where}, got shape {scores.shape}.")
        heads = as_heads(scores)
        kind = backends.load(backends.infer(heads[0])).Kernels  # labels are the same in all
        largest, forbids = check_finite(heads, self.epsilon)
        if forbids:
            reached_labels(heads, self._problem.b)  # some label for every item; not every label needs one
        potentials = self.potentials.reshape(len(heads), -1)
        labels = [
            kind(head, 1.0 / self.epsilon, np.full(head.shape[0], 1.0 / head.shape[0]), largest).labels(g)
            for head, g in zip(heads, potentials, strict=True)
        ]
        return backends.place_of(logits).give_back(np.stack(labels) if self._problem.has_heads else labels[0])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all but the scores to an .npz file, atomically; ``load`` reads it."""
        heads = np.array(self._problem.has_heads)
        history = self.history if self._problem.has_heads else [self.history]
        arrays = {name: np.asarray(getattr(self, name)) for name in _SAVED} | {
            f"history_{head}": steps for head, steps in enumerate(history)
        }
        arrays |= {"status": np.array(self.status.name), "backend": np.array(self.backend), "has_heads": heads}
        arrays |= {"epsilon": np.array(self.epsilon), "a": self._problem.a, "b": self._problem.b}
        with atomic(path) as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """What ``save`` wrote. Labels are a NumPy array; ``plan`` needs the scores, which were not saved."""
        with np.load(path, allow_pickle=False) as file:
            try:
                stored = {name: file[name] for name in file.files}
                b, a, has_heads = stored["b"], stored["a"], bool(stored["has_heads"])
                history = [stored[f"history_{head}"] for head in range(len(b))]
                fields = {name: stored[name] if stored[name].ndim else stored[name][()] for name in _SAVED}
                status, backend = Status[str(stored["status"])], str(stored["backend"])
                epsilon = float(stored["epsilon"])
            except KeyError as missing:
                raise ValueError(f"{path} is not a saved Assignment: it has no {missing}.") from None
        shape = (len(b), len(a), b.shape[1])
        problem = Problem(
            scores=[],
            shape=shape,
            has_heads=has_heads,
            epsilon=epsilon,
            a=a,
            b=b,
            # What only a solve needs was not saved.
            largest=0.0,
            forbids=False,
            init=np.zeros_like(b),
            tol=float("nan"),
            max_sweeps=0,
            method="",
            place=HOST,
        )
        return cls(
            **fields,
            history=history if has_heads else history[0],
            status=status,
            backend=backend,
            _problem=problem,
            _kernels=[],
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

        return cls(
            labels=problem.place.give_back(join(labels)),
            potentials=join([s.g for s in solutions]),
            sizes=join(sizes),
            error=join([s.error for s in solutions]),
            max_relative_error=join([s.max_relative_error for s in solutions]),
            gap=join(gaps),
            n_sweeps=join([s.n_sweeps for s in solutions]),
            history=[s.history for s in solutions] if problem.has_heads else solutions[0].history,
            status=max((s.status for s in solutions), key=list(Status).index),
            backend=backend,
            _problem=problem,
            _kernels=kernels,
        )

    def __repr__(self) -> str:
        h, n, k = self._problem.shape
        heads = f"{h} heads, " if self._problem.has_heads else ""
        low, high = int(self.sizes.min()), int(self.sizes.max())
        gap = np.max(self.gap)
        return (
            f"Assignment({heads}{n} items, {k} labels, sizes {low if low == high else f'{low} to {high}'}, "
            f"L1 error {np.max(self.error):.1e}, {'' if np.isnan(gap) else f'gap {max(gap, 0.0):.1e} nats an item, '}"
            f"{np.max(self.n_sweeps):.1f} sweeps, {self.status.name.lower()}, {self.backend})"
        )
