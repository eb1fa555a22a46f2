"""python -m otlabel_torch.predict RUN: labels of images that the run has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from .options.command import FLAGS, one_line_errors
from .options.config import DataSet
from .system.errors import UsageError, memory_errors

PROGRAM = "python -m otlabel_torch.predict"


@dataclass(frozen=True)
class Options:
    """Label images with a trained run: the network's scores, shifted by the potentials of its last solve.

    Scores are averaged over --views of the run, the same views for every image: an image's label does not depend on the
    others. A label may get any number of the images: shares bind only those that the labels were solved for. Writes a
    table of index, path, a label a head and its confidence, as labels.csv of the run.
    """

    run: tyro.conf.Positional[Path]
    """Folder of the run, as its --out."""
    root: Path | None = None
    """The images, as for train's --root. Default: those of the run; other --data needs its own."""
    data: DataSet | None = None
    """What is there, as for train's --data. Default: "folder" with a --root of its own, else the data of the run."""
    part: Literal["train", "val"] | None = None
    """Of data that has both. Default: val if it is there."""
    out: Path | None = None
    """The table to write. Default: RUN/predicted.csv."""
    overwrite: bool = False
    """Replace --out if it is there."""
    skip_bad_images: bool = False
    """Leave files out that cannot be read as images, as a run with that option always does."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto: the best there is."""


def main() -> None:
    options = tyro.cli(Options, prog=PROGRAM, config=FLAGS)
    with one_line_errors(Options):
        run(options)


@memory_errors()
def run(options: Options) -> Path:
    """Write the table; returns where it is."""
    import torch
    from rich.console import Console

    from .evaluation import metrics
    from .images.of_run import images_of, others
    from .labels.tables import write_labels
    from .runs.folder import RunFolder
    from .system.devices import pick_device
    from .system.processes import Processes

    console = Console()
    alone = Processes(pick_device(options.device))
    folder = RunFolder(options.run)
    trained = folder.open(alone.device)
    if trained.why_no_labels:
        raise UsageError(f"{options.run} cannot label images: {trained.why_no_labels}")
    out = options.out or folder.predicted
    if out.exists() and not options.overwrite:
        raise UsageError(f"`out` {out} is there already. Choose another name, or add `overwrite`.")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"`out` {out} cannot be written: there is no folder {out.absolute().parent}.")
    config = others(trained.config, options.data, options.root, skip_bad_images=options.skip_bad_images)
    train, val = images_of(config)
    images = train if options.part == "train" or val is None else val
    if options.part == "val" and val is None:
        raise UsageError(f"`part` val: {config.root or config.data} has no validation images. Leave the option out.")
    labels, confidence = trained.labels_of(images, alone)
    write_labels(out, images, labels, confidence)
    for line in images.said:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    worth = "" if images.classes is None else f", NMI to the classes {metrics.nmi(labels, images.classes):.1f}"
    used = len(torch.unique(labels[:, 0]))
    console.print(
        f"{len(images)} images, {used} of {config.k} labels of head 0 in use, mean confidence {confidence.mean():.2f}"
        f"{worth}: {out}",
        highlight=False,
        soft_wrap=True,
    )
    return out


if __name__ == "__main__":
    main()
