"""From what was asked for to what a run does: every choice that was left open."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path

from otlabel._system.machine import cores

from ..network.models import takes_any_size
from ..options.config import Config, Resolved
from ..options.kinds import ASSIGNERS
from .precision import fastest

MIN_LABELS, MAX_LABELS = 10, 3000  # the latter is SeLa's best k on ImageNet
ITEMS_PER_LABEL = 100  # where there are fewer than 300,000 images k is lowered to keep this many a label
HEADS = 10
BATCH = 64
LARGE = 128  # pixels: images of at least that size are augmented as in the paper on ImageNet


def resolve(config: Config, n: int, size: int, labels: tuple[int, int] | None = None) -> Resolved:
    """Replace every None by the choice for n training images of this size; paths become absolute.

    Args:
        labels: heads and k of the labels of a file.
    """
    shown = size if config.image_size is None else config.image_size
    augment = config.augment or ("scans" if config.data == "digits" else "imagenet" if shown >= LARGE else "small")
    heads, k = labels or (HEADS, min(MAX_LABELS, max(MIN_LABELS, n // ITEMS_PER_LABEL), n))
    default = {
        "workers": cores(),
        "image_size": shown,
        "train_size": smaller(shown) if augment == "small" and takes_any_size(config.arch) else shown,
        "augment": augment,
        "out": Path("runs") / f"{config.data}-{time.strftime('%Y%m%d-%H%M%S')}",
        "k": k,
        "heads": heads,
        "relabels": config.epochs if ASSIGNERS[config.assigner].updates else 1,
        "batch_size": min(BATCH, n),
    }
    fields = {option.name: getattr(config, option.name) for option in dataclasses.fields(Config)}
    fields |= {name: value for name, value in default.items() if fields[name] is None}
    if config.precision == "auto":
        fields["precision"] = fastest(Resolved(**fields | {"precision": "float32"}))
    return Resolved(**fields).absolute()


def smaller(size: int) -> int:
    """Three quarters of a side, up to a multiple of 8, so that halving it three times loses no pixels."""
    return min(size, 8 * math.ceil(size * 3 / 32))
