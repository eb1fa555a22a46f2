"""What the user sees: progress, estimates, results, and errors as one line."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from . import picture, tables
from .estimate import Needs
from .files import UnreadableError
from .options import Source, Target
from .vectors import Vectors, read

out = Console(highlight=False, soft_wrap=True)


@contextlib.contextmanager
def errors_said() -> Iterator[None]:
    """Errors that are the caller's to mend, as one line."""
    try:
        yield
    except (UnreadableError, ValueError, TypeError, OSError, MemoryError) as error:
        raise click.ClickException(str(error) or type(error).__name__) from None
    except KeyboardInterrupt:
        raise click.ClickException("interrupted: nothing was written.") from None


@contextlib.contextmanager
def noted() -> Iterator[list[tuple[str, str]]]:
    """Warnings, as rows of the results."""
    rows: list[tuple[str, str]] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield rows
    rows += [("note", str(warning.message)) for warning in caught]


@contextlib.contextmanager
def progress() -> Iterator[Any]:
    """What goes on, in one line that vanishes; nothing where the output is no terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task("reading", total=None)
        yield lambda text: shown.update(task, description=text)


def vectors_of(source: Source, *, scores: bool = False) -> Vectors:
    """Read them, and say what they are."""
    with progress():
        vectors = read(source.file, source.how, scores=scores)
    n, d = vectors.matrix.shape
    what = f"{source.file}: {n:,} x {d} {vectors.matrix.dtype}"
    if vectors.names is not None:
        what += f", {vectors.names[0]}" + (f" to {vectors.names[-1]}" if d > 1 else "")
    if vectors.files > 1:
        what += f", from {vectors.files} files"
    out.print(what, markup=False)
    for text, names in (("carried along", vectors.carried.column_names), ("passed over", vectors.passed_over)):
        if names:
            out.print(f"{text}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}", markup=False)
    return vectors


def say_plan(needs: Needs, k: int, target: Target) -> None:
    """What it would take and write."""
    out.print(f"{k:,} labels: about {_duration(needs.seconds)} and {needs.memory / 2**30:.1f} GiB of memory")
    out.print(f"would write: {', '.join(str(path) for _, path in target.named()) or 'nothing'}", markup=False)


class Output:
    """What is to be written, checked before the work; ``columns`` are ours."""

    def __init__(self, target: Target, vectors: Vectors, columns: tuple[str, ...]):
        assert target.out is not None  # or it is a dry run
        self._target, self._n, self._start = target, len(vectors.matrix), time.perf_counter()
        self._out = target.out
        self._table, self._notes = tables.prepared(target.out, vectors.carried, columns)

    def write(
        self,
        columns: dict[str, np.ndarray],
        sizes: np.ndarray,
        nearest: np.ndarray | None,
        rows: list[tuple[str, str]],
    ) -> None:
        """The labels first, then the picture; and say what came out.

        Args:
            columns: (n,) each, of which one is called label.
            sizes: (k,) items a label.
            nearest: (k,) items whose nearest centre is each, or None where that is not known.
            rows: more to be said.
        """
        tables.write(self._out, self._table, columns)
        shown = Table(show_header=False, box=None)
        shown.add_row("items", f"{self._n:,}")
        shown.add_row("labels", f"{len(sizes):,}")
        shown.add_row("sizes", _range(sizes))
        if nearest is not None:
            shown.add_row("by the nearest centre alone", _range(nearest))
        for row in rows:
            shown.add_row(*row)
        shown.add_row("time", _duration(time.perf_counter() - self._start))
        out.print(shown)
        for note in self._notes:
            out.print(f"note: {note}", markup=False)
        out.print(f"written: {', '.join(str(path) for _, path in self._target.named())}", markup=False)
        if self._target.picture is not None:
            picture.of_sizes(self._target.picture, sizes, nearest)


def _range(sizes: np.ndarray) -> str:
    low, high = int(sizes.min()), int(sizes.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
