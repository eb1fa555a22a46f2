"""The entry point, and the outline of the library: problem -> kernels -> potentials -> labels -> Assignment."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from . import _memory, backends
from ._arrays.score_source import ScoreSource
from ._input import problem as _problem
from ._input.reach import of_head
from ._input.sources import fetched
from ._parallel import shards as _shards
from ._parallel.shards import Comm
from ._result import Assignment
from ._rounding.aim import aim_of, within_reach, without_lost
from ._rounding.balance import round_plan
from ._solver.engines import has_dense
from ._solver.outcome import ConvergenceWarning, Solution, Step
from ._solver.outline import solve
from ._solver.tuning import tuning_in_use
from ._system.threads import threaded


def assign(
    logits: Any,
    k: int | None = None,
    *,
    epsilon: float = 1 / 25,
    a: Any = None,
    b: Any = None,
    size_min: Any = None,
    size_max: Any = None,
    known: Any = None,
    coverage: float | None = None,
    rounding: Literal["balanced", "argmax"] = "balanced",
    tol: float = 1e-4,
    max_sweeps: int = 1000,
    method: Literal["lbfgs", "sinkhorn"] = "lbfgs",
    init: Any = None,
    backend: str = "auto",
    comm: Comm | None = None,
    callback: Callable[[Step], object] | None = None,
) -> Assignment:
    """Label n items with k labels so that every label gets its share, at the best total score.

    Solves the entropic optimal transport problem of SeLa (Asano et al., ICLR 2020, eq. 7), then rounds the plan.

    Args:
        logits: scores, larger is better, shape (n, k), or (h, n, k) for h independent heads. A NumPy array, a CPU
            tensor or anything NumPy can read, of any float or integer dtype. Never modified; no softmax needed.
            -inf forbids a label for an item. Also ``LinearScores`` (features and a linear layer), a ``ScoreSource`` of
            one's own, ``np.memmap``, and zarr or h5py arrays (n, k), which are read a block of rows at a time, once a
            full sweep; and an iterator of chunks (m, k), or a function that returns one: read once, into a temporary
            file of that size. CUDA tensors and CuPy arrays stay on their device, which holds 16 bytes a row and lists
            beside them (docs/gpu.md).
        k: a check, not a choice: if given it must equal ``logits.shape[-1]``.
        epsilon: temperature of the plan in units of the scores; SeLa's lambda is 1/epsilon.
        a: row weights, shape (n,), non-negative, summing to 1. Default 1/n. A row of weight 0 is labelled but not
            counted, with -1 if it is all -inf. With ``size_min`` or ``size_max`` the positive
            weights must be equal.
        b: share of each label, shape (k,) or (h, k), non-negative, summing to 1. Default 1/k. A label of share 0 is
            not used.
        size_min: least items of each label, in the place of ``b``: a number, or of shape (k,) or (h, k). Default 0.
            Labels get what suits them best between this and ``size_max``.
        size_max: most items of each label, likewise. Default n.
        known: labels that are known, shape (n,), -1 where one is not: those items keep theirs and fill its share, the
            others are labelled in what is left. Not with heads.
        coverage: of the items, those that get a label: 0.8 leaves a fifth of them, the least sure, with -1. Each label
            gets its share of the rest. A row is the surer the less its best score, g included, is below its soft
            maximum ``epsilon * logsumexp(scores / epsilon)``, so these labels depend on ``epsilon``. Of the unknown
            items, where ``known`` is given.
        rounding: "balanced": every size is floor or ceil of n*b_j, or between ``size_min`` and ``size_max``, and the
            total score is the best among all such labellings. Where ``a`` weighs items unequally: each label's sum of
            weights is within one largest weight of b_j, at a score no less than ``gap`` below the best plan of items
            that may be split. "argmax": SeLa's own rule, the largest entry of each row
            of the plan; sizes come close only.
        tol: stop when ``sum_j |c_j - b_j| <= tol``, where c is the column sum of the plan; with bounds b_j is the
            bound that holds label j, or c_j itself where none does (docs/algorithm.md section 2).
        max_sweeps: stop before more scores are looked at than this many passes would, a head. Columns that underflow
            may take a part of one more.
        method: "lbfgs" on the semi-dual (docs/algorithm.md eq. 2), or "sinkhorn", the textbook iteration.
        init: potentials to start from, shape (k,) or (h, k), as in ``Assignment.potentials``.
        backend: "auto" (numba for host memory, else the library of the scores; up to 2**21 scores on a device are
            fetched and labelled by numba, which is quicker), "numba", "numpy", "torch" or "cupy". With "torch", pinned
            host memory is streamed to the current CUDA device; with "cupy", any host memory is.
        comm: the processes that hold the other rows, for one solve over all of them. ``logits``, ``a`` and the labels
            returned are then those of this process's rows; everything else is common. An object with ``rank``, ``size``
            and ``all_reduce``, as ``otlabel_torch.comm.TorchComm`` is.
        callback: called with a ``Step`` after every full sweep whose result counts; ``otlabel.Progress`` is one.

    Returns:
        An ``Assignment``. Not converging is a ``ConvergenceWarning`` and a ``status``, never silence.

    Raises:
        ValueError: NaN or +inf among the scores, wrong shapes, marginals that are no distribution, scores of -inf that
            leave no labelling of the sizes asked for, ...: the message states the rule, the value received and the
            remedy.
        TypeError: scores or options of a type that cannot be read as numbers.
        ImportError: a named backend is not installed.
        MemoryError: what the solve needs beside the scores exceeds what is free, in host memory or on the device.
    """
    tuning = tuning_in_use()

    def checked() -> _problem.Problem:
        return _problem.problem_of(
            logits,
            k,
            epsilon=epsilon,
            a=a,
            b=b,
            size_min=size_min,
            size_max=size_max,
            known=known,
            coverage=coverage,
            rounding=rounding,
            tol=tol,
            max_sweeps=max_sweeps,
            method=method,
            init=init,
            is_shard=comm is not None,
        )

    def kernels_of(sources: list[ScoreSource], name: str) -> list[backends.Kernels]:
        make_kernels = backends.load(name).Kernels
        return [make_kernels(scores, 1.0 / problem.epsilon, problem.free, problem.largest) for scores in sources]

    def bound() -> list[backends.Kernels]:
        heads = kernels_of(problem.scores, name)
        _memory.check(heads, problem.shape[1:], problem.init, problem.tol, tuning)
        return heads

    team = _shards.SingleProcess() if comm is None else _shards.Shards(comm)
    problem = team.merge(team.together(checked), a is not None, rounding)
    if backend == "auto" and comm is None:
        problem = dataclasses.replace(problem, scores=[fetched(source) for source in problem.scores])
    aims = [aim_of(problem, head, team.weights) for head in range(problem.shape[0])]
    problem, reached = team.reached(dataclasses.replace(problem, b=np.stack([aim.shares for aim in aims])))
    aims = [
        without_lost(aim, ~reached[head] & (aim.shares > 0), of_head(head, len(aims))) for head, aim in enumerate(aims)
    ]
    problem = dataclasses.replace(problem, b=np.stack([aim.shares for aim in aims]))
    aims = [within_reach(problem, head, aim, team.counted) for head, aim in enumerate(aims)]
    name = team.together(lambda: backends.choose(backend, problem.scores[0]))
    kernels = team.together(bound)

    def report(step: Step) -> None:
        if comm is not None or callback is not None:
            team.together(lambda: callback(step) if callback is not None else None)

    k = problem.shape[2]

    def solved(head: int) -> tuple[Solution, np.ndarray, np.ndarray, float]:
        of_all, (_, marginal, bounds) = team.over_all_rows(kernels[head]), aims[head]
        solution = solve(
            of_all,
            (team.n, k),
            marginal,
            init=problem.init[head],
            tol=problem.tol,
            max_sweeps=problem.max_sweeps,
            method=method,
            tuning=tuning,
            head=head,
            callback=report,
        )
        labels, gap = round_plan(of_all, solution.g, marginal, bounds, team.weights, rounding, tuning)
        counted = labels if team.counted.all() else labels[team.counted]
        return solution, labels[team.rows], np.bincount(counted, minlength=k), gap

    # Heads too small for several threads each are solved side by side, unless somebody wants to hear of them in order.
    is_small = len(kernels) > 1 and team.n * k <= tuning.compiled and has_dense(kernels[0])
    side_by_side = is_small and comm is None and callback is None
    of_heads = (threaded if side_by_side else map)(solved, range(len(kernels)))
    solutions, labels, sizes, gaps = (list(parts) for parts in zip(*of_heads, strict=True))
    if problem.sources != problem.scores:  # what was kept for the solve goes with it
        kernels = kernels_of(problem.sources, backends.choose(backend, problem.sources[0]))
    result = Assignment.from_heads(problem, kernels, solutions, labels, sizes, gaps, name)
    if not result.converged:
        warnings.warn(
            f"{result.status.value} The L1 error is {np.max(result.error):.2e}, tol is {problem.tol:g}.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return result
