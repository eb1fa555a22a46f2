"""Only the sure: one more label, for items that are better left without one."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from .._arrays.score_source import ScoreSource
from .reach import row_blocks
from .sources import InMemory


class WithNone(ScoreSource):
    """Scores (n, k) and, in column k, their soft maximum epsilon*logsumexp_j(S_ij/epsilon): the score of no label.

    An item is the surer the less its best score lies below that. A constant added to a row changes nothing, so each
    row's best is taken off: what is compared is small, and float32 rounds it by little.

    Args:
        scores: the source, whose protocol this one follows.
        epsilon: of the soft maximum, whatever temperature the labels are then solved at.
    """

    def __init__(self, scores: ScoreSource, epsilon: float):
        self._scores, self._epsilon = scores, epsilon
        self.shape = (scores.shape[0], scores.shape[1] + 1)
        self.place, self.read_ahead = scores.place, scores.read_ahead
        self.quick, self.in_blocks = scores.quick, scores.in_blocks

    def rows(self, index: Any) -> Any:
        return self.place.library.with_soft_maximum(self._scores[index], 1 / self._epsilon)

    def reading(self) -> AbstractContextManager[object]:
        return self._scores.reading()

    def seekable(self) -> ScoreSource:
        return WithNone(self._scores.seekable(), self._epsilon)

    def kept(self) -> ScoreSource:
        """The same in memory where the scores are: a copy, float32 or float64."""
        if not self._scores.in_memory:
            return self
        blocks = [block for _, _, block in row_blocks([self])]
        whole = InMemory(blocks[0] if len(blocks) == 1 else self.place.library.concatenate(blocks))
        whole.in_blocks = self.in_blocks
        return whole
