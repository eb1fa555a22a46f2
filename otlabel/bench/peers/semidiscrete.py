"""Stochastic solvers of plans, which draw items and step on the k potentials only.

They are made for a continuous source, from which samples are drawn; here the items are drawn. Neither can be told an
error (OTT's is an estimate from samples, whose noise is far above the errors that are asked for): see doubling.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .doubling import enough
from .task import Answer, Task

POT_BATCH = 32  # its default
OTT_BATCH = 128  # errors after 0.3 s of 5,120 x 160, first: 32: 0.06, 128: 0.04, 256: 0.04
OTT_AVERAGE = 0.01  # share of the newest in its average of potentials; its default, 0.99, hardly averages
STEP_DECAY = 2 / 3  # steps fall like t**-(2/3) from sqrt(k * batch) on: POT's default, and for OTT's SGD too


def pot(task: Task) -> Callable[[], Answer]:
    """POT's averaged SGD as it is by default. Items are drawn in shuffled order: the error is up to half as large."""
    from ot.semidiscrete import solve_semidiscrete

    n, k = task.scores.shape

    def run(steps: int) -> Answer:
        batches = shuffled(n, min(n, POT_BATCH))
        g = solve_semidiscrete(
            np.zeros((k, 1), np.float32), lambda _: next(batches), reg=task.epsilon, max_iter=steps,
            metric=lambda items, _: -task.scores[items].astype(np.float32), batch_size=POT_BATCH,
        )  # fmt: skip
        return Answer(g.astype(np.float64) / task.epsilon, sweeps=steps * POT_BATCH / n, capped=True)

    return enough(task, run, first=64)


def shuffled(n: int, size: int) -> Iterator[np.ndarray]:
    """Numbers of ``size`` items at a time, each item once before any comes again; what is left over is left out."""
    rng = np.random.default_rng(0)
    while True:
        order = rng.permutation(n)
        yield from order[: n - n % size].reshape(-1, size)


def ott(task: Task) -> Callable[[], Answer]:
    """OTT-JAX's solver, a step of it at a time: as a whole it is compiled anew for every number of steps."""
    import jax
    import optax
    from ott.geometry.costs import CostFn
    from ott.geometry.semidiscrete_pointcloud import SemidiscretePointCloud
    from ott.problems.linear.semidiscrete_linear_problem import SemidiscreteLinearProblem
    from ott.solvers.linear.semidiscrete import SemidiscreteSolver, SemidiscreteState

    n, k = task.scores.shape
    optimizer = optax.sgd(lambda done: math.sqrt(k * OTT_BATCH) / (done + 1.0) ** STEP_DECAY)
    solver = SemidiscreteSolver(num_iterations=1, batch_size=OTT_BATCH, optimizer=optimizer, potential_ema=OTT_AVERAGE)

    @jax.tree_util.register_pytree_node_class
    class LookedUp(CostFn):
        """Points are numbers of items and of labels; what they cost is looked up."""

        def __init__(self, scores: Any) -> None:
            self.scores = scores

        def __call__(self, item: Any, label: Any) -> Any:
            return -self.scores[item[0].astype(int), label[0].astype(int)]

        def tree_flatten(self) -> tuple:
            return (self.scores,), None

        @classmethod
        def tree_unflatten(cls, _: None, children: tuple) -> LookedUp:
            return cls(*children)

    def draw(key: Any, shape: tuple, dtype: Any) -> Any:
        return jax.random.randint(key, shape, 0, n).astype(dtype)

    def solve(scores: Any, steps: Any) -> Any:
        labels = jax.numpy.arange(k, dtype=np.float32)[:, None]
        problem = SemidiscreteLinearProblem(
            SemidiscretePointCloud(draw, labels, LookedUp(scores), epsilon=task.epsilon)
        )
        none, zeros = jax.numpy.zeros(1), jax.numpy.zeros(k, np.float32)
        start = SemidiscreteState(
            it=jax.numpy.array(0), epsilon=jax.numpy.float32(task.epsilon), g=zeros, g_ema=zeros,
            opt_state=optimizer.init(zeros), losses=none, grad_norms=none, errors=none,
        )  # fmt: skip
        key = jax.random.key(0)
        end = jax.lax.fori_loop(
            0, steps, lambda step, state: solver.step(jax.random.fold_in(key, step), state, problem), start
        )
        return end.g_ema

    compiled = jax.jit(solve).lower(task.scores.astype(np.float32), 1).compile()

    def run(steps: int) -> Answer:
        g = compiled(jax.numpy.asarray(task.scores, np.float32), steps)
        return Answer(np.asarray(g, np.float64) / task.epsilon, sweeps=steps * OTT_BATCH / n, capped=True)

    return enough(task, run, first=64)
