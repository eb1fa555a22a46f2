"""Scores that are numbers: NaN, +inf and overflow are found before any work, and named by their row."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._arrays.libraries import NUMPY
from .._arrays.score_source import ScoreSource
from .._system.threads import threaded
from .reach import of_head, rows_of_block

_CHECKED = 1 << 20  # entries up to which the check for non-finite scores goes by one thread
LARGEST = 1e300  # |scores| / epsilon must stay below: sums of a few of them must not overflow float64


def check_finite(heads: list[ScoreSource], epsilon: float) -> tuple[float, bool]:
    """The largest absolute score that is not -inf, and whether there is -inf.

    Scores of -inf forbid a label for an item; ``reach_of`` says whether enough is left. NaN, +inf and overflow
    are a ValueError that names the first bad row.
    """

    library = heads[0].place.library

    def check_block(where: tuple[int, int, ScoreSource]) -> tuple[float, bool]:
        head, first, scores = where
        block = scores[first : first + step]
        most = library.largest(block)
        if most / epsilon < LARGEST:
            return most, False
        wide = library.to_numpy(block, "logits").astype(np.float64)
        allowed = np.abs(wide[~np.isneginf(wide)])
        if (allowed / epsilon < LARGEST).all():
            return float(allowed.max(initial=0.0)), True
        bad = ~(np.abs(wide) / epsilon < LARGEST) & ~np.isneginf(wide)
        row, column = (int(axis[0]) for axis in np.nonzero(bad))
        raise ValueError(_say_bad(wide[row, column], f"row {first + row}{of_head(head, len(heads))}", column, epsilon))

    # On a device one look at all is one launch; blocks only tell where something is.
    if library is not NUMPY and all(head.in_memory for head in heads):
        most = float(np.max([library.largest(head.array) for head in heads]))  # NaN if one is
        if most / epsilon < LARGEST:
            return most, False
    step = rows_of_block(heads)
    starts = range(0, heads[0].shape[0], step)
    blocks = [(head, first, scores) for head, scores in enumerate(heads) for first in starts]
    # Another thread would not know the caller's stream; and small heads are looked at before it has started.
    is_large = len(heads) * heads[0].shape[0] * heads[0].shape[1] > _CHECKED
    with heads[0].reading():
        found = threaded(check_block, blocks) if library is NUMPY and is_large else list(map(check_block, blocks))
    return max(most for most, _ in found), any(forbids for _, forbids in found)


def _say_bad(value: Any, row: str, column: int, epsilon: float) -> str:
    if np.isfinite(value):
        return (
            f"logits / epsilon must be below {LARGEST:.0e} in size, got {value} / {epsilon} in {row}, "
            f"column {column}. Rescale the logits or raise epsilon."
        )
    return (
        f"logits must be finite, or -inf where a label is forbidden, got {value} in {row}, column {column}. "
        "Remove or repair such rows first."
    )
