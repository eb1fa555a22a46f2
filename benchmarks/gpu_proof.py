"""Whether the GPU kernels are right, and how fast: one command, on a machine with a GPU. python benchmarks/gpu_proof.py

Needs torch (with Triton), NumPy, SciPy, Numba and pytest, and CuPy for its half; nothing is installed. Each part
(gpu_parts.py) is a process of its own, killed with all that it started when its share of the time is over; its rows are
in the JSON as soon as they are there, and whatever is wrong in them fails the proof. About 8 minutes.

    --rehearse  tiny problems, on the CPU if there is no GPU: whether the proof itself works
    --parts dies hangs wrong    in a rehearsal: parts that go wrong, as parts may
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Seconds that a part may take, most important first: what a short time on a GPU must not end without.
PARTS = {
    "smoke": 75, "imagenet": 90, "batches": 90, "bandwidth": 75, "errors": 45, "peers": 120,
    "conformance": 200, "sanitize": 100,
}  # fmt: skip
FAULTY = {"dies": 90, "hangs": 12, "wrong": 90}  # rehearsed, so that a part that does is survived
# Of parts that run many processes and time nothing; as in the Makefile.
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OTLABEL_NUM_THREADS": "2"}
CROWDED = ("smoke", "conformance")
C_ERROR = {"float32": 1e-4, "float64": 1e-11}  # L1, of column sums of probabilities, by the arithmetic
GAP = 1e-6  # nats an item

Row = dict[str, Any]


def fault(row: Row) -> str | None:
    """Why a row's result is wrong; None of those that are right, or tell of nothing but seconds."""
    if row.get("passed") is False:
        return row.get("why") or "it says so"
    what = row["what"]
    if what == "error of c" and not row["l1_error"] <= C_ERROR[row["arithmetic"]]:
        return f"L1 error {row['l1_error']:.1e} of {row['arithmetic']} column sums"
    if what.startswith("whole solve"):
        n, k, (low, high) = row["n"], row["k"], row["sizes"]
        if not row["error"] <= row["tol"]:
            return f"error {row['error']:.1e} above tol"
        if not row["bit_identical"]:
            return "labels differ from one solve to the next"
        if "balanced" in what and not (n // k <= low and high <= -(-n // k) and row["gap"] <= GAP):
            return f"sizes {low} to {high}, gap {row['gap']}"
    return None


class Proof:
    """The rows so far, and the file that has them."""

    def __init__(self, file: Path, budget: float, rehearse: bool):
        self.file, self.rehearse = file, rehearse
        self.began, self.budget = time.monotonic(), budget
        self.rows: list[Row] = []
        self.failed: list[str] = []

    def run(self, part: str, share: float) -> None:
        """One part, in what is left of the time at most."""
        limit = min(share, self.budget - (time.monotonic() - self.began))
        print(f"[{time.monotonic() - self.began:5.0f} s] {part}, {limit:.0f} s at most", flush=True)
        if limit < 1:
            self.add({"part": part, "what": "left out", "passed": False, "why": "no time is left"})
            return
        with tempfile.TemporaryDirectory() as scratch:
            lines, errors = Path(scratch) / "rows", Path(scratch) / "stderr"
            lines.touch()
            command = [sys.executable, str(ROOT / "benchmarks" / "gpu_parts.py"), part, "--rows", str(lines)]
            command += ["--rehearse"] * self.rehearse
            with errors.open("wb") as stderr:
                settings = {"cwd": ROOT, "start_new_session": True}
                settings["env"] = {**os.environ, **(THREADS if part in CROWDED else {})}
                started = subprocess.Popen(command, stdout=stderr, stderr=stderr, **settings)
                why = self._follow(started, lines, part, time.monotonic() + limit)
            if why is not None:
                said = errors.read_bytes().decode(errors="replace")[-2000:].strip()
                self.add({"part": part, "what": "failed", "passed": False, "why": why, "stderr": said})

    def _follow(self, started: subprocess.Popen, lines: Path, part: str, end: float) -> str | None:
        """Take its rows as they come; returns what went wrong with the process."""
        taken = 0
        while True:
            ended = started.poll() is not None
            text = lines.read_text(encoding="utf-8")
            whole = text[: text.rfind("\n") + 1]
            for line in whole[taken:].splitlines():
                self.add({"part": part} | json.loads(line))
            taken = len(whole)
            if ended or time.monotonic() > end:
                break
            time.sleep(0.1)
        with contextlib.suppress(ProcessLookupError):  # a kernel that hangs has children too
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()
        if not ended:
            return "it took longer than its share, and was killed"
        if started.returncode:
            return f"it ended with exit status {started.returncode}"
        return None if taken else "it ended without a row"

    def add(self, row: Row) -> None:
        """Judge a row, keep it in the file, show it."""
        why = fault(row)
        if why is not None:
            row |= {"passed": False, "why": why}
            self.failed.append(f"{row['part']}, {row['what']}: {why}")
        self.rows.append(row)
        scratch = self.file.with_suffix(".part")
        scratch.write_text(json.dumps(self.rows, indent=1) + "\n", encoding="utf-8")
        scratch.replace(self.file)
        facts = {"device", "driver", "python", "versions", "clocks", "part"}
        print(f"    {json.dumps({name: value for name, value in row.items() if name not in facts})}", flush=True)


def print_table(rows: list[Row]) -> None:
    """What the rows have to say, a line each."""
    hidden = {"part", "device", "driver", "python", "versions", "clocks", "low", "high", "runs", "stderr", "failed"}
    hidden |= {"kernels", "output"}
    for part, group in itertools.groupby(rows, key=lambda row: row["part"]):
        print(f"\n## {part}")
        for row in group:
            shown = {name: value for name, value in row.items() if name not in hidden and value is not None}
            print(" | ".join(_cells(shown)))


def _cells(row: Row) -> Iterator[str]:
    for name, value in row.items():
        cell = f"{value:.4g}" if isinstance(value, float) else str(value)
        yield cell if name == "what" else f"{name} {cell}"


def has_gpu() -> bool:
    """Asked of a process of its own: a driver that hangs must not hang the proof."""
    code = "import torch; raise SystemExit(0 if torch.cuda.is_available() else 3)"
    try:
        return subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder of the JSON")
    parser.add_argument("--parts", nargs="+", choices=[*PARTS, *FAULTY], default=list(PARTS))
    parser.add_argument("--budget", type=float, default=540, help="seconds for all parts together")
    parser.add_argument("--rehearse", action="store_true")
    arguments = parser.parse_args()
    if not arguments.rehearse and not has_gpu():
        raise SystemExit("gpu_proof: torch sees no CUDA device here. --rehearse tries the proof itself on the CPU.")
    if not arguments.rehearse and set(arguments.parts) & set(FAULTY):
        raise SystemExit(f"gpu_proof: {', '.join(FAULTY)} are rehearsed only. Add --rehearse.")
    arguments.out.mkdir(parents=True, exist_ok=True)
    name = "rehearsal" if arguments.rehearse else _slug()
    proof = Proof(arguments.out / f"gpu_{name}.json", arguments.budget, arguments.rehearse)
    for part, share in (PARTS | FAULTY).items():
        if part in arguments.parts:
            proof.run(part, share)
    print_table(proof.rows)
    print(f"\n{proof.file}, {time.monotonic() - proof.began:.0f} s")
    for line in proof.failed:
        print(f"FAILED {line}")
    print(f"{len(proof.failed)} failed" if proof.failed else f"passed: {len(proof.rows)} rows, none of them wrong")
    sys.exit(bool(proof.failed))


def _slug() -> str:
    """The device in a file's name; without nvidia-smi it is called device."""
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    if shutil.which(query[0]) is None:
        return "device"
    with contextlib.suppress(subprocess.TimeoutExpired, OSError):
        said = subprocess.run(query, capture_output=True, text=True, timeout=20).stdout.strip().splitlines()
        if said:
            return said[0].lower().replace(" ", "-")
    return "device"


if __name__ == "__main__":
    main()
