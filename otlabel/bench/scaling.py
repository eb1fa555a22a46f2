"""How time and memory grow with n and k: slopes of straight lines through logarithms."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from rich.table import Table

from .process import Row


class Slope(NamedTuple):
    """quantity ~ size**exponent, over the rows where only that size changes."""

    quantity: str  # "seconds" or "MiB"
    size: str  # "n" or "k"
    fixed: int  # the other size
    sizes: list[int]
    values: list[float]
    exponent: float
    error: float  # standard error of the exponent; nan from fewer than 3 points
    factor: float  # value = factor * size**exponent


QUANTITIES: dict[str, Callable[[Row], float | None]] = {
    "seconds": lambda row: statistics.median(row["seconds"]),
    "MiB": lambda row: row["peak_mib"],
}


def slopes(rows: Sequence[Row], n: int, k: int) -> list[Slope]:
    """Of the rows that reached their error: along n where k is the given one, and along k where n is."""
    from scipy.stats import linregress

    found = []
    for quantity, value in QUANTITIES.items():
        for size, other, fixed in (("n", "k", k), ("k", "n", n)):
            line = sorted((row[size], value(row) or 0.0) for row in rows if row["seconds"] and row[other] == fixed)
            sizes, values = [at for at, height in line if height], [height for _, height in line if height]
            if len(sizes) < 2:
                continue
            fit = linregress(np.log(sizes), np.log(values))
            error = float(fit.stderr) if len(sizes) > 2 else float("nan")
            factor = float(np.exp(fit.intercept))
            found.append(Slope(quantity, size, fixed, sizes, values, float(fit.slope), error, factor))
    return found


def table(found: Sequence[Slope]) -> Table:
    """The exponents as they are printed."""
    out = Table(box=None, pad_edge=False, header_style="dim", title="Fitted", title_justify="left", title_style="bold")
    for heading in ("what", "along", "exponent", "from", "to"):
        out.add_column(heading, justify="right" if heading == "exponent" else "left", no_wrap=True)
    for slope in found:
        other = "k" if slope.size == "n" else "n"
        out.add_row(
            slope.quantity,
            f"{slope.size} = {slope.sizes[0]:,} ... {slope.sizes[-1]:,}, {other} = {slope.fixed:,}",
            f"{slope.exponent:.2f}" + ("" if np.isnan(slope.error) else f" ± {slope.error:.2f}"),
            f"{slope.values[0]:.3g}",
            f"{slope.values[-1]:.3g}",
        )
    return out
