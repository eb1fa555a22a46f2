"""python -m otlabel_torch.train: from a folder of images to labels, features and a report."""

from __future__ import annotations

from collections.abc import Callable

import yaml

from .options.command import Typed, one_line_errors, preset
from .options.config import Config

PROGRAM = "python -m otlabel_torch.train"


def main() -> None:
    command(PROGRAM, Config(), preset)


def command(program: str, default: Config, base: Callable[[Typed], Config], description: str | None = None) -> None:
    """Do what the command line says.

    Args:
        default: options as --help shows them.
        base: what stands for options that are not typed, once it is known which were.
    """
    typed = Typed.parse(program, default, description)
    with one_line_errors(
        unwritable=". Make room for it; --resume --out DIR goes on after the last epoch that was saved.",
        interrupted="--resume --out DIR goes on after the last epoch that was finished",
    ):
        if typed.options.resume:
            from .runs.resume import resumed  # torch, as below

            options = resumed(typed)
        else:
            options = typed.over(base(typed))
        if options.print_config:
            print(yaml.safe_dump(options.plain(), sort_keys=False), end="")
            return
        from rich.console import Console

        from .runs.run import run  # torch and torchvision: seconds, which --help does not need

        run(options, Console())


if __name__ == "__main__":
    main()
