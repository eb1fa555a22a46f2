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
