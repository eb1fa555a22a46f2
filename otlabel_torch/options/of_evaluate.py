"""Options of the evaluate command. Nothing slow to import: --help is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from .config import DataSet


@dataclass(frozen=True)
class EvaluateOptions:
    """Evaluate a run, or any file of weights with torchvision's names, on images with classes.

    Features: weighted kNN accuracy and linear probes, trained on the training images, measured on the validation
    images, which choose nothing. Labels, and k-means of the features to compare with: mutual information with the
    classes, purity, and more. The table is printed; --out gets report.json and row.csv, one line with a header.
    """

    run: tyro.conf.Positional[Path]
    """Folder of a run, as its --out, or a file of weights."""
    data: DataSet | None = None
    """What to evaluate on, as train's --data. Default: the images of the run, or "folder" with a --root of its own."""
    root: Path | None = None
    """As train's --root. Default: that of the run; other --data needs its own."""
    image_size: int | None = None
    """Side of the images that the network sees. Default: the run's, or that of the images."""
    arch: str | None = None
    """For a file of weights: its network, as train's --arch."""

    layers: tuple[str, ...] = ("features", "maps")
    """What of the network to evaluate: features (below the heads), maps (the last ones before they are pooled), or
    modules by their names, such as layer3."""
    linear: Literal["quick", "paper", "both", "none"] = "quick"
    """Linear probes: quick (logistic regression), paper (36 epochs of SGD on crops)."""
    out: Path | None = None
    """Folder for report.json and row.csv. Default: RUN/evaluation, or beside the file NAME-evaluation."""
    overwrite: bool = False
    """Replace what is in --out."""
    skip_bad_images: bool = False
    """Leave files out that cannot be read as images, as a run with that option always does."""
    seed: int = 0
    """Of k-means and the probes."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto: the best there is."""
