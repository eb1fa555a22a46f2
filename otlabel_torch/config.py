"""One dataclass is the configuration, the command line and config.yaml."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tyro
import yaml

MAX_LABELS = 3000  # SeLa's best k on ImageNet (paper, table 2)
ITEMS_PER_LABEL = 100  # fewer images than this a label and k is lowered: see docs/reproduce.md


@dataclass(frozen=True)
class Config:
    """Self-labelling: learn a network and the labels of unlabelled images together (SeLa, ICLR 2020).

    Random network -> scores of every image -> equipartitioned labels by optimal transport -> training on the labels
    with augmentation -> new labels, and so on. With no arguments: scikit-learn's digits, on the CPU, in about a minute.
    A default of None is chosen for the data set; the values used are printed and written to config.yaml.
    """

    data: Literal["digits", "folder"] = "digits"
    """What to label: 1,797 scanned digits that come with scikit-learn, or a folder of images (see --root)."""
    root: Path | None = None
    """For --data folder: train/CLASS/IMAGE and, if there, val/CLASS/IMAGE. Classes are used for evaluation only."""
    image_size: int | None = None
    """Side of the square images the network sees: the shorter side is resized to it, then the centre is cropped.
    Default: 16 for digits, the first image's shorter side for a folder, at most 224."""
    out: Path | None = None
    """Folder for everything the run makes. Default: runs/DATA-DATE-TIME."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Empty --out first if it holds a run."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on from the last checkpoint in --out, with the configuration it was started with."""
    arch: str = "convnet"
    """The network: convnet, or a torchvision ResNet (resnet18, resnet34, resnet50), from random weights."""
    k: int | None = None
    """Labels of a head. Default: one for every 100 images, between 10 and 3000."""
    heads: int | None = None
    """Labellings learned at once, each with its own linear head on the shared network."""
    epsilon: float | None = None
    """Temperature of the transport plan in units of the scores; 1/lambda of the paper."""
    rounding: Literal["balanced", "argmax"] = "balanced"
    """How the plan becomes labels: sizes exactly equal, or SeLa's argmax of each row."""
    relabels: int | None = None
    """How often the labels are solved for, the first time included: 0 trains nothing, 1 never updates them.
    Default: as often as there are epochs."""
    schedule: Literal["quadratic", "linear"] = "linear"
    """When: evenly over training, or dense at its start as on ImageNet; at most once an epoch either way."""
    epochs: int | None = None
    """Passes over the images."""
    batch_size: int | None = None
    """Images of a step."""
    lr: float | None = None
    """Learning rate of SGD with momentum 0.9; falls to 0 along a cosine."""
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
        from .checkpoint import write_text

        fields = dataclasses.asdict(self)
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}
        write_text(path, yaml.safe_dump(plain, sort_keys=False))

    @classmethod
    def read(cls, path: Path) -> Self:
        """The configuration that ``save`` wrote."""
        fields = yaml.safe_load(path.read_text())
        for name in ("root", "out"):
            fields[name] = None if fields[name] is None else Path(fields[name])
        return cls(**fields)


RECIPES: dict[str, dict[str, Any]] = {
    "digits": dict(heads=4, epsilon=1 / 25, epochs=40, batch_size=64, lr=0.05),
    "folder": dict(heads=10, epsilon=1 / 25, epochs=40, batch_size=64, lr=0.05),
}


@dataclass(frozen=True)
class Resolved(Config):
    """A configuration with every choice made: what a run is started with."""

    k: int = 0
    heads: int = 0
    epsilon: float = 0.0
    relabels: int = 0
    epochs: int = 0
    batch_size: int = 0
    lr: float = 0.0


def resolve(config: Config, n: int) -> Resolved:
    """Replace every None by the choice for this data set of n training images."""
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(Config)}
    fields |= {name: value for name, value in RECIPES[config.data].items() if fields[name] is None}
    if fields["k"] is None:
        fields["k"] = min(MAX_LABELS, max(10, n // ITEMS_PER_LABEL))
    if fields["relabels"] is None:
        fields["relabels"] = fields["epochs"]
    return Resolved(**fields)


def default_out(config: Config) -> Path:
    return Path("runs") / f"{config.data}-{time.strftime('%Y%m%d-%H%M%S')}"
