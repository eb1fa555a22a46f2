"""Two files of rows against one another: is B slower than A, or is that noise?"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table

from .process import Row
from .tables import problem

SWEEPS = 1.01  # sweeps are counted, not timed: more than rounding may do is a change


class Line(NamedTuple):
    """A method on a problem, in both files."""

    method: str
    problem: tuple
    time: float | None  # median of B / median of A
    low: float | None  # the quickest run of B / the slowest of A
    high: float | None  # the slowest of B / the quickest of A
    sweeps: float | None
    verdict: str
    regression: bool


def compare(before: Sequence[Row], after: Sequence[Row], margin: float) -> list[Line]:
    """A line for each method and problem of either file.

    Slower means: every run of B took longer than every run of A, by more than ``margin``; a single run on either side
    proves nothing. Times of different machines or numbers of threads are shown and not judged; sweeps always are.
    """
    old, new = ({(row["method"], problem(row)): row for row in rows} for rows in (before, after))
    lines = []
    for key in dict.fromkeys([*old, *new]):
        if key not in new or key not in old:
            lines.append(Line(*key, None, None, None, None, f"only in {'A' if key in old else 'B'}", False))
            continue
        lines.append(_line(key, old[key], new[key], margin))
    return lines


def _line(key: tuple[str, tuple], a: Row, b: Row, margin: float) -> Line:
    if a["status"] == "reached" and b["status"] != "reached":
        return Line(*key, None, None, None, None, f"{b['status']} in B", True)
    if b["status"] != "reached":
        return Line(*key, None, None, None, None, f"{b['status']} in B, {a['status']} in A", False)
    sweeps = b["sweeps"] / a["sweeps"] if a.get("sweeps") and b.get("sweeps") else None
    if not a["seconds"]:
        return Line(*key, None, None, None, sweeps, f"reached in B, {a['status']} in A", False)
    low, high = min(b["seconds"]) / max(a["seconds"]), max(b["seconds"]) / min(a["seconds"])
    time = statistics.median(b["seconds"]) / statistics.median(a["seconds"])
    if sweeps is not None and sweeps > SWEEPS:
        verdict, regression = "more sweeps", True
    elif any(a[name] != b[name] for name in ("cpu", "threads", "gpus")):
        verdict, regression = "other machine: time not judged", False
    elif min(len(a["seconds"]), len(b["seconds"])) < 2:
        verdict, regression = "one run: noise unknown", False
    elif low > 1 + margin:
        verdict, regression = "slower", True
    elif high < 1 - margin:
        verdict, regression = "faster", False
    else:
        verdict, regression = "within noise", False
    return Line(*key, time, low, high, sweeps, verdict, regression)


def table(lines: Sequence[Line]) -> Table:
    out = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("scores", "method"):
        out.add_column(heading, no_wrap=True)
    for heading in ("time B/A", "range", "sweeps B/A"):
        out.add_column(heading, justify="right", no_wrap=True)
    out.add_column("verdict", no_wrap=True)
    for line in lines:
        name, n, k, dtype, *_ = line.problem
        style = "bold red" if line.regression else "green" if line.verdict == "faster" else ""
        out.add_row(
            f"{name} {n:,} x {k:,} {dtype}",
            line.method,
            "" if line.time is None else f"{line.time:.2f}",
            "" if line.low is None else f"{line.low:.2f} to {line.high:.2f}",
            "" if line.sweeps is None else f"{line.sweeps:.2f}",
            line.verdict,
            style=style,
        )
    return out
