"""Labels that the caller knows: those items keep them, and fill their share."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from .._arrays.score_source import ScoreSource
from ..backends import library_of


class Held(NamedTuple):
    """What items of known labels hold of each label, over all processes."""

    items: np.ndarray  # (k,) int64, those that count
    weights: np.ndarray  # (k,) float64, of all weights

    @classmethod
    def by(cls, known: np.ndarray | None, a: np.ndarray, k: int) -> Self:
        """Of some rows: labels (n,), -1 unknown, or None; weights (n,)."""
        if known is None:
            return cls(np.zeros(k, dtype=np.int64), np.zeros(k))
        labels = known[(known >= 0) & (a > 0)]
        return cls(np.bincount(labels, minlength=k), np.bincount(known[known >= 0], a[known >= 0], minlength=k))


def known_of(value: Any, n: int, k: int) -> np.ndarray:
    """(n,) int64, -1 where the label is not known.

    Raises:
        ValueError, TypeError: no labels.
    """
    known = library_of(value).to_numpy(value, "known")
    if known.dtype.kind not in "iu":
        raise TypeError(f"known must hold whole numbers, -1 where a label is not known, got dtype {known.dtype}.")
    if known.shape != (n,):
        raise ValueError(f"known must have shape ({n},), a label an item or -1, got {known.shape}.")
    bad = (known < -1) | (known >= k)
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"known must be labels from 0 to {k - 1}, or -1, got {known[row]} in row {row}.")
    return known.astype(np.int64)


def check_allowed(known: np.ndarray, scores: ScoreSource, step: int) -> None:
    """Raise ValueError if the scores (n, k) forbid a known label (n,); looks at ``step`` rows at a time."""
    to_numpy = scores.place.library.to_numpy
    for first in range(0, len(known), step):
        labels = known[first : first + step]
        rows = np.flatnonzero(labels >= 0)
        if not len(rows):
            continue
        forbidden = np.isneginf(to_numpy(scores[first + rows], "logits")[np.arange(len(rows)), labels[rows]])
        if forbidden.any():
            row = int(rows[np.argmax(forbidden)])
            raise ValueError(
                f"a known label must be one that the item may have, but row {first + row} has a score of -inf for its "
                f"label {labels[row]}. Allow it, or make the label unknown (-1)."
            )
