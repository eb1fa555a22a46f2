"""python -m otlabel_torch.predict RUN: labels of images that the run has not seen."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from .options.config import DataSet, cores
from .system.errors import DataError, UnwritableError, UsageError
from .train import FLAGS

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
    """The images, as for train's --root. Default: those of the run."""
    data: DataSet | None = None
    """What is there, as for train's --data. Default: "folder" with a --root of its own, else the data of the run."""
    part: Literal["train", "val"] | None = None
    """Of data that has both. Default: val if it is there."""
    out: Path | None = None
    """The table to write. Default: RUN/predicted.csv."""
    overwrite: bool = False
    """Replace --out if it is there."""
    skip_bad_images: bool = False
    """Leave files out that cannot be read as images."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto: the best there is."""


def main() -> None:
    options = tyro.cli(Options, prog=PROGRAM, config=FLAGS)
    try:
        run(options)
    except (UsageError, DataError, UnwritableError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: nothing was written")


def run(options: Options) -> Path:
    """Write the table; returns where it is."""
    import torch
    from rich.console import Console

    from .evaluation import metrics
    from .images.images import Source, load
    from .labels.tables import write_labels
    from .runs.finished import Finished
    from .system.devices import pick_device
    from .system.processes import Processes

    console = Console()
    alone = Processes(pick_device(options.device))
    finished = Finished.read(options.run, alone.device)
    if finished.why_no_labels:
        raise UsageError(f"{options.run} cannot label images: {finished.why_no_labels}")
    config = finished.config
    out = options.out or options.run / "predicted.csv"
    if out.exists() and not options.overwrite:
        raise UsageError(f"--out {out} is there already. Choose another name, or add --overwrite.")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"--out {out} cannot be written: there is no folder {out.absolute().parent}.")
    data = options.data or (config.data if options.root is None else "folder")
    root = options.root or config.root
    source = Source(data, root, config.image_size, skip_bad=options.skip_bad_images, keep=config.keep, workers=cores())
    train, val = load(source)
    images = train if options.part == "train" or val is None else val
    if options.part == "val" and val is None:
        raise UsageError(f"--part val: {options.root or data} has no validation images. Leave the option out.")
    labels, confidence = finished.labels_of(images, alone)
    write_labels(out, images, labels, confidence)
    for line in images.skipped:
        console.print(f"skipped: {line}", highlight=False, soft_wrap=True, markup=False)
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
