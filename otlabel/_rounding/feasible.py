"""Whether labels of the right sizes exist where scores of -inf forbid some: known before the first sweep.

Items and labels are a network: an item goes to a label it may have, a label takes as many as its capacities say. As the
network has two sides, all can be met if the largest flow fills all lower capacities, and the largest one within the
upper ones takes all items (Hoffman 1960). Rows that allow the same labels are one node.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array, eye_array, hstack, vstack
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from .._arrays.score_source import ScoreSource
from .._input.reach import Reach, rows_of_block
from .._solver.marginal import Marginal
from .capacities import Bounds

_EDGES = 1 << 25  # of the network at most; a larger one, of 1 GiB and more, is left to the solver
_VARIABLES = 1 << 17  # of the linear program for shares; where there are more, the solver comes as near as it can
_NEARLY = 1e-6  # items
_PARTS = 1 << 30  # of all items, that fractions of capacities are counted in


def within_reach(
    source: ScoreSource, marginal: Marginal, bounds: Bounds, reach: Reach, counted: np.ndarray, where: str = ""
) -> Marginal:
    """What the plan can have: the marginal, or, if its shares cannot be met and sizes can, the nearest to them.

    Args:
        source: the scores (n, k).
        marginal: that is wanted.
        bounds: on the items of each label.
        reach: of the source.
        counted: (n,) bool, the rows that fill capacity, each as much.
        where: names the head, in errors.

    Raises:
        ValueError: no labelling has sizes within the bounds.
    """
    b, n = marginal.target, int(counted.sum())
    lower, upper = bounds
    # Shares of labels that nobody may have have gone to the others: to more, it may be, than those are to have.
    is_inside = bool(((lower - _NEARLY <= n * b) & (n * b <= upper + _NEARLY)).all())
    if is_inside and counted.all() and _is_loose(reach, n * b, n):
        return marginal
    found = _patterns(source, b > 0, counted)
    if found is None:
        return marginal
    patterns, counts = found
    network, rule = _Network(patterns, counts), f"the sizes asked for cannot be met{where}"
    if (confined := network.overflow(upper)) is not None:
        items, labels = confined
        raise ValueError(
            f"{rule}: -inf leaves {items:,} items no label but {_names(labels)}, which are to have "
            f"{int(upper[labels].sum()):,} at most. Allow them more labels, ask for other sizes, or leave items out."
        )
    if (scarce := network.shortage(lower)) is not None:
        items, labels = scarce
        raise ValueError(
            f"{rule}: labels {_names(labels)} are to have {int(lower[labels].sum()):,} items at least, but only "
            f"{items:,} may have any of them. Allow them to more items, or ask for other sizes."
        )
    if not marginal.is_exact or len(network.label) > _VARIABLES:
        return marginal
    unit = max(1, _PARTS // n)
    fine = _Network(patterns, counts * unit)
    if is_inside and fine.overflow(np.ceil(b * n * unit).astype(np.int64)) is None:
        return marginal
    return Marginal.exactly(network.nearest(n * b, lower, upper) / n)


def _is_loose(reach: Reach, sizes: np.ndarray, n: int) -> bool:
    """Whether it is plain that all sizes (k,) can be met: that any labels J have as many items as they ask for.

    Items without any of J are no more than those that the scarcest of J is forbidden to, nor than those that allow no
    more labels than there are beside J.
    """
    used = sizes > 0
    k, sizes = int(used.sum()), sizes[used]
    forbidden = np.sort(n - reach.columns[used])[::-1]  # of 1, 2, ... labels the scarcest, at most
    allow_few = np.cumsum(reach.degrees)[k - 1 - np.arange(k)]
    asked = np.cumsum(np.sort(sizes)[::-1])
    return bool((np.minimum(forbidden, allow_few) <= n - asked + 1e-6).all())


def _patterns(source: ScoreSource, used: np.ndarray, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(g, k) bool, the sets of labels that rows allow, and (g,) how many counted rows have each; None of too many."""
    step, library, (n, k) = rows_of_block([source]), source.place.library, source.shape
    packed = np.concatenate(
        [
            np.packbits(library.to_numpy(source[first : first + step] > -np.inf, "scores") & used, axis=1)
            for first in range(0, n, step)
        ]
    )[counted]
    rows, counts = np.unique(packed.view(f"V{packed.shape[1]}"), return_counts=True)
    if len(rows) * k > _EDGES:
        return None
    bits = rows.view(np.uint8).reshape(len(rows), -1)
    return np.unpackbits(bits, axis=1, count=k).astype(bool), counts


