"""The evaluation of a network and of a run's labels, from its options to a table and two files."""

from __future__ import annotations

import csv
import io
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from ..evaluate import Options
from ..images.images import Images, Source, load
from ..images.imbalance import imbalanced
from ..labels.transport import VERSION
from ..network import layers, weights
from ..network.collect import Layer, collect, in_mode
from ..network.models import Network, check
from ..options.config import Resolved, cores
from ..runs.finished import Finished
from ..system import files
from ..system.devices import free_memory, pick_device
from ..system.errors import DataError, UsageError
from ..system.processes import Processes
from . import probe
from .knn import weighted_knn
from .metrics import clustering

Scores = dict[str, dict[str, float]]  # of each layer or labelling, every number by its full name

NEIGHBOURS = (10, 200)
COMPONENTS = 128  # of the features, for kNN as in the paper's code
HELD_OUT = 5  # where there are no validation images, one of so many is held out from probes and majorities
STARTS = 3  # of k-means
HEAD = "head "


@dataclass(frozen=True)
class Subject:
    """What is evaluated, and on what."""

    network: Network
    finished: Finished | None  # the run it comes from
    train: Images
    test: Images | None
    team: Processes
    seed: int

    def values(self, images: Images, layer: Layer) -> Tensor:
        precision = "float32" if self.finished is None else self.finished.config.precision
        return collect(self.network, images, self.team, layer=layer, precision=precision)

    @cached_property
    def features(self) -> tuple[Tensor, Tensor | None]:
        """Of the training and of the validation images: for kNN and for k-means."""
        return self.values(self.train, "features"), None if self.test is None else self.values(self.test, "features")

    def parts(self, n: int) -> tuple[Tensor, Tensor]:
        """Indices of n training images to learn from and to measure on, where there are no validation images."""
        mixed = torch.randperm(n, generator=torch.Generator().manual_seed(self.seed))
        held = max(1, len(mixed) // HELD_OUT)
        return mixed[held:].sort().values, mixed[:held].sort().values


def run(options: Options, console: Console | None = None) -> dict[str, Any]:
    """Evaluate, print the tables, write report.json and row.csv; returns what is in report.json."""
    console, began = console or Console(), time.perf_counter()
    out = options.out or _beside(options.run)
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not options.overwrite:
        raise UsageError(f"--out {out} is not empty. Choose another folder, or add --overwrite.")
    subject = _subject(options)
    features = {}
    for name in options.layers:
        called, scores = _layer(subject, name, options.linear)
        features[called] = scores
    labels = _labels(subject)
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
        "seconds": round(time.perf_counter() - began, 1),
        "seed": options.seed,
        "versions": {"otlabel": VERSION, "torch": torch.__version__},
        "features": features,
        "labels": labels,
    }
    _print(console, features, labels, protocol)
    files.write_json(out / "report.json", found)
    files.write_text(out / "row.csv", _row(str(options.run), features, labels))
    console.print(f"report.json and row.csv in {out}", highlight=False, soft_wrap=True, markup=False)
    return found


def _beside(target: Path) -> Path:
    return target / "evaluation" if target.is_dir() else target.with_name(f"{target.stem}-evaluation")


def _subject(options: Options) -> Subject:
    """The network with its weights, and the images."""
    team = Processes(pick_device(options.device))
    if options.run.is_file():
        if options.arch is None or (options.root is None and options.data != "digits"):
            raise UsageError(
                f"{options.run} is a file of weights, which needs --arch NAME and --root DIR, and --data if that is no "
                "folder of images."
            )
        train, test = load(_source(options, None))
        size = options.image_size or train.view_size
        check(options.arch, size)
        network = Network(options.arch, size, heads=1, k=1, hidden=False)
        left = weights.initialise(network, options.arch, str(options.run))
        if left:
            raise UsageError(f"{options.run} does not fit images of {size} px: {', '.join(left)}. Add --image-size.")
        finished = None
        network = network.to(team.device).to(memory_format=torch.channels_last)
    else:
        if options.arch is not None:
            raise UsageError(f"--arch {options.arch} is for files of weights; a run has its own. Leave it out.")
        finished = Finished.read(options.run, team.device)
        network = finished.network
        train, test = load(_source(options, finished.config))
    if train.classes is None:
        raise DataError("evaluation needs images with classes, and these have none. Use CLASS/IMAGE, or --data.")
    if test is not None and test.classes is None:
        test = None
    return Subject(network, finished, train, test, team, options.seed)


