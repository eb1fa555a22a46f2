"""k-means with and without sizes: otlabel, scikit-learn, k-means-constrained and faiss on the same points."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from . import inverted, machine
from .process import LATE, STARTING, Row, timed

SHARES = 0.01, 0.05  # of the points, that a query scans
QUERIES = 1000  # held out, a tenth of the points at most
_WARM_UP = 512  # points that are clustered before the clock starts

Fit = Callable[[np.ndarray, int, int], tuple[np.ndarray, np.ndarray, int]]  # labels, centres and steps


@dataclass(frozen=True)
class Method:
    """One way to cluster."""

    name: str
    package: str  # that it needs
    install: str
    has_equal_sizes: bool
    fit: Fit


def _otlabel(points: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    from ..cluster import BalancedKMeans

    model = BalancedKMeans(k, random_state=seed).fit(points)
    return model.labels_, model.cluster_centers_, model.n_iter_


def _otlabel_bounded(points: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    from ..cluster import BalancedKMeans

    mean = len(points) / k
    bounds: dict[str, Any] = {"size_min": int(mean / 2), "size_max": int(2 * mean) + 1}
    model = BalancedKMeans(k, **bounds, random_state=seed).fit(points)
    return model.labels_, model.cluster_centers_, model.n_iter_


def _sklearn(points: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    from sklearn.cluster import KMeans

    model = KMeans(k, n_init=1, random_state=seed).fit(points)
    return model.labels_.astype(np.int64), model.cluster_centers_, model.n_iter_


def _constrained(points: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    from k_means_constrained import KMeansConstrained

    n = len(points)
    model = KMeansConstrained(k, size_min=n // k, size_max=-(-n // k), n_init=1, random_state=seed).fit(points)
    return model.labels_.astype(np.int64), model.cluster_centers_, model.n_iter_


def _faiss(points: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    import faiss

    model = faiss.Kmeans(points.shape[1], k, niter=25, seed=seed, max_points_per_centroid=len(points))
    model.train(points)
    return model.index.search(points, 1)[1][:, 0], np.asarray(model.centroids), 25


METHODS = (
    Method("otlabel", "sklearn", "scikit-learn", True, _otlabel),
    Method("otlabel, sizes 1/2 to 2", "sklearn", "scikit-learn", False, _otlabel_bounded),
    Method("k-means-constrained", "k_means_constrained", "k-means-constrained", True, _constrained),
    Method("scikit-learn KMeans", "sklearn", "scikit-learn", False, _sklearn),
    Method("faiss Kmeans", "faiss", "faiss-cpu", False, _faiss),
)


def clouds(n: int, d: int, k: int, seed: int, spread: float = 0.5) -> np.ndarray:
    """(n, d) float32: normal clouds around k centres; the largest holds ten times the points of the average."""
    rng = np.random.default_rng(seed)
    share = 1 / (np.arange(k) + k / 10)
    points = spread * rng.standard_normal(size=(n, d), dtype=np.float32)
    points += rng.standard_normal(size=(k, d), dtype=np.float32)[rng.choice(k, size=n, p=share / share.sum())]
    return points


def run(
    name: str, points: np.ndarray, k: int, seeds: int, cap: float, tell: Callable[[str], object] = lambda method: None
) -> list[Row]:
    """A row a method that is installed: means over the seeds.

    Args:
        name: of the points (n, d), which become float32.
        cap: seconds that a fit may take.
        tell: of each method before it begins.
    """
    points = np.ascontiguousarray(points, dtype=np.float32)
    rows = []
    with tempfile.TemporaryDirectory(prefix="otlabel-") as folder:
        file = Path(folder) / "points.npy"
        np.save(file, points)
        for method in METHODS:
            if machine.installed(method.package):
                tell(method.name)
                rows.append(_row(name, points.shape, method, file, k, seeds, cap))
    return rows


def _row(name: str, shape: tuple[int, ...], method: Method, file: Path, k: int, seeds: int, cap: float) -> Row:
    facts: Row = {"points": name, "n": shape[0], "d": shape[1], "k": k, "method": method.name, "cap": cap}
    found: list[Row] = []
    for seed in range(seeds):
        answer = _apart(method, file, k, seed, cap)
        if "note" in answer:
            return facts | answer
        found.append(answer)
    mean = {key: statistics.mean(each[key] for each in found) for key in ("inertia", "seconds", "steps", "variation")}
    recalls = np.mean([each["recall"] for each in found], axis=0).tolist()
    least, most = min(each["smallest"] for each in found), max(each["largest"] for each in found)
    return facts | mean | {"recall": recalls, "smallest": least, "largest": most, "seeds": seeds}


def _apart(method: Method, file: Path, k: int, seed: int, cap: float) -> Row:
    """One fit in a process of its own, which is killed if it takes too long."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    work = METHODS.index(method), str(file), k, seed, send
    process = context.Process(target=_work, args=work, daemon=True)
    process.start()
    send.close()
    try:
        if not receive.poll(STARTING) or receive.recv() != "ready":
            return {"note": "it did not get ready"}
        if not receive.poll(cap * LATE[0] + LATE[1]):
            return {"note": f"more than {cap:g} s"}
        return receive.recv()
    except EOFError:
        process.join(5)
        return {"note": f"the process ended with exit status {process.exitcode}"}
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        receive.close()


