"""A run, or a file of weights, evaluated: from the command's options to a table and two files."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from otlabel._system import heap

from ..evaluation import tables
from ..evaluation.features import layer_scores
from ..evaluation.labellings import RunLabels, label_scores
from ..evaluation.subject import Subject
from ..images.images import Images
from ..images.of_run import images_of, others
from ..labels.transport import VERSION
from ..network import weights
from ..network.models import Network, check_arch
from ..options.config import Config
from ..options.of_evaluate import EvaluateOptions
from ..system import files
from ..system.devices import pick_device
from ..system.errors import DataError, UsageError, memory_errors
from ..system.processes import Processes
from .folder import REPORT, RunFolder
from .own import labelled

ROW = "row.csv"
SEEDS = 2**32  # scikit-learn's lie below


@memory_errors()
def evaluate(options: EvaluateOptions, console: Console | None = None) -> dict[str, Any]:
    """Evaluate, print the tables, write report.json and row.csv; returns what is in report.json."""
    console, began = console or Console(), time.perf_counter()
    if not 0 <= options.seed < SEEDS:
        raise UsageError(f"`seed` must be from 0 to {SEEDS - 1}, got {options.seed}.")
    is_weights = options.run.is_file()
    out = options.out or (_beside(options.run) if is_weights else RunFolder(options.run).evaluation)
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not options.overwrite:
        raise UsageError(f"`out` {out} is not empty. Choose another folder, or add `overwrite`.")
    heap.keep()
    subject, own = (_of_weights(options, console), None) if is_weights else _of_run(options)
    parts = [subject.train, *([subject.test] if subject.test else [])]
    for line in (line for part in parts for line in part.said):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    features = layer_scores(subject, options.layers, options.linear)
    labels = label_scores(subject, own)
    protocol = (
        f"learned from {len(subject.train)} training images, measured on {len(subject.test)} validation images"
        if subject.test
        else f"no validation images: kNN of each of {len(subject.train)} images by the others; for the rest a fifth of "
        "them is held out"
    )
    found = {
        "evaluated": str(options.run),
        "protocol": protocol,
        "images": len(subject.train),
        "validation_images": len(subject.test or []),
        "skipped": [line for part in parts for line in part.skipped],
        "notes": [note.plain() for part in parts for note in part.notes],
        "seconds": round(time.perf_counter() - began, 1),
        "seed": options.seed,
        "versions": {"otlabel": VERSION, "torch": torch.__version__},
        "features": features,
        "labels": labels,
    }
    tables.show(console, features, labels, protocol)
    files.write_json(out / REPORT, found)
    files.write_text(out / ROW, tables.row(str(options.run), features, labels))
    console.print(f"{REPORT} and {ROW} in {out}", highlight=False, soft_wrap=True, markup=False)
    return found


def _beside(weights_file: Path) -> Path:
    return weights_file.with_name(f"{weights_file.stem}-evaluation")


def _of_run(options: EvaluateOptions) -> tuple[Subject, RunLabels | None]:
    """A run's network on all images, none left out, and its labels if they are of these images."""
    if options.arch is not None:
        raise UsageError(f"`arch` {options.arch} is for files of weights; a run has its own. Leave it out.")
    team = Processes(pick_device(options.device))
    folder = RunFolder(options.run)
    trained = folder.open(team.device)
    config = others(trained.config, options.data, options.root, options.image_size, options.skip_bad_images)
    train, test = _with_classes(images_of(dataclasses.replace(config, imbalance=None)), team.device)
    subject = Subject(trained.network, train, test, team, options.seed, config.precision)
    own = labelled(config, train, trained.images)
    if trained.labels is None or own is None:
        return subject, None
    folder.check_rows(trained.labels, own)
    of_test = None if test is None or trained.why_no_labels is not None else trained.labels_of(test, team)[0]
    return subject, RunLabels(trained.labels, own.truth, config.k, of_test)


def _of_weights(options: EvaluateOptions, console: Console) -> Subject:
    """A network with the weights of a file."""
    if options.arch is None or (options.root is None and options.data != "digits"):
        raise UsageError(
            f"{options.run} is a file of weights, which needs `arch` NAME and `root` DIR, and `data` if that is no "
            "folder of images."
        )
    team = Processes(pick_device(options.device))
    named = Config(
        data=options.data or "folder",
        root=options.root,
        image_size=options.image_size,
        skip_bad_images=options.skip_bad_images,
    )
    train, test = images_of(named)
    size = options.image_size or train.view_size
    check_arch(options.arch, size)
    network = Network(options.arch, size, heads=1, k=1, hidden=False)
    taken = weights.initialise(network, options.arch, str(options.run))
    if left := taken.random:
        raise UsageError(f"{options.run} does not fit images of {size} px: {', '.join(left)}. {weights.REMEDY}")
    for line in taken.notes:
        console.print(f"weights: {line}", highlight=False, soft_wrap=True, markup=False)
    train, test = _with_classes((train, test), team.device)
    return Subject(network.to(team.device).to(memory_format=torch.channels_last), train, test, team, options.seed)


def _with_classes(images: tuple[Images, Images | None], device: torch.device) -> tuple[Images, Images | None]:
    """Training and validation images, on the GPU if they fit; those without classes measure nothing."""
    train, test = images
    if train.classes is None:
        raise DataError("evaluation needs images with classes, and these have none. Use CLASS/IMAGE, or `data`.")
    return train.near(device), None if test is None or test.classes is None else test.near(device)
