"""One row of a benchmark: a solver in a process of its own, timed, watched and judged.

The process comes from a fork server that has imported the solvers' libraries and done nothing else, or is a new
interpreter where there is none. What it allocates, compiles or breaks is gone with it.
"""

from __future__ import annotations

import contextlib
import gc
import math
import multiprocessing
import os
import select
import statistics
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .._system import heap
from . import machine, preloading
from .judge import judge
from .own import methods
from .peers.task import Task
from .problems import Source

Row = dict[str, Any]
Result = TypeVar("Result")

READ = "read"  # the method that only reads the scores
LATE = 1.5, 0.3  # a solve that does not look at the clock is killed after cap * the first + the second, seconds
STARTING = 600.0  # seconds for imports, scores, compiling
PRELOADED = {
    None: ("numpy", "scipy.sparse", "scipy.optimize", "numba", "otlabel.bench.process"),
    "torch": ("torch",),
    "ot": ("ot",),
    "ott": (
        "ott.solvers.linear.sinkhorn",
        "ott.solvers.linear.semidiscrete",
        "ott.problems.linear.linear_problem",
        "ott.geometry.semidiscrete_pointcloud",
        "optax",
    ),
    "geomloss": ("geomloss.ot",),
    "mdot_tnt": ("mdot_tnt",),
    "k_means_constrained": ("k_means_constrained",),
}  # by the module that a solver needs


@dataclass(frozen=True)
class Job:
    """What a row is about."""

    method: str  # of ``methods()``, or READ
    source: Source
    epsilon: float
    tol: float
    cap: float  # seconds a solve may take
    repeat: int  # timed solves, after one that is not counted
    enough: float = math.inf  # seconds of them after which no more are made


def preload(packages: Iterable[str | None]) -> None:
    """Let the fork server import what some solvers need; before the first job."""
    modules = [module for package in (None, *packages) for module in PRELOADED.get(package, ())]
    os.environ[preloading.MODULES] = ",".join(dict.fromkeys(modules))
    if "forkserver" in multiprocessing.get_all_start_methods():
        multiprocessing.set_forkserver_preload([preloading.__name__])


def measure(job: Job) -> Row:
    """Run a job in its own process. A row always comes back; ``status`` says how it went:

    reached: the error is at most tol, or the labels are exactly balanced. missed: the solver ended, and they are not.
    capped: it was given ``cap`` seconds and got as far as ``error``. killed: it did not stop by itself after them.
    failed: an exception, in ``note``.
    """
    kind = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(kind)
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, send), daemon=True)  # type: ignore[attr-defined]
    process.start()
    send.close()
    row: Row = {"status": "failed", "note": "the process ended without a word", "seconds": []}
    message, patience = "started", STARTING
    try:
        while message != "done":
            if not receive.poll(patience):
                late = (
                    f"it goes on after {job.cap:g} s" if message in ("ready", "solved") else f"{patience:g} s of setup"
                )
                row |= {"status": "killed", "note": f"killed: {late}", "seconds": []}
                break
            message, row_so_far, patience = receive.recv()
            row |= row_so_far
    except EOFError:
        process.join(5)
        row |= {"status": "failed", "note": f"the process ended with exit status {process.exitcode}", "seconds": []}
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        receive.close()
    return _facts(job) | row


def _facts(job: Job) -> Row:
    source = job.source
    return {
        "method": job.method,
        "scores": source.name,
        "n": source.n,
        "k": source.k,
        "dtype": source.dtype,
        "seed": source.seed,
        "epsilon": job.epsilon,
        "tol": job.tol,
        "cap": job.cap,
        "balances": job.method != READ and methods()[job.method].balances,
        "gigabytes": source.n * source.k * np.dtype(source.dtype).itemsize / 1e9,
    }


def _work(job: Job, send: Connection) -> None:
    """In the child: sends (message, parts of the row, seconds until the next message) and ends."""
    threading.Thread(target=_end_with, args=(send,), daemon=True).start()
    gc.freeze()  # what was imported need not be looked at before every solve
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        with open(os.devnull, "w") as null, contextlib.redirect_stderr(null), contextlib.redirect_stdout(null):
            try:
                scores = job.source.load()
                if job.method == READ:
                    row = {"status": "reached", "note": "", "seconds": [machine.read_seconds(scores)]}
                else:
                    row = _solves(job, scores, send)
            except (Exception, SystemExit) as error:
                row = {"status": "failed", "note": f"{type(error).__name__}: {error}"[:500]}
        send.send(("done", row, STARTING))


