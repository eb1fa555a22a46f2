"""The command ``otlabel``: what it can be told, and what it then does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click
import numpy as np

import otlabel

from ..cluster import BalancedKMeans
from . import estimate, models
from .exploring import explore
from .options import FILE, Source, Target, bounds, files
from .sure import distances
from .telling import Output, errors_said, noted, progress, say_plan, vectors_of


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
    otlabel explore labels.parquet --embeddings embeddings.npy --open
    """


@main.command(
    epilog="Example: otlabel cluster embeddings.parquet --k 1000 --seed 0 --out labels.parquet --picture sizes.png"
)
@click.option("--k", type=click.IntRange(min=1), required=True, help="Clusters.")
@bounds
@click.option("--metric", type=click.Choice(["euclidean", "cosine"]), default="euclidean", show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Makes the result the same each time.")
@click.option("--starts", type=click.IntRange(min=1), default=1, show_default=True, help="The best of so many is kept.")
@click.option(
    "--max-iter", type=click.IntRange(min=1), default=100, show_default=True, help="Exact assignments of a start."
)
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
        target.check(source)
        vectors = vectors_of(source)
        estimator = BalancedKMeans(
            k, size_min=size_min, size_max=size_max, metric=metric, n_init=starts, max_iter=max_iter, random_state=seed
        )
        estimator.check_parameters(len(vectors.matrix))
        if target.dry_run:
            say_plan(estimate.of_clusters(estimator, vectors.matrix), k, target)
            return
        out = Output(target, vectors, ("label", "confidence", "distance"))
        with progress() as bar, noted() as notes:
            estimator.set_params(callback=lambda step: bar(_of_step(step)))
            estimator.fit(vectors.matrix)
            bar("distances")
            written, nearest = _with_distances(estimator, vectors.matrix, estimator.labels_)
        rows = [("inertia", f"{estimator.inertia_:.6g}"), ("assignments", str(estimator.n_iter_))]
        out.write(written, estimator.sizes_, nearest, [*rows, *notes])
        if target.model is not None:
            models.save_of_clusters(target.model, estimator, vectors.names)


def _with_distances(
    model: BalancedKMeans, points: np.ndarray, labels: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """The columns to write, and how many points are nearest to each centre; when interrupted labels alone."""
    try:
        own, sure, nearest = distances(model, points, labels)
    except KeyboardInterrupt:
        return {"label": labels}, None
    return {"label": labels, "confidence": sure, "distance": own}, nearest


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
        target.check(source)
        vectors = vectors_of(source, scores=True)
        k = vectors.matrix.shape[1]
        bounds = models.bounds_of_scores(size_min, size_max, k)
        if target.dry_run:
            say_plan(estimate.of_labels(vectors.matrix, epsilon, tol, coverage, bounds), k, target)
            return
        out = Output(target, vectors, ("label", "confidence"))
        with progress() as bar, noted() as notes:
            result = otlabel.assign(
                vectors.matrix,
                epsilon=epsilon,
                tol=tol,
                coverage=coverage,
                callback=lambda step: bar(f"{step.sweeps:.1f} sweeps, L1 error {step.error:.1e}"),
                **bounds,
            )
            bar("confidence")
            labelled = np.maximum(result.labels, 0)
            sure = np.where(result.labels < 0, 0.0, result.predictor.confidence(vectors.matrix, labelled))
        rows = [("gap", f"{max(float(result.gap), 0.0):.1e} nats an item"), ("sweeps", f"{result.n_sweeps:.1f}")]
        if coverage is not None:
            rows.append(("without a label", f"{int((result.labels < 0).sum()):,}"))
        out.write({"label": result.labels, "confidence": sure}, result.sizes, None, [*rows, *notes])
        if target.model is not None:
            models.save_of_scores(target.model, models.OfScores(result.predictor, vectors.names or [], bounds))


@main.command(epilog="Example: otlabel predict clusters.npz new.npy --balanced --out new.csv")
@click.argument("model", type=FILE)
@click.option("--balanced", is_flag=True, help="The new items get equal sizes, or the model's bounds, too.")
@files(model=False)
def predict(source: Source, target: Target, model: Path, balanced: bool) -> None:
    """Labels of new items, by what `cluster` or `label` saved with --model.

    Each item gets the best label, prices included, whatever the others get; with --balanced labels keep their shares.
    """
    with errors_said():
        target.check(source, model)
        learned = models.load(model)
        is_of_scores = isinstance(learned, models.OfScores)
        vectors = models.as_learned(vectors_of(source, scores=is_of_scores), learned)
        points, nearest = vectors.matrix, None
        k = len(learned.predictor.potentials) if isinstance(learned, models.OfScores) else learned.n_clusters
        if target.dry_run:
            say_plan(estimate.of_prediction(points, k), k, target)
            return
        columns = ("label", "confidence") if is_of_scores else ("label", "confidence", "distance")
        out = Output(target, vectors, columns)
        with progress() as bar, noted() as notes:
            bar("labels")
            try:
                if isinstance(learned, models.OfScores):
                    labels, sure = _of_scores(learned, points, balanced)
                    written = {"label": labels, "confidence": sure}
                else:
                    labels = learned.predict(points, balanced=balanced)
                    written, nearest = _with_distances(learned, points, labels)
            except ValueError as error:
                raise ValueError(f"{error} Or leave --balanced out." if balanced else str(error)) from None
        out.write(written, np.bincount(labels, minlength=k), nearest, notes)


def _of_scores(model: models.OfScores, scores: np.ndarray, balanced: bool) -> tuple[np.ndarray, np.ndarray]:
    learned = model.predictor
    if not balanced:
        labels = learned.predict(scores)
    else:
        sizes: dict[str, Any] = model.bounds or {"b": learned.shares}
        start = learned.potentials if np.isfinite(learned.potentials).all() else None
        labels = otlabel.assign(scores, epsilon=learned.epsilon, init=start, **sizes).labels
    return labels, learned.confidence(scores, labels)


main.add_command(explore)


def _of_step(step: Any) -> str:
    inertia = "" if math.isnan(step.inertia) else f", inertia {step.inertia:.6g}"
    return f"assignment {step.number}, {step.phase}{inertia}, sizes {step.sizes.min():,} to {step.sizes.max():,}"
