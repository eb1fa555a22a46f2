"""Which labels scores of -inf leave to whom, and the blocks of rows in which scores are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays.libraries import HOST
from .._arrays.score_source import ScoreSource

_AT_HAND = 1 << 20  # entries of a block that is in host memory
_READ = 1 << 22  # the same where they are read, computed or looked at on a device


@dataclass(frozen=True)
class Reach:
    """What scores of -inf leave, of h heads; labels that are not in use do not count, nor rows that do not."""

    columns: np.ndarray  # (h, k) int64, rows that may have each label
    degrees: np.ndarray  # (h, k+1) int64, rows that may have 0, 1, ... labels
    lost: list[np.ndarray]  # of each head: the rows that do not count and may have none

    @property
    def labels(self) -> np.ndarray:
        """(h, k) bool, whether some row may have the label."""
        return self.columns > 0

    def of(self, head: int) -> Reach:
        """The same of one head, without the axis h."""
        return Reach(self.columns[head], self.degrees[head], [self.lost[head]])


def reach_of(heads: list[ScoreSource], shares: np.ndarray, counted: np.ndarray) -> Reach:
    """Which labels in use have a finite score, and how often.

    Args:
        heads: the scores of each.
        shares: (h, k), 0 for labels that are not in use.
        counted: (n,) bool, rows that matter.

    Raises:
        ValueError: such a row has no label.
    """
    h, k = shares.shape
    lost: list[list[np.ndarray]] = [[] for _ in heads]
    columns, degrees = np.zeros((h, k), dtype=np.int64), np.zeros((h, k + 1), dtype=np.int64)
    for head, first, block in row_blocks(heads):
        used, of_block = np.flatnonzero(shares[head]), counted[first : first + block.shape[0]]
        reached = heads[head].place.library.reached
        if not of_block.all():
            others = np.flatnonzero(~of_block)
            lost[head].append(first + others[reached(block[others], used)[1] == 0])
            block = block[np.flatnonzero(of_block)]
        labels, rows = reached(block, used)
        columns[head][used] += labels
        degrees[head] += np.bincount(rows, minlength=k + 1)
        if not rows.all():
            row = first + int(np.flatnonzero(of_block)[np.argmin(rows)])
            raise ValueError(
                f"every item needs a finite score for a label in use, but row {row}{of_head(head, len(heads))} "
                "has none. Allow it a label, or leave it out."
            )
    return Reach(columns, degrees, [np.concatenate([*rows, np.zeros(0, dtype=np.int64)]) for rows in lost])


def of_head(head: int, heads: int) -> str:
    """Which one, in a message; nothing where there is one only."""
    return f" of head {head}" if heads > 1 else ""


def row_blocks(heads: list[ScoreSource]) -> Iterator[tuple[int, int, Any]]:
    """(head, first row, block of rows) over all rows."""
    step = rows_of_block(heads)
    for head, scores in enumerate(heads):
        for start in range(0, scores.shape[0], step):
            yield head, start, scores[start : start + step]


def rows_of_block(heads: list[ScoreSource]) -> int:
    """Rows that are looked at in one step."""
    at_hand = heads[0].in_memory and heads[0].place == HOST
    return max(1, (_AT_HAND if at_hand else _READ) // heads[0].shape[1])


class WithBlanks(ScoreSource):
    """Scores, but 0 in some rows (r,): rows of -inf, which no kernel could make sense of, nor needs to."""

    def __init__(self, scores: ScoreSource, blanks: np.ndarray):
        self._scores, self._is_blank = scores, np.zeros(scores.shape[0], dtype=bool)
        self._is_blank[blanks] = True
        self.shape, self.place = scores.shape, scores.place
        self.read_ahead, self.quick, self.in_blocks = scores.read_ahead, scores.quick, scores.in_blocks

    def rows(self, index: Any) -> Any:
        block, blanks = self._scores[index], np.flatnonzero(self._is_blank[index])
        return self.place.library.blanked(block, blanks) if len(blanks) else block

    def reading(self) -> AbstractContextManager[object]:
        return self._scores.reading()

    def seekable(self) -> ScoreSource:
        return WithBlanks(self._scores.seekable(), np.flatnonzero(self._is_blank))
