"""What is said of an epoch, and of the whole run."""

from __future__ import annotations

import io

import torch
from rich.console import Console

from otlabel_torch.runs.report import closing_table, epoch_line
from otlabel_torch.system.processes import Processes

ALONE = Processes(torch.device("cpu"))


def test_epoch_line_shows_only_what_happened():
    quiet = epoch_line({"epoch": 3, "loss": 1.5, "train_seconds": 2.0}, 40)
    assert quiet == "epoch   3/40  loss 1.500  2.0 s"
    loud = epoch_line(
        {"epoch": 3, "loss": 1.5, "train_seconds": 2.0, "sweeps": 9, "solve_seconds": 0.25, "converged": False,
         "changed": 0.125, "nmi_previous": 88.0, "nmi_classes": 44.0}, 40,
    )  # fmt: skip
    for part in (
        "9 sweeps in 0.25 s",
        "not converged",
        "12.5 % changed",
        "NMI 88.0 to the previous",
        "NMI 44.0 to the classes",
    ):
        assert part in loud


def test_closing_table_has_every_number_of_the_rows():
    console = Console(width=200, record=True, file=io.StringIO())
    closing_table([{"name": "SeLa", "knn": 81.25, "nmi": 62.5, "own": 43.75}], console, "5 images")
    text = " ".join(console.export_text().split())
    for part in ("5 images", "weighted kNN accuracy", "81.2", "NMI to the classes", "62.5", "own", "43.8"):
        assert part in text
