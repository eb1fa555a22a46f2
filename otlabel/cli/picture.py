"""A picture of sizes, by matplotlib."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from .._system.files import atomic

KINDS = (".png", ".svg", ".pdf")
_OWN, _OTHER = "#1a7f5a", "#b0b7bf"


def of_sizes(path: Path, sizes: np.ndarray, nearest: np.ndarray | None) -> None:
    """Items a label, the largest first; beside them, where it is known, what the nearest centre alone would give."""
    figure, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
    places = np.arange(len(sizes))
    if nearest is not None:
        axis.step(places, np.sort(nearest)[::-1], where="mid", color=_OTHER, label="nearest centre")
    axis.fill_between(places, np.sort(sizes)[::-1], step="mid", color=_OWN, alpha=0.8, label="otlabel")
    axis.set_xlabel("labels, the largest first")
    axis.set_ylabel("items")
    axis.set_ylim(0)
    axis.margins(x=0)
    if nearest is not None:
        axis.legend(frameon=False)
    with atomic(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=150)
    plt.close(figure)
