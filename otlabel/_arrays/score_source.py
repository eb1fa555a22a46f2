"""What a matrix of scores is to everything that reads it: the one protocol of sources."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .libraries import HOST, Place


class ScoreSource:
    """Scores of n items and k labels that are read, or computed, a block of rows at a time; each sweep reads all once.

    A source of one's own is a subclass that says its shape and gives rows; ``otlabel.assign`` takes it as it is::

        class Distances(otlabel.ScoreSource):
            def __init__(self, points, centres):
                self.points, self.centres, self.shape = points, centres, (len(points), len(centres))

            def rows(self, index):
                points = self.points[index].astype(np.float64)
                square = (points**2).sum(axis=1, keepdims=True) + (self.centres**2).sum(axis=1)
                return 2 * points @ self.centres.T - square

    Rows are asked for again and again, in blocks of any height and by several threads at a time: they must be the same
    to rounding. What ``rows`` raises ends the solve.
    """

    shape: tuple[int, int]  # n, k
    place: Place = HOST  # where the rows are: ``backends.place_of`` one of them; the host's are NumPy's
    in_memory: bool = False  # whether ``array`` holds the whole matrix, so that a block of rows costs nothing
    array: Any  # (n, k), at ``place``; only where ``in_memory``
    quick: bool = False  # whether rows cost little more than an array's: all may be read dozens of times
    in_blocks: bool = False  # whether a row costs as much as many that lie together, ``seekable`` or not
    read_ahead: bool = False  # whether a block is worth reading while the one before is in use: what waits for a disk

    def rows(self, index: Any) -> Any:
        """(m, k) of real numbers: some rows, at ``place``.

        Args:
            index: a slice, or a NumPy array of row numbers in any order, repeated or not; as NumPy indexes.
        """
        raise NotImplementedError

    def __getitem__(self, index: Any) -> Any:
        return self.rows(index)

    def reading(self) -> AbstractContextManager[object]:
        """Entered by the thread that starts others, while those read rows."""
        return nullcontext()

    def seekable(self) -> ScoreSource:
        """The same scores, quick to give single rows: itself, if it is."""
        return self


class Held(ScoreSource):
    """A whole matrix (n, k), an array of the library at ``place``."""

    in_memory = quick = True

    def __init__(self, array: Any, place: Place = HOST):
        self.array, self.shape, self.place = array, tuple(array.shape), place

    def rows(self, index: Any) -> Any:
        return self.array[index]
