"""The command ``otlabel``: what it can be told, and what it then does."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

import otlabel

from ..cluster import BalancedKMeans
from . import estimate
from .options import FILE, Source, Target, bounds, files
from .sure import distances
from .telling import errors_said, finish, noted, progress, say_plan, vectors_of
from .vectors import UnreadableError, Vectors


@click.group(context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]})
@click.version_option(package_name="otlabel", prog_name="otlabel")
def main() -> None:
    """Balanced labels for files of embeddings or scores: every label gets its share of the items.

    FILE may be .npy, .npz, .parquet, .arrow, .csv, .h5, a zarr store, or a folder of such files. Other columns of a
    table, ids and paths say, are carried along.

    \b
    otlabel cluster embeddings.npy --k 1000 --out labels.parquet --model clusters.npz
    otlabel predict clusters.npz new.npy --out new.csv
    otlabel label scores.npy --out labels.csv
    """


@main.command(
    epilog="Example: otlabel cluster embeddings.parquet --k 1000 --seed 0 --out labels.parquet --picture sizes.png"
)
@click.option("--k", type=click.IntRange(min=1), required=True, help="Clusters.")
@bounds
@click.option("--metric", type=click.Choice(["euclidean", "cosine"]), default="euclidean", show_default=True)
@click.option("--seed", type=int, help="Makes the result the same each time.")
@click.option("--starts", type=click.IntRange(min=1), default=1, show_default=True, help="The best of so many is kept.")
@click.option("--max-iter", type=click.IntRange(min=1), default=100, show_default=True, help="Assignments of a start.")
@files(model=True)
def cluster(
    source: Source,
    target: Target,
    k: int,
    size_min: Any,
    size_max: Any,
    metric: str,
    seed: int | None,
    starts: int,
    max_iter: int,
) -> None:
    """Clusters of embeddings that have exactly the sizes that they should have.

    Writes label, confidence and distance of each item. Confidence is how much nearer its centre is than the next: 1
    sure, 0 half way, negative where a nearer one was full. Ctrl-C ends it with the best labels so far, and writes them.
    """
    with errors_said():
        vectors = vectors_of(source)
        estimator = BalancedKMeans(
            k, size_min=size_min, size_max=size_max, metric=metric, n_init=starts, max_iter=max_iter, random_state=seed
        )
        if target.dry_run:
            say_plan(estimate.of_clusters(estimator, vectors.matrix), k, target)
            return
        start = time.perf_counter()
        with progress() as bar, noted() as notes:
            estimator.set_params(callback=lambda step: bar(_of_step(step)))
            estimator.fit(vectors.matrix)
            bar("distances")
            own, sure, nearest = distances(estimator, vectors.matrix)
        rows = [("inertia", f"{estimator.inertia_:.6g}"), ("assignments", str(estimator.n_iter_))]
        written = {"label": estimator.labels_, "confidence": sure, "distance": own}
        if target.model is not None:
            if vectors.names is not None:
                estimator.feature_names_in_ = np.array(vectors.names, dtype=object)
            estimator.save(target.model)
        finish(vectors, written, estimator.sizes_, nearest, [*rows, *notes], target, start)


@main.command(epilog="Example: otlabel label scores.npy --coverage 0.8 --out labels.csv")
@click.option("--epsilon", type=float, default=1 / 25, show_default=True, help="Temperature, in units of the scores.")
@click.option("--tol", type=float, default=1e-4, show_default=True, help="L1 error of the plan's column sums.")
@bounds
@click.option("--coverage", type=float, help="Of the items, those that get a label: 0.8 leaves the least sure with -1.")
@files(model=True)
def label(
    source: Source, target: Target, epsilon: float, tol: float, size_min: Any, size_max: Any, coverage: float | None
) -> None:
    """Balanced labels from scores: a row an item, a column a label.

    Writes label and confidence of each item: what the row of the plan gives to its label, 0 to 1.
    """
    with errors_said():
        vectors = vectors_of(source)
        if target.dry_run:
            say_plan(estimate.of_labels(vectors.matrix, epsilon, tol), vectors.matrix.shape[1], target)
            return
        start = time.perf_counter()
        with progress() as bar, noted() as notes:
            result = otlabel.assign(
                vectors.matrix,
                epsilon=epsilon,
                tol=tol,
                size_min=size_min,
                size_max=size_max,
                coverage=coverage,
                callback=lambda step: bar(f"{step.sweeps:.1f} sweeps, L1 error {step.error:.1e}"),
            )
            bar("confidence")
            labelled = np.maximum(result.labels, 0)
            sure = np.where(result.labels < 0, 0.0, result.predictor.confidence(vectors.matrix, labelled))
        rows = [("gap", f"{max(float(result.gap), 0.0):.1e} nats an item"), ("sweeps", f"{result.n_sweeps:.1f}")]
        if coverage is not None:
            rows.append(("without a label", f"{int((result.labels < 0).sum()):,}"))
        if target.model is not None:
            result.predictor.save(target.model)
        finish(
            vectors, {"label": result.labels, "confidence": sure}, result.sizes, None, [*rows, *notes], target, start
        )


@main.command(epilog="Example: otlabel predict clusters.npz new.npy --balanced --out new.csv")
@click.argument("model", type=FILE)
@click.option("--balanced", is_flag=True, help="The new items get equal sizes, or the model's bounds, too.")
@files(model=False)
def predict(source: Source, target: Target, model: Path, balanced: bool) -> None:
    """Labels of new items, by what `cluster` or `label` saved with --model.

    Each item gets the best label, prices included, whatever the others get; with --balanced labels keep their shares.
    """
    with errors_said():
        learned = _model(model)
        vectors = vectors_of(source)
        start = time.perf_counter()
        if isinstance(learned, BalancedKMeans):
            k, vectors = learned.n_clusters, _as_learned(vectors, learned)
            if target.dry_run:
                say_plan(estimate.of_prediction(vectors.matrix, k), k, target)
                return
            with progress() as bar:
                bar("labels")
                labels = learned.predict(vectors.matrix, balanced=balanced)
                own, sure, nearest = distances(learned, vectors.matrix, labels)
            written = {"label": labels, "confidence": sure, "distance": own}
        else:
            k, nearest = len(learned.potentials), None
            if target.dry_run:
                say_plan(estimate.of_prediction(vectors.matrix, k), k, target)
                return
            if balanced:
                shares = learned.shares
                result = otlabel.assign(vectors.matrix, epsilon=learned.epsilon, b=shares, init=learned.potentials)
                labels = result.labels
            else:
                labels = learned.predict(vectors.matrix)
            written = {"label": labels, "confidence": learned.confidence(vectors.matrix, labels)}
        finish(vectors, written, np.bincount(labels, minlength=k), nearest, [], target, start)


def _as_learned(vectors: Vectors, model: BalancedKMeans) -> Vectors:
    """Columns in the order in which the model knows them."""
    known = list(model.__dict__.pop("feature_names_in_", []))  # else scikit-learn wants them in every call
    if not known or vectors.names is None or vectors.names == known:
        return vectors
    if sorted(known) != sorted(vectors.names):
        odd = sorted(set(known) ^ set(vectors.names))[0]
        raise UnreadableError(
            f"the columns must be those of the model, {known[0]} to {known[-1]}, but {odd!r} is in one of them only. "
            "Say --columns."
        )
    order = [vectors.names.index(name) for name in known]
    return dataclasses.replace(vectors, matrix=vectors.matrix[:, order], names=known)


def _model(path: Path) -> BalancedKMeans | otlabel.Predictor:
    try:
        return BalancedKMeans.load(path)
    except ValueError:
        pass
    try:
        return otlabel.Predictor.load(path)
    except ValueError:
        raise UnreadableError(f"{path} must be what `otlabel cluster` or `otlabel label` saved with --model.") from None


def _of_step(step: Any) -> str:
    inertia = "" if math.isnan(step.inertia) else f", inertia {step.inertia:.6g}"
    return f"assignment {step.number}, {step.phase}{inertia}, sizes {step.sizes.min():,} to {step.sizes.max():,}"
