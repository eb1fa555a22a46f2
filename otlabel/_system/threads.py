"""Work in parts, on as many threads as there are cores or OTLABEL_NUM_THREADS says.

Raw threads and locks: Ctrl-C can come while the main thread holds a lock inside ``threading`` or
``concurrent.futures``, and then their threads wait for it forever.
"""

from __future__ import annotations

import functools
import os
from _thread import allocate_lock, start_new_thread
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

from .machine import cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def threaded(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """work(item) of each, in order; the first error in that order. The threads end with the call, however it ends."""
    todo = deque(enumerate(items))
    results: list[Any] = [None] * len(items)
    errors: dict[int, BaseException] = {}

    def worker() -> None:
        while True:
            try:
                index, item = todo.popleft()
            except IndexError:
                return
            try:
                results[index] = work(item)
            except BaseException as error:
                errors[index] = _interrupt_behind(error)
                todo.clear()

    tasks: list[_Task] = []
    try:
        for _ in range(min(len(items), count()) - 1):
            tasks.append(_Task(worker))
        worker()
        _wait(tasks)
    except KeyboardInterrupt:
        todo.clear()
        _wait(tasks)
        raise
    if errors:
        raise errors[min(errors)]
    return results


def interruptible(work: Callable[[], Result], stop: Callable[[], object]) -> Result:
    """work() in another thread, as compiled code that takes long has to be: Ctrl-C calls stop(), which must end it."""
    task = _Task(work)
    try:
        return task.result()
    except KeyboardInterrupt:
        stop()
        task.wait()
        raise


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside, BLAS works on the caller's thread alone: those of ``threaded`` are as many as there is work for.

    It holds for all of the process, until the last of several threads that are inside has left. The first must be
    one that starts the others: OpenBLAS takes no notice of what a thread asks for once another has asked (0.3.31).
    """
    global _inside, _limited
    with _blas:
        if _inside == 0:
            _limited = _blas_libraries().limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _blas:
            _inside -= 1
            if _inside == 0:
                _limited.restore_original_limits()


_blas, _inside = allocate_lock(), 0
_limited: Any = None


@functools.lru_cache
def _blas_libraries() -> ThreadpoolController:
    return ThreadpoolController()


def ahead(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """work(item) of each, in order, each begun while the caller is busy with the one before; one at a time.

    So a file has one reader, and of the blocks it is read by one is in work and one in use.
    """
    tasks: deque[_Task] = deque()
    try:
        for item in items:
            ready = tasks.popleft().result() if tasks else None
            tasks.append(_Task(functools.partial(work, item)))
            if ready is not None:
                yield ready
        if tasks:
            yield tasks.popleft().result()
    finally:
        _wait(tasks)


class _Task:
    """work() in a thread of its own."""

    def __init__(self, work: Callable[[], Any]):
        self._finished, self._value = False, None
        self._error: BaseException | None = None
        self._lock = allocate_lock()
        self._lock.acquire()
        start_new_thread(self._run, (work,))

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            self._value = work()
        except BaseException as error:
            self._error = error
        self._finished = True
        self._lock.release()

    def wait(self) -> None:
        while not self._finished:
            self._lock.acquire()

    def result(self) -> Any:
        self.wait()
        if self._error is not None:
            raise self._error
        return self._value


def _wait(tasks: Iterable[_Task]) -> None:
    for task in tasks:
        task.wait()


def _interrupt_behind(error: BaseException) -> BaseException:
    """The Ctrl-C that made compiled code fail with a SystemError, or the error itself."""
    cause: BaseException | None = error
    while isinstance(cause, SystemError):
        cause = cause.__cause__ or cause.__context__
    return cause if isinstance(cause, KeyboardInterrupt) else error


def count() -> int:
    """How many threads work together."""
    limit = os.environ.get("OTLABEL_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS")
    return min(cores(), int(limit)) if limit and limit.isdigit() and int(limit) > 0 else cores()
