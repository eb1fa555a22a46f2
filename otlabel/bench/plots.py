"""Pictures of rows, by matplotlib."""

from __future__ import annotations

import io
import itertools
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .._system.files import atomic
from ..explore.sheet import Part, sheet
from .process import Row
from .scaling import Slope
from .tables import HEADINGS, LEGEND, notes, problem, sections, title

OWN, OTHER, NOT_THERE = "#1a7f5a", "#4c5a69", "#b0b7bf"


def times(rows: Sequence[Row], path: Path | BinaryIO) -> None:
    """A panel a problem, a line a method: every run's seconds; who did not get there has an arrow at the cap."""
    problems = [list(group) for _, group in itertools.groupby(rows, key=problem)]
    most = max(len(group) for group in problems)
    figure, axes = plt.subplots(
        1, len(problems), figsize=(5.5 * len(problems) + 1, 0.36 * most + 1.4), squeeze=False, layout="constrained"
    )
    for axis, group in zip(axes[0], problems, strict=True):
        group = sorted(group, key=lambda row: (row["balances"], statistics.median(row["seconds"] or [row["cap"]])))
        for height, row in enumerate(group):
            own = row["method"].startswith("otlabel")
            if row["seconds"]:
                axis.plot(row["seconds"], [height] * len(row["seconds"]), "|", color=OWN if own else OTHER, ms=9)
                axis.plot(statistics.median(row["seconds"]), height, "o", color=OWN if own else OTHER, ms=5)
            else:
                error = f"  error {row['error']:.0e}" if row.get("error") is not None else f"  {row['status']}"
                axis.plot(row["cap"], height, ">", color=NOT_THERE, ms=7)
                axis.annotate(error, (row["cap"], height), va="center", fontsize=8, color=OTHER)
        plans = sum(not row["balances"] for row in group)
        if 0 < plans < len(group):
            axis.axhline(plans - 0.5, color=NOT_THERE, lw=0.8)
        axis.set_yticks(range(len(group)), [row["method"] for row in group], fontsize=8)
        axis.set_xscale("log")
        _plain(axis.xaxis)
        axis.invert_yaxis()
        axis.margins(x=0.15, y=0.12)
        axis.grid(axis="x", alpha=0.3)
        first = group[0]
        axis.set_title(f"{first['scores']}, {first['n']:,} x {first['k']:,}", fontsize=10)
        axis.set_xlabel(
            f"seconds: plans to an L1 error of {first['tol']:g}; below the line, balanced labels", fontsize=8
        )
    _save(figure, path)


def scaling(slopes: Sequence[Slope], path: Path, title: str) -> None:
    """Log-log, measured points and the fitted line: time and memory, along n and along k."""
    figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
    for row, quantity in enumerate(("seconds", "MiB")):
        for column, size in enumerate("nk"):
            axis = axes[row][column]
            for slope in slopes:
                if (slope.quantity, slope.size) != (quantity, size):
                    continue
                axis.loglog(slope.sizes, slope.values, "o", color=OWN)
                ends = np.array([slope.sizes[0], slope.sizes[-1]], dtype=float)
                axis.loglog(ends, slope.factor * ends**slope.exponent, "-", color=OTHER, lw=1)
                other = "k" if size == "n" else "n"
                axis.set_title(f"{quantity} ~ {size}^{slope.exponent:.2f}  ({other} = {slope.fixed:,})", fontsize=10)
            _plain(axis.xaxis)
            _plain(axis.yaxis)
            axis.set_xlabel(size)
            axis.set_ylabel(quantity if quantity == "seconds" else "MiB beside the scores")
            axis.grid(which="both", alpha=0.25)
    figure.suptitle(title, fontsize=11)
    _save(figure, path)


def _plain(axis: Axis) -> None:
    """1, 2 and 5 times powers of ten on a logarithmic axis, in plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}" if value < 1e4 else f"{value:,.0f}"))
    axis.set_minor_formatter(NullFormatter())


def _save(figure: plt.Figure, path: Path | BinaryIO) -> None:
    figure.savefig(path, dpi=130)
    plt.close(figure)


def page(rows: Sequence[Row], path: Path) -> None:
    """The picture and a table a problem, as one HTML file."""
    picture = io.BytesIO()
    times(rows, picture)
    shows = "the seconds of every method on every problem, as in the tables below"
    parts = [Part("Seconds", LEGEND, picture.getvalue(), shows)]
    for _, group in itertools.groupby(rows, key=problem):
        of_problem = list(group)
        lines = [cells for _, kind in sections(of_problem) for _, cells in kind]
        parts.append(Part(title(of_problem[0]), " ".join(notes(of_problem)), rows=[HEADINGS, *lines]))
    with atomic(path) as file:
        file.write(sheet("otlabel-bench", parts).encode())
