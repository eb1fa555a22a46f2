"""For solvers without a stopping rule that could be told ``tol``: how long they must run is found out beforehand."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..judge import judge
from .task import Answer, Task


def enough(task: Task, run: Callable[[int], Answer], first: int) -> Callable[[], Answer]:
    """``run`` with its iterations, doubled from ``first`` on until the error is reached, or until twice as many would
    take longer than the cap. This is done before the clock starts.
    """
    iterations = first
    while True:
        start = time.perf_counter()
        answer = run(iterations)
        seconds = time.perf_counter() - start
        error = judge(task.scores, task.epsilon, answer.potentials, None).error
        if (error is not None and error <= task.tol) or 2 * seconds > task.cap:
            return lambda: run(iterations)
        iterations *= 2
