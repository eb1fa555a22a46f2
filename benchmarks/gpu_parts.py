"""The parts of the proof on a GPU, each run by benchmarks/gpu_proof.py as a process of its own.

A part yields rows that describe themselves; nothing is imported that is not there, and nothing is installed. Here are
those that say whether results are right; gpu_times.py has the others.
``python benchmarks/gpu_parts.py tune --rows FILE`` is none of the proof: how the sweep is best cut up on this device.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import multiprocessing
import os
import platform
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import torch
from gpu_times import bandwidth, batches, imagenet, peers, tune
from gpu_tools import (  # first: it finds otlabel
    CUPY,
    EPSILON,
    GPU,
    LIBRARIES,
    PLACE,
    ROOT,
    Row,
    in_library,
    on_host,
    synchronize,
)

import otlabel
from otlabel import backends
from otlabel._input.sources import InMemory
from otlabel.bench import judge


def smoke(rehearse: bool) -> Iterator[Row]:
    """Small problems of every type against numba on the host, all at once: most of it is compiling."""
    n, k = (300, 20) if rehearse else (5000, 300)
    dtypes = ("float64", "float32", "float16", "bfloat16")
    # CuPy has no bfloat16 arrays from DLPack everywhere.
    cases = [case for case in itertools.product(dtypes, LIBRARIES) if case != ("bfloat16", "cupy")]
    with ProcessPoolExecutor(len(cases) if GPU else 1, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = [pool.submit(against_numba, dtype, library, n, k) for dtype, library in cases]
        for done in as_completed(running):
            try:
                yield done.result()
            except Exception as error:
                yield {"what": "against numba", "passed": False, "why": f"{type(error).__name__}: {str(error)[-1500:]}"}


def against_numba(dtype: str, library: str, n: int, k: int) -> Row:
    """One of the small problems, in a process of its own."""
    scores = torch.from_numpy(np.random.default_rng().normal(size=(n, k))).to(getattr(torch, dtype))
    wide = scores.double().numpy()
    start = time.perf_counter()
    found = otlabel.assign(in_library(scores.to(PLACE), library), backend=library)
    synchronize()
    took, labels = time.perf_counter() - start, on_host(found.labels)
    truth = otlabel.assign(wide, backend="numba")
    score, best = (wide[np.arange(n), own].mean() / EPSILON for own in (labels, truth.labels))
    shares = [np.exp(g - g.max()) for g in (found.potentials, truth.potentials)]
    is_right = bool(abs(score - best) <= 1e-6 and np.array_equal(np.sort(found.sizes), np.sort(truth.sizes)))
    return {
        "what": "against numba", "library": library, "dtype": dtype, "n": n, "k": k,
        "passed": is_right and found.converged, "gap_nats": float(best - score), "error": float(found.error),
        "potentials_apart": float(abs(shares[0] - shares[1]).max()), "seconds_with_compiling": took,
    }  # fmt: skip


def sanitize(rehearse: bool) -> Iterator[Row]:
    """What NVIDIA's sanitizer finds in every kernel: memory out of bounds, and races for shared memory."""
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None or not GPU:
        yield {"what": "compute-sanitizer", "note": "not here" if sanitizer is None else "no GPU"}
        return
    settings = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}  # a pool's blocks have no bounds of their own
    tools = ("memcheck", "racecheck")
    running = [
        subprocess.Popen(
            [sanitizer, "--tool", tool, "--error-exitcode", "9", sys.executable, __file__, "tiny"],
            env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for tool in tools
    ]  # fmt: skip
    for tool, process in zip(tools, running, strict=True):
        output = process.communicate()[0]
        found = [line for line in output.splitlines() if line.startswith("=========")]
        yield {
            "what": f"compute-sanitizer {tool}", "passed": process.returncode == 0,
            "summary": found[-1] if found else output[-200:], "output": "\n".join(found)[:2000],
        }  # fmt: skip


def tiny(rehearse: bool) -> Iterator[Row]:
    """Every kernel once, for the sanitizer."""
    if CUPY:
        import cupy

        cupy.cuda.set_allocator(None)  # no pool: its blocks have no bounds of their own
    for library in LIBRARIES:
        otlabel.assign(in_library(torch.randn(200, 30).to(PLACE), library), backend=library)
        yield {"what": "every kernel once", "library": library}


def dies(rehearse: bool) -> Iterator[Row]:
    """A rehearsal of what a driver can do."""
    yield {"what": "before the end"}
    os.abort()


def hangs(rehearse: bool) -> Iterator[Row]:
    """With a child that hangs as well."""
    yield {"what": "before it hangs"}
    subprocess.run(["sleep", "1000"])


def wrong(rehearse: bool) -> Iterator[Row]:
    """Results that no proof may take."""
    yield {"what": "error of c", "arithmetic": "float32", "l1_error": 2e-4}
    yield {"what": "error of c", "arithmetic": "float64", "l1_error": float("nan")}
    solve = {"n": 10, "k": 3, "tol": 1e-4, "error": 1e-5, "bit_identical": True, "gap": 0.0, "sizes": [3, 4]}
    yield {"what": "whole solve, balanced"} | solve
    for change in ({"error": 1e-3}, {"bit_identical": False}, {"gap": 1e-3}, {"sizes": [2, 5]}):
        yield {"what": "whole solve, balanced"} | solve | change


def conformance(rehearse: bool) -> Iterator[Row]:
    """The tests of all kernels, on fresh random input."""
    settings = {**os.environ, "OTLABEL_TEST_BACKENDS": ",".join(LIBRARIES), "PYTHONWARNINGS": "default"}
    chosen = ["tests/backends/test_kernels.py", "tests/backends/gpu/test_device.py"]
    if not rehearse:
        chosen += [
            "tests/rounding/test_balance.py",
            "tests/test_forbidden.py",
            "tests/test_assign.py",
            "tests/solver/test_solves.py",
            "tests/torch/test_comm.py",
        ]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default", *chosen]
    if importlib.util.find_spec("xdist") and not rehearse:
        command += ["-n", str(min(12, os.cpu_count() or 1)), "-p", "no:benchmark"]
    if importlib.util.find_spec("pytest_timeout"):
        command += ["--timeout", "60"]
    if rehearse:
        command += ["-k", "underflow or out_of_memory"]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True)
    output = done.stdout.strip()
    print(output[-4000:], done.stderr[-4000:], file=sys.stderr)
    yield {
        "what": "conformance tests",
        "passed": done.returncode == 0,
        "summary": output.splitlines()[-1] if output else "no output",
        "failed": [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))][:40],
        "stderr": done.stderr[-2000:] if done.returncode else "",
        "output": output[-20_000:] if done.returncode else "",
        "seconds": time.perf_counter() - start,
    }


