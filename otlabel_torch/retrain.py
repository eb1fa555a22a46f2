"""python -m otlabel_torch.retrain --labels FILE: a new network from random weights on labels that exist."""

from __future__ import annotations

import dataclasses

from .options.command import Typed
from .options.config import Config
from .system.errors import UsageError
from .train import command

PROGRAM = "python -m otlabel_torch.retrain"
RECIPE = Config(assigner="file", epochs=90, lr=0.05, lr_drops=(30, 60, 80))  # the paper's
HELP = """Train a network from random weights on the labels of a table, which are never updated.

--labels FILE has a column of labels a head, and a column path or index that says whose they are: labels.csv of a run,
of another network for instance, or any other table. Beside a run's config.yaml, the images are by default those of that
run. 90 epochs, learning rate 0.05, a tenth of it after 30, 60 and 80: the paper's recipe. --rotation adds SeLa+Rot's
second task."""


def main() -> None:
    command(PROGRAM, RECIPE, beside_its_run, HELP)


def beside_its_run(typed: Typed) -> Config:
    """The recipe, on the images of the run whose labels they are."""
    options = typed.options
    if options.preset is not None:
        raise UsageError(f"`preset` {options.preset} is for training with labels of its own. Leave it out.")
    if options.labels is None:
        return RECIPE
    from .images.of_run import NAMED_BY, others  # torch: seconds, which --help does not need
    from .runs.folder import RunFolder

    folder = RunFolder(options.labels.parent)
    if not folder.has_configuration:
        return RECIPE
    run = folder.configuration()
    recipe = dataclasses.replace(RECIPE, augment=run.augment, train_size=run.train_size)
    named = {name: getattr(options, name) for name in ("data", "root") if name in typed.names}
    images = others(run, **named)
    recipe = dataclasses.replace(recipe, **{name: getattr(images, name) for name in NAMED_BY})
    # The size of training images follows from network and image size, where those are others than the run's.
    same = options.arch == run.arch and options.image_size in (None, run.image_size)
    return recipe if same else dataclasses.replace(recipe, train_size=None)


if __name__ == "__main__":
    main()
