"""What rows say, as tables for a terminal."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import backends
from .own import usable
from .peers import PEERS
from .process import Row

ORDER = ("reached", "missed", "capped", "killed", "failed")
WIDTH = 132  # where the output is not a terminal


def console() -> Console:
    """Where tables go: as wide as they need where there is no terminal."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=WIDTH)


def problem(row: Row) -> tuple:
    """What rows must share to be compared with one another."""
    return tuple(row[name] for name in ("scores", "n", "k", "dtype", "seed", "epsilon", "tol"))


def print_problems(rows: Sequence[Row], out: Console) -> None:
    """A table a problem, and what went wrong under it."""
    for _, group in itertools.groupby(rows, key=problem):
        of_problem = list(group)
        out.print(results(of_problem))
        for line in notes(of_problem):
            out.print(line, markup=False)
        out.print()


def notes(rows: Sequence[Row]) -> list[str]:
    """What the table has no column for."""
    return [f"{row['method']}: {row['note']}" for row in rows if row["note"] and row["status"] != "killed"]


HEADINGS = ("method", "seconds", "x", "sweeps", "GB/s", "reads", "MiB", "warm-up", "L1 error", "sizes", "gap")


def title(row: Row) -> str:
    """What a table is about, from one of its rows."""
    return (
        f"{row['scores']}: {row['n']:,} items, {row['k']:,} labels, {row['dtype']}, epsilon {row['epsilon']:g}; "
        f"one read of the scores {1e3 * row['read_seconds']:.3g} ms"
    )


def sections(rows: Sequence[Row]) -> Iterator[tuple[str, list[tuple[Row, list[str]]]]]:
    """Of one problem: plans first, then labels that are exactly balanced; the quickest on top. Cells as in HEADINGS."""
    best = min((row["bound"] for row in rows if row.get("bound") is not None), default=None)
    kinds = {False: f"plans, to an L1 error of {rows[0]['tol']:g}", True: "labels, exactly balanced"}
    for balances, kind in kinds.items():
        group = sorted((row for row in rows if row["balances"] == balances), key=_rank)
        own = min((statistics.median(row["seconds"]) for row in group if is_own(row) and row["seconds"]), default=None)
        if group:
            yield kind, [(row, _cells(row, own, best)) for row in group]


def results(rows: Sequence[Row]) -> Table:
    """A table for a terminal."""
    table = Table(
        title=title(rows[0]), title_justify="left", title_style="bold", pad_edge=False, box=None, header_style="dim"
    )
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "method" else "right", no_wrap=True)
    for kind, group in sections(rows):
        table.add_row(Text(kind, style="italic"))
        for row, cells in group:
            table.add_row(*cells, style="bold green" if is_own(row) else "" if row["seconds"] else "dim")
    return table


def markdown(rows: Sequence[Row]) -> str:
    """The same for a document."""
    out = [f"{title(rows[0])}.", "", f"| {' | '.join(HEADINGS)} |", "|---|" + "---:|" * (len(HEADINGS) - 1)]
    for kind, group in sections(rows):
        out.append(f"| *{kind}* |" + " |" * (len(HEADINGS) - 1))
        for row, cells in group:
            name = f"**{cells[0]}**" if is_own(row) else cells[0]
            out.append(f"| {name} | {' | '.join(cell.strip() for cell in cells[1:])} |")
    return "\n".join([*out, "", *(f"{line}  " for line in notes(rows))])


