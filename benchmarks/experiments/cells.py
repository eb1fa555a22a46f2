"""One run of an experiment: train, evaluate, keep its numbers. What is there is not done again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.experiments.grids import BASE, PRIOR, Cell
from otlabel_torch import RunFolder

# What the commands do, done here too: part of a checkout, not of the library's promise.
from otlabel_torch.images.imbalance import kept_shares
from otlabel_torch.system.files import write_json, write_text

RESULTS = Path("benchmarks/results/experiments")
RUNS = Path("runs/experiments")
CLASSES, IMAGES = 10, 10_000


def result(cell: Cell) -> dict[str, Any] | None:
    """The numbers of a run that is done."""
    path = RESULTS / f"{cell.key}.json"
    return json.loads(path.read_text()) if path.exists() else None


def check(cell: Cell, root: Path) -> None:
    """End the program unless the folder has as many training images as the run is of, and a run begun is of it."""
    wanted, found = cell.options.get("images", IMAGES), sum(path.is_file() for path in (root / "train").rglob("*"))
    if found != wanted:
        sys.exit(f"error: {cell.key} is of {wanted} training images, but {root}/train has {found}. Unpack so many.")
    folder = RunFolder(RUNS / cell.key)
    if folder.missing is None and (begun := folder.configuration().root) != root.absolute():
        sys.exit(f"error: {folder.path} was begun with the images of {begun}. Remove it, or name that folder.")


def work(cell: Cell, root: Path, threads: int) -> dict[str, Any]:
    """Train and evaluate, or go on where that was interrupted; the numbers are kept in RESULTS.

    Raises:
        subprocess.CalledProcessError: a command failed; its output is in the run's .log.
    """
    found = result(cell)
    if found is not None:
        return found
    out, began = RUNS / cell.key, time.perf_counter()
    folder = RunFolder(out)
    log = out.parent / f"{cell.key}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    train = [sys.executable, "-m", "otlabel_torch.train"]
    words = [*train, *options(cell, root, out)]
    last = [*train, "--resume", "--out", str(out)] if folder.missing is None else [*words, "--overwrite"]
    evaluate = [sys.executable, "-m", "otlabel_torch.evaluate", str(out), "--layers", "features", "--overwrite"]
    evaluate += ["--data", "folder", "--root", str(root)]
    settings = {"OMP_NUM_THREADS": str(threads), "OTLABEL_NUM_THREADS": str(threads)}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")} | settings
    with log.open("a") as file:
        for command in (last, evaluate):
            subprocess.run(command, check=True, stdout=file, stderr=subprocess.STDOUT, env=environment)
    report, records = folder.evaluation_report(), folder.records()
    kept = {
        "command": " ".join(["python", *words[1:]]),
        "seed": cell.seed,
        "threads": threads,
        "train_seconds": sum(record.get("train_seconds", 0) for record in records),
        "label_seconds": sum(record.get("label_seconds", 0) for record in records),
        "wall_seconds": round(time.perf_counter() - began, 1),
        "sweeps": [record["sweeps"] for record in records if "sweeps" in record],
    }
    kept |= {
        name: report[name] for name in ("protocol", "images", "validation_images", "versions", "features", "labels")
    }
    write_json(RESULTS / f"{cell.key}.json", kept)
    return kept


def options(cell: Cell, root: Path, out: Path) -> list[str]:
    """What is typed after ``python -m otlabel_torch.train``."""
    chosen = BASE | {"root": root, "out": out, "seed": cell.seed} | cell.options
    if cell.teacher is not None:
        chosen["labels"] = RunFolder(RUNS / Cell(cell.teacher, cell.seed).key).labels("csv")
        for name in ("k", "heads"):
            del chosen[name]  # those of the labels
    if chosen.get("prior") == PRIOR:
        chosen["prior"] = _class_shares(chosen["imbalance"], chosen["k"])
    chosen.pop("images", None)  # of the folder
    words: list[str] = []
    for name, value in chosen.items():
        flag = f"{'no-' if value is False else ''}{name.replace('_', '-')}"
        values = value if isinstance(value, tuple) else () if isinstance(value, bool) else (value,)
        words += [f"--{flag}", *map(str, values)]
    return words


def _class_shares(imbalance: str, k: int) -> Path:
    """A file with the shares of the labels if each class spreads evenly over its part of them."""
    owner = [label * CLASSES // k for label in range(k)]
    shares = kept_shares(imbalance, CLASSES)
    path = RUNS / f"prior_{imbalance}_{k}.txt"
    write_text(path, "".join(f"{shares[c] / owner.count(c) / shares.sum():.6f}\n" for c in owner))
    return path
