"""What a solve has learned, small and by itself: it labels any items from their scores."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import backends
from ._arrays.libraries import NUMPY
from ._arrays.score_source import ScoreSource
from ._input.finite import check_finite
from ._input.problem import as_heads, as_scores
from ._input.reach import reach_of
from ._system.files import atomic
from ._system.threads import threaded

_BLOCK = 1 << 20  # entries of the plan that are made at a time where rows are not to be kept


@dataclass(frozen=True, eq=False)
class Predictor:
    """Potentials, temperature and shares: a softmax of scores, shifted by what balances the labels.

    Capacities bind the items of the solve only: here a label may get any number of items, and an item's label does not
    depend on the others. Scores may be of any library and kind that ``otlabel.assign`` takes; what is returned is where
    they are. For h heads every array has a leading axis h.

    The arrays are copied, and cannot be written to.

    Raises:
        ValueError: potentials, epsilon or shares that are not those of one solve.
    """

    potentials: np.ndarray  # (k,) float64: g, -inf for labels not in use
    epsilon: float  # temperature in units of the scores
    shares: np.ndarray | None = None  # (k,) float64: b, 0 for labels not in use; None: equal ones of those in use

    def __post_init__(self) -> None:
        g = np.array(self.potentials, dtype=np.float64)
        used = np.isfinite(g)
        if g.ndim not in (1, 2) or not (used | np.isneginf(g)).all() or not used.any(axis=-1).all():
            wrong = f"shape {g.shape}" if g.ndim not in (1, 2) or used.all() else g[~used][0]
            raise ValueError(
                "potentials (k,) or (h, k) must be finite, or -inf for labels that are not in use, which some must be, "
                f"got {wrong}. Pass those of an Assignment."
            )
        equal = used / used.sum(axis=-1, keepdims=True)
        b = equal if self.shares is None else np.array(self.shares, dtype=np.float64)
        if b.shape != g.shape or not (np.isfinite(b) & (b >= 0)).all() or ((b > 0) != used).any():
            raise ValueError(
                f"shares must be of the shape of the potentials, {g.shape}, and positive where those are finite, 0 "
                f"where they are -inf, got {b.shape} from {b.min():g} to {b.max():g}. Pass those of the same solve."
            )
        epsilon = float("nan") if isinstance(self.epsilon, str) else float(self.epsilon)
        if not 0 < epsilon < np.inf:
            raise ValueError(f"epsilon must be a positive number, got {self.epsilon!r}. Pass that of the solve.")
        for name, value in (("potentials", g), ("epsilon", epsilon), ("shares", b)):
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
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

        Raises:
            ValueError: as ``predict``.
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
        """Write it to an .npz file, atomically; ``load`` reads it.

        Raises:
            OSError: the file cannot be written; what was there before still is.
        """
        with atomic(path) as file:
            np.savez(file, potentials=self.potentials, epsilon=np.array(self.epsilon), b=np.asarray(self.shares))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Predictor:
        """What ``save`` wrote, or ``Assignment.save``.

        Raises:
            ValueError: the file holds something else.
            OSError: it cannot be opened.
        """
        return predictor_in(path, "Predictor.save or Assignment.save")[0]

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
            all_rows = np.ones(shape[-2], dtype=bool)
            reach_of(heads, np.isfinite(self._by_head), all_rows)  # a label for every item; not every label needs one
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
        with scores.reading():
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


def predictor_in(path: str | os.PathLike[str], writers: str) -> tuple[Predictor, dict[str, np.ndarray]]:
    """The predictor in a file, and all that the file holds.

    Args:
        writers: of such files, for the error.

    Raises:
        ValueError: the file holds something else.
        OSError: it cannot be opened.
    """
    raw = io.BytesIO(Path(path).read_bytes())  # what is wrong from here on is the content, not the disk
    try:
        with np.load(raw, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
        potentials = stored["potentials"]
        # Shares have had an axis of heads where potentials had none.
        return Predictor(potentials, float(stored["epsilon"]), stored["b"].reshape(potentials.shape)), stored
    except KeyError as missing:
        reason = f"it has no {missing}"
    except (ValueError, TypeError, EOFError, OSError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        reason = "it is no .npz file of numbers" if isinstance(error, TypeError | EOFError) else str(error)
    raise ValueError(f"{path} must be what {writers} wrote, but {reason}. Save it anew.")
