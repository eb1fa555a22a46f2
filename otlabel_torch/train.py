"""python -m otlabel_torch.train: from a folder of images to labels, features and a report."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import tyro
import yaml

from .options.config import PRESETS, Config, absolute
from .system.errors import DataError, TrainingError, UnwritableError, UsageError

PROGRAM = "python -m otlabel_torch.train"
FLAGS = (tyro.conf.FlagCreatePairsOff,)  # a switch has one name: --resume, --no-hidden
ONLY_NOW = ("resume", "overwrite", "out", "device", "workers", "table", "print_config")  # may differ when a run goes on


def main() -> None:
    command(PROGRAM, Config(), preset)


def command(program: str, default: Config, refined: Callable[[Config], Config], description: str | None = None) -> None:
    """Parse the command line and do what it says.

    Args:
        default: what stands for options that are not typed.
        refined: better defaults, once it is known what was typed.
    """

    def parse(default: Config) -> Config:
        return tyro.cli(Config, prog=program, default=default, description=description, config=FLAGS)

    options = parse(default)
    try:
        options = resumed(options, parse) if options.resume else parse(refined(options))
        if options.print_config:
            print(yaml.safe_dump(options.plain(), sort_keys=False), end="")
            return
        from rich.console import Console

        from .runs.run import run  # torch and torchvision: seconds, which --help does not need

        run(options, Console())
    except (UsageError, DataError, TrainingError) as error:
        sys.exit(f"error: {error}")
    except UnwritableError as error:
        sys.exit(f"error: {error}. Make room for it; --resume --out DIR goes on after the last epoch that was saved.")
    except MemoryError as error:
        sys.exit(f"error: out of memory: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: --resume --out DIR goes on after the last epoch that was finished")


def preset(options: Config) -> Config:
    """What the preset says; what is typed beside it has precedence."""
    return Config() if options.preset is None else Config.read(PRESETS / f"{options.preset}.yaml")


def resumed(options: Config, parse: Callable[[Config], Config]) -> Config:
    """The configuration of the run in --out; an option that contradicts it is an error, not ignored."""
    if options.out is None:
        raise UsageError("--resume needs --out DIR, the folder of the run to go on with.")
    last = options.out / "checkpoints" / "last.pt"
    for path in (last, options.out / "config.yaml"):
        if not path.exists():
            raise UsageError(f"--resume needs {path}, which is not there. Start without --resume.")
    saved = dataclasses.replace(Config.read(options.out / "config.yaml"), out=options.out.absolute())
    # What differs from its defaults now was typed. Flags are off in them, or they could not be typed again.
    flags = [field.name for field in dataclasses.fields(Config) if getattr(saved, field.name) is True]
    off: dict[str, Any] = {name: False for name in flags if name != "hidden"}
    again = parse(dataclasses.replace(saved, **off))
    again = dataclasses.replace(
        again,
        root=again.root and again.root.absolute(),
        labels=again.labels and again.labels.absolute(),
        init=absolute(again.init),
        prior=absolute(again.prior),
        imbalance=again.imbalance and absolute(again.imbalance),
    )
    for name in (field.name for field in dataclasses.fields(Config)):
        typed, kept = getattr(again, name), getattr(saved, name)
        if name not in ONLY_NOW and typed != kept and (typed is not False or name == "hidden"):
            raise UsageError(
                f"--resume keeps the run's configuration, in which {name} is {kept!r}, not {typed!r}. "
                "Leave the option out, or start a new run."
            )
    return dataclasses.replace(
        saved,
        resume=True,
        overwrite=False,
        device=again.device,
        workers=again.workers,
        table=again.table,
        print_config=again.print_config,
    )


if __name__ == "__main__":
    main()
