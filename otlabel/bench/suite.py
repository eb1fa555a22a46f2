"""Which rows a command measures, and the file they go to."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from .._system.files import atomic
from . import machine
from .own import ROUNDINGS, methods, usable
from .peers import PEERS
from .problems import REGIMES, Source, made
from .process import READ, Job, Row, measure, preload

FORMAT = 1
MUST_HAVE = (
    "method", "scores", "n", "k", "dtype", "seed", "epsilon", "tol", "cap", "status", "seconds", "rounds", "cpu",
    "threads", "gpus", "versions", "read_seconds",
)  # fmt: skip
OVERVIEW = 5120, 160  # n, k: three regimes of everything in less than a minute on two cores
QUICKEST = "SeLa textbook", "OTT momentum", "POT sinkhorn", "POT EMD near ties", "POT EMD warm", "POT network simplex"


def own_methods(backends: Iterable[str], roundings: Iterable[str] = ROUNDINGS) -> list[str]:
    """Names of otlabel's rows."""
    return [f"otlabel {backend} {rounding}" for backend in backends for rounding in roundings]


def overview(cap: float, repeat: int) -> list[Job]:
    """Every backend and every peer that is installed, in three regimes; the quickest on ties and on features."""
    peers = [peer.name for peer in PEERS if machine.installed(peer.package)]
    everybody = [*own_methods(usable()), *peers]
    quickest = [*own_methods(usable()[:1]), *(name for name in peers if name in QUICKEST)]
    problems = [(made(regime, *OVERVIEW), everybody) for regime in REGIMES]
    problems += [(made("broad", *OVERVIEW, kind=kind), quickest) for kind in ("ties", "features")]
    return [job for source, names in problems for job in solve(source, names, 1 / 25, 1e-4, cap, repeat, cap / 2)]


def solve(
    source: Source,
    names: Sequence[str],
    epsilon: float,
    tol: float,
    cap: float,
    repeat: int,
    enough: float = float("inf"),
) -> list[Job]:
    """The methods on one problem, and what one read of its scores takes."""
    return [Job(name, source, epsilon, tol, cap, repeat, enough) for name in (READ, *names)]


def scaling(
    regime: str, ns: Sequence[int], ks: Sequence[int], dtype: str, name: str, cap: float, repeat: int
) -> list[Job]:
    """One method at growing n and the middle k, and at growing k and the middle n."""
    n, k = middle(ns), middle(ks)
    shapes = dict.fromkeys([*((each, k) for each in ns), *((n, each) for each in ks)])
    return [job for shape in shapes for job in solve(made(regime, *shape, dtype), [name], 1 / 25, 1e-4, cap, repeat)]


def middle(sizes: Sequence[int]) -> int:
    """The size in the middle."""
    return sorted(sizes)[len(sizes) // 2]


def run(
    jobs: Sequence[Job],
    rounds: int,
    facts: dict[str, Any],
    json_file: Path | None,
    tell: Callable[[Job, int], None],
) -> list[Row]:
    """Measure the jobs in turn, ``rounds`` times over: a machine's moods last for seconds, and the spread of a row's
    runs should know them. Rows describe themselves and are on disk as soon as they are there.

    Args:
        facts: for every row.
        tell: called before each of len(jobs) * rounds measurements with the job and the number of those done.

    Raises:
        RuntimeError: scores could not be made or read.
    """
    preload({methods()[job.method].package for job in jobs if job.method != READ})
    rows: dict[Job, Row] = {}
    reads: dict[Source, list[float]] = {}
    for number, (_, job) in enumerate(itertools.product(range(rounds), jobs)):
        tell(job, number)
        before = rows.get(job)
        if before is not None and before["status"] != "reached":
            continue  # it was not there in time, and will not be
        row = measure(job)
        if job.method == READ:
            if row["status"] != "reached":
                raise RuntimeError(f"the scores could not be had: {row['note']}")
            reads.setdefault(job.source, []).extend(row["seconds"])
            continue
        rows[job] = _merged(before, row) | {"read_seconds": min(reads[job.source])} | facts
        if json_file is not None:
            write(json_file, list(rows.values()))
    return list(rows.values())


def _merged(before: Row | None, row: Row) -> Row:
    """A row with the runs of the rounds before, and how many those are."""
    if before is None:
        return row | {"rounds": 1}
    if row["status"] != "reached":
        return before | {"note": f"{row['status']} in round {before['rounds'] + 1}"}
    highest = [each["peak_mib"] for each in (before, row) if each.get("peak_mib") is not None]
    return row | {
        "seconds": before["seconds"] + row["seconds"],
        "warmup": min(before.get("warmup", 0.0), row.get("warmup", 0.0)),
        "peak_mib": max(highest, default=None),
        "rounds": before["rounds"] + 1,
    }


def write(path: Path, rows: Sequence[Row]) -> None:
    """All rows as JSON, atomically."""
    content = {"otlabel-bench": FORMAT, "rows": [_finite(row) for row in rows]}
    with atomic(path) as file:
        file.write(f"{json.dumps(content, indent=1, allow_nan=False)}\n".encode())


def _finite(row: Row) -> Row:
    """JSON knows no other numbers."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }


def read_rows(path: Path) -> list[Row]:
    """The rows that ``write`` wrote.

    Raises:
        ValueError: the file is something else.
    """
    try:
        content: Any = json.loads(path.read_text())
        if content["otlabel-bench"] != FORMAT:
            raise ValueError(f"format {content['otlabel-bench']}")
        rows = content["rows"]
        if not all(set(MUST_HAVE) <= set(row) for row in rows):
            raise ValueError(f"a row lacks one of {', '.join(MUST_HAVE)}")
        return rows
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} must be a file that otlabel-bench wrote with --json: {error}") from None


def missing() -> list[str]:
    """Peers that are not installed, as pip knows them."""
    return sorted({str(peer.install) for peer in PEERS if not machine.installed(peer.package)})