def _cells(row: Row, own: float | None, best: float | None) -> list[str]:
    cells = [row["method"]]
    if row["seconds"]:
        seconds = statistics.median(row["seconds"])
        spread = (max(row["seconds"]) - min(row["seconds"])) / 2
        cells.append(_seconds(seconds) + (f" ±{100 * spread / seconds:2.0f}%" if len(row["seconds"]) > 1 else "     "))
        cells.append(f"{seconds / own:.1f}" if own else "")
    else:
        cells += [f"{row['status']}     ", ""]
    sweeps = row.get("sweeps")
    passes = f"{sweeps:.1f}" if sweeps and sweeps < 100 else f"{sweeps:.0f}" if sweeps else ""
    cells.append(f"{row.get('engine') or ''} {passes}".strip())
    if row["seconds"]:
        counted = is_own(row) and not row["balances"]  # others read float64 copies, and rounding's sweeps are not known
        cells.append(f"{sweeps * row['gigabytes'] / seconds:.1f}" if counted else "")
        cells.append(f"{seconds / row['read_seconds']:.0f}")
    else:
        cells += ["", ""]
    cells.append(f"{row['peak_mib']:.0f}" if row.get("peak_mib") is not None else "")
    cells.append(_seconds(row["warmup"]) if row.get("warmup") is not None else "")
    cells.append(f"{row['error']:.0e}" if row.get("error") is not None else "")
    if "smallest" in row:
        exact = "exact" if row["exact"] else "not exact"
        cells.append(f"{exact}, {row['smallest']}-{row['largest']}")
    else:
        cells.append("")
    gap = "" if not row["balances"] or best is None or "score" not in row else _gap(best - row["score"])
    return [*cells, gap]


def _rank(row: Row) -> tuple:
    quickest = statistics.median(row["seconds"]) if row["seconds"] else 0.0
    return ORDER.index(row["status"]), quickest, row.get("error") or 0.0


def is_own(row: Row) -> bool:
    """Whether it is a row of otlabel's."""
    return row["method"].startswith("otlabel ")


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _gap(value: float) -> str:
    return "0" if abs(value) < 1e-9 else f"{value:.0e}"


LEGEND = (
    "seconds: median ± half the range, after a first solve that is not counted; x: times the quickest otlabel; "
    "sweeps: passes over the scores up to the potentials, a Sinkhorn iteration is two, and otlabel's engine; "
    "GB/s: sweeps by the clock; "
    "reads: seconds in reads of the scores; MiB: peak beside the scores; warm-up: what comes before the first solve "
    "and what that takes more (compiling, or reading what was compiled; trial runs); "
    "L1 error: of the column sums, from the method's own potentials, in float64; "
    "gap: nats an item below an upper bound. capped, killed: not there in the time given; missed: ended without."
)


def headline(facts: dict[str, Any], bandwidth: float) -> str:
    """One line: the machine."""
    gpus = "; ".join(facts["gpus"])
    commit = f", commit {facts['commit']}" if facts["commit"] else ""
    return (
        f"{facts['cpu']}, {facts['threads']} of {facts['cores']} cores, reads {bandwidth:.0f} GB/s"
        f"{'; ' + gpus if gpus else ''}; otlabel {facts['versions']['otlabel']}{commit}\n"
    )


def devices(facts: dict[str, Any], bandwidth: float) -> Table:
    """What there is to run on, a line each."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    table.add_row("processor", f"{facts['cpu']}, {facts['cores']} cores")
    table.add_row("memory", f"{facts['memory_gib']} GiB, read at {bandwidth:.1f} GB/s by {facts['threads']} threads")
    table.add_row("GPU", "\n".join(facts["gpus"]) or "none that nvidia-smi knows")
    table.add_row("system", f"{facts['system']}, Python {facts['python']}")
    for backend in backends.registered():
        if backend.name in usable():
            says = "quickest for arrays in memory" if backend.name == usable()[0] else "ready"
        elif backend.name in backends.names():
            says = "installed, but there is no device for it"
        else:
            says = f"not installed: pip install {backend.install}"
        table.add_row(f"backend {backend.name}", says)
    for install in dict.fromkeys(peer.install for peer in PEERS if peer.install):
        version = facts["versions"].get(install)
        table.add_row(f"peer {install}", version or f"not installed: pip install {install}")
    return table
