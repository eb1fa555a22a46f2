"""The paper's CIFAR-10 numbers on CPU cores: --preset thorough on all 50,000 images, judged by the 10,000 test images.

    python benchmarks/unpack_cifar10.py cifar10_jpeg.npz data/cifar10 --train 50000 --val 10000
    python benchmarks/cifar10_cpu.py data/cifar10 --seed 0      # hours; goes on where it was stopped

What a run has learned after 15, 30, 60 and 120 minutes of training and labelling is kept and evaluated when it has
ended. The test images choose nothing here but the layer of the linear probe, features or the last maps: the better one
counts, as in the paper, and both are written down. The numbers of all seeds are in
benchmarks/results/cifar10_cpu.json, in percent, and the reports of each beside it. The paper's probe takes these
cores half an hour, a GPU a minute or two: `evaluate checkpoints/last.pt --arch convnet-3x --data folder --root DIR
--linear paper` makes it there, and --probed REPORT takes it from there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from otlabel.bench import machine
from otlabel_torch import RunFolder

# What the commands do, done here too: part of a checkout, not of the library's promise.
from otlabel_torch.evaluation.features import PAPERS
from otlabel_torch.runs.folder import REPORT
from otlabel_torch.system.files import atomic, write_json

RESULT = Path("benchmarks/results/cifar10_cpu.json")
PRESET = "thorough"
MARKS = (15, 30, 60, 120)  # minutes
WATCHED = 2.0  # seconds between looks at a run
SAME = 0.3  # percent of kNN by which processors may differ: 30 images of 10,000
KNN = "weighted kNN accuracy, 10 neighbours"
NMI = "normalised mutual information (NMI)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="train/ and val/ with a folder for each class")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/cifar10_cpu"), help="(default: %(default)s)")
    parser.add_argument("--probed", type=Path, help="report.json of the paper's probe on another machine")
    given, more = parser.parse_known_args()  # more: options of otlabel_torch.train, to rehearse

    probed = probes_in(given.probed) if given.probed else None  # before hours of training
    machine.limit_threads(None)
    out = given.out / f"seed-{given.seed}"
    seconds = train(out, ["--data", "folder", "--root", str(given.root), "--seed", str(given.seed), *more])
    config = RunFolder(out).configuration()
    processor = f"{machine.cpu()}, {machine.threads()} cores"
    row: dict[str, Any] = {"seed": given.seed, "seconds": seconds, "processor": processor}
    row |= {name: getattr(config, name) for name in ("preset", "arch", "epochs", "relabels", "precision")}
    command("evaluate", str(out), "--linear", "none" if probed else "both", "--overwrite")
    report = RunFolder(out).evaluation_report()
    if probed:
        add_probes(report, probed)
        row["probed_with"] = report["probed_with"]
    features = report["features"]
    best = max(features, key=lambda layer: features[layer][PAPERS])
    row |= {"knn_test": features["features"][KNN], "linear_test": features[best][PAPERS], "linear_layer": best}
    row |= {"nmi": report["labels"]["mean over heads"][NMI], "features": features, "curve": []}
    for mark in sorted(kept(out).glob("*.pt"), key=lambda file: float(file.stem)):
        where = kept(out) / f"{mark.stem}-evaluation"
        words = ["--arch", config.arch, "--data", "folder", "--root", str(given.root), "--linear", "none"]
        command("evaluate", str(mark), *words, "--layers", "features", "--out", str(where), "--overwrite")
        found = json.loads((where / REPORT).read_text())["features"]["features"][KNN]
        row["curve"].append({"minutes": round(float(mark.stem), 1), "knn_test": found})
    keep(row, report)
    publish(RunFolder(out), report, given.seed)


def kept(out: Path) -> Path:
    """The folder of what a run had learned at the marks; beside it, since a run's own holds nothing else."""
    return out.with_name(f"{out.name}-curve")


def train(out: Path, words: list[str]) -> float:
    """Train, or go on; returns the seconds of training and labelling."""
    folder = RunFolder(out)
    if folder.missing is not None:
        shutil.rmtree(kept(out), ignore_errors=True)
        kept(out).mkdir(parents=True)
        words = ["--preset", PRESET, *words, "--overwrite"]
    else:
        words = ["--resume"]
    process = subprocess.Popen([sys.executable, "-m", "otlabel_torch.train", *words, "--out", str(out)])
    try:
        while process.poll() is None:
            time.sleep(WATCHED)
            note(folder, kept(out))
    finally:
        process.terminate()
    if process.wait() != 0:
        sys.exit("the training ended with an error; the same command goes on")
    return round(60 * note(folder, kept(out)), 1)


def note(folder: RunFolder, curve: Path) -> float:
    """Keep the last checkpoint if a mark was passed since the one before; returns the minutes so far."""
    if folder.missing is not None:
        return 0.0
    minutes = sum(r.get("train_seconds", 0) + r.get("label_seconds", 0) for r in folder.records()) / 60
    file = curve / f"{minutes:.4f}.pt"
    done = max((float(other.stem) for other in curve.glob("*.pt")), default=0.0)
    if any(done < mark <= minutes for mark in MARKS):
        with atomic(file) as copy, folder.checkpoint.open("rb") as last:
            shutil.copyfileobj(last, copy)
    return minutes


def command(name: str, *words: str) -> None:
    subprocess.run([sys.executable, "-m", f"otlabel_torch.{name}", *words], check=True)


def probes_in(file: Path) -> dict[str, Any]:
    """The report of an evaluation with the paper's probes."""
    found: dict[str, Any] = json.loads(file.read_text())
    if not all(PAPERS in scores for scores in found["features"].values()):
        sys.exit(f"error: --probed {file} has no probes by the paper's recipe. Evaluate with --linear paper.")
    return found


def add_probes(report: dict[str, Any], other: dict[str, Any]) -> None:
    """Put the paper's probes of another evaluation into a report, if it was of the same network."""
    here, there = (found["features"]["features"][KNN] for found in (report, other))
    if abs(here - there) > SAME:
        sys.exit(f"error: kNN is {here:.2f} here and {there:.2f} in --probed: that is of another network, or images.")
    for layer, scores in other["features"].items():
        report["features"].setdefault(layer, {})[PAPERS] = scores[PAPERS]
    report["probed_with"] = {name: other[name] for name in ("versions", "seed", "seconds")}


def keep(row: dict[str, Any], report: dict[str, Any]) -> None:
    """Put a seed's row into the file, in the place of an older one; other seeds, which may be running, wait."""
    with FileLock(Path(tempfile.gettempdir()) / f"{RESULT.name}.lock"):
        file = json.loads(RESULT.read_text()) if RESULT.exists() else {"runs": []}
        runs = [other for other in file["runs"] if other["seed"] != row["seed"]]
        size = {"images": report["images"], "test_images": report["validation_images"]}
        write_json(RESULT, size | {"runs": sorted([*runs, row], key=lambda run: run["seed"])})


def publish(folder: RunFolder, evaluation: dict[str, Any], seed: int) -> None:
    """A run's reports and epochs, without the folders that it was in."""
    report = json.loads((folder.path / REPORT).read_text())
    for name in ("root", "out"):
        del report["config"][name]
    del evaluation["evaluated"]
    found = {"report": report, "evaluation": evaluation, "epochs": folder.records()}
    write_json(RESULT.with_suffix("") / f"seed-{seed}.json", found)


if __name__ == "__main__":
    main()
