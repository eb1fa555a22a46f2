"""The parts of the proof on a GPU that take times: whole solves, batches, sweeps, and other ways to do the same."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import itertools
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from gpu_tools import (  # first: it finds otlabel
    CUPY,
    EPSILON,
    GPU,
    LIBRARIES,
    PLACE,
    Row,
    in_library,
    on_host,
    quantiles,
    seconds,
    synchronize,
)

import otlabel
from otlabel import backends
from otlabel._input.sources import InMemory
from otlabel.bench import textbook
from otlabel.bench.problems import mixture, mixture_on_device


def bandwidth(rehearse: bool) -> Iterator[Row]:
    """Bytes a second of a sweep, against a copy on the same device in the same run."""
    size = 1 << (22 if rehearse else 32)
    for dtype in (torch.float16, torch.float32):
        for k in (128, 1000, 3000, 10_000):
            n = size // (k * dtype.itemsize)
            scores = torch.empty(n, k, dtype=dtype, device=PLACE)
            for rows in torch.split(scores, max(1, (1 << 26) // k)):
                rows.copy_(torch.randn(rows.shape, device=PLACE))
            other = torch.empty_like(scores)
            copy = seconds(lambda scores=scores, other=other: other.copy_(scores), 10)
            del other
            words = scores.view(torch.float32).view(-1)  # two scores of float16 a word: what torch reads fastest
            read = seconds(words.max, 5)
            gigabytes = scores.numel() * dtype.itemsize / 1e9
            copied = 2 * gigabytes / statistics.median(copy)
            yield {"what": "copy", "dtype": str(dtype)[6:], "n": n, "k": k} | quantiles(
                [2 * gigabytes / t for t in copy], "GB/s"
            )
            yield {"what": "read only, torch's largest of words", "dtype": str(dtype)[6:], "n": n, "k": k} | quantiles(
                [gigabytes / t for t in read], "GB/s"
            )
            for library, precise in itertools.product(LIBRARIES, (False, True)):
                kernels = backends.load(library).Kernels(
                    InMemory(in_library(scores, library)), 1.0, np.full(n, 1 / n), 10.0
                )
                g = kernels.with_scale(np.zeros(k))
                times = seconds(lambda kernels=kernels, g=g, precise=precise: kernels.sweep(g, precise), 10)
                yield {
                    "what": "sweep",
                    "library": library,
                    "dtype": str(dtype)[6:],
                    "arithmetic": "float64" if precise else "float32",
                    "n": n,
                    "k": k,
                    "of_copy": gigabytes / statistics.median(times) / copied,
                } | quantiles([gigabytes / t for t in times], "GB/s")
            del scores, kernels


def imagenet(rehearse: bool) -> Iterator[Row]:
    """1,281,167 x 3,000 float16 scores of the peaked mixture, from cold potentials to labels."""
    n, k = (2000, 50) if rehearse else (1_281_167, 3000)
    scores = mixture_on_device(n, k, "peaked", PLACE)
    for library, rounding in itertools.product(LIBRARIES, ("argmax", "balanced")):
        own = in_library(scores, library)
        otlabel.assign(own, rounding=rounding, backend=library)  # compiles
        results, times = [], []
        for _ in range(3):
            if GPU:
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
            synchronize()
            start = time.perf_counter()
            results.append(otlabel.assign(own, rounding=rounding, backend=library))
            synchronize()
            times.append(time.perf_counter() - start)
        result = results[-1]
        labels = [on_host(other.labels) for other in results]
        with counted() as evaluations:
            otlabel.assign(own, rounding=rounding, backend=library)
        yield {
            "what": f"whole solve, {rounding}",
            "library": library,
            "dtype": "float16",
            "n": n,
            "k": k,
            "sweeps": float(result.n_sweeps),
            "surveys": len(result.history),
            "tol": 1e-4,
            "list_evaluations": len(evaluations),
            "list_seconds": sum(evaluations),
            "kernels": kernel_times(
                lambda own=own, rounding=rounding, library=library: otlabel.assign(
                    own, rounding=rounding, backend=library
                )
            ),
            "error": float(result.error),
            "gap": None if math.isnan(result.gap) else float(result.gap),
            "sizes": [int(result.sizes.min()), int(result.sizes.max())],
            "bit_identical": all((one == labels[0]).all() for one in labels),
            "peak_mib_beside_input": (torch.cuda.max_memory_allocated() - before) / 2**20
            if GPU and library == "torch"
            else None,
        } | quantiles(times, "s")


def kernel_times(work: Callable[[], object]) -> Row:
    """Calls and milliseconds of each kernel and copy on the device, the ten that take most."""
    if not GPU:
        return {"note": "no GPU"}
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        work()
        synchronize()
    spent = sorted(profile.key_averages(), key=lambda event: -event.self_device_time_total)
    return {event.key[:60]: [event.count, round(event.self_device_time_total / 1e3, 3)] for event in spent[:16]}


def batches(rehearse: bool) -> Iterator[Row]:
    """What a training step labels, and a small data set: against the same labels by the CPU, copied there and back."""
    shapes = [(512, 100), (4096, 300), (4096, 3000), (50_000, 128), (50_000, 1000)]
    for (n, k), rounding in itertools.product(shapes[:1] if rehearse else shapes, ("argmax", "balanced")):
        scores = mixture_on_device(n, k, "broad", PLACE).float()
        common = {"n": n, "k": k, "rounding": rounding, "dtype": "float32"}
        solve = functools.partial(otlabel.assign, rounding=rounding)
        ways: dict[str, Callable[[], Any]] = {
            library: functools.partial(solve, in_library(scores, library), backend=library) for library in LIBRARIES
        }
        ways["numba, with copies"] = functools.partial(by_the_host, scores, solve)
        if rounding == "argmax":
            ways["SwAV, 3 iterations"] = functools.partial(swav, scores)
        for name, work in ways.items():
            yield common | {"what": "a batch", "library": name} | quantiles(seconds(work, 7), "s")


def by_the_host(scores: torch.Tensor, solve: Callable[..., otlabel.Assignment]) -> torch.Tensor:
    """Labels by numba, of scores that are fetched first, and back where those are."""
    return torch.from_numpy(solve(scores.cpu().numpy(), backend="numba").labels).to(PLACE)


@contextlib.contextmanager
def counted() -> Iterator[list[float]]:
    """Seconds of each evaluation of lists inside, the device waited for."""
    from otlabel.backends.gpu import kernels

    times: list[float] = []
    usual = kernels.Survey.sweep

    def timed(self: Any, g: np.ndarray) -> Any:
        synchronize()
        start = time.perf_counter()
        found = usual(self, g)
        synchronize()
        times.append(time.perf_counter() - start)
        return found

    kernels.Survey.sweep = timed  # type: ignore[method-assign]
    try:
        yield times
    finally:
        kernels.Survey.sweep = usual  # type: ignore[method-assign]


def plain_sinkhorn(scores: torch.Tensor, tol: float, most: int) -> tuple[np.ndarray, int]:
    """In the log domain, with torch.logsumexp and nothing else, as anybody would write it: g (k,) and iterations."""
    n, k = scores.shape
    log_a, log_b = -math.log(n), -math.log(k)
    logits = scores.float() / EPSILON
    g = torch.zeros(k, device=scores.device)
    iterations = 0
    while iterations < most:
        iterations += 1
        f = log_a - torch.logsumexp(logits + g, 1)
        columns = torch.logsumexp(logits + f[:, None], 0)
        error = float((torch.exp(columns + g) - 1 / k).abs().sum())
        if error <= tol:
            break
        g = log_b - columns
    found = g.double().cpu().numpy()
    return found - found.mean(), iterations


def swav(scores: torch.Tensor) -> np.ndarray:
    """Three iterations in float32: g (k,)."""
    q = scores.float()
    q -= q.amax(1, keepdim=True)  # a factor a row, which the row scaling takes off: or rows underflow
    q /= EPSILON
    totals = textbook.swav(q.exp_(), iterations=3)
    return -torch.stack(totals).double().log().sum(0).cpu().numpy()


def peers(rehearse: bool) -> Iterator[Row]:
    """The same problem, to the same L1 error where the method gets there."""
    n, k = (1000, 20) if rehearse else (320_000, 3000)
    for regime in ("peaked", "broad"):
        scores = mixture_on_device(n, k, regime, PLACE)
        uniform = np.full(n, 1 / n)
        exact = backends.load("torch").Kernels(InMemory(scores), 1 / EPSILON, uniform, float(scores.abs().max()))

        def l1_error(g: np.ndarray, exact=exact, k=k) -> float | None:
            # Where float32 lost whole columns there are no potentials.
            return float(np.abs(exact.survey(g, 0.0, True).swept.c - 1 / k).sum()) if np.isfinite(g).all() else None

        common = {"regime": regime, "n": n, "k": k, "dtype": "float16"}
        for library in LIBRARIES:
            own = in_library(scores, library)
            for tol in (1e-4, 1e-6):
                found: list[otlabel.Assignment] = []
                times = seconds(
                    lambda own=own, tol=tol, found=found: found.append(otlabel.assign(own, rounding="argmax", tol=tol)),
                    3,
                )
                yield (
                    common
                    | {
                        "what": f"otlabel, tol {tol:g}",
                        "library": library,
                        "sweeps": float(found[-1].n_sweeps),
                        "l1_error": l1_error(found[-1].potentials),
                    }
                    | quantiles(times, "s")
                )
        most = 50 if rehearse else 3000
        for dtype in (torch.float64, torch.float32, torch.float16):

            def run_textbook(scores=scores, dtype=dtype, most=most) -> tuple[np.ndarray, int]:
                return textbook.potentials_on_device(scores, EPSILON, dtype, max_iterations=most, tol=1e-4)

            textbook.potentials_on_device(scores[:1000], EPSILON, dtype, max_iterations=3)  # warms
            synchronize()
            start = time.perf_counter()
            g, iterations = run_textbook()
            synchronize()
            yield (
                common
                | {
                    "what": f"textbook, {str(dtype)[6:]}, tol 0.0001",
                    "sweeps": 2 * iterations,  # two products with the matrix each
                    "l1_error": l1_error(g),
                }
                | quantiles([time.perf_counter() - start], "s")
            )
        plain_sinkhorn(scores[:1000], 1e-4, 3)
        synchronize()
        start = time.perf_counter()
        g, iterations = plain_sinkhorn(scores, 1e-4, 20 if rehearse else 300)
        synchronize()
        yield (
            common
            | {"what": "plain torch.logsumexp, tol 0.0001", "sweeps": 2 * iterations, "l1_error": l1_error(g)}
            | quantiles([time.perf_counter() - start], "s")
        )
        found_by_swav: list[np.ndarray] = []
        times = seconds(lambda scores=scores, found=found_by_swav: found.append(swav(scores)), 3)
        error = l1_error(found_by_swav[-1])
        yield common | {"what": "SwAV, 3 iterations", "sweeps": 6, "l1_error": error} | quantiles(times, "s")
        on_host = scores.cpu().numpy()
        otlabel.assign(mixture(1000, k, regime, dtype=np.float16), rounding="argmax", backend="numba")  # compiles
        start = time.perf_counter()
        result = otlabel.assign(on_host, rounding="argmax", backend="numba")
        yield (
            common
            | {
                "what": f"otlabel numba, {os.cpu_count()} CPU cores, tol 0.0001",
                "sweeps": float(result.n_sweeps),
                "l1_error": l1_error(result.potentials),
            }
            | quantiles([time.perf_counter() - start], "s")
        )
    ott = importlib.util.find_spec("ott")
    yield {"what": "OTT-JAX", "note": "not installed here" if ott is None else "installed, not compared by this script"}


def tune(rehearse: bool) -> Iterator[Row]:
    """Every reasonable way to cut the sweep up, best first."""
    from otlabel.backends.gpu import cuda_engine as cuda
    from otlabel.backends.gpu import triton_engine as kernels

    size = 1 << (22 if rehearse else 32)
    for dtype, k in itertools.product((torch.float16, torch.float32), (3000, 1000)):
        n = size // (k * dtype.itemsize)
        scores = torch.randn(n, k, device=PLACE).to(dtype)
        uniform, rows = np.full(n, 1 / n), []
        own = kernels.sweep_shape(k, dtype.itemsize, False)
        for warps, height, stages, resident in itertools.product((1, 2, 4, 8, 16), (1, 2), (3, 4), (8, 16)):
            if not 16 <= height * (own.head + own.tail) // (32 * warps) <= 64 or resident < warps:
                continue
            shape = own._replace(rows=height, warps=warps, per_processor=resident // warps, stages=stages)
            rows.append(
                ("torch", shape._asdict(), lambda shape=shape: setattr(kernels, "sweep_shape", lambda *_: shape))
            )
        usual = cuda.sweep_shape(k, k, dtype.itemsize, 0, False)
        for threads, height in itertools.product((64, 128, 256, 512), (1, 2, 3, 4)):
            if not CUPY or usual is None:
                continue
            vectors = -(-k // usual.width // threads)
            if vectors * usual.width * height <= 72:
                shape = cuda.Shape(threads, vectors, usual.width, height, 0)
                rows.append(
                    ("cupy", shape._asdict(), lambda shape=shape: setattr(cuda, "sweep_shape", lambda *_: shape))
                )
        kept = kernels.sweep_shape, cuda.sweep_shape
        for library, shape, choose in rows:
            bound = backends.load(library).Kernels(InMemory(in_library(scores, library)), 1.0, uniform, 10.0)
            choose()
            try:
                g = bound.with_scale(np.zeros(k))
                times = seconds(lambda bound=bound, g=g: bound.sweep(g, False), 5)
                rate = quantiles([size / 1e9 / t for t in times], "GB/s")
            except Exception as error:
                rate = {"note": f"{type(error).__name__}: {str(error)[:80]}"}
            kernels.sweep_shape, cuda.sweep_shape = kept
            yield {"what": "sweep", "library": library, "dtype": str(dtype)[6:], "k": k, "shape": shape} | rate
