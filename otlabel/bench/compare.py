"""Two files of rows against one another: is B slower than A, or is that noise?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table

from .peers import PEERS
from .process import Row
from .tables import is_own, problem

SWEEPS = 1.01  # sweeps are counted, not timed: more than rounding may do is a change
WITNESSES = 3  # peers it takes to tell how the machine changed between the files
WITNESS = {peer.name for peer in PEERS if peer.package}  # the others are written in this package
ROUNDS = 3  # processes of a row that it takes to tell slower from unlucky: one may be slow from start to end
NOISE = 3.0  # spreads of the peers
NEAR = 0.5  # of the cap: who needed more in A may be late in B by accident


class Line(NamedTuple):
    """A method on a problem, in both files."""

    method: str
    problem: tuple
    verdict: str
    regression: bool = False
    time: float | None = None  # median of B / median of A
    low: float | None = None  # the quickest run of B / the slowest of A
    high: float | None = None  # the slowest of B / the quickest of A
    sweeps: float | None = None


class Machine(NamedTuple):
    """How much longer everything took in B that has not changed: the peers, where they are of the same version."""

    drift: float  # median of their ratios
    spread: float  # of the ratios' logarithms: 1.4826 times the median deviation, a standard deviation's worth
    witnesses: int


def compare(before: Sequence[Row], after: Sequence[Row], margin: float) -> tuple[list[Line], Machine]:
    """A line for each method and problem of either file, and what the peers say of the machine.

    Slower means: every run of B took longer than every run of A, by more than ``margin``, and by more than NOISE times
    the scatter of the peers' own ratios, both after the peers' median is divided out. Fewer than ROUNDS processes a row
    prove nothing. Times of different machines or numbers of threads are shown and not judged; sweeps always are.
    """
    old, new = ({(row["method"], problem(row)): row for row in rows} for rows in (before, after))
    both = [(old[key], new[key]) for key in old if key in new]
    state = machine(both)
    lines = []
    for key in dict.fromkeys([*old, *new]):
        if key in old and key in new:
            lines.append(_line(key, old[key], new[key], margin, state))
        else:
            lines.append(Line(*key, f"only in {'A' if key in old else 'B'}"))
    return lines, state


def machine(pairs: Sequence[tuple[Row, Row]]) -> Machine:
    """What rows of unchanged solvers say; with fewer than WITNESSES of them the machine is taken to be the same."""
    unchanged = [
        (a["method"], math.log(statistics.median(b["seconds"]) / statistics.median(a["seconds"])))
        for a, b in pairs
        if a["method"] in WITNESS and a["seconds"] and b["seconds"] and _others(a) == _others(b)
    ]
    names, logs = {name for name, _ in unchanged}, [log for _, log in unchanged]
    if len(names) < WITNESSES:
        return Machine(1.0, 0.0, len(names))
    drift = statistics.median(logs)
    return Machine(math.exp(drift), 1.4826 * statistics.median(abs(log - drift) for log in logs), len(names))


def _others(row: Row) -> dict[str, str]:
    return {name: version for name, version in row["versions"].items() if name != "otlabel"}


def _line(key: tuple[str, tuple], a: Row, b: Row, margin: float, state: Machine) -> Line:
    comparable = all(a[name] == b[name] for name in ("cpu", "threads", "gpus", "cap"))
    if b["status"] != "reached":
        if not a["seconds"]:
            return Line(*key, f"{a['status']} in A, {b['status']} in B")
        if b["status"] in ("capped", "killed") and max(a["seconds"]) > NEAR * a["cap"]:
            return Line(*key, f"{b['status']} in B, near the cap in A")
        return Line(*key, f"{b['status']} in B", comparable and is_own(b))
    sweeps = b["sweeps"] / a["sweeps"] if a.get("sweeps") and b.get("sweeps") else None
    if not a["seconds"]:
        return Line(*key, f"{a['status']} in A, reached in B", sweeps=sweeps)
    low, high = min(b["seconds"]) / max(a["seconds"]), max(b["seconds"]) / min(a["seconds"])
    time = statistics.median(b["seconds"]) / statistics.median(a["seconds"])
    limit = max(math.log(1 + margin), NOISE * state.spread)
    if sweeps is not None and sweeps > SWEEPS and is_own(b):
        verdict = "more sweeps"
    elif not comparable:
        verdict = "other machine or cap: time not judged"
    elif min(a["rounds"], b["rounds"]) < ROUNDS:
        verdict = f"fewer than {ROUNDS} rounds: noise unknown"
    elif min(math.log(low / state.drift) - math.log(1 + margin), math.log(time / state.drift) - limit) > 0:
        verdict = "slower"
    elif max(math.log(high / state.drift) + math.log(1 + margin), math.log(time / state.drift) + limit) < 0:
        verdict = "faster"
    else:
        verdict = "within noise"
    worse = is_own(b) and verdict in ("more sweeps", "slower")
    return Line(*key, verdict, worse, time, low, high, sweeps)


def table(lines: Sequence[Line]) -> Table:
    """The lines as they are printed."""
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


def summary(lines: Sequence[Line], state: Machine) -> str:
    """The last lines of the report."""
    worse = f"{len(lines)} rows, {sum(line.regression for line in lines)} worse"
    if state.witnesses < WITNESSES:
        return f"{worse}; fewer than {WITNESSES} peers in both files: the machine is taken to be as quick in both"
    return (
        f"{worse}; {state.witnesses} peers took {state.drift:.2f} times as long in B, "
        f"give or take {100 * math.expm1(state.spread):.0f} %: that is the machine"
    )
