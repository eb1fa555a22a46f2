"""One dataclass is the configuration, the command line and config.yaml. Nothing slow to import: --help is."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_type_hints

import yaml

from ..system.files import write_text
from . import reading
from .kinds import ASSIGNERS, LOSSES
from .names import NameIn

Preset = Literal["digits", "modern", "thorough", "cifar10", "cifar100", "svhn", "imagenet-alexnet", "imagenet-resnet50"]
PRESETS = Path(__file__).parent / "presets"
DataSet = Literal[
    "digits", "folder", "csv", "hf", "webdataset",
    "cifar10", "cifar100", "svhn", "stl10", "fashion-mnist", "imagenet",
]  # fmt: skip
Precision = Literal["float32", "bf16", "fp16"]
Augmentation = Literal["imagenet", "cifar", "small", "moco", "scans", "crops"]
WordOrFile = Annotated[str, "a word, or the path of a file"]


@dataclass(frozen=True)
class Config:
    """Self-labelling: learn a network and the labels of unlabelled images together (SeLa, ICLR 2020).

    Random network -> scores of every image -> equipartitioned labels by optimal transport -> training on the labels
    with augmentation -> new labels, and so on. With no arguments: scikit-learn's digits.
    A default of None is chosen for the images at hand; the values used are printed and written to config.yaml.
    Under torchrun every process takes its share of the images.
    """

    preset: Preset | None = None
    """Start from a set-up: the paper's for a data set, or this project's for digits or for small images of any source
    (modern: minutes; thorough: hours); what else is given here has precedence."""
    print_config: bool = False
    """Print the configuration as YAML and end: with --preset, what that stands for."""

    data: DataSet = "digits"
    """What to label: 1,797 scanned digits that come with scikit-learn, a folder of images, the images that a table
    names (csv), Hugging Face's parquet or Arrow files (hf), WebDataset's shards, or a data set of torchvision's: see
    --root."""
    root: Path | None = None
    """For folder: images, or CLASS/IMAGE, or train/ and val/ with such inside; or an archive of that, or files as for
    hf and webdataset, alone or in a folder. For csv: a CSV or parquet table with a column of paths, and maybe of class
    and split. Classes are used for evaluation only. For a data set: where torchvision keeps it."""
    download: bool = False
    """Let torchvision fetch the data set into --root if it is not there."""
    skip_bad_images: bool = False
    """Leave files out that cannot be read as images, and list them in report.json, instead of stopping."""
    train_dir: str | None = None
    """Folder of the training images below --root, where its name does not say so: train, training."""
    val_dir: str | None = None
    """Folder of the validation images below --root, where its name does not say so: val, valid, validation, or test."""
    drop_duplicates: bool = False
    """Of files of the same content keep the first."""
    pixel_range: tuple[float, float] | None = None
    """Of gray images beyond 8 bits: the values that become black and white, the same for all images. Default: from 0 to
    the largest that their bits would hold, as all of them together use them."""
    background: Literal["white", "gray", "black"] = "white"
    """Behind transparent pixels."""
    upright: bool = True
    """Turn pictures as their EXIF orientation says."""
    max_pixels: int = 178_956_970
    """Of a file: larger ones are refused, since they may be an attack on the memory."""
    keep: Literal["auto", "memory", "files"] = "auto"
    """Where the pixels of a folder stay: decoded in memory, or in their files, to be decoded each time. auto: in
    memory if they take at most half of what is free."""
    workers: int | None = None
    """Threads that decode files. Default: one a core."""
    imbalance: WordOrFile | None = None
    """Leave images out, to see what unequal classes do: light (half of the last class), heavy (of 10 classes 0, 10,
    20, ... percent), or a file with the share to keep of each class, a line a class."""
    image_size: int | None = None
    """Side of the square images the network sees: the shorter side is resized to it, then the centre is cropped.
    Default: 16 for digits; for files the median of their shorter sides, at most 224."""
    train_size: int | None = None
    """Side of the augmented images that the network is trained on; features are taken at --image-size, and labels
    unless --small-views. Cropping enlarges what is in an image, so smaller ones show it at the size it has in the whole
    image (Touvron et al., 2019), and cost less. Default: with --augment small and a network that takes any size, three
    quarters of --image-size, up to a multiple of 8; else all of it."""
    augment: Augmentation | None = None
    """How images are changed for training: imagenet and cifar are SeLa's, small is cifar with less hue, moco is
    MoCo-v2's (SeLa's "aug++"), scans turns and slants instead of mirroring, crops are those of linear probes (no
    colours). Default: scans for digits, imagenet for images of 128 px or more, else small."""

    out: Path | None = None
    """Folder for everything the run makes. Default: runs/DATA-DATE-TIME."""
    overwrite: bool = False
    """Empty --out first if it holds a run."""
    resume: bool = False
    """Go on from the last checkpoint in --out, with the configuration it was started with."""
    table: Literal["csv", "parquet"] = "csv"
    """Format of the table of labels. parquet needs pyarrow."""
    tensorboard: bool = False
    """Also write every metric to --out/tensorboard. Needs tensorboard."""

    arch: str = "convnet"
    """The network: convnet (four convolutions), convnet-2x, -3x, -4x, -8x (so many times as wide), alexnet
    (SeLa's), resnet18, resnet34, resnet50 (torchvision's), or timm/NAME for any of timm's, if that is installed."""
    hidden: bool = True
    """A hidden layer between the features and the heads."""
    init: WordOrFile = "random"
    """First weights below the hidden layer: random, imagenet (torchvision's or timm's), or a file of weights with
    torchvision's names."""

    k: int | None = None
    """Labels of a head. Default: one for every 100 images, between 10 and 3000."""
    heads: int | None = None
    """Labellings learned at once, each with its own linear head on the shared network. Default: 10."""
    epsilon: float = 1 / 25
    """Temperature of the transport plan in units of the scores: 1/lambda of the paper. It shapes the labels of
    --rounding argmax only: balanced labels have the best total score, whatever the temperature."""
    assigner: Annotated[str, NameIn(ASSIGNERS)] = "sinkhorn"
    """Where labels come from: optimal transport of the heads' scores (sinkhorn), or of distances to centres that are
    found anew each time (clusters); or, to compare with, k-means on the features with new heads each time
    (DeepCluster's rule), transport's first labels never updated, or labels dealt at random; or --labels."""
    labels: Path | None = None
    """For --assigner file: a table of labels, a column a head, as labels.csv of a run, and a column that names the
    image (path, filename, image, ...). Words, numbers from 1 or with gaps, and -1 become numbers from 0."""
    labels_in_order: bool = False
    """The lines of --labels are in the order of the images: for tables that do not name them."""
    rounding: Literal["balanced", "argmax"] = "balanced"
    """How the plan becomes labels: sizes exactly equal, or the paper's argmax of each row."""
    prior: WordOrFile = "uniform"
    """Shares of the labels: uniform, zipf (label j proportional to 1/j), or a file of shares, a line a label."""
    views: int = 4
    """Augmented views of an image that its scores are averaged over when labels are solved for; 0: the image itself."""
    small_views: bool = False
    """These views at --train-size instead of --image-size: as the network is trained to see images, for less time."""
    label_mode: Literal["eval", "train"] = "eval"
    """Mode of the network when labels are solved for; train, with batch statistics and dropout, is the paper's
    code's."""
    relabels: int | None = None
    """How often the labels are solved for, the first time included; at most once an epoch and once at the end.
    0 trains nothing, 1 never updates the first labels. Default: as often as there are epochs."""
    schedule: Literal["quadratic", "linear"] = "linear"
    """When: evenly over training, or dense at its start as on ImageNet."""

    epochs: int = 40
    """Passes over the images."""
    batch_size: int | None = None
    """Images of a step, in all processes together. Default: 64, or all of them if there are fewer."""
    accumulate: int = 1
    """Parts that a step's images are passed in, one after the other: less memory, the same gradient but for batch
    normalisation."""
    lr: float = 0.05
    """Learning rate of SGD with momentum 0.9; falls to 0 along a cosine, or see --lr-drops."""
    lr_drops: tuple[float, ...] = ()
    """Epochs at which the learning rate falls to a tenth, as in the paper, in the place of the cosine. Numbers below 1
    are shares of all epochs."""
    nesterov: bool = False
    """With Nesterov's momentum: the step goes where the momentum leads from the newest gradient on."""
    weight_decay: float = 1e-5
    """L2 penalty of the weights."""
    loss: Annotated[str, NameIn(LOSSES)] = "cross-entropy"
    """What the network is trained to make small: its cross-entropy to the labels, averaged over the heads, as in the
    paper, or a loss of your own (docs/extending.md)."""
    mixup: float = 0.0
    """Blend every training image with another one, and the loss of its labels with that of the other's, in shares drawn
    from Beta(MIXUP, MIXUP), of which the image itself has the larger (Zhang et al., 2018). 0: off."""
    rotation: bool = False
    """Also learn by which right angle an image is turned (SeLa+Rot). A step takes four times as long."""
    precision: Literal["float32", "bf16", "fp16", "auto"] = "float32"
    """Of the network's products; transport is never in less than float32. auto: bf16 where
    that is faster; a CPU is asked by trying."""
    compile: bool = False
    """Let torch.compile fuse the network's operations: minutes at the start, faster steps on GPUs."""
    seed: int = 0
    """Of the network's first weights, the order of the images and the augmentation."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, or auto: the best there is."""
    controls: bool = False
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
        """The configuration that ``save`` wrote, or a preset; what is not named there has its default.

        Raises:
            UsageError: the file holds anything else.
        """
        return reading.read(cls, path)

    def absolute(self) -> Self:
        """With absolute paths, so that they mean the same in whatever folder the run goes on."""
        hints = get_type_hints(type(self), include_extras=True)
        return dataclasses.replace(self, **{name: _absolute(getattr(self, name), hint) for name, hint in hints.items()})


def _absolute(value: Any, hint: Any) -> Any:
    if isinstance(value, Path):
        return value.absolute()
    names_a_file = WordOrFile in (hint, *get_args(hint)) and value is not None and Path(value).is_file()
    return str(Path(value).absolute()) if names_a_file else value


@dataclass(frozen=True)
class Resolved(Config):
    """A configuration with every choice made: what a run is started with."""

    workers: int = field(kw_only=True)
    image_size: int = field(kw_only=True)
    train_size: int = field(kw_only=True)
    augment: Augmentation = field(kw_only=True)
    out: Path = field(kw_only=True)
    k: int = field(kw_only=True)
    heads: int = field(kw_only=True)
    relabels: int = field(kw_only=True)
    batch_size: int = field(kw_only=True)
    precision: Precision = field(kw_only=True)
