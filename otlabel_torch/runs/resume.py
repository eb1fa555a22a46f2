"""A run that goes on: the configuration it was started with, beside what was typed."""

from __future__ import annotations

import dataclasses

from ..options.command import Typed
from ..options.config import Config, Resolved
from ..system.errors import UsageError
from .folder import RunFolder

ONLY_NOW = ("resume", "overwrite", "out", "device", "workers", "table", "print_config")  # may differ when a run goes on
LEFT_OPEN = (None, "auto")  # typed, they ask the run to choose; it has


def resumed(typed: Typed, kind: type[Resolved] = Resolved) -> Config:
    """The configuration of the run in ``out``.

    Args:
        kind: which options a run has.

    Raises:
        UsageError: there is no run, or an option was typed that contradicts it.
    """
    if typed.options.out is None:
        raise UsageError("`resume` needs `out` DIR, the folder of the run to go on with.")
    folder = RunFolder(typed.options.out.absolute())
    if folder.missing is not None:
        raise UsageError(f"`resume` needs {folder.missing}, which is not there. Start without `resume`.")
    kept, asked = folder.configuration(kind), typed.options.absolute()
    for name in (field.name for field in dataclasses.fields(kind) if field.name in typed.names):
        now, then = getattr(asked, name), getattr(kept, name)
        if name not in ONLY_NOW and now != then and now not in LEFT_OPEN:
            raise UsageError(
                f"`resume` keeps the run's configuration, in which {name} is {then!r}, not {now!r}. "
                "Leave the option out, or start a new run."
            )
    now = {name: getattr(typed.options, name) for name in typed.names.intersection(ONLY_NOW)}
    return dataclasses.replace(kept, **(now | {"out": folder.path, "overwrite": False}))
