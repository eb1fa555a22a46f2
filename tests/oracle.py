"""What the library must agree with: dense, slow, obvious, in extended precision. Shares no code with it."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment


def plan(scores, epsilon, g, a) -> np.ndarray:
    """Q of docs/algorithm.md eq. (1), (n, k) longdouble."""
    x = np.asarray(scores).astype(np.longdouble) / np.longdouble(epsilon) + np.asarray(g, dtype=np.longdouble)
    x -= x.max(axis=1, keepdims=True)
    q = np.exp(x)
    return q * (np.asarray(a, dtype=np.longdouble) / q.sum(axis=1))[:, None]


def logsumexp(scores, epsilon, g, a) -> np.longdouble:
    """sum_i a_i logsumexp_j(S_ij/epsilon + g_j)."""
    x = np.asarray(scores).astype(np.longdouble) / np.longdouble(epsilon) + np.asarray(g, dtype=np.longdouble)
    top = x.max(axis=1)
    return (np.asarray(a, dtype=np.longdouble) * (top + np.log(np.exp(x - top[:, None]).sum(axis=1)))).sum()


def error(scores, epsilon, g, a, b) -> float:
    """sum_j |c_j - b_j|."""
    return float(np.abs(plan(scores, epsilon, g, a).sum(axis=0) - b).sum())


def best_balanced_score(scores, b) -> float:
    """The largest sum of scores over all labellings with floor(n b_j) <= size_j <= ceil(n b_j).

    Each label becomes floor(n b_j) columns that must be taken and at most one more that may be.
    """
    scores = np.asarray(scores, dtype=np.float64)
    n, k = scores.shape
    share = n * np.asarray(b)
    lower, upper = np.floor(share + 1e-9).astype(int), np.ceil(share - 1e-9).astype(int)
    label = np.concatenate([np.repeat(np.arange(k), lower), np.repeat(np.arange(k), upper - lower)])
    must = np.arange(len(label)) < lower.sum()
    reward = 4 * (np.ptp(scores) + 1) * must
    rows, columns = linear_sum_assignment(scores[:, label] + reward, maximize=True)
    assert must[columns].sum() == must.sum()
    return float(scores[rows, label[columns]].sum())


def size_limits(n, b) -> tuple[np.ndarray, np.ndarray]:
    share = n * np.asarray(b)
    return np.floor(share + 1e-9).astype(int), np.ceil(share - 1e-9).astype(int)


def best_score_between(scores, least, most) -> float | None:
    """The largest sum of scores over all labellings with least_j <= size_j <= most_j; None if there is none.

    As above, but what is forbidden costs more than all scores are worth, and what must be is worth as much.
    """
    scores = np.asarray(scores, dtype=np.float64)
    (n, k), allowed = scores.shape, np.isfinite(scores)
    least, most = np.asarray(least), np.minimum(most, n)
    known = np.where(allowed, scores, scores[allowed].min())
    much = 4 * n * (np.ptp(known) + 1e-3 * np.abs(known).max() + np.finfo(float).tiny)
    label = np.concatenate([np.repeat(np.arange(k), least), np.repeat(np.arange(k), most - least)])
    must = np.arange(len(label)) < least.sum()
    worth = known - np.where(allowed, 0.0, much)
    rows, columns = linear_sum_assignment(worth[:, label] + much * must, maximize=True)
    labels = label[columns]
    if len(rows) < n or must[columns].sum() < must.sum() or not allowed[rows, labels].all():
        return None
    return float(scores[rows, labels].sum())


def potentials_between(x, lower, upper, steps=20_000) -> np.ndarray:
    """(k,) that maximise sum_j min(lower_j g_j, upper_j g_j) - mean_i logsumexp_j(x_ij + g_j), in turns."""
    g = np.zeros(x.shape[1])
    with np.errstate(divide="ignore"):
        for _ in range(steps):
            top = (x + g).max(axis=1, keepdims=True)
            q = np.exp(x + g - top)
            log_c = np.log((q / q.sum(axis=1, keepdims=True)).mean(axis=0))
            before, g = g, np.clip(0.0, g + np.log(lower) - log_c, g + np.log(upper) - log_c)
            if np.abs(g - before).max() < 1e-13:
                break
    return g