def errors(rehearse: bool) -> Iterator[Row]:
    """Of one sweep, against float64 and beyond, by type of scores."""
    rng = np.random.default_rng()
    for k in (128, 3000, 10_000):
        n = 30 if rehearse else 3000
        a = rng.random(n)
        a, g = a / a.sum(), rng.normal(size=k) * 3
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
            scores = (torch.randn(n, k) * 10).to(PLACE, dtype)
            wide = scores.double().cpu().numpy()
            truth = judge.columns(wide, EPSILON, g, a)
            for library, precise in itertools.product(LIBRARIES, (False, True)):
                if library == "cupy" and dtype == torch.bfloat16:
                    continue  # CuPy has no such arrays from DLPack everywhere
                kernels = backends.load(library).Kernels(
                    InMemory(in_library(scores, library)), 1 / EPSILON, a, float(abs(wide).max())
                )
                c = kernels.survey(g, 16.0, precise).swept.c
                yield {
                    "what": "error of c",
                    "library": library,
                    "dtype": str(dtype).removeprefix("torch."),
                    "arithmetic": "float64" if precise else "float32",
                    "n": n,
                    "k": k,
                    "l1_error": float(np.abs(c - truth).sum()),
                    "largest_relative_error": float(np.max(np.abs(c / truth - 1)[truth > 1e-12])),
                }


PARTS: dict[str, Callable[[bool], Iterator[Row]]] = {
    part.__name__: part
    for part in (
        smoke,
        imagenet,
        batches,
        bandwidth,
        errors,
        conformance,
        peers,
        sanitize,
        tune,
        tiny,
        dies,
        hangs,
        wrong,
    )
}


def about() -> Row:
    """The machine and the versions that every row is of."""
    versions = {name: sys.modules[name].__version__ for name in ("torch", "numpy")} | {"otlabel": otlabel.__version__}
    for name in ("triton", "cupy", "numba"):
        if importlib.util.find_spec(name) and (name != "cupy" or GPU):
            versions[name] = importlib.import_module(name).__version__
    device = torch.cuda.get_device_name() if GPU else platform.processor() or platform.machine()
    driver = smi("driver_version")
    return {"device": device, "driver": driver, "python": platform.python_version(), "versions": versions}


def smi(query: str) -> str | None:
    """What nvidia-smi says; None where it is not there, or says nothing."""
    if not GPU or shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--rows", type=Path, default=Path(os.devnull), help="file that gets a line of JSON a row")
    parser.add_argument("--rehearse", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", otlabel.ConvergenceWarning)
    facts = about()
    with arguments.rows.open("a", encoding="utf-8") as file:
        for row in PARTS[arguments.part](arguments.rehearse):
            clocks = smi("clocks.sm,clocks.mem,power.draw,temperature.gpu")
            file.write(json.dumps(row | facts | {"clocks": clocks}) + "\n")
            file.flush()
            print(json.dumps(row), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
