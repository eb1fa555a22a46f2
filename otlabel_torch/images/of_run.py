"""Which images a run has: one rule for all commands."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TypeVar

from otlabel._system.machine import cores

from ..options.config import Config, DataSet
from .decoding import Reading
from .images import Images, Source, load
from .imbalance import imbalanced

C = TypeVar("C", bound=Config)
NAMED_BY = (
    "data", "root", "image_size", "imbalance", "seed", "skip_bad_images", "train_dir", "val_dir", "pixel_range",
    "background", "upright", "max_pixels", "drop_duplicates",
)  # fmt: skip  # options that say which they are


def images_of(config: Config) -> tuple[Images, Images | None]:
    """The training images that a configuration names, and validation images if it has some.

    ``imbalance`` leaves training images out, the same for the same seed.
    """
    train, test = load(
        Source(
            config.data,
            config.root,
            config.image_size,
            download=config.download,
            skip_bad=config.skip_bad_images,
            keep=config.keep,
            workers=config.workers or cores(),
            reading=Reading(config.pixel_range, config.background, config.upright, config.max_pixels),
            train_dir=config.train_dir,
            val_dir=config.val_dir,
            drop_duplicates=config.drop_duplicates,
        )
    )
    return train if config.imbalance is None else imbalanced(train, config.imbalance, config.seed), test


def others(
    config: C,
    data: DataSet | None = None,
    root: Path | None = None,
    image_size: int | None = None,
    skip_bad_images: bool = False,
) -> C:
    """A run's configuration, with the images that a command names; the run's own where it names none.

    A root of its own is a folder of images unless data is named too; other data needs its own root. Other images are
    taken as they are, and kept where there is room: the run's ``imbalance``, ``labels`` and ``keep`` are not for them.
    Nothing is fetched.
    """
    is_own = data in (None, config.data) and (root is None or root.absolute() == config.root)
    return dataclasses.replace(
        config,
        data=data or (config.data if is_own else "folder"),
        root=config.root if is_own else root,
        image_size=config.image_size if image_size is None else image_size,
        skip_bad_images=skip_bad_images or config.skip_bad_images,
        imbalance=config.imbalance if is_own else None,
        labels=config.labels if is_own else None,
        train_dir=config.train_dir if is_own else None,
        val_dir=config.val_dir if is_own else None,
        keep=config.keep if is_own and image_size in (None, config.image_size) else "auto",
        download=False,
        workers=cores(),
    )
