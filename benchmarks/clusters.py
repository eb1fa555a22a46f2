"""Balanced clusters against k-means-constrained and scikit-learn's KMeans. python benchmarks/clusters.py [PART ...]

Parts: "constrained" (10,000 x 32 into 100, ten seeds, two kinds of points), "bounds" (the same, sizes from a half to
twice the mean), "kmeans" (200,000 x 128 into 1,000, as many iterations of KMeans), "million" (1,000,000 x 64 into
1,000), "residual" (as many in 3 levels of 256), "quality" (inertia, sizes and the recall of inverted files, on digits,
Fashion-MNIST, clouds and, with --features FILE, on features of images that `python -m otlabel_torch.embed` wrote; means
of three). One process, both on the same points; means of ten, else one run; quality: a process a fit. The numbers in
docs/clusters.md come from here.
"""

from __future__ import annotations

import argparse
import gzip
import resource
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))  # nothing needs to be installed

from otlabel.bench import clusters, machine
from otlabel.bench.clusters import clouds
from otlabel.cluster import BalancedKMeans, ResidualKMeans

FASHION = Path("/usr/share/datasets/fashion-mnist")


def fitted(model, points: np.ndarray):
    """Seconds, and the model."""
    start = time.perf_counter()
    model.fit(points)
    return time.perf_counter() - start, model


def constrained(least: float = 1.0, most: float = 1.0, n: int = 10_000, d: int = 32, k: int = 100, seeds: int = 10):
    from k_means_constrained import KMeansConstrained

    bounds = {"size_min": int(least * n / k), "size_max": int(most * n / k)}
    print(f"\n{n:,} x {d} into {k}, sizes {' to '.join(map(str, bounds.values()))}, {seeds} seeds:")
    print("means of inertia / k-means-constrained's, and of seconds")
    print("| points | inertia | from | to | otlabel, s | k-means-constrained, s | times |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name in ("clouds", "one cloud"):
        rows = []
        for seed in range(seeds):
            points = clouds(n, d, k if name == "clouds" else 1, seed, 0.5)
            own, ours = fitted(BalancedKMeans(k, **bounds, random_state=seed), points)
            theirs, other = fitted(KMeansConstrained(k, **bounds, n_init=1, random_state=seed), points)
            rows.append((ours.inertia_ / other.inertia_, own, theirs))
        inertia, own, theirs = zip(*rows, strict=True)
        mean = statistics.mean
        cells = f"{mean(inertia):.4f} | {min(inertia):.4f} | {max(inertia):.4f} | {mean(own):.2f} | {mean(theirs):.1f}"
        print(f"| {name} | {cells} | {mean(theirs) / mean(own):.0f} |", flush=True)


def kmeans(n: int = 200_000, d: int = 128, k: int = 1000) -> None:
    from sklearn.cluster import KMeans

    points = clouds(n, d, k, 0, 1.5)
    own, ours = fitted(BalancedKMeans(k, random_state=0), points)
    theirs, other = fitted(KMeans(k, n_init=1, max_iter=ours.n_iter_, tol=0, random_state=0), points)
    sizes = np.bincount(other.labels_)
    print(f"\n{n:,} x {d} into {k}: {own:.1f} s, {ours.n_iter_} assignments, sizes {ours.sizes_.max()}")
    print(f"scikit-learn's KMeans, {other.n_iter_} iterations: {theirs:.1f} s, sizes {sizes.min()} to {sizes.max()}")
    print(f"times as long: {own / theirs:.2f}; inertia: {ours.inertia_ / other.inertia_:.3f} of its", flush=True)


def million(n: int = 1_000_000, d: int = 64, k: int = 1000) -> None:
    points = clouds(n, d, k, 0, 1.5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    own, ours = fitted(BalancedKMeans(k, random_state=0), points)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"\n{n:,} x {d} into {k}: {own:.0f} s, {ours.n_iter_} assignments, sizes {ours.sizes_.max()}")
    print(
        f"memory: {peak / 2**20:.2f} GiB at most, {before / 2**20:.2f} before, the points {points.nbytes / 2**30:.2f}"
    )


def residual(n: int = 1_000_000, d: int = 64, k: int = 256) -> None:
    points = clouds(n, d, 4 * k, 0, 1.0)
    seconds, model = fitted(ResidualKMeans(3, k, random_state=0), points)
    left = model.inertia_ / (((points - points.mean(axis=0)) ** 2).sum(dtype=np.float64))
    print(f"\n{n:,} x {d} in 3 levels of {k}: {seconds:.0f} s, sizes {model.sizes_.min()} to {model.sizes_.max()}")
    print(
        f"left over: {', '.join(f'{part:.3f}' for part in left)}; {model.collisions_:,} points share a code", flush=True
    )


def fashion_mnist() -> np.ndarray | None:
    """(70,000, 784) pixels, from Debian's package dataset-fashion-mnist."""
    files = [FASHION / f"{part}-images-idx3-ubyte.gz" for part in ("train", "t10k")]
    if not all(file.exists() for file in files):
        return None
    return np.concatenate(
        [np.frombuffer(gzip.open(file).read(), np.uint8, offset=16).reshape(-1, 784) for file in files]
    ).astype(np.float32)


def quality(features: Path | None, seeds: int = 3) -> None:
    from sklearn.datasets import load_digits

    problems = [("digits", load_digits().data, 20), ("clouds", clouds(100_000, 64, 300, 0), 300)]
    if (images := fashion_mnist()) is not None:
        problems.insert(1, ("Fashion-MNIST, pixels", images, 200))
    if features is not None:
        from otlabel.cli.vectors import read

        problems.append((f"features of {features.stem}", read(features).matrix, 100))
    for name, points, k in problems:
        random = np.random.default_rng(0).permutation(len(points))  # the first are held out
        rows = clusters.run(name, points[random], k, seeds, cap=240.0)
        print(f"\n{name}, {len(points):,} x {points.shape[1]} into {k}, {seeds} seeds\n")
        for line in (clusters.headings(), ["---"] * len(clusters.headings()), *clusters.cells(rows)):
            print(f"| {' | '.join(line)} |", flush=True)


PARTS = {
    "constrained": constrained,
    "bounds": lambda: constrained(0.5, 2.0),
    "kmeans": kmeans,
    "million": million,
    "residual": residual,
    "quality": quality,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS) + "; without any, all")
    parser.add_argument("--features", type=Path, help="for the part quality: a table with a column of vectors")
    arguments = parser.parse_args()
    print(f"{machine.cpu()}, {machine.threads()} cores")
    BalancedKMeans(10, random_state=0).fit(clouds(2000, 8, 10, 0, 1.0))  # compiled, and not counted
    for part in arguments.parts or PARTS:
        PARTS[part](arguments.features) if part == "quality" else PARTS[part]()


if __name__ == "__main__":
    main()
