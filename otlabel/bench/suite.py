"""Which rows a command measures, and the file they go to."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from . import machine
from .own import ROUNDINGS, methods, usable
from .peers import PEERS
from .problems import REGIMES, Source, made
from .process import Job, Row, measure, preload

FORMAT = 1
OVERVIEW = 6400, 200  # n, k: small enough for three regimes of everything in less than a minute on two cores


def own_methods(backends: Iterable[str], roundings: Iterable[str] = ROUNDINGS) -> list[str]:
    return [f"otlabel {backend} {rounding}" for backend in backends for rounding in roundings]


def overview(cap: float, repeat: int) -> list[Job]:
    """Every backend and every peer that is installed, in three regimes."""
    names = [*own_methods(usable()), *(peer.name for peer in PEERS if machine.installed(peer.package))]
    jobs = []
    for regime in REGIMES:
        jobs += solve(made(regime, *OVERVIEW), names, 1 / 25, 1e-4, cap, repeat, enough=cap / 2)
    return jobs


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
    return [Job(name, source, epsilon, tol, cap, repeat, enough) for name in ("read", *names)]


def scaling(regime: str, ns: Sequence[int], ks: Sequence[int], dtype: str, name: str, cap: float, repeat: int) -> list[Job]:
    """One method at growing n and the middle k, and at growing k and the middle n."""
    n, k = sorted(ns)[len(ns) // 2], sorted(ks)[len(ks) // 2]
    shapes = dict.fromkeys([*((each, k) for each in sorted(ns)), *((n, each) for each in sorted(ks))])
    return [
        job for shape in shapes for job in solve(made(regime, *shape, dtype), [name], 1 / 25, 1e-4, cap, repeat)
    ]


def run(
    jobs: Sequence[Job],
    command: str,
    facts: dict[str, Any],
    json_file: Path | None,
    tell: Callable[[Job, int], None],
) -> list[Row]:
    """Measure the jobs one after the other; rows describe themselves and are on disk as soon as they are there.

    Args:
        facts: of the machine, for every row.
        tell: called with each job and its number before it begins.
    """
    preload({methods()[job.method].package for job in jobs if job.method != "read"} | _libraries(jobs))
    rows: list[Row] = []
    read: float | None = None
    for number, job in enumerate(jobs):
        tell(job, number)
        row = measure(job)
        if job.method == "read":
            read = row["seconds"][0] if row["status"] == "reached" else None
            if read is None:
                raise RuntimeError(f"the scores could not be made: {row['note']}")
            continue
        rows.append({"command": command} | row | {"read_seconds": read} | facts)
        if json_file is not None:
            write(json_file, rows)
    return rows


def _libraries(jobs: Iterable[Job]) -> set[str | None]:
    return {"torch" for job in jobs if job.method.startswith("otlabel torch")}


def write(path: Path, rows: Sequence[Row]) -> None:
    """All rows as JSON, atomically."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_text(json.dumps({"otlabel-bench": FORMAT, "rows": rows}, indent=1, allow_nan=False) + "\n")
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def read_rows(path: Path) -> list[Row]:
    """The rows that ``write`` wrote.

    Raises:
        ValueError: the file is something else.
    """
    try:
        content: Any = json.loads(path.read_text())
        if content["otlabel-bench"] != FORMAT:
            raise ValueError(f"format {content['otlabel-bench']}")
        return content["rows"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} must be a file that otlabel-bench wrote with --json: {error}") from None


def missing() -> list[str]:
    """Peers that are not installed, as pip knows them."""
    return sorted({str(peer.install) for peer in PEERS if not machine.installed(peer.package)})
