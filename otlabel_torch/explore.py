"""python -m otlabel_torch.explore RUN: its clusters, as a page for the browser."""

from __future__ import annotations

import tyro

from .options.command import FLAGS, one_line_errors
from .options.of_explore import ExploreOptions

PROGRAM = "python -m otlabel_torch.explore"


def main() -> None:
    options = tyro.cli(ExploreOptions, prog=PROGRAM, config=FLAGS)
    with one_line_errors(ExploreOptions):
        from .runs.explored import explore  # torch: seconds, which --help does not need

        page = explore(options)
        if options.open:
            import webbrowser

            webbrowser.open(page.resolve().as_uri())


if __name__ == "__main__":
    main()
