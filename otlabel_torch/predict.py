"""python -m otlabel_torch.predict RUN: labels of images that the run has not seen."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from rich.console import Console

from . import checkpoint, labelling, report, sela
from .config import DataSet, Resolved
from .data import load
from .devices import pick_device
from .errors import DataError, UsageError
from .metrics import agreement
from .models import Network

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
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace --out if it is there."""
    skip_bad_images: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Leave files out that cannot be read as images."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto: the best there is."""


def main() -> None:
    try:
        run(tyro.cli(Options, prog=PROGRAM), Console())
    except (UsageError, DataError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: nothing was written")


def run(options: Options, console: Console) -> Path:
    """Write the table; returns where it is."""
    config, saved = _run(options.run)
    out = options.out or options.run / "predicted.csv"
    if out.exists() and not options.overwrite:
        raise UsageError(f"--out {out} is there already. Choose another name, or add --overwrite.")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"--out {out} cannot be written: there is no folder {out.absolute().parent}.")
    data = options.data or (config.data if options.root is None else "folder")
    train, val = load(data, options.root or config.root, config.image_size, skip_bad=options.skip_bad_images)
    images = train if options.part == "train" or val is None else val
    if options.part == "val" and val is None:
        raise UsageError(f"--part val: {options.root or data} has no validation images. Leave the option out.")
    device = pick_device(options.device)
    network = Network(config.arch, config.image_size, config.heads, config.k).to(device)
    network.load_state_dict(saved["network"])
    views = sela.views(config, group=labelling.BATCH)
    hidden = labelling.collect_hidden(network, images, device, views, config.views, config.seed)
    # The potentials of labels that were never updated belong to the untrained network's scores.
    potentials = saved["potentials"].numpy() * (config.relabels > 1)
    labels, confidence = labelling.predict(network, hidden, potentials, config.epsilon)
    report.write_labels(out, images, labels, confidence)
    for line in images.skipped:
        console.print(f"skipped: {line}", highlight=False, soft_wrap=True, markup=False)
    worth = "" if images.classes is None else f", NMI to the classes {agreement(labels, images.classes)['nmi']:.1f}"
    used = len(torch.unique(labels[:, 0]))
    console.print(
        f"{len(images)} images, {used} of {config.k} labels of head 0 in use, mean confidence {confidence.mean():.2f}"
        f"{worth}: {out}",
        highlight=False,
        soft_wrap=True,
    )
    return out


def _run(folder: Path) -> tuple[Resolved, dict]:
    """The configuration of a run and its last checkpoint."""
    last = folder / "checkpoints" / "last.pt"
    for path in (last, folder / "config.yaml"):
        if not path.exists():
            raise UsageError(f"RUN must be the --out of a training run, but {path} is not there.")
    saved = checkpoint.load(last)
    if saved["labels"] is None:
        raise UsageError(f"{folder} never solved for labels (--relabels 0): it has no potentials to label images with.")
    config = Resolved.read(folder / "config.yaml")
    if config.assigner not in ("sinkhorn", "frozen"):
        raise UsageError(
            f"{folder} has its labels from --assigner {config.assigner}, which labels nothing but its own."
        )
    return config, saved


if __name__ == "__main__":
    main()
