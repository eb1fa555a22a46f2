"""A run as pictures: how it learned, how its labels settled, what they are worth."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from otlabel.explore.sheet import Part

from .report import IN_FULL

_OWN, _SECOND, _QUIET = "#1a7f5a", "#c2571a", "#8a939c"


class Picture(NamedTuple):
    """One of them, and its words."""

    name: str  # of its file
    heading: str
    text: str
    shows: str
    png: bytes

    @property
    def part(self) -> Part:
        """For the report."""
        return Part(self.heading, self.text, self.png, self.shows)


def pictures(
    records: list[dict[str, Any]],
    rows: list[dict[str, Any]],
    labels: np.ndarray | None,
    confidence: np.ndarray | None,
    k: int,
) -> list[Picture]:
    """Those that there is something to show in.

    Args:
        records: metrics of every epoch, as in metrics.jsonl.
        rows: of the closing table.
        labels, confidence: (n,) of the first head; None where none were solved for.
    """
    drawn = [_loss(records), _settling(records), _solves(records), _worth(rows)]
    if labels is not None and confidence is not None:
        drawn.append(_sizes(labels, confidence, k))
    return [picture for picture in drawn if picture is not None]


def _loss(records: list[dict[str, Any]]) -> Picture | None:
    epochs = [record for record in records if "loss" in record]
    if not epochs:
        return None
    figure, (axis,) = _figure(1)
    _line(axis, [record["epoch"] for record in epochs], [record["loss"] for record in epochs], _OWN, "loss")
    axis.set(xlabel="epoch", ylabel="cross-entropy, nats")
    first, last = epochs[0]["loss"], epochs[-1]["loss"]
    return Picture(
        "loss", "Loss", f"From {first:.3f} to {last:.3f}; it rises where new labels have to be learned.",
        f"the loss of {len(epochs)} epochs, from {first:.3f} to {last:.3f}", _png(figure),
    )  # fmt: skip


def _settling(records: list[dict[str, Any]]) -> Picture | None:
    solves = [record for record in records if "changed" in record]
    if not solves:
        return None
    figure, (left, right) = _figure(2)
    epochs = [record["epoch"] for record in solves]
    _line(left, epochs, [100 * record["changed"] for record in solves], _OWN, "changed")
    left.set(xlabel="epoch", ylabel="labels that changed, %", ylim=(0, 100))
    _line(right, epochs, [record["nmi_previous"] for record in solves], _OWN, "to the labels before")
    with_classes = [record for record in records if "nmi_classes" in record]
    if with_classes:
        at = [record["epoch"] for record in with_classes]
        _line(right, at, [record["nmi_classes"] for record in with_classes], _SECOND, "to the classes")
    right.set(xlabel="epoch", ylabel="NMI, %", ylim=(0, 100))
    right.legend(frameon=False)
    last = 100 * solves[-1]["changed"]
    said = f"{last:.1f} % of the labels changed in the last solve."
    shows = f"the share of labels that changed in each of {len(solves)} solves, {last:.1f} % in the last, and NMI"
    return Picture("labels", "How the labels settled", said, shows, _png(figure))


def _solves(records: list[dict[str, Any]]) -> Picture | None:
    solves = [record for record in records if record.get("sweeps")]
    if not solves:
        return None
    figure, (left, right) = _figure(2)
    epochs = [record["epoch"] for record in solves]
    _line(left, epochs, [record["sweeps"] for record in solves], _OWN, "sweeps")
    left.set(xlabel="epoch", ylabel="sweeps of a solve", ylim=(0, None))
    _line(right, epochs, [record["label_seconds"] for record in solves], _QUIET, "with the network's passes")
    _line(right, epochs, [record["solve_seconds"] for record in solves], _OWN, "transport")
    right.set(xlabel="epoch", ylabel="seconds", ylim=(0, None))
    right.legend(frameon=False)
    seconds = sum(record["solve_seconds"] for record in solves)
    said = f"{len(solves)} solves, {seconds:.1f} s of transport in all, what the first had to compile included."
    return Picture("solves", "What the solves took", said, f"sweeps and seconds of {len(solves)} solves", _png(figure))


def _worth(rows: list[dict[str, Any]]) -> Picture | None:
    known = [row for row in rows if "knn" in row]
    if not known:
        return None
    figure, (axis,) = _figure(1)
    names = [row["name"] for row in known][::-1]
    values = [row["knn"] for row in known][::-1]
    bars = axis.barh(names, values, color=[_OWN if i == 0 else _QUIET for i in range(len(names))])
    axis.bar_label(bars, fmt="%.1f", padding=3)
    axis.set(xlabel=f"{IN_FULL['knn']}, %", xlim=(0, 125), xticks=range(0, 101, 20))
    heading = "What it is worth, beside its controls" if len(known) > 1 else "What it is worth"
    shows = ", ".join(f"{row['name']} {row['knn']:.1f}" for row in known)
    return Picture("worth", heading, "", f"weighted kNN in percent: {shows}", _png(figure))


def _sizes(labels: np.ndarray, confidence: np.ndarray, k: int) -> Picture:
    sizes = np.sort(np.bincount(labels, minlength=k))[::-1]
    known = bool(np.isfinite(confidence).all())
    figure, axes = _figure(2 if known else 1)
    axes[0].stairs(sizes, np.arange(k + 1) - 0.5, fill=True, color=_OWN, alpha=0.8)
    axes[0].set(xlabel="labels of head 0, the largest first", ylabel="images", ylim=(0, None), xlim=(-0.5, k - 0.5))
    if known:
        axes[1].hist(confidence, bins=np.linspace(0, 1, 26), color=_OWN, alpha=0.8)
        axes[1].xaxis.set_major_locator(MaxNLocator())
        axes[1].set(xlabel="confidence", ylabel="images")
    low, high = int(sizes[-1]), int(sizes[0])
    text = f"{low:,} images a label" if low == high else f"{low:,} to {high:,} images a label"
    sure = f"; mean confidence {confidence.mean():.2f}" if known else ""
    return Picture("sizes", "Sizes and confidence", f"{text}{sure}.", f"{text}{sure}", _png(figure))


def _figure(count: int) -> tuple[Figure, list[Any]]:
    figure = Figure(figsize=(4.4 * count, 3), layout="constrained")
    axes = [figure.add_subplot(1, count, place + 1) for place in range(count)]
    for axis in axes:  # epochs and labels are counted
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, axes


def _line(axis: Any, x: list[float], y: list[float], colour: str, label: str) -> None:
    axis.plot(x, y, color=colour, marker=".", label=label)


def _png(figure: Figure) -> bytes:
    data = io.BytesIO()
    FigureCanvasAgg(figure).print_figure(data, format="png", dpi=130)
    return data.getvalue()
