"""ImageNet-size labels on the CPU: 1,281,167 x 3,000 float16 scores of a peaked mixture. make bench-imagenet

Prints seconds, sweeps and peak memory for argmax and balanced labels, and writes them as JSON. Each runs in a process
of its own. Needs about 16 GiB.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import time
from pathlib import Path

import numpy as np
from mixtures import mixture

import otlabel


def measure(n: int, k: int, regime: str, rounding: str) -> dict:
    otlabel.assign(mixture(2000, k, regime, dtype=np.float16), rounding=rounding)  # compiles
    scores = mixture(n, k, regime, dtype=np.float16)
    start = time.perf_counter()
    result = otlabel.assign(scores, rounding=rounding)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "n": n,
        "k": k,
        "regime": regime,
        "rounding": rounding,
        "seconds": round(seconds, 2),
        "sweeps": round(float(result.n_sweeps), 2),
        "full_sweeps": len(result.history),
        "error": float(result.error),
        "gap": None if rounding == "argmax" else float(result.gap),
        "smallest": int(result.sizes.min()),
        "largest": int(result.sizes.max()),
        "input_gib": round(scores.nbytes / 2**30, 2),
        "peak_over_input": round(peak / scores.nbytes, 2),
        "otlabel": otlabel.__version__,
        "cores": multiprocessing.cpu_count(),
        "python": platform.python_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1_281_167)
    parser.add_argument("--k", type=int, default=3000)
    parser.add_argument("--regime", default="peaked", choices=["first", "broad", "peaked"])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "imagenet.json")
    arguments = parser.parse_args()
    rows = []
    for rounding in ("argmax", "balanced"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(measure, (arguments.n, arguments.k, arguments.regime, rounding)))
        print(json.dumps(rows[-1]), flush=True)
    arguments.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
