"""python -m otlabel_torch.evaluate RUN: what a network's features and a run's labels are worth."""

from __future__ import annotations

import tyro

from .options.command import FLAGS, one_line_errors
from .options.of_evaluate import EvaluateOptions

PROGRAM = "python -m otlabel_torch.evaluate"


def main() -> None:
    options = tyro.cli(EvaluateOptions, prog=PROGRAM, config=FLAGS)
    with one_line_errors(EvaluateOptions):
        from .runs.evaluated import evaluate  # torch: seconds, which --help does not need

        evaluate(options)


if __name__ == "__main__":
    main()