def _end_with(send: Connection) -> None:
    """End this process when nobody listens any more, however its parent ended."""
    if hasattr(select, "poll"):
        listener = select.poll()
        listener.register(send.fileno(), 0)  # of errors it tells always
        listener.poll()
        os._exit(1)


def _solves(job: Job, scores: np.ndarray, send: Connection) -> Row:
    patience = job.cap * LATE[0] + LATE[1]
    fingerprint = zlib.crc32(scores.data)
    layer = job.source.layer() if job.source.kind == "features" else None
    task = Task(scores, job.epsilon, job.tol, job.cap, layer)
    send.send(("loaded", {}, STARTING))
    start = time.perf_counter()
    solve = methods()[job.method].adapter(task)
    setup = time.perf_counter() - start
    row: Row = {"setup": setup}
    send.send(("ready", row, patience))

    first, answer, peak = timed(solve)
    send.send(("answered", {}, STARTING))
    lost = answer.potentials is not None and not np.isfinite(answer.potentials).all()
    if lost:
        return row | {"status": "missed", "note": "its potentials are not finite", "sweeps": answer.sweeps}
    verdict = judge(scores, job.epsilon, answer.potentials, answer.labels)
    balances = methods()[job.method].balances
    exact = verdict.largest - verdict.smallest <= 1
    close = verdict.error is not None and verdict.error <= job.tol
    row |= {
        "note": "",
        "sweeps": answer.sweeps,
        "engine": answer.engine,
        "error": verdict.error,
        "score": verdict.score,
        "bound": verdict.bound if answer.gap is None else verdict.score + answer.gap,
        "gap": answer.gap,
        "smallest": verdict.smallest,
        "largest": verdict.largest,
        "exact": exact,
        "peak_mib": peak,
    }
    reached = exact and (answer.gap is None or close) if balances else close
    if zlib.crc32(scores.data) != fingerprint:
        return row | {"status": "failed", "note": "it changed the scores it was given"}
    if not reached:
        note = f"stopped after {first:.2g} s" if answer.capped else ""
        return row | {"status": "capped" if answer.capped else "missed", "note": note, "stopped_after": first}
    del answer
    seconds: list[float] = []
    while len(seconds) < job.repeat and sum(seconds) < job.enough:
        send.send(("solved", row, patience))
        again, answer, peak = timed(solve)
        del answer
        seconds.append(again)
    row |= {"peak_mib": peak, "warmup": setup + max(0.0, first - statistics.median(seconds))}
    if statistics.median(seconds) > job.cap:  # the same limit for those that cannot look at the clock
        took = f"it takes {statistics.median(seconds):.2g} s"
        return row | {"status": "capped", "note": took, "stopped_after": statistics.median(seconds)}
    return row | {"status": "reached", "seconds": seconds}


def timed(solve: Callable[[], Result]) -> tuple[float, Result, float | None]:
    """Seconds of one solve, what it returned, and the MiB it needed at its peak beside what was there before."""
    gc.collect()
    heap.give_back()  # or a solve could use it unseen
    before = _Memory()
    start = time.perf_counter()
    answer = solve()
    return time.perf_counter() - start, answer, before.growth()


class _Memory:
    """The peak of this process's memory, or of its GPU's, from now on."""

    def __init__(self) -> None:
        self.device = _device_memory()
        if self.device is not None:
            self.start = self.device()
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
            self.resident: float | None = _status("VmRSS")
        except OSError:
            self.resident = None

    def growth(self) -> float | None:
        if self.device is not None:
            return (self.device() - self.start) / 2**20
        return None if self.resident is None else max(0.0, (_status("VmHWM") - self.resident) / 2**20)


def _device_memory() -> Any:
    """The function that tells torch's peak on the GPU, started anew, if a GPU is in use."""
    import sys

    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.max_memory_allocated


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(name))
