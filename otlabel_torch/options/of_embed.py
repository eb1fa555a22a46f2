"""Options of the embed command. Nothing slow to import: --help is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from .config import DataSet

KINDS = (".parquet", ".npy")  # of files; any other ``out`` is a folder


@dataclass(frozen=True)
class EmbedOptions:
    """Write the features of images, the values below the heads, as a table: a row an image, with its path.

    Of a run's network, of a file of weights with torchvision's or timm's names, or of ImageNet's weights. Then
    `otlabel cluster TABLE --k 100 --out labels.parquet` makes balanced clusters of them, and carries the paths along.
    Under torchrun every process writes shards of its own.
    """

    run: tyro.conf.Positional[str]
    """Folder of a run, a file of weights, or the word imagenet: the weights that come with --arch."""
    data: DataSet | None = None
    """What to embed, as train's --data. Default: the images of the run, or "folder" with a --root of its own."""
    root: Path | None = None
    """As train's --root. Default: that of the run; other --data needs its own."""
    part: Literal["all", "train", "val"] = "all"
    """Of data that has both."""
    image_size: int | None = None
    """Side of the images that the network sees. Default: the run's, or that of the images."""
    arch: str | None = None
    """For weights: their network, as train's --arch: resnet50, timm/vit_small_patch16_224, ..."""

    out: Path = Path("embeddings.parquet")
    """A .parquet or .npy file, written as a whole; or a folder, which gets shards of 8,192 images."""
    resume: bool = False
    """Go on with the shards that --out lacks."""
    overwrite: bool = False
    """Replace --out if it is there."""
    skip_bad_images: bool = False
    """Leave files out that cannot be read as images, as a run with that option always does."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto: the best there is."""

    @property
    def in_shards(self) -> bool:
        """Whether ``out`` is a folder."""
        return self.out.suffix not in KINDS
