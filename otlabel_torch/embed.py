"""python -m otlabel_torch.embed RUN: features of images as a table, for `otlabel cluster` and whatever else."""

from __future__ import annotations

import tyro

from .options.command import FLAGS, one_line_errors
from .options.of_embed import EmbedOptions

PROGRAM = "python -m otlabel_torch.embed"


def main() -> None:
    options = tyro.cli(EmbedOptions, prog=PROGRAM, config=FLAGS)
    stays = "whole shards stay; add --resume to go on with them" if options.in_shards else "nothing was written"
    with one_line_errors(EmbedOptions, interrupted=stays):
        from .runs.embedded import embed  # torch: seconds, which --help does not need

        embed(options)


if __name__ == "__main__":
    main()
