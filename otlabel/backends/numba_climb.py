"""A climb on dense sweeps that is compiled as a whole: for scores so few that Python would take longer than the sweeps.

As ``otlabel._solver.steps.climb`` goes up on any model, with directions of L-BFGS in the variable sqrt(b)*g and of
Sinkhorn; but here steps are judged by their slopes alone: F is concave, and cannot fall by more than the last of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from .numba_dense_loops import sweep_rows
from .numba_loops import by_storage
from .numba_rows import LOG2E, rough_log2


class Rules(NamedTuple):
    """What steers a climb: fields of ``otlabel._solver.tuning.Tuning``, where each is explained."""

    memory: int
    most_sinkhorn: int
    backtracks: int
    step_patience: int
    far: float
    stride: float
    widest: float
    flattened: float
    shortest_cut: float
    longest_cut: float
    gain: float
    collinear: float
    measured: float
    flattest: float
    barely_listed: float


_FAST = {"nnan", "reassoc", "nsz", "contract"}
_RULES = numba.types.NamedTuple((*(numba.int64,) * 4, *(numba.float64,) * 11), Rules)
_F64, _F32 = numba.float64[::1], numba.float32[::1]
VECTORS = 12  # of k numbers, that a climb needs room for
_BARELY = 1e-30  # share of an empty column, as float32 knows it


@numba.njit(fastmath=_FAST)
def _dot(x, y):
    total = 0.0
    for j in range(x.size):
        total += x[j] * y[j]
    return total


@numba.njit(fastmath=_FAST)
def _evaluate(scores, scale, g, bits, a, shift, totals, target, c, squares, gradient):
    """c, sums of squares and the gradient at g, which becomes what float32 makes of it; returns the error."""
    for j in range(g.size):
        bits[j] = np.float32(g[j] * LOG2E)
        g[j] = np.float64(bits[j]) / LOG2E
        c[j], squares[j] = 0.0, 0.0
    sweep_rows(scores, scale, bits, a, shift, totals, c, squares)
    for i in range(a.size):  # near enough for the next time
        if a[i] != 0.0:
            shift[i] += rough_log2(totals[i])
    error = 0.0
    for j in range(g.size):
        c[j] /= scores.shape[0]
        squares[j] /= scores.shape[0]
        gradient[j] = target[j] - c[j]
        error += abs(gradient[j])
    return error


@numba.njit(fastmath=_FAST)
def _lbfgs(gradient, root, s, y, sy, first, count, direction):
    """The two loops of L-BFGS (Nocedal and Wright, algorithm 7.4) over a ring of pairs, in the variable root*g."""
    memory = sy.size
    alpha = np.empty(count)
    for j in range(gradient.size):
        direction[j] = gradient[j] / root[j]
    for back in range(count - 1, -1, -1):
        q = (first + back) % memory
        alpha[back] = _dot(s[q], direction) / sy[q]
        for j in range(gradient.size):
            direction[j] -= alpha[back] * y[q, j]
    last = (first + count - 1) % memory
    gamma = sy[last] / _dot(y[last], y[last])
    for j in range(gradient.size):
        direction[j] *= gamma
    for ahead in range(count):
        q = (first + ahead) % memory
        beta = alpha[ahead] - _dot(y[q], direction) / sy[q]
        for j in range(gradient.size):
            direction[j] += beta * s[q, j]
    for j in range(gradient.size):
        direction[j] /= root[j]


@numba.njit(fastmath=_FAST)
def _measure(target, c, squares, flattest, root, s, y):
    """Work in the variable in which the Hessian's diagonal is 1: root and all pairs become as it wants them."""
    for j in range(root.size):
        curvature = min(max(1.0 - squares[j] / max(c[j], _BARELY), flattest), 1.0)
        factor = np.sqrt(target[j] * curvature) / root[j]
        root[j] *= factor
        for q in range(s.shape[0]):
            s[q, j] *= factor
            y[q, j] /= factor


