"""An evaluation as tables on the screen, and as one line of a table."""

from __future__ import annotations

import csv
import io

from rich.console import Console
from rich.table import Table

from .labellings import HEAD, Scores


def show(console: Console, features: Scores, labels: Scores, protocol: str) -> None:
    """Print the tables."""
    console.print(protocol, highlight=False, soft_wrap=True)
    console.print(_table("What the features are worth, in percent", features))
    heads = {called: scores for called, scores in labels.items() if called.startswith(HEAD)}
    console.print(_table("What the labels are worth, in percent", _others(labels)))
    if len(heads) > 1:
        table = Table(title="Each head, in percent")
        names = next(iter(heads.values()))
        for name in ("", *names):
            table.add_column(name.split("(")[-1].rstrip(")"), justify="right")  # NMI, AMI, ARI: in full just above
        for called, scores in heads.items():
            table.add_row(called, *map(_shown, scores.values()))
        console.print(table)


def row(evaluated: str, features: Scores, labels: Scores) -> str:
    """A header and a line of CSV: every number but those of single heads."""
    columns = features | _others(labels)
    flat = {f"{called}: {name}": value for called, scores in columns.items() for name, value in scores.items()}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["evaluated", *flat])
    writer.writerow([evaluated, *(f"{value:.4f}" for value in flat.values())])
    return text.getvalue()


def _table(title: str, columns: Scores) -> Table:
    """A row a number, by its full name; a column a layer or a labelling."""
    table = Table(title=title)
    for called in ("", *columns):
        table.add_column(called, justify="right" if called else "left")
    for name in dict.fromkeys(name for scores in columns.values() for name in scores):
        table.add_row(name, *(_shown(scores.get(name)) for scores in columns.values()))
    return table


def _others(labels: Scores) -> Scores:
    """All but single heads."""
    return {called: scores for called, scores in labels.items() if not called.startswith(HEAD)}


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