class _Network:
    """Patterns, labels, and what flows between them."""

    def __init__(self, patterns: np.ndarray, counts: np.ndarray):
        self.counts, self.patterns = counts, patterns
        self.pattern, self.label = np.nonzero(patterns)

    def overflow(self, upper: np.ndarray) -> tuple[int, np.ndarray] | None:
        """Items, and the labels that are all they may have, where those have no room for them."""
        graph, flow = self._flow(self.counts, upper)
        if flow.flow_value == self.counts.sum():
            return None
        reached = self._reached(graph, flow)
        return int(self.counts[reached[1 : 1 + len(self.counts)]].sum()), np.flatnonzero(reached[self._labels()])

    def shortage(self, lower: np.ndarray) -> tuple[int, np.ndarray] | None:
        """How many items may have some of the labels that are returned, where those ask for more."""
        graph, flow = self._flow(self.counts, lower)
        if flow.flow_value == lower.sum():
            return None
        labels = np.flatnonzero(~self._reached(graph, flow)[self._labels()] & (lower > 0))
        return int(self.counts[self.patterns[:, labels].any(axis=1)].sum()), labels

    def nearest(self, wanted: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
        """(k,) what labels can have between the capacities, not whole, that is nearest in L1 to what is wanted."""
        edges, k = len(self.label), len(wanted)
        pattern = csr_array((np.ones(edges), (self.pattern, np.arange(edges))))
        label = csr_array((np.ones(edges), (self.label, np.arange(edges))), shape=(k, edges))
        # x is what goes along each edge, and then how far each label is from what is wanted.
        found = linprog(
            np.repeat([0.0, 1.0], [edges, k]),
            A_eq=hstack([pattern, csr_array((len(self.counts), k))]),
            b_eq=self.counts,
            A_ub=vstack(
                [hstack([sign * label, far]) for sign, far in ((1, -eye_array(k)), (-1, -eye_array(k)))]
                + [hstack([sign * label, csr_array((k, k))]) for sign in (1, -1)]
            ),
            b_ub=np.concatenate([wanted, -wanted, upper, -lower]),
        )
        has = label @ found.x[:edges] if found.x is not None else wanted
        return has if ((has > 0) == (wanted > 0)).all() else wanted

    def _labels(self) -> slice:
        return slice(1 + len(self.counts), 1 + len(self.counts) + self.patterns.shape[1])

    def _flow(self, counts, capacities):
        g, k = self.patterns.shape
        edges = [
            (np.zeros(g, dtype=np.int64), np.arange(g) + 1, counts),
            (self.pattern + 1, self.label + g + 1, counts[self.pattern]),
            (np.arange(k) + g + 1, np.full(k, g + k + 1), capacities),
        ]
        start, stop, most = (np.concatenate(parts) for parts in zip(*edges, strict=True))
        graph = csr_array((most.astype(np.int32), (start, stop)), shape=(g + k + 2,) * 2)
        return graph, maximum_flow(graph, 0, g + k + 1)

    @staticmethod
    def _reached(graph, flow) -> np.ndarray:
        """Nodes that more could flow to."""
        left = csr_array(graph - flow.flow)
        left.data = np.maximum(left.data, 0)
        left.eliminate_zeros()
        reached = np.zeros(graph.shape[0], dtype=bool)
        reached[breadth_first_order(left, 0, return_predecessors=False)] = True
        return reached


def _names(labels: np.ndarray) -> str:
    few = ", ".join(map(str, labels[:8]))
    return f"{few}, ... ({len(labels)} in all)" if len(labels) > 8 else few
