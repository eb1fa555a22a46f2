"""For solvers without a stopping rule that could be told ``tol``: how long they must run is found out beforehand."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..judge import judge
from .task import Answer, Task


def enough(task: Task, run: Callable[[int], Answer], first: int) -> Callable[[], Answer]:
    """``run`` with as many iterations as reach the error, found by doubling ``first`` before the clock starts.

    It ends with those that took more than half of the cap, which are tried at once where even an error that falls like
    1/iterations**2, faster than that of any of these solvers, would not get there.
    """
    iterations = first
    while True:
        start = time.perf_counter()
        answer = run(iterations)
        possible = task.cap / (time.perf_counter() - start)  # times as many iterations
        error = judge(task.scores, task.epsilon, answer.potentials, None).error
        assert error is not None  # it has potentials
        if error <= task.tol or possible < 2:
            return lambda: run(iterations)
        iterations *= int(possible) if error > task.tol * possible**2 else 2
