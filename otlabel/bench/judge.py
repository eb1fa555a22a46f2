"""How good a solver's answer is: straight from the definitions, in float64, with none of the solvers' code."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from .._system.machine import cores

BLOCK = 1 << 20  # scores that a thread looks at at a time


class Verdict(NamedTuple):
    """What can be said of potentials or labels."""

    error: float | None  # sum_j |c_j - 1/k| of the plan at the potentials, docs/algorithm.md eq. (1) and (2)
    score: float  # nats an item: the mean of S_i,label(i) / epsilon
    smallest: int  # items of a label
    largest: int
    bound: float | None  # nats an item: no balanced labelling scores more, by the potentials, eq. (6)


def judge(scores: np.ndarray, epsilon: float, g: np.ndarray | None, labels: np.ndarray | None) -> Verdict:
    """Judge an answer to the problem with equal row weights and equal shares.

    Args:
        scores: (n, k).
        g: (k,) potentials in nats, if the solver has any.
        labels: (n,), or None for the argmax at g.
    """
    n, k = scores.shape

    def block(start: int) -> tuple[np.ndarray, np.ndarray, float, float]:
        x = scores[start : start + height].astype(np.float64) / epsilon
        own = None if labels is None else labels[start : start + height]
        c, best = np.zeros(k), 0.0
        if g is not None:
            exponent = x + g
            own = exponent.argmax(axis=1) if own is None else own
            top = exponent.max(axis=1, keepdims=True)
            best = float(top.sum())
            plan = np.exp(exponent - top)
            c = (plan / plan.sum(axis=1, keepdims=True)).sum(axis=0)
        assert own is not None  # potentials or labels: every answer has one of them
        return c, np.bincount(own, minlength=k), float(x[np.arange(len(x)), own].sum()), best

    height = max(1, BLOCK // k)
    with ThreadPoolExecutor(cores()) as pool:
        parts = list(pool.map(block, range(0, n, height)))
    c, sizes = (np.sum(of_blocks, axis=0) for of_blocks in ([p[0] for p in parts], [p[1] for p in parts]))
    score, best = math.fsum(part[2] for part in parts), math.fsum(part[3] for part in parts)
    error = bound = None
    if g is not None:
        error = float(np.abs(c / n - 1 / k).sum())
        bound = (best - cheapest_sizes(g, n)) / n
    return Verdict(error, score / n, int(sizes.min()), int(sizes.max()), bound)


def columns(scores: np.ndarray, epsilon: float, g: np.ndarray, a: np.ndarray) -> np.ndarray:
    """(k,) longdouble: the column sums of the plan, docs/algorithm.md eq. (1), in extended precision, all at once."""
    x = scores.astype(np.longdouble) / np.longdouble(epsilon) + g
    q = np.exp(x - x.max(axis=1, keepdims=True))
    return (a / q.sum(axis=1)) @ q


def cheapest_sizes(g: np.ndarray, n: int) -> float:
    """The least m.g over sizes m that sum to n and differ by one at most."""
    floor, more = divmod(n, len(g))
    return float(floor * g.sum() + np.sort(g)[:more].sum())
