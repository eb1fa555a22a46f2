"""Options of the explore command. Nothing slow to import: --help is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from .config import DataSet


@dataclass(frozen=True)
class ExploreOptions:
    """A page of the clusters of a run, for any browser: no network, no server.

    Clusters by size, confidence, purity or similarity, each with its surest and least sure images and those clusters
    that are near; search; how labels moved from one relabelling to the next. Images can be marked as wrong and clusters
    named: the page saves names.csv, and corrected.csv for `retrain` and `otlabel.assign(known=...)`.
    """

    run: tyro.conf.Positional[Path]
    """Folder of a run, as its --out; or a table of labels, with --root."""
    data: DataSet | None = None
    """Of a table: what its images are, as train's --data. Default: "folder"."""
    root: Path | None = None
    """Of a table: its images, as train's --root."""
    names: Path | None = None
    """Names of clusters: names.csv, as the page saves it."""
    out: Path | None = None
    """A folder, or one .html file that holds everything. Default: RUN/explore, or beside the table."""
    open: bool = False
    """Open the page in the browser."""
    embedding_atlas: Path | None = None
    """Also write a .parquet file for the embedding-atlas viewer: places on a plane, neighbours, images. Of a run; needs
    umap-learn."""
    skip_bad_images: bool = False
    """Leave files out that cannot be read as images, as a run with that option always does."""
