"""Whether the GPU kernels are right, and how fast: one command, on a machine with a GPU. python benchmarks/gpu_proof.py

Needs torch (with Triton), NumPy, SciPy, Numba and pytest, and CuPy for its half; nothing is installed. Writes one JSON
of rows that describe themselves, after every part anew, and prints them as a table last. About 8 minutes. One file,
though long: on a borrowed machine it is all that there is time to read.

    --rehearse  tiny problems, on the CPU if there is no GPU: whether the script itself works
    --tune      how the sweep is best cut up on this device, instead of the proof
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # nothing is installed

import otlabel  # noqa: E402
from otlabel import backends  # noqa: E402
from otlabel._input.sources import InMemory  # noqa: E402
from otlabel.bench import judge, textbook  # noqa: E402
from otlabel.bench.problems import mixture, mixture_on_device  # noqa: E402

EPSILON = 1 / 25
GPU = torch.cuda.is_available()
PLACE = torch.device("cuda" if GPU else "cpu")
CUPY = GPU and importlib.util.find_spec("cupy") is not None
LIBRARIES = ("torch", "cupy") if CUPY else ("torch",)

Row = dict[str, Any]


def in_library(scores: torch.Tensor, library: str) -> Any:
    """The same memory, as an array of torch or CuPy."""
    if library == "torch":
        return scores
    import cupy

    return cupy.from_dlpack(scores)


def synchronize() -> None:
    if GPU:
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], repeats: int) -> list[float]:
    """Of each of some runs, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        synchronize()
        start = time.perf_counter()
        work()
        synchronize()
        times.append(time.perf_counter() - start)
    return times


def quantiles(values: list[float], unit: str) -> Row:
    return {
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
        "runs": len(values),
        "unit": unit,
    }


def conformance(rehearse: bool) -> Iterator[Row]:
    """The tests of all kernels, on fresh random input."""
    settings = {**os.environ, "OTLABEL_TEST_BACKENDS": ",".join(LIBRARIES)}
    chosen = ["tests/backends/test_kernels.py", "tests/backends/gpu/test_device.py"]
    if not rehearse:
        chosen += [
            "tests/rounding/test_balance.py",
            "tests/test_forbidden.py",
            "tests/test_assign.py",
            "tests/torch/test_comm.py",
        ]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen]
    if importlib.util.find_spec("xdist") and not rehearse:
        command += ["-n", "8", "-p", "no:benchmark"]
    if rehearse:
        command += ["-k", "underflow or out_of_memory"]
    start = time.perf_counter()
    try:
        done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=400)
        passed, output = done.returncode == 0, done.stdout
    except subprocess.TimeoutExpired as stopped:
        passed, output = False, f"{(stopped.stdout or b'').decode()}\nnot done after {stopped.timeout:.0f} s"
    print(output[-4000:])
    yield {
        "what": "conformance tests",
        "passed": passed,
        "summary": output.strip().splitlines()[-1],
        "failed": [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))][:40],
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


