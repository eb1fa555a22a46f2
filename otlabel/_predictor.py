"""What a solve has learned, small and by itself: it labels any items from their scores."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from . import backends
from ._input.libraries import NUMPY
from ._input.problem import as_heads, as_scores, check_finite, reached_labels
from ._input.score_source import ScoreSource
from ._system.files import atomic
from ._system.threads import threaded

_BLOCK = 1 << 20  # entries of the plan that are made at a time where rows are not to be kept


@dataclass(frozen=True, eq=False)
class Predictor:
    """Potentials, temperature and shares: a softmax of scores, shifted by what balances the labels.

    Capacities bind the items of the solve only: here a label may get any number of items, and an item's label does not
    depend on the others. Scores may be of any library and kind that ``otlabel.assign`` takes; what is returned is where
    they are. For h heads every array has a leading axis h.

    Raises:
        ValueError: potentials and shares that are not those of one solve.
    """

    potentials: np.ndarray  # (k,) float64: g, -inf for labels not in use
    epsilon: float  # temperature in units of the scores
    shares: np.ndarray  # (k,) float64: b

    def __post_init__(self) -> None:
        g, b = np.array(self.potentials, dtype=np.float64), np.array(self.shares, dtype=np.float64)
        if g.ndim not in (1, 2) or g.shape != b.shape:
            raise ValueError(
                f"potentials and shares must have one shape, (k,) or (h, k), got {g.shape} and {b.shape}. "
                "Pass those of one Assignment."
            )
        if not 0 < self.epsilon < np.inf:
            raise ValueError(f"epsilon must be a positive number, got {self.epsilon!r}. Pass that of the solve.")
        if np.isnan(g).any() or np.isposinf(g).any() or np.isneginf(g).all(axis=-1).any():
            raise ValueError(
                "potentials must be finite, or -inf for labels that are not in use, which some must be, got "
                f"{g[~np.isfinite(g)][0]}. Pass those of an Assignment."
            )
        for name, value in (("potentials", g), ("epsilon", float(self.epsilon)), ("shares", b)):
            object.__setattr__(self, name, value)

    def predict(self, logits: Any) -> Any:
        """The label of each item: the first j with the largest S_ij/epsilon + g_j.

        Args:
            logits: (m, k) scores, larger is better; -inf forbids.

        Returns:
            (m,) int64, in the library of the scores.

        Raises:
            ValueError: scores of another shape, or NaN, +inf or an item that may have no label among them.
        """
        heads, largest = self._checked(logits)
        labels = [self._labels(*head, largest) for head in zip(heads, self._by_head, strict=True)]
        return backends.place_of(logits).give_back(self._joined(labels))

    def plan(self, logits: Any) -> Any:
        """Rows of the plan, each summing to 1: docs/algorithm.md eq. (1) without the row's weight.

        Args:
            logits: as for ``predict``.

        Returns:
            (m, k) float64, in the library of the scores.
        """
        heads, _ = self._checked(logits)
        library = heads[0].place.library
        plans = [
            library.softmax(scores[: scores.shape[0]], 1.0 / self.epsilon, g)
            for scores, g in zip(heads, self._by_head, strict=True)
        ]
        whole = library.stack(plans) if self._has_heads else plans[0]
        return backends.place_of(logits).give_back(whole) if library is NUMPY else whole

    def confidence(self, logits: Any, labels: Any = None) -> Any:
        """How sure labels are: what each row of the plan gives to its label, between 0 and 1.

        Args:
            logits: as for ``predict``.
            labels: (m,) integers below k; by default those that ``predict`` gives.

        Returns:
            (m,) float64, in the library of the scores. The plan is made a block of rows at a time.

        Raises:
            ValueError: labels of another shape, or out of range.
        """
        heads, largest = self._checked(logits)
        given = [None] * len(heads) if labels is None else self._given(labels, heads)
        sure = []
        for scores, g, own in zip(heads, self._by_head, given, strict=True):
            sure.append(self._sure(scores, g, self._labels(scores, g, largest) if own is None else own))
        return backends.place_of(logits).give_back(self._joined(sure))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to an .npz file, atomically; ``load`` reads it."""
        with atomic(path) as file:
            np.savez(file, potentials=self.potentials, epsilon=np.array(self.epsilon), b=self.shares)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """What ``save`` wrote, or ``Assignment.save``.

        Raises:
            ValueError: the file holds something else.
        """
        with np.load(path, allow_pickle=False) as file:
            try:
                return cls(file["potentials"], float(file["epsilon"]), file["b"])
            except KeyError as missing:
                raise ValueError(
                    f"{path} must be what Predictor.save or Assignment.save wrote, but {missing}. Save it anew."
                ) from None

    @property
    def _has_heads(self) -> bool:
        return self.potentials.ndim == 2

    @property
    def _by_head(self) -> np.ndarray:
        return np.atleast_2d(self.potentials)

    def _joined(self, heads: list[np.ndarray]) -> np.ndarray:
        return np.stack(heads) if self._has_heads else heads[0]

    def _checked(self, logits: Any) -> tuple[list[ScoreSource], float]:
        """The scores of each head, and the largest of them."""
        scores = as_scores(logits)
        shape, k = tuple(scores.shape), self.potentials.shape[-1]
        where = f"({len(self.potentials)}, any, {k})" if self._has_heads else f"(any, {k})"
        if shape[:-2] + shape[-1:] != self.potentials.shape:
            raise ValueError(f"logits must have the shape of the solve, {where}, got shape {shape}.")
        heads = as_heads(scores)
        largest, forbids = check_finite(heads, self.epsilon)
        if forbids:
            reached_labels(heads, np.atleast_2d(self.shares))  # some label for every item; not every label needs one
        return heads, largest

    def _labels(self, scores: ScoreSource, g: np.ndarray, largest: float) -> np.ndarray:
        """(m,) int64 of one head."""
        m = scores.shape[0]
        kernels = backends.load(backends.infer(scores)).Kernels  # labels are the same in all that can read them
        return kernels(scores, 1.0 / self.epsilon, np.full(m, 1.0 / m), largest).labels(g)

    def _sure(self, scores: ScoreSource, g: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(m,) float64 of one head."""
        library, (m, k) = scores.place.library, scores.shape
        step = max(1, _BLOCK // k)

        def block(start: int) -> np.ndarray:
            rows = slice(start, min(start + step, m))
            return library.pick(library.softmax(scores[rows], 1.0 / self.epsilon, g), labels[rows])

        starts = range(0, m, step)
        # Another thread would not know the caller's stream.
        return np.concatenate(threaded(block, starts) if library is NUMPY else list(map(block, starts)))

    def _given(self, labels: Any, heads: list[ScoreSource]) -> list[np.ndarray]:
        """Labels of the caller's (m,) int64 for each head."""
        array = backends.library_of(labels).to_numpy(labels, "labels")
        k, expected = self.potentials.shape[-1], (*self.potentials.shape[:-1], heads[0].shape[0])
        if array.shape != expected or array.dtype.kind not in "iu":
            raise ValueError(f"labels must be integers of shape {expected}, got {array.dtype} {array.shape}.")
        if array.size and not 0 <= array.min() <= array.max() < k:
            raise ValueError(f"labels must be from 0 to {k - 1}, got {array.min()} to {array.max()}.")
        return list(np.atleast_2d(array).astype(np.int64))
