"""SeLa's experiments at CPU size: declared in grids.py, resumable, each with its own table and picture.

    python benchmarks/unpack_cifar10.py cifar10_jpeg.npz data/cifar10_test --val 10000
    python -m benchmarks.experiments run --root data/cifar10_test     # hours; goes on where it was stopped
    python benchmarks/unpack_cifar10.py cifar10_jpeg.npz data/cifar10 --train 50000 --val 10000
    python -m benchmarks.experiments run whole --root data/cifar10    # more hours, of all 50,000 images
    python -m benchmarks.experiments draw                             # docs/reproduce.md and its pictures

From the root of the repository. Runs that two experiments share are made once; their numbers are in
benchmarks/results/experiments.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from benchmarks.experiments import cells, draw
from benchmarks.experiments.grids import GRIDS, TEN_THOUSAND, Cell


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="make the runs that are missing")
    running.add_argument("grids", nargs="*", help=f"of {', '.join(GRIDS)} (default: all but whole)")
    running.add_argument("--root", type=Path, required=True, help="train/ and val/ with a folder for each class")
    running.add_argument("--jobs", type=int, default=2, help="runs at a time (default: %(default)s)")
    running.add_argument("--threads", type=int, default=1, help="of each run (default: %(default)s)")
    running.add_argument("--seeds", type=int, nargs="*", help="only these (default: those of the experiment)")
    commands.add_parser("draw", help="write tables and pictures of what is there")
    arguments = parser.parse_args()
    if arguments.command == "draw":
        draw.draw()
        return
    unknown = set(arguments.grids) - set(GRIDS)
    if unknown:
        parser.error(f"experiments are {', '.join(GRIDS)}, got {', '.join(sorted(unknown))}")
    usual = [name for name, grid in GRIDS.items() if grid.root == TEN_THOUSAND]
    run(arguments.grids or usual, arguments.root, arguments.jobs, arguments.threads, arguments.seeds)


def run(names: list[str], root: Path, jobs: int, threads: int, seeds: list[int] | None) -> None:
    """All cells of the grids that are not done: first those that need no other's labels."""
    needed: dict[str, Cell] = {}
    for name in names:
        chosen = tuple(seed for seed in GRIDS[name].seeds if seeds is None or seed in seeds)
        for row in GRIDS[name].rows:
            for cell in row.cells(chosen):
                if cell.teacher is not None:
                    teacher = Cell(cell.teacher, cell.seed)
                    needed.setdefault(teacher.key, teacher)
                needed.setdefault(cell.key, cell)
    for stage in (False, True):
        missing = [c for c in needed.values() if (c.teacher is not None) is stage and cells.result(c) is None]
        for cell in missing:
            cells.check(cell, root)
        bar, failed = tqdm(total=len(missing), desc="runs", unit="run"), []

        def one(cell: Cell, bar: tqdm = bar, failed: list[str] = failed) -> None:
            try:
                found = cells.work(cell, root, threads)
                bar.write(f"{cell.key}: {draw.line(found)}")
            except subprocess.CalledProcessError as error:
                failed.append(cell.key)
                bar.write(f"{cell.key} failed ({error.returncode}): see {cells.RUNS / cell.key}.log")
            bar.update()

        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(one, missing))
        bar.close()
        if failed:
            sys.exit(f"{len(failed)} of {len(missing)} runs failed: the same command tries them again")


if __name__ == "__main__":
    main()