def _source(options: Options, config: Resolved | None) -> Source:
    data, root, size = options.data, options.root, options.image_size
    if config is None:
        return Source(data or "folder", root, size, skip_bad=options.skip_bad_images, workers=cores())
    return Source(
        data or (config.data if root is None else "folder"),
        root or (config.root if data in (None, config.data) else None),
        size or config.image_size,
        skip_bad=options.skip_bad_images or config.skip_bad_images,
        keep=config.keep,
        workers=cores(),
    )


def _layer(subject: Subject, name: str, linear: str) -> tuple[str, dict[str, float]]:
    """The layer's full name, and what its values are worth."""
    train, test = subject.train, subject.test
    called, read, channels = layers.reader(subject.network, name, subject.team.device)
    needed = 4 * _width(subject, read) * (len(train) + len(test or []))
    scores: dict[str, float] = {}
    if needed > free_memory() / 2:  # standardised they are there twice
        raise UsageError(
            f"--layers {name} of all images takes {needed / 2**30:.1f} GiB, more than half of the free memory. "
            "Choose a narrower layer."
        )
    if name == layers.FEATURES:
        x, asked_of = subject.features
    else:
        x, asked_of = subject.values(train, read), None if test is None else subject.values(test, read)
    y, other = train.truth, None if test is None or asked_of is None else (asked_of, test.truth)
    if name == layers.FEATURES:
        for count, accuracy in zip(NEIGHBOURS, weighted_knn(x, y, other, NEIGHBOURS), strict=True):
            scores[f"weighted kNN accuracy, {count} neighbours"] = accuracy
        if min(x.shape) > COMPONENTS:
            x_few, other_few = _components(x, other, subject.seed)
            for count, accuracy in zip(NEIGHBOURS, weighted_knn(x_few, y, other_few, NEIGHBOURS), strict=True):
                scores[f"weighted kNN accuracy, {count} neighbours, {COMPONENTS} principal components"] = accuracy
    if other is None or test is None:
        learned, held = subject.parts(len(train))
        fit, asked = (x[learned], y[learned]), (x[held], y[held])
        train, test = train.of(learned), train.of(held)
    else:
        fit, asked = (x, y), other
    if linear in ("quick", "both"):
        scores["linear probe accuracy (logistic regression)"] = probe.quick(fit, asked, subject.seed)
    if linear in ("paper", "both"):
        scores["linear probe accuracy (the paper's recipe)"] = probe.paper(
            subject.network, read, channels, train, test, subject.team.device, seed=subject.seed
        )
    return called, scores


def _width(subject: Subject, read: Any) -> int:
    with torch.no_grad(), in_mode(subject.network, False):
        size = subject.network.size
        return read(torch.zeros(1, 3, size, size, device=subject.team.device)).shape[1]


def _components(
    x: Tensor, other: tuple[Tensor, Tensor] | None, seed: int
) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
    """Principal components of the training images' values, not whitened, and the same of the others."""
    from sklearn.decomposition import PCA

    found = PCA(COMPONENTS, svd_solver="randomized", random_state=seed).fit(x.cpu().numpy())

    def few(values: Tensor) -> Tensor:
        return torch.from_numpy(found.transform(values.cpu().numpy())).float()

    return few(x), None if other is None else (few(other[0]), other[1])


