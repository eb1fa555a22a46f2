"""Other solvers of the same problem, an adapter each. An adapter does what has to be done once, and returns the solve.

The problem: scores (n, k), rows of weight 1/n, columns of 1/k, temperature epsilon; stop at an L1 error of the column
sums of ``tol``. Where a library measures its error otherwise, the adapter says how that is translated. What a solve
converts (a cost matrix, float64) counts as its time, as it would for its users.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._system.machine import free_memory
from . import machine, textbook
from .judge import judge


@dataclass(frozen=True)
class Task:
    """What is to be solved, and for how long."""

    scores: np.ndarray  # (n, k), read-only
    epsilon: float
    tol: float
    cap: float  # seconds after which a solve should end, if it can, with what it has


class Answer(NamedTuple):
    """What a solver gives back."""

    potentials: np.ndarray | None = None  # (k,) in nats
    labels: np.ndarray | None = None  # (n,); None: the argmax at the potentials
    sweeps: float | None = None  # passes over the scores: a Sinkhorn iteration makes two
    gap: float | None = None  # nats an item, if the solver certifies its labels
    capped: bool = False  # it gave up because of the time


FAR, RANGE = 1e6, 30.0  # for k-means-constrained: its costs must stay below 2**31 / 1000

Adapter = Callable[[Task], Callable[[], Answer]]


class Peer(NamedTuple):
    """A solver to compare with."""

    name: str
    package: str | None  # as it is imported; None: written here
    install: str | None  # as pip knows it
    balances: bool  # gives labels that are exactly balanced, not potentials
    about: str  # a line of --help
    adapter: Adapter


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
    """It has no stopping rule yet (0.3 reads ``tol`` and does nothing with it): the number of iterations is doubled
    until the error is reached, before the clock starts. With torch's tensors, which use all threads, if they are there.
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
    iterations = 4
    while True:
        start = time.perf_counter()
        answer = run(iterations)
        seconds = time.perf_counter() - start
        error = judge(task.scores, task.epsilon, answer.potentials, None).error
        if (error is not None and error <= task.tol) or 2 * seconds > task.cap:
            return lambda: run(iterations)
        iterations *= 2


def linear_sum_assignment(task: Task) -> Callable[[], Answer]:
    """The last place of a label may stay empty if k does not divide n."""
    from scipy.optimize import linear_sum_assignment

    n, k = task.scores.shape
    places = -(-n // k)
    needed, free = 2 * 8 * (k * places) ** 2, free_memory()
    if needed > free:
        raise MemoryError(f"needs {needed / 2**30:.1f} GiB for n x n costs, {free / 2**30:.1f} GiB are free")

    def solve() -> Answer:
        square = np.zeros((k * places, k, places))
        square[:n] = task.scores[:, :, None]
        square[n:, :, :-1] = -1e30  # nobody takes the last place only
        _, columns = linear_sum_assignment(square.reshape(k * places, k * places), maximize=True)
        return Answer(labels=columns[:n] // places)

    return solve


def network_simplex(task: Task) -> Callable[[], Answer]:
    """Every item is one unit; a label's last unit is a place of its own if k does not divide n."""
    import ot

    n, k = task.scores.shape
    floor, more = divmod(n, k)

    def solve() -> Answer:
        cost = task.scores.max() - task.scores.astype(np.float64)
        supply, demand = np.ones(n), np.full(k, float(floor))
        if more:
            cost = np.vstack([np.hstack([cost, cost]), np.repeat([n * cost.max(), 0.0], k)])
            supply, demand = np.append(supply, k - more), np.append(demand, np.ones(k))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plan = ot.emd(supply, demand, cost, numItermax=10**9)
        return Answer(labels=plan[:n].argmax(axis=1) % k)

    return solve


def k_means_constrained(task: Task) -> Callable[[], Answer]:
    """Centres are far out on the axes of the scores, at FAR * e_j: the distance to them, which it minimises, is
    FAR - score + a constant an item, up to RANGE**2 / (2 * FAR).

    It rounds distances to multiples of 0.001; the scores are stretched over RANGE, where what is left out is less.
    """
    from k_means_constrained import KMeansConstrained

    n, k = task.scores.shape

    def solve() -> Answer:
        points = task.scores.astype(np.float64)
        points = (points - points.min()) * (RANGE / max(float(np.ptp(points)), 1e-300))
        means = KMeansConstrained(k)
        means.cluster_centers_ = FAR * np.eye(k)
        return Answer(labels=means.predict(points, size_min=n // k, size_max=-(-n // k)).astype(np.int64))

    return solve


PEERS = (
    Peer("SeLa textbook", None, None, False, "the paper's iteration, float64", sela_textbook),
    Peer("SwAV, 3 iterations", None, None, False, "SwAV's and Lightly's fixed few, float32", swav),
    Peer("POT sinkhorn", "ot", "POT", False, "ot.sinkhorn, float64", pot_sinkhorn),
    Peer("POT sinkhorn_log", "ot", "POT", False, "the same in logarithms", pot_sinkhorn_log),
    Peer("OTT", "ott", "ott-jax", False, "OTT-JAX in logarithms, float32", ott),
    Peer("OTT momentum", "ott", "ott-jax", False, "the same, over-relaxed by 1.5", ott_momentum),
    Peer("OTT Anderson", "ott", "ott-jax", False, "the same, Anderson acceleration of memory 5", ott_anderson),
    Peer("GeomLoss", "geomloss", "geomloss", False, "geomloss.ot.solve of a cost matrix, float32", geomloss),
    Peer("SciPy assignment", "scipy", "scipy", True, "linear_sum_assignment, a column a place", linear_sum_assignment),
    Peer("POT network simplex", "ot", "POT", True, "ot.emd", network_simplex),
    Peer(
        "k-means-constrained",
        "k_means_constrained",
        "k-means-constrained",
        True,
        "its assignment step, OR-tools' minimum-cost flow",
        k_means_constrained,
    ),
)
