"""What the commands are told in common: where to read from, and what to write."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from . import picture, tables
from .files import How

FILE = click.Path(path_type=Path)


class Sizes(click.ParamType):
    """A number, or several with commas between them."""

    name = "size[,size...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            sizes = [int(part) for part in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is not a whole number, or several like 10,20,20.", param, ctx)
        return sizes if len(sizes) > 1 else sizes[0]


@dataclass(frozen=True)
class Source:
    """What to read."""

    file: Path
    how: How


@dataclass(frozen=True)
class Target:
    """What to write; None for what is not wanted."""

    out: Path | None
    picture: Path | None
    model: Path | None
    dry_run: bool

    def __post_init__(self) -> None:
        """Before any work: whether the files can be written, and are of kinds that there are."""
        if self.out is None and not self.dry_run:
            raise click.UsageError("--out must say where the labels go, labels.parquet for example; or pass --dry-run.")
        kinds = {"out": tables.KINDS, "picture": picture.KINDS, "model": (".npz",)}
        for name, path in self.named():
            if path.suffix not in kinds[name]:
                raise click.UsageError(f"--{name} must end in one of {', '.join(kinds[name])}, got {path}.")
            if not path.parent.is_dir():
                raise click.UsageError(f"--{name} must be in a folder that exists: make {path.parent} first.")
            if path.is_dir():
                raise click.UsageError(f"--{name} must be a file, but {path} is a folder. Choose another name.")
            if not os.access(path.parent, os.W_OK):
                raise click.UsageError(f"--{name} must be in a folder where you may write, but {path.parent} is none.")

    def check(self, *read: Source | Path) -> None:
        """Raise UsageError if a file that is read would be overwritten, or a folder of shards get a file more."""
        for source in read:
            file = (source.file if isinstance(source, Source) else source).resolve()
            for name, path in self.named():
                if path.resolve() == file or (file.is_dir() and file in path.resolve().parents):
                    raise click.UsageError(
                        f"--{name} {path} would change what is read, {file.name}. Choose another name."
                    )

    def named(self) -> list[tuple[str, Path]]:
        """Those that are wanted."""
        files = {"out": self.out, "picture": self.picture, "model": self.model}
        return [(name, path) for name, path in files.items() if path is not None]


def files(*, model: bool) -> Callable:
    """The options of every command: it gets a ``Source`` and a ``Target``. model: whether it can save one."""

    def decorate(command: Callable) -> Callable:
        @functools.wraps(command)
        def run(file, key, columns, header, out, picture, dry_run, save=None, **others):
            return command(Source(file, How(columns, key, header)), Target(out, picture, save, dry_run), **others)

        saving = click.option("--model", "save", type=FILE, help="Save what was learned, as .npz, for `predict`.")
        decorated: Callable = saving(run) if model else run
        for option in (
            click.option("--dry-run", is_flag=True, help="Say what it would take, and do nothing."),
            click.option("--picture", type=FILE, help="A picture of the sizes: .png, .svg or .pdf."),
            click.option(
                "--out", type=FILE, help="The table of labels: .csv, .parquet or .arrow; or .npy, the labels alone."
            ),
            click.option(
                "--header/--no-header",
                default=None,
                help="Whether the first line of a CSV file is names, if not plain.",
            ),
            click.option("--key", help="Which array of an .npz, HDF5 or zarr file."),
            click.option(
                "--columns",
                multiple=True,
                metavar="NAME",
                help="Which columns of a table are the vectors: names, or patterns like 'x*'; may be repeated.",
            ),
            click.argument("file", type=FILE),
        ):
            decorated = option(decorated)
        return decorated

    return decorate


def bounds(command: Callable) -> Callable:
    """``size_min`` and ``size_max``."""
    most = click.option("--size-max", type=Sizes(), help="Most items of each label; without bounds all have n/k.")
    return click.option("--size-min", type=Sizes(), help="Least items of each label.")(most(command))