def _labels(subject: Subject) -> Scores:
    """Of every head, their mean, and k-means of the features with as many labels, and as many as classes."""
    train, test, finished = subject.train, subject.test, subject.finished
    classes = len(train.class_names)
    scores: Scores = {}
    counts = {classes}
    if finished is not None and (own := _own(finished, train)) is not None:
        counts.add(finished.config.k)
        labels = finished.saved["labels"]
        other = None
        if test is not None and finished.why_no_labels is None:
            other = finished.labels_of(test, subject.team)[0]
        for head in range(labels.shape[1]):
            scores[f"{HEAD}{head}"] = _clustering(
                subject, labels[:, head], own.truth, finished.config.k, None if other is None else other[:, head]
            )
        names = list(scores[f"{HEAD}0"])
        scores["mean over heads"] = {n: float(np.mean([row[n] for row in scores.values()])) for n in names}
    learned, asked = subject.features
    features = F.normalize(learned, dim=1).cpu().numpy()
    queries = None if asked is None else F.normalize(asked, dim=1).cpu().numpy()
    for count in sorted(counts):
        scores[f"k-means of the features, {count} clusters"] = _kmeans(subject, count, features, queries)
    return scores


def _own(finished: Finished, train: Images) -> Images | None:
    """The images that the run has labels of; None where others are evaluated on."""
    if finished.saved["labels"] is None:
        return None
    config = finished.config
    own = train if config.imbalance is None else imbalanced(train, config.imbalance, config.seed)
    return own if own.fingerprint == finished.saved["images"] else None


def _kmeans(subject: Subject, k: int, features: np.ndarray, queries: np.ndarray | None) -> dict[str, float]:
    from sklearn.cluster import KMeans

    means = KMeans(min(k, len(features)), n_init=STARTS, random_state=subject.seed).fit(features)
    other = None if queries is None else torch.from_numpy(means.predict(queries)).long()
    return _clustering(subject, torch.from_numpy(means.labels_).long(), subject.train.truth, k, other)


def _clustering(subject: Subject, labels: Tensor, truth: Tensor, k: int, other: Tensor | None) -> dict[str, float]:
    """Every score of labels (n,) of images of classes (n,); majority classes are tried on the validation images.

    Args:
        other: labels of the validation images, None where the network gives them none. Where there are no validation
            images, a fifth of the labelled ones is held out from the majorities, and from nothing else.
    """
    if subject.test is not None:
        return clustering(labels, truth, k, None if other is None else (other, subject.test.truth))
    scores = clustering(labels, truth, k)
    learned, held = subject.parts(len(labels))
    name = "majority-label accuracy, other images"
    scores[name] = clustering(labels[learned], truth[learned], k, (labels[held], truth[held]))[name]
    return scores


def _print(console: Console, features: Scores, labels: Scores, protocol: str) -> None:
    console.print(protocol, highlight=False, soft_wrap=True)
    console.print(_table("What the features are worth, in percent", features))
    heads = {called: scores for called, scores in labels.items() if called.startswith(HEAD)}
    console.print(_table("What the labels are worth, in percent", _others(labels)))
    if len(heads) > 1:
        table = Table(title="Each head, in percent")
        names = next(iter(heads.values()))
        for name in ("", *names):
            table.add_column(name.split("(")[-1].rstrip(")"), justify="right")  # NMI, AMI, ARI: in full just above
        for called, scores in heads.items():
            table.add_row(called, *map(_shown, scores.values()))
        console.print(table)


def _table(title: str, columns: Scores) -> Table:
    """A row a number, by its full name; a column a layer or a labelling."""
    table = Table(title=title)
    for called in ("", *columns):
        table.add_column(called, justify="right" if called else "left")
    for name in dict.fromkeys(name for scores in columns.values() for name in scores):
        table.add_row(name, *(_shown(scores.get(name)) for scores in columns.values()))
    return table


def _others(labels: Scores) -> Scores:
    """All but single heads."""
    return {called: scores for called, scores in labels.items() if not called.startswith(HEAD)}


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _row(evaluated: str, features: Scores, labels: Scores) -> str:
    """A header and a line: every number but those of single heads."""
    columns = features | _others(labels)
    flat = {f"{called}: {name}": value for called, scores in columns.items() for name, value in scores.items()}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["evaluated", *flat])
    writer.writerow([evaluated, *(f"{value:.4f}" for value in flat.values())])
    return text.getvalue()
