"""What a run shows and leaves behind: a line an epoch, sizes, the contact sheet, the closing table."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchvision.utils import make_grid

from otlabel.explore.sheet import Part

from ..images.images import Images
from ..images.notes import Note
from ..labels.tables import confidence_text
from ..system.files import atomic, write_text

ROWS, COLUMNS = 24, 16  # of the contact sheet
IN_FULL = {"knn": "weighted kNN accuracy", "nmi": "NMI to the classes", "ami": "AMI to the classes"}


def epoch_line(record: dict[str, Any], epochs: int) -> str:
    """One line for one epoch: only what happened in it."""
    if record.get("final"):
        parts = ["final labels  "]
    else:
        parts = [
            f"epoch {record['epoch']:>3}/{epochs}",
            f"loss {record['loss']:.3f}",
            f"{record['train_seconds']:.1f} s",
        ]
    if "sweeps" in record:
        sweeps = f"{record['sweeps']} sweeps in " if record["sweeps"] else ""  # none if transport is not asked
        parts.append(f"labels: {sweeps}{record['solve_seconds']:.2f} s")
        if not record["converged"]:
            parts.append("not converged")
        if "changed" in record:
            parts.append(f"{100 * record['changed']:.1f} % changed")
            parts.append(f"NMI {record['nmi_previous']:.1f} to the previous")
        if "nmi_classes" in record:
            parts.append(f"NMI {record['nmi_classes']:.1f} to the classes")
    return "  ".join(parts)


def parts(facts: dict[str, Any]) -> list[Part]:
    """What report.json says, for people."""
    config = facts["config"]
    solves = f"{config['relabels']} solves in {config['epochs']} epochs"
    rows = [
        ("images", f"{facts['images']:,}, and {facts['validation_images']:,} more for evaluation"),
        ("network", f"{config['arch']} at {config['image_size']} px"),
        (
            "labels",
            f"{config['heads']} heads of {config['k']}, {solves}",
        ),
        ("seconds", f"{facts['seconds']:,.0f}"),
        *((name, version) for name, version in facts["versions"].items()),
    ]
    said = [Note(note["what"], note["files"]) for note in facts["notes"]]
    done = [*facts["skipped"], *map(str, said), *facts["labels_given"]]
    made = [Part("The run", rows=[("what", "value"), *rows])]
    if done:
        made.append(Part("What was done to the data", rows=[("what",), *((line,) for line in done)]))
    if facts["rows"]:
        known = [key for key in IN_FULL if any(key in row for row in facts["rows"])]
        table = [[row["name"], *(f"{row[key]:.1f}" if key in row else "" for key in known)] for row in facts["rows"]]
        head = ["", *(IN_FULL[key] for key in known)]
        made.append(Part("What it is worth, in percent", f"Protocol: {facts['protocol']}.", rows=[head, *table]))
    return made


def write_sizes(path: Path, labels: Tensor, confidence: Tensor, k: int) -> None:
    """sizes.csv: how many items each label of each head has, and how sure they are on average."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["head", "label", "size", "mean_confidence"])
    for head in range(labels.shape[1]):
        sizes = torch.bincount(labels[:, head], minlength=k)
        sums = torch.bincount(labels[:, head], weights=confidence[:, head].double(), minlength=k)
        for label, (size, total) in enumerate(zip(sizes.tolist(), sums.tolist(), strict=True)):
            writer.writerow([head, label, size, confidence_text(total / size) if size else ""])
    write_text(path, text.getvalue())


def write_clusters(path: Path, images: Images, labels: Tensor, confidence: Tensor) -> None:
    """clusters.png: a row a label of head 0, its surest images first; an evenly spaced choice of labels.

    Args:
        labels: (n,) of head 0.
        confidence: (n,) larger is surer.
    """
    present = torch.unique(labels)
    shown = present[torch.linspace(0, len(present) - 1, min(ROWS, len(present))).round().long()]
    size = images.size
    tiles, captions = [], []
    for label in shown:
        members = torch.nonzero(labels == label).flatten()
        members = members[confidence[members].nan_to_num().argsort(descending=True)]
        row = torch.full((COLUMNS, 3, size, size), 255, dtype=torch.uint8)
        row[: len(members)] = images.take(members[:COLUMNS])
        tiles.append(row)
        captions.append(f"{int(label)} ({len(members)})")
    grid = make_grid(torch.cat(tiles), nrow=COLUMNS, padding=2, pad_value=255)
    scale = max(1, 40 // size)
    sheet = Image.fromarray(grid.permute(1, 2, 0).numpy()).resize(
        (grid.shape[2] * scale, grid.shape[1] * scale), Image.Resampling.NEAREST
    )
    margin = 84
    page = Image.new("RGB", (sheet.width + margin, sheet.height), "white")
    page.paste(sheet, (margin, 0))
    draw = ImageDraw.Draw(page)
    for row_index, caption in enumerate(captions):
        middle = int((row_index + 0.5) * sheet.height / len(captions))
        draw.text((margin - 6, middle), caption, fill="black", anchor="rm", font_size=13)
    with atomic(path) as file:
        page.save(file, format="PNG")


def closing_table(rows: list[dict[str, Any]], console: Console, protocol: str) -> None:
    """The run's last word: every row of report.json."""
    table = Table(title=f"What the representations and labels are worth, in percent ({protocol})")
    table.add_column("")
    measured = [key for key in rows[0] if key != "name"]
    for key in measured:
        table.add_column(IN_FULL.get(key, key), justify="right")
    for row in rows:
        table.add_row(row["name"], *(f"{row[key]:.1f}" for key in measured))
    console.print(table)
