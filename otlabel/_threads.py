"""Work in parts, on as many threads as there are cores or OTLABEL_NUM_THREADS says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def threaded(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """work(item) of each, in order. The threads end with the call: forked processes inherit none."""
    threads = min(len(items), _threads())
    if threads <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def ahead(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """work(item) of each, in order, each begun while the caller is busy with the one before."""
    with ThreadPoolExecutor(1) as reader:
        results = (reader.submit(work, item) for item in items)
        coming = next(results, None)
        while coming is not None:
            result, coming = coming.result(), next(results, None)
            yield result


def _threads() -> int:
    limit = os.environ.get("OTLABEL_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, int(limit)) if limit and limit.isdigit() and int(limit) > 0 else cores