@by_storage(
    numba.int64,
    _F64,
    _F32,
    _F64,
    _F32,
    _F32,
    _F64,
    numba.types.UniTuple(_F64, VECTORS),
    numba.types.UniTuple(numba.float64[:, ::1], 2),
    _F64,
    numba.float64,
    numba.int64,
    _RULES,
)
def climb(scores, scale, g, bits, a, shift, totals, target, vectors, pairs, sy, goal, limit, rules):
    """Ascend from g until the error is ``goal``.

    Args:
        scores, a, shift: as in ``numba_dense_loops.sweep``.
        scale: log2(e)/epsilon.
        g: (k,) potentials in nats, none of them infinite; becomes the best that was met.
        bits: room for them as ``sweep`` wants them.
        target: (k,) positive shares.
        totals, vectors, pairs, sy: room for (m,) float32, ``VECTORS`` x (k,), 2 x (memory, k) zeros, and (memory,).
        limit: evaluations at most, one at least.

    Returns:
        evaluations.
    """
    k = g.size
    here, new, c, new_c, squares, new_squares, gradient, new_gradient, direction, moved, root, wanted = vectors
    s, y = pairs
    for j in range(k):
        here[j] = g[j]
        wanted[j] = max(target[j], rules.barely_listed)  # float32 cannot tell smaller shares from nothing
        root[j] = np.sqrt(wanted[j])
    first: Any = np.int64(0)  # a literal 0 is a type of its own, and the callee is compiled twice
    count: Any = np.int64(0)
    sinkhorn_left, longest, since_lower = rules.most_sinkhorn, 0.0, 0
    failed, warming, stage = False, True, rules.measured
    error, lowest, best, evaluations = np.inf, np.inf, np.inf, 0
    while error > goal and evaluations < limit and since_lower < rules.step_patience:
        begins = evaluations == 0  # with a step of nothing: what is compiled twice takes twice as long to compile
        if error <= stage:
            _measure(wanted, c, squares, rules.flattest, root, s, y)
            stage = 0.1 * stage if stage == rules.measured else 0.0
        distance = 0.0
        for j in range(k):
            direction[j] = 0.0 if begins else np.log(wanted[j] / max(c[j], _BARELY))
            distance = max(distance, abs(direction[j]))
        warming = begins or (warming and sinkhorn_left > 0 and distance > rules.far)
        sinkhorn = warming or failed or count == 0
        if longest == 0.0:
            longest = distance
        if sinkhorn:
            sinkhorn_left -= warming and not begins
        else:
            _lbfgs(gradient, root, s, y, sy, first, count, direction)
            length = 0.0
            for j in range(k):
                length = max(length, abs(direction[j]))
            if not length > 0.0:
                failed, count = True, 0
                continue
            cut = min(1.0, min(rules.stride * longest, rules.widest) / length)
            for j in range(k):
                direction[j] *= cut
        step, accepted = 1.0, False
        for _ in range(1 if sinkhorn else rules.backtracks):
            if evaluations == limit:
                break
            for j in range(k):
                new[j] = here[j] + step * direction[j]
            new_error = _evaluate(scores, scale, new, bits, a, shift, totals, wanted, new_c, new_squares, new_gradient)
            evaluations += 1
            for j in range(k):
                moved[j] = new[j] - here[j]
            slope, new_slope = _dot(gradient, moved), _dot(new_gradient, moved)
            if sinkhorn or (slope > 0.0 and new_slope >= -rules.flattened * min(slope, error)):
                accepted = True
                break
            if not slope > 0.0:
                break
            step *= min(max(slope / (slope - new_slope), rules.shortest_cut), rules.longest_cut)
        if not accepted:
            if sinkhorn:
                break
            failed, count = True, 0
            continue
        failed = False
        if sinkhorn and not warming:
            count = 0
        if not warming:
            if count == rules.memory:
                first, count = (first + 1) % rules.memory, count - 1
            q = (first + count) % rules.memory
            for j in range(k):
                s[q, j] = moved[j] * root[j]
                y[q, j] = (gradient[j] - new_gradient[j]) / root[j]
            sy[q] = _dot(s[q], y[q])
            if sy[q] > rules.collinear * np.sqrt(_dot(s[q], s[q]) * _dot(y[q], y[q])):
                count += 1
        for j in range(k):
            longest = max(longest, abs(moved[j]))
        here, new, error = new, here, new_error
        c, new_c, squares, new_squares = new_c, c, new_squares, squares
        gradient, new_gradient = new_gradient, gradient
        since_lower = 0 if error < (1.0 - rules.gain) * lowest else since_lower + 1
        lowest = min(lowest, error)
        if error < best:
            best = error
            for j in range(k):
                g[j] = here[j]
    return evaluations
