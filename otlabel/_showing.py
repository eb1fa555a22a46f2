"""How results are shown: a table for notebooks, and pictures by matplotlib."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN, OTHER = "#1a7f5a", "#8a939c"
_BARS = 60  # of the small picture of sizes


def table(title: str, rows: Sequence[tuple[str, str]], sizes: np.ndarray) -> str:
    """HTML of names and values, and a small picture of the sizes (k,)."""
    cells = "".join(
        f"<tr><th style='text-align:left'>{html.escape(a)}</th><td>{html.escape(b)}</td></tr>" for a, b in rows
    )
    return f"<div><strong>{html.escape(title)}</strong><table>{cells}</table>{_small(sizes)}</div>"


def _small(sizes: np.ndarray) -> str:
    """Sizes as SVG, the largest first; of many labels some, evenly chosen."""
    ordered = np.sort(sizes)[::-1]
    some = ordered[np.linspace(0, len(ordered) - 1, min(_BARS, len(ordered))).astype(int)]
    heights = 40 * some / max(1, ordered[0])
    bars = "".join(
        f"<rect x='{4 * i}' y='{40 - height:.1f}' width='3' height='{height:.1f}' fill='{OWN}'/>"
        for i, height in enumerate(heights)
    )
    said = f"items of each label, the largest first: {ordered[0]:,} to {ordered[-1]:,}"
    return f"<svg width='{4 * len(some)}' height='40' role='img' aria-label='{said}'><title>{said}</title>{bars}</svg>"


def axes(count: int) -> tuple[Figure, list[Axes]]:
    """An empty figure of some pictures side by side.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("plot needs matplotlib, which is not installed: pip install matplotlib") from None
    figure, found = pyplot.subplots(1, count, figsize=(4.6 * count, 3.2), layout="constrained", squeeze=False)
    return figure, list(found[0])


def draw_sizes(axis: Axes, sizes: np.ndarray, shares: np.ndarray | None = None) -> None:
    """Items of each label, the largest first; and what each should have, where that is known."""
    order, edges = np.argsort(-sizes, kind="stable"), np.arange(len(sizes) + 1) - 0.5
    axis.stairs(sizes[order], edges, fill=True, color=OWN, alpha=0.8, label="items")
    if shares is not None:
        axis.stairs(shares[order], edges, baseline=None, color=OTHER, label="share")
        axis.legend(frameon=False)
    axis.set(xlabel="labels, the largest first", ylabel="items", ylim=(0, None), xlim=(edges[0], edges[-1]))
    axis.locator_params(axis="x", integer=True)


def draw_line(axis: Axes, x: Any, y: Any, xlabel: str, ylabel: str, *, log: bool = False) -> None:
    """One quantity against another."""
    axis.plot(x, y, color=OWN, marker=".")
    axis.set(xlabel=xlabel, ylabel=ylabel)
    if log and np.min(y) > 0:
        axis.set_yscale("log")
