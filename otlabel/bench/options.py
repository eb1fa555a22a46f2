"""What the commands of otlabel-bench are told in common: their options, and the types of their values."""

from __future__ import annotations

import functools
import math
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from . import machine

FILE = click.Path(dir_okay=False, path_type=Path)
SIZE = click.IntRange(min=2)
LARGEST = 1e6  # seconds, and whatever else an option can be
PICTURES, PAGE = (".png", ".svg", ".pdf"), ".html"
DTYPE = click.Choice(["float16", "float32", "float64"])


class Positive(click.FloatRange):
    """A number in a range, in which click sees NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


POSITIVE = Positive(min=0, min_open=True, max=LARGEST)


class Sizes(click.ParamType):
    """Whole numbers with commas between them."""

    name = "size,size,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        try:
            sizes = value if isinstance(value, tuple) else tuple(sorted({int(part) for part in value.split(",")}))
        except ValueError:
            self.fail(f"{value!r} is not a list of whole numbers like 1000,10000.", param, ctx)
        if len(sizes) < 2 or sizes[0] < 2:
            self.fail(f"{value!r} must be two sizes or more, each at least 2.", param, ctx)
        return sizes


@dataclass(frozen=True)
class Measuring:
    """The options of every command that measures."""

    cap: float
    repeat: int
    rounds: int
    threads: int | None
    json_file: Path | None
    plot: Path | None


def end_well() -> None:
    """Asked to end, by SIGTERM, end the process that is measured too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def option(*names: str, **settings: Any) -> Callable:
    """click's option, with its default shown."""
    return click.option(*names, **({"show_default": "default" in settings} | settings))


def measuring(cap: float, repeat: int, rounds: int, plot: str | None = None) -> Callable:
    """Pass a ``Measuring`` as ``how``. plot: the name of the picture that --plot without one makes."""
    bare = {} if plot is None else {"is_flag": False, "flag_value": Path(plot)}
    options = [
        option("--cap", type=POSITIVE, default=cap, help="Seconds a solve may take; who needs more has no time."),
        option(
            "--repeat", type=click.IntRange(1), default=repeat, help="Timed solves of a process, after an untimed one."
        ),
        option("--rounds", type=click.IntRange(1), default=rounds, help="Processes of a row. The rows take turns."),
        option("--threads", type=click.IntRange(1), help="Cores and threads, equal for all.  [default: all cores]"),
        option("--json", "json_file", type=FILE, help="Write the rows to this file, each as soon as it is there."),
        option(
            "--plot",
            type=FILE,
            help=f"Draw a picture (.png, .svg, .pdf). [{plot}]"
            if plot
            else "Draw a picture (.png, .svg, .pdf), or a page with it and the tables (.html).",
            **bare,
        ),
    ]

    def decorate(command: Callable) -> Callable:
        @functools.wraps(command)
        def measured(**given: Any) -> None:
            how = Measuring(**{name: given.pop(name) for name in Measuring.__dataclass_fields__})
            for file in (how.json_file, how.plot):
                if file is not None and not file.absolute().parent.is_dir():
                    raise click.UsageError(f"{file} cannot be written: there is no folder {file.absolute().parent}.")
            kinds = PICTURES if plot else (*PICTURES, PAGE)
            if how.plot is not None and how.plot.suffix not in kinds:
                raise click.UsageError(f"--plot {how.plot} must end in one of {', '.join(kinds)}.")
            machine.limit_threads(how.threads)
            end_well()
            command(how=how, **given)

        return functools.reduce(lambda made, add: add(made), reversed(options), measured)

    return decorate
