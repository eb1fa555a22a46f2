"""The table that the embedding-atlas viewer opens: places on a plane, neighbours, and what is known of the items."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._system.files import atomic
from .contents import Contents

_NEIGHBOURS = 15  # of an item: UMAP's own default
NEEDS = "a table for embedding-atlas needs UMAP, which is not installed: pip install umap-learn"


class Plane(NamedTuple):
    """Of n items."""

    xy: np.ndarray  # (n, 2) float32
    neighbours: np.ndarray  # (n, m) rows, nearest first, each item itself among them
    distances: np.ndarray  # (n, m)


def plane(points: np.ndarray) -> Plane:
    """UMAP (McInnes et al., 2018) of points (n, d), by cosine; the same each time.

    Raises:
        ImportError: umap-learn is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TensorFlow is not there
        try:
            from umap import UMAP
            from umap.umap_ import nearest_neighbors
        except ImportError:
            raise ImportError(NEEDS) from None
    count = min(_NEIGHBOURS, len(points) - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba, and that a seed means one thread
        found = nearest_neighbors(points, count, "cosine", {}, False, np.random.RandomState(0))
        xy = UMAP(n_neighbors=count, metric="cosine", precomputed_knn=found, random_state=0).fit_transform(points)
    return Plane(xy.astype(np.float32), found[0], found[1])


def write_atlas(path: Path, contents: Contents, points: np.ndarray, images: Sequence[bytes] | None = None) -> None:
    """Columns name, x, y, neighbors, label and, where they are known, confidence, class and image.

    ``embedding-atlas FILE --x x --y y --neighbors neighbors --image image`` shows it.

    Args:
        points: (n, d) features of the items.
        images: files of their pictures.

    Raises:
        ImportError: umap-learn or pyarrow is not installed.
        OSError: it cannot be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    on = plane(points)
    near = [
        {"ids": ids, "distances": far} for ids, far in zip(on.neighbours.tolist(), on.distances.tolist(), strict=True)
    ]
    labels = contents.labels[:, 0].tolist()
    columns: dict[str, object] = {
        "name": [str(name).encode("utf-8", "backslashreplace").decode() for name in contents.names],
        "x": on.xy[:, 0],
        "y": on.xy[:, 1],
        "neighbors": near,
        "label": [contents.cluster_names.get(f"0/{label}", str(label)) for label in labels],
    }
    if contents.confidence is not None:
        columns["confidence"] = contents.confidence[:, 0].astype(np.float32)
    if contents.classes is not None:
        names = contents.class_names
        columns["class"] = [names[of] if of >= 0 else None for of in contents.classes.tolist()]
    if images is not None:
        columns["image"] = [{"bytes": data, "path": None} for data in images]
    with atomic(path) as file:
        parquet.write_table(pa.table(columns), file)
