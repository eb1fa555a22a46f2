"""Tables and pictures of the experiments, from the numbers in benchmarks/results/experiments."""

from __future__ import annotations

import re
import statistics
from pathlib import Path
from typing import Any

from benchmarks.experiments import cells
from benchmarks.experiments.grids import GRIDS, Grid, Row

PAGE = Path("docs/reproduce.md")
PICTURES = Path("docs/experiments")
BLOCK = re.compile(r"(<!-- begin: experiment (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

KNN = "weighted kNN accuracy, 10 neighbours"
LINEAR = "linear probe accuracy (logistic regression)"
NMI, AMI = "normalised mutual information (NMI)", "adjusted mutual information (AMI)"
COLUMNS = {"weighted kNN accuracy": KNN, "linear probe accuracy": LINEAR, "NMI of the labels": NMI, "AMI": AMI}
DRAWN = ("weighted kNN accuracy", "NMI of the labels")


def numbers(found: dict[str, Any]) -> dict[str, float | None]:
    """The numbers of one run that are shown; labels that there are none of have none."""
    labels = found["labels"].get("mean over heads", {})
    return {shown: found["features"]["features"].get(name, labels.get(name)) for shown, name in COLUMNS.items()}


def line(found: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in numbers(found).items() if value is not None)


def draw() -> None:
    """Fill the blocks of docs/reproduce.md and write a picture of each experiment."""
    PAGE.write_text(page(PAGE.read_text()))
    for name, grid in GRIDS.items():
        picture(name, grid)


def page(text: str) -> str:
    """The document with all its tables made anew."""
    return BLOCK.sub(lambda block: f"{block[1]}{table(block[2])}\n{block[3]}", text)


def measured(row: Row, grid: Grid) -> list[dict[str, float | None]]:
    """Numbers of a row's runs that are done."""
    return [numbers(found) for cell in row.cells(grid.seeds) if (found := cells.result(cell)) is not None]


def table(name: str) -> str:
    """In Markdown: means over the seeds, with the standard deviation where there are several."""
    grid = GRIDS[name]
    lines = [f"| | {' | '.join(COLUMNS)} | seeds |", "|---|" + "---:|" * (len(COLUMNS) + 1)]
    for row in grid.rows:
        runs = measured(row, grid)
        if runs:
            values = [spread([run[column] for run in runs if run[column] is not None]) for column in COLUMNS]
            lines.append(f"| {row.name} | {' | '.join(values)} | {len(runs)} |")
    command = f"`python -m benchmarks.experiments run {name} --root {grid.root}`"
    picture = f"![{grid.title}](experiments/{name}.png)"
    return "\n".join([*lines, "", grid.paper, "", command, "", picture])


def spread(values: list[float]) -> str:
    if not values:
        return ""
    mean = f"{statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.1f}"


def picture(name: str, grid: Grid) -> None:
    """A dot a run, a line at the mean."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [(row.name, runs) for row in grid.rows if (runs := measured(row, grid))]
    if not rows:
        return
    height = 1.1 + 0.42 * len(rows)
    figure, axes = pyplot.subplots(1, len(DRAWN), figsize=(9, height), sharey=True, layout="constrained")
    for axis, column in zip(axes, DRAWN, strict=True):
        for place, (_, runs) in enumerate(rows):
            values = [value for run in runs if (value := run[column]) is not None]
            axis.plot(values, [place] * len(values), "o", color="tab:blue", alpha=0.7)
            if values:
                mean = statistics.mean(values)
                axis.plot([mean, mean], [place - 0.3, place + 0.3], color="black", linewidth=1.5)
        axis.set(xlabel=f"{column}, percent")
        axis.grid(axis="x", alpha=0.4)
    axes[0].set_yticks(range(len(rows)), [row_name for row_name, _ in rows])
    axes[0].invert_yaxis()
    figure.suptitle(grid.title, fontsize=11)
    PICTURES.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURES / f"{name}.png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)