def _work(number: int, file: str, k: int, seed: int, send: Connection) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # faiss warns of few points, from C++
    method, everything = METHODS[number], np.load(file)
    held = min(QUERIES, len(everything) // 10)
    queries, points = everything[:held], np.ascontiguousarray(everything[held:])
    try:
        method.fit(points[:_WARM_UP], min(k, _WARM_UP // 4), 0)
        send.send("ready")
        seconds, (labels, centres, steps), _ = timed(lambda: method.fit(points, k, seed))
    except Exception as error:
        send.send("ready")
        send.send({"note": f"{type(error).__name__}: {error}"[:200]})
        return
    sizes = np.bincount(labels, minlength=k)
    inertia = float(((points - centres[labels]).astype(np.float64) ** 2).sum())
    truth = inverted.neighbours(points, queries)
    send.send(
        {
            "seconds": seconds,
            "steps": int(steps),
            "inertia": inertia,
            "smallest": int(sizes.min()),
            "largest": int(sizes.max()),
            "variation": float(sizes.std() / sizes.mean()),
            "recall": inverted.recall(labels, centres, queries, truth, SHARES),
        }
    )


def table(rows: Sequence[Row]) -> Table:
    """One problem's rows: inertia beside scikit-learn's, and what was not there in time."""
    first = rows[0]
    shown = Table(title=f"{first['points']}: {first['n']:,} x {first['d']} into {first['k']:,}", title_justify="left")
    for heading in headings():
        shown.add_column(heading, justify="left" if heading == "method" else "right")
    for row in cells(rows):
        shown.add_row(*row)
    return shown


def headings() -> list[str]:
    """Of the columns of ``cells``."""
    recalls = [f"recall@{inverted.NEIGHBOURS} of {share:.0%} scanned" for share in SHARES]
    return ["method", "inertia", "sizes", "variation", *recalls, "steps", "seconds"]


def cells(rows: Sequence[Row]) -> list[list[str]]:
    """A line a method."""
    plain = next((row["inertia"] for row in rows if "KMeans" in row["method"] and "inertia" in row), None)
    lines = []
    for row in rows:
        if "inertia" not in row:
            lines.append([row["method"], *[""] * (len(headings()) - 2), row["note"]])
            continue
        beside = f"{row['inertia'] / plain:.3f}" if plain else f"{row['inertia']:.4g}"
        recalls = [f"{100 * value:.1f} %" for value in row["recall"]]
        sizes = f"{row['smallest']:,} to {row['largest']:,}"
        line = [beside, sizes, f"{row['variation']:.2f}", *recalls, f"{row['steps']:.0f}", f"{row['seconds']:.2f}"]
        lines.append([row["method"], *line])
    return lines
