"""One dataclass is the configuration, the command line and config.yaml."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tyro
import yaml

from .checkpoint import write_text
from .models import Architecture

Preset = Literal["digits", "cifar10", "cifar100", "svhn"]
PRESETS = Path(__file__).parent / "presets"
DataSet = Literal["digits", "folder", "cifar10", "cifar100", "svhn", "stl10", "fashion-mnist"]
MIN_LABELS, MAX_LABELS = 10, 3000  # the latter is SeLa's best k on ImageNet
ITEMS_PER_LABEL = 100  # where there are fewer than 300,000 images k is lowered to keep this many a label
BATCH = 64
NEVER_UPDATED = ("frozen", "random")  # assigners whose first labels stay


@dataclass(frozen=True)
class Config:
    """Self-labelling: learn a network and the labels of unlabelled images together (SeLa, ICLR 2020).

    Random network -> scores of every image -> equipartitioned labels by optimal transport -> training on the labels
    with augmentation -> new labels, and so on. With no arguments: scikit-learn's digits.
    A default of None is chosen for the images at hand; the values used are printed and written to config.yaml.
    """

    preset: Preset | None = None
    """Start from a set-up of the paper's (or of this project's, for digits); what else is given here has precedence."""
    print_config: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the configuration as YAML and end: with --preset, what that stands for."""
    data: DataSet = "digits"
    """What to label: 1,797 scanned digits that come with scikit-learn, a folder of images, or a data set of
    torchvision's (see --root)."""
    root: Path | None = None
    """For --data folder: images, or CLASS/IMAGE, or train/ and val/ with such inside. Classes are used for evaluation
    only. For a data set: where torchvision keeps it."""
    download: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Let torchvision fetch the data set into --root if it is not there."""
    skip_bad_images: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Leave files out that cannot be read as images, and list them in report.json, instead of stopping."""
    image_size: int | None = None
    """Side of the square images the network sees: the shorter side is resized to it, then the centre is cropped.
    Default: 16 for digits; for a folder the shorter side of its first image, at most 224."""
    out: Path | None = None
    """Folder for everything the run makes. Default: runs/DATA-DATE-TIME."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Empty --out first if it holds a run."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on from the last checkpoint in --out, with the configuration it was started with."""
    arch: Architecture = "convnet"
    """The network, from random weights: four convolutions, SeLa's AlexNet, or a ResNet of torchvision's."""
    k: int | None = None
    """Labels of a head. Default: one for every 100 images, between 10 and 3000."""
    heads: int = 10
    """Labellings learned at once, each with its own linear head on the shared network."""
    epsilon: float = 1 / 25
    """Temperature of the transport plan in units of the scores: 1/lambda of the paper. It shapes the labels of
    --rounding argmax only: balanced labels have the best total score, whatever the temperature."""
    assigner: Literal["sinkhorn", "kmeans", "frozen", "random"] = "sinkhorn"
    """Where labels come from: optimal transport; or, to compare with, k-means on the features with new heads each time
    (DeepCluster's rule), transport's first labels never updated, or labels dealt at random."""
    rounding: Literal["balanced", "argmax"] = "balanced"
    """How the plan becomes labels: sizes exactly equal, or the paper's argmax of each row."""
    views: int = 4
    """Augmented views of an image that its scores are averaged over when labels are solved for; 0: the image itself."""
    relabels: int | None = None
    """How often the labels are solved for, the first time included; at most once an epoch and once at the end.
    0 trains nothing, 1 never updates the first labels. Default: as often as there are epochs."""
    schedule: Literal["quadratic", "linear"] = "linear"
    """When: evenly over training, or dense at its start as on ImageNet."""
    epochs: int = 40
    """Passes over the images."""
    batch_size: int | None = None
    """Images of a step. Default: 64, or all of them if there are fewer."""
    lr: float = 0.05
    """Learning rate of SGD with momentum 0.9; falls to 0 along a cosine, or see --lr-drops."""
    lr_drops: tuple[int, ...] = ()
    """Epochs at which the learning rate falls to a tenth, as in the paper, in the place of the cosine."""
    weight_decay: float = 1e-5
    """L2 penalty of the weights."""
    seed: int = 0
    """Of the network's first weights, the order of the images and the augmentation."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto: the best there is."""
    controls: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also train a network on its first labels, never updated, and show it beside raw pixels and the untrained one."""

    def save(self, path: Path) -> None:
        """Write the configuration as YAML, atomically."""
        write_text(path, yaml.safe_dump(self.plain(), sort_keys=False))

    def plain(self) -> dict[str, Any]:
        """Fields as numbers and strings."""
        fields = dataclasses.asdict(self)
        shown = {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in shown.items()}

    @classmethod
    def read(cls, path: Path) -> Self:
        """The configuration that ``save`` wrote, or a preset; what is not named there has its default."""
        fields = yaml.safe_load(path.read_text())
        for name in ("root", "out"):
            if fields.get(name) is not None:
                fields[name] = Path(fields[name])
        fields["lr_drops"] = tuple(fields.get("lr_drops", ()))
        return cls(**fields)


@dataclass(frozen=True)
class Resolved(Config):
    """A configuration with every choice made: what a run is started with."""

    image_size: int = 0
    out: Path = Path()
    k: int = 0
    relabels: int = 0
    batch_size: int = 0


def resolve(config: Config, n: int, size: int) -> Resolved:
    """Replace every None by the choice for n training images of this size; paths become absolute."""
    default = {
        "image_size": size,
        "out": Path("runs") / f"{config.data}-{time.strftime('%Y%m%d-%H%M%S')}",
        "k": min(MAX_LABELS, max(MIN_LABELS, n // ITEMS_PER_LABEL), n),
        "relabels": 1 if config.assigner in NEVER_UPDATED else config.epochs,
        "batch_size": min(BATCH, n),
    }
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(Config)}
    fields |= {name: value for name, value in default.items() if fields[name] is None}
    fields["out"] = fields["out"].absolute()
    fields["root"] = None if config.root is None else config.root.absolute()
    return Resolved(**fields)