def bandwidth(rehearse: bool) -> Iterator[Row]:
    """Bytes a second of a sweep, against a copy on the same device in the same run."""
    size = 1 << (22 if rehearse else 33)
    for dtype in (torch.float16, torch.float32):
        for k in (128, 1000, 3000, 10_000):
            n = size // (k * dtype.itemsize)
            scores = torch.empty(n, k, dtype=dtype, device=PLACE)
            for rows in torch.split(scores, max(1, (1 << 26) // k)):
                rows.copy_(torch.randn(rows.shape, device=PLACE))
            other = torch.empty_like(scores)
            copy = seconds(lambda scores=scores, other=other: other.copy_(scores), 10)
            del other
            gigabytes = scores.numel() * dtype.itemsize / 1e9
            copied = 2 * gigabytes / statistics.median(copy)
            yield {"what": "copy", "dtype": str(dtype)[6:], "n": n, "k": k} | quantiles(
                [2 * gigabytes / t for t in copy], "GB/s"
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
        otlabel.assign(own, rounding=rounding)  # compiles
        results, times = [], []
        for _ in range(3):
            if GPU:
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
            synchronize()
            start = time.perf_counter()
            results.append(otlabel.assign(own, rounding=rounding))
            synchronize()
            times.append(time.perf_counter() - start)
        result = results[-1]
        labels = [np.asarray(other.labels.cpu() if library == "torch" else other.labels.get()) for other in results]
        yield {
            "what": f"whole solve, {rounding}",
            "library": library,
            "dtype": "float16",
            "n": n,
            "k": k,
            "sweeps": float(result.n_sweeps),
            "surveys": len(result.history),
            "error": float(result.error),
            "gap": None if math.isnan(result.gap) else float(result.gap),
            "sizes": [int(result.sizes.min()), int(result.sizes.max())],
            "bit_identical": all((one == labels[0]).all() for one in labels),
            "peak_mib_beside_input": (torch.cuda.max_memory_allocated() - before) / 2**20
            if GPU and library == "torch"
            else None,
        } | quantiles(times, "s")


def swav(scores: torch.Tensor) -> np.ndarray:
    """Three iterations in float32: g (k,)."""
    q = scores.float()
    q -= q.max()  # or it overflows
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
        for dtype in (torch.float64, torch.float32):
            start = time.perf_counter()
            g, iterations = textbook.potentials_on_device(
                scores, EPSILON, dtype, max_iterations=50 if rehearse else 3000
            )
            synchronize()
            yield (
                common
                | {
                    "what": f"textbook, {str(dtype)[6:]}",
                    "sweeps": 2 * iterations,  # two products with the matrix each
                    "l1_error": l1_error(g),
                }
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
    for dtype, k in itertools.product((torch.float16, torch.float32), (1000, 3000)):
        n = size // (k * dtype.itemsize)
        scores = torch.randn(n, k, device=PLACE).to(dtype)
        uniform, rows = np.full(n, 1 / n), []
        own = kernels.sweep_shape(k, dtype.itemsize)
        for warps, height, stages, resident in itertools.product((1, 2, 4, 8, 16), (1, 2), (3, 4), (8, 16)):
            if not 16 <= height * (own.head + own.tail) // (32 * warps) <= 64 or resident < warps:
                continue
            shape = own._replace(rows=height, warps=warps, per_processor=resident // warps, stages=stages)
            rows.append(
                ("torch", shape._asdict(), lambda shape=shape: setattr(kernels, "sweep_shape", lambda *_: shape))
            )
        usual = cuda.sweep_shape(k, k, dtype.itemsize, 0)
        for threads, height in itertools.product((64, 128, 256, 512), (1, 2, 3, 4)):
            if not CUPY or usual is None:
                continue
            vectors = -(-k // usual.width // threads)
            if vectors * usual.width * height <= 72:
                shape = cuda.Shape(threads, vectors, usual.width, height)
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


PARTS = {
    "conformance": conformance,
    "errors": errors,
    "bandwidth": bandwidth,
    "imagenet": imagenet,
    "peers": peers,
}


def about() -> Row:
    """The machine and the versions that every row is of."""
    versions = {name: sys.modules[name].__version__ for name in ("torch", "numpy")} | {"otlabel": otlabel.__version__}
    for name in ("triton", "cupy", "numba"):
        if importlib.util.find_spec(name) and (name != "cupy" or GPU):
            versions[name] = importlib.import_module(name).__version__
    device, driver = platform.processor() or platform.machine(), None
    if GPU:
        device = torch.cuda.get_device_name()
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(query, capture_output=True, text=True).stdout.strip()
    return {"device": device, "driver": driver, "python": platform.python_version(), "versions": versions}


def print_table(rows: list[Row]) -> None:
    """What the rows have to say, a line each."""
    hidden = {"part", "device", "driver", "python", "versions", "low", "high", "runs", "seconds", "failed"}
    for part, group in itertools.groupby(rows, key=lambda row: row["part"]):
        print(f"\n## {part}")
        for row in group:
            shown = {name: value for name, value in row.items() if name not in hidden and value is not None}
            cells = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in shown.values())
            print(
                " | ".join(
                    f"{name} {cell}" if name != "what" else cell for name, cell in zip(shown, cells, strict=True)
                )
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--tune", action="store_true")
    arguments = parser.parse_args()
    if not GPU and not arguments.rehearse:
        raise SystemExit("gpu_proof: torch sees no CUDA device here. --rehearse tries the script itself on the CPU.")
    warnings.simplefilter("ignore", otlabel.ConvergenceWarning)
    facts, rows = about(), []
    arguments.out.mkdir(parents=True, exist_ok=True)
    name = "rehearsal" if arguments.rehearse else facts["device"].lower().replace(" ", "-")
    file = arguments.out / f"gpu_{'tune_' if arguments.tune else ''}{name}.json"
    start = time.perf_counter()
    failed = False
    for part, run in {"tune": tune}.items() if arguments.tune else PARTS.items():
        if not arguments.tune and part not in arguments.parts:
            continue
        print(f"[{time.perf_counter() - start:5.0f} s] {part}", flush=True)
        try:
            for row in run(arguments.rehearse):
                rows.append({"part": part} | row | facts)
                print(f"    {json.dumps(row)}", flush=True)
        except Exception:
            failed = True
            traceback.print_exc()
            rows.append({"part": part, "what": "failed", "note": traceback.format_exc()[-2000:]} | facts)
        scratch = file.with_suffix(".part")
        scratch.write_text(json.dumps(rows, indent=1) + "\n")
        scratch.replace(file)
    print_table(sorted(rows, key=lambda row: -row.get("median", 0)) if arguments.tune else rows)
    print(f"\n{file}, {time.perf_counter() - start:.0f} s")
    sys.exit(failed or not all(row.get("passed", True) for row in rows))


if __name__ == "__main__":
    main()
