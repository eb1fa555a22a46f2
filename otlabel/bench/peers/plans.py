"""Solvers of plans: potentials whose column sums are within ``tol`` of the shares."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import machine, textbook
from .doubling import enough
from .task import Answer, Task

COOLEST = 16.0  # the gamma that mdot-tnt starts from: no solve can end at a smaller one
LOGSUMEXP = 4  # how many operations mdot-tnt counts for one over the matrix; a product is one


def sela_textbook(task: Task) -> Callable[[], Answer]:
    """Its error is otlabel's own: of the column sums while the rows are exact."""

    def solve() -> Answer:
        with np.errstate(all="ignore"):
            start = time.perf_counter()
            g, iterations = textbook.potentials(
                task.scores, task.epsilon, tol=task.tol, max_iterations=1 << 40, limit=task.cap
            )
        return Answer(g, sweeps=2 * iterations, capped=time.perf_counter() - start > task.cap)

    return solve


def swav(task: Task) -> Callable[[], Answer]:
    """Nothing checks the error that is left. Exponents are shifted by the largest score, so that nothing overflows."""

    def solve() -> Answer:
        q = np.exp((task.scores.astype(np.float32) - task.scores.max()) / np.float32(task.epsilon))
        with np.errstate(all="ignore"):
            totals = textbook.swav(q, iterations=3)
            g = -np.log(np.array(totals, dtype=np.float64)).sum(axis=0)
        return Answer(g, sweeps=6)

    return solve


def pot_sinkhorn(task: Task) -> Callable[[], Answer]:
    """POT's Sinkhorn-Knopp on exp(S/epsilon)."""
    import ot

    return _pot(task, ot.bregman.sinkhorn_knopp)


def pot_sinkhorn_log(task: Task) -> Callable[[], Answer]:
    """POT's Sinkhorn in the log domain."""
    import ot

    return _pot(task, ot.bregman.sinkhorn_log)


def _pot(task: Task, function: Callable[..., Any]) -> Callable[[], Answer]:
    """POT stops at an L2 norm, every 10 iterations; tol/sqrt(k) is the largest that guarantees tol in L1."""
    n, k = task.scores.shape
    stop = task.tol / np.sqrt(k)

    def run(iterations: int) -> Answer:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cost = task.scores.max() - task.scores.astype(np.float64)
            _, log = function(
                np.full(n, 1 / n), np.full(k, 1 / k), cost, task.epsilon,
                numItermax=iterations, stopThr=stop, log=True, warn=False,
            )  # fmt: skip
            g = log["log_v"] if "log_v" in log else np.log(log["v"])
        done = log["niter"] + 1
        return Answer(g, sweeps=2 * done, capped=done == iterations)

    # It cannot be told how long to take, only how many iterations. Short runs say how long one is, with its share of
    # the check that every tenth has; the very first is slow and says nothing.
    def seconds(iterations: int) -> float:
        start = time.perf_counter()
        run(iterations)
        return time.perf_counter() - start

    run(1)
    none = seconds(1)
    one = max(seconds(3) - none, 0.02 * none) / 2
    if 10 * one < task.cap / 2:
        one = max(seconds(11) - none, 0.1 * none) / 10
    return lambda: run(max(2, int((task.cap - none) / one)))


def ott(task: Task, **acceleration: Any) -> Callable[[], Answer]:
    """Its error is L1, as here; float64 for a tol below 1e-5, which float32 does not reach. On the CPU, as all peers.

    It is compiled for 50 iterations, and continues from its own potentials until the error or the time is reached.
    """
    import jax

    if task.tol < 1e-5:
        jax.config.update("jax_enable_x64", True)
    from ott.geometry import geometry
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn

    piece = 50

    def step(scores: Any, f: Any, g: Any, threshold: Any) -> Any:
        problem = linear_problem.LinearProblem(geometry.Geometry(cost_matrix=-scores, epsilon=task.epsilon))
        solver = sinkhorn.Sinkhorn(threshold=threshold, max_iterations=piece, **acceleration)
        out = solver(problem, init=(f, g))
        return out.f, out.g, out.n_iters, out.converged

    n, k = task.scores.shape
    dtype = np.float64 if task.tol < 1e-5 else np.float32
    zeros = np.zeros(n, dtype), np.zeros(k, dtype)
    compiled = jax.jit(step).lower(task.scores.astype(dtype), *zeros, dtype(task.tol)).compile()

    def solve() -> Answer:
        end = time.perf_counter() + task.cap
        scores = jax.numpy.asarray(task.scores, dtype)
        f, g = zeros
        iterations = 0
        while True:
            f, g, done, converged = compiled(scores, f, g, dtype(task.tol))
            iterations += int(done)
            if converged or time.perf_counter() > end:
                g = np.asarray(g, np.float64) / task.epsilon
                return Answer(g, sweeps=2 * iterations, capped=not converged)

    return solve


def ott_momentum(task: Task) -> Callable[[], Answer]:
    """OTT-JAX's Sinkhorn with momentum."""
    from ott.solvers.linear import acceleration

    return ott(task, momentum=acceleration.Momentum(value=1.5))  # type: ignore[call-arg]


def ott_anderson(task: Task) -> Callable[[], Answer]:
    """OTT-JAX's Sinkhorn with Anderson's acceleration."""
    from ott.solvers.linear import acceleration

    return ott(task, anderson=acceleration.AndersonAcceleration(memory=5))  # type: ignore[call-arg]


def geomloss(task: Task) -> Callable[[], Answer]:
    """It has no stopping rule yet (0.3 reads ``tol`` and does nothing with it).

    With torch's tensors, which use all threads, if they are there.
    """
    from geomloss import ot

    def run(iterations: int) -> Answer:
        cost: Any = -task.scores.astype(np.float32)
        if machine.installed("torch"):
            import torch

            cost = torch.from_numpy(cost)
        out = ot.solve(cost, reg=task.epsilon, max_iter=iterations)
        g = np.asarray(out.potential_b, np.float64) / task.epsilon
        return Answer(g - g.mean(), sweeps=2 * iterations, capped=True)

    run(2)
    return enough(task, run, first=4)


def mdot_tnt(task: Task) -> Callable[[], Answer]:
    """Its error is L1, of the labels' sums while the items' are exact: the labels are its rows.

    It ends at an error of H / (2 gamma**p), where H = log k is the entropy of the shares and gamma the range of the
    scores over epsilon; p is chosen such that this is ``tol``. float64 for a tol below 1e-5, and for a gamma above
    2**10, where the library asks for it.
    """
    import torch
    from mdot_tnt import mdot

    n, k = task.scores.shape

    def solve() -> Answer:
        gamma = max(COOLEST, (float(task.scores.max()) - float(task.scores.min())) / task.epsilon)
        dtype = torch.float64 if task.tol < 1e-5 or gamma > 2**10 else torch.float32
        scores = torch.tensor(task.scores.T, dtype=dtype)
        power = math.log(math.log(k) / (2 * task.tol)) / math.log(gamma)
        labels, items = torch.full((k,), 1 / k, dtype=dtype), torch.full((n,), 1 / n, dtype=dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cost = (scores.max() - scores) / (task.epsilon * gamma)
            g, _, _, operations, log = mdot(labels, items, cost, gamma, p=power)
        products = sum(stage["newtonsolve_steps"] for stage in log["proj_logs"])
        return Answer(g.numpy().astype(np.float64), sweeps=products + (operations - products) / LOGSUMEXP)

    return solve
