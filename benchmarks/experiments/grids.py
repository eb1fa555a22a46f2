"""The experiments, declared: which runs each needs, and what the paper found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# 10,000 images of CIFAR-10 and a small network: minutes a run on one core. Options of otlabel_torch.train.
BASE: dict[str, Any] = {"data": "folder", "k": 64, "heads": 4, "epochs": 20, "views": 2}
LONG = {"epochs": 40}
OTHER = {"arch": "timm/resnet10t"}
FIRST = {"k": 256, "heads": 10}  # what --preset modern began with
STEPS = {"lr_drops": (15, 18)}  # of 20 epochs
MODERN = FIRST | {"epochs": 96, "relabels": 48, "lr": 0.1, "lr_drops": (0.75, 0.9), "mixup": 1.0}  # --preset modern

# All of CIFAR-10, one labelling of 128 as the paper has it there: half an hour a run on one core.
WHOLE = MODERN | {"images": 50_000, "k": 128, "heads": 1, "epochs": 40, "relabels": 20}

TEN_THOUSAND, WHOLE_SET = "data/cifar10_test", "data/cifar10"
PRIOR = "the classes'"  # stands for a file with the shares of the classes, spread over their labels


@dataclass(frozen=True)
class Cell:
    """One run: BASE, with some options changed; "images" is how many the folder must have, where not 10,000."""

    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    teacher: dict[str, Any] | None = None  # options of the run whose labels this one is trained on

    @property
    def key(self) -> str:
        """A name for files, the same for the same run in whatever experiment."""
        return (
            _word(self.options, "base")
            + (f"--of-{_word(self.teacher, 'base')}" if self.teacher is not None else "")
            + (f"--seed-{self.seed}")
        )


def _word(options: dict[str, Any], none: str) -> str:
    words = [f"{name}-{value}" for name, value in sorted(options.items())]
    return "_".join(words).replace("/", "-").replace("'", "").replace(" ", "-") or none


@dataclass(frozen=True)
class Row:
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    teacher: dict[str, Any] | None = None

    def cells(self, seeds: tuple[int, ...]) -> list[Cell]:
        return [Cell(self.options, seed, self.teacher) for seed in seeds]


@dataclass(frozen=True)
class Grid:
    title: str
    rows: tuple[Row, ...]
    paper: str  # what is to be seen, and where the paper shows it
    seeds: tuple[int, ...] = (0, 1, 2)
    root: str = TEN_THOUSAND  # of the images, as the command is shown


GRIDS = {
    "assigners": Grid(
        "Where the labels come from",
        (
            Row("untrained network", {"relabels": 0}),
            Row("labels dealt at random", {"assigner": "random"}),
            Row("k-means before every epoch, new heads", {"assigner": "kmeans"}),
            Row("first labels, never updated", {"assigner": "frozen"}),
            Row("SeLa"),
        ),
        "Paper (AlexNet, all of CIFAR-10, one head of 128): k-means 64.7 kNN, SeLa 72.9, supervised 92.1. On ImageNet "
        "a linear probe of conv3 has 20.8 with no solve and 43.0 with 80.",
    ),
    "relabels": Grid(
        "How often the labels are solved for, in 40 epochs",
        tuple(Row(f"{n} solves", LONG | {"relabels": n}) for n in (0, 1, 5, 10, 20, 40)),
        "Paper (ImageNet, linear probe of conv3): 0 solves 20.8, 40: 42.7, 80: 43.0, 160: 42.4.",
        (0,),
    ),
    "heads": Grid(
        "Heads",
        (Row("1 head", {"heads": 1}), Row("4 heads"), Row("10 heads", {"heads": 10})),
        "Paper (ImageNet, k = 3,000, linear probe of its best layer): one head 44.7, ten heads 46.7.",
    ),
    "k": Grid(
        "Labels of a head",
        (Row("k = 16", {"k": 16}), Row("k = 64"), Row("k = 256", {"k": 256})),
        "Paper (ImageNet, linear probe of conv3): 1,000: 40.1, 3,000: 43.0, 5,000: 42.5, 10,000: 42.2.",
    ),
    "rounding": Grid(
        "From the plan to labels",
        (
            Row("balanced"),
            Row("argmax, epsilon 1/25", {"rounding": "argmax"}),
            Row("argmax, epsilon 1/10", {"rounding": "argmax", "epsilon": 0.1}),
        ),
        "The paper's code takes the argmax, with 1/25 on ImageNet and 1/10 on CIFAR. Balanced labels do not depend on "
        "epsilon.",
    ),
    "imbalance": Grid(
        "Unequal classes",
        (
            Row("all images, SeLa"),
            Row("light, SeLa", {"imbalance": "light"}),
            Row("heavy, SeLa", {"imbalance": "heavy"}),
            Row("heavy, SeLa with the classes' shares", {"imbalance": "heavy", "prior": PRIOR}),
            Row("all images, k-means", {"assigner": "kmeans"}),
            Row("light, k-means", {"assigner": "kmeans", "imbalance": "light"}),
            Row("heavy, k-means", {"assigner": "kmeans", "imbalance": "heavy"}),
        ),
        "Paper (kNN, all, light, heavy): SeLa 72.9, 71.7, 67.6; k-means 64.7, 64.2, 60.7; supervised 92.1, 92.0, 86.7. "
        "Features are judged with all 10,000 training images, labels on the images that they were solved for.",
        (0,),
    ),
    "transfer": Grid(
        "Labels of one network for another, and SeLa+Rot",
        (
            Row("SeLa, convnet"),
            Row("its labels, convnet anew", {"assigner": "file"}, {}),
            Row("its labels, convnet anew, and rotation", {"assigner": "file", "rotation": True}, {}),
            Row("its labels, ResNet-10", OTHER | {"assigner": "file"}, {}),
            Row("SeLa, ResNet-10", OTHER),
            Row("its labels, convnet", {"assigner": "file"}, OTHER),
        ),
        "Paper (ImageNet, linear probe): AlexNet 46.7, its labels on a new AlexNet 46.5; ResNet-50 61.5, its labels on "
        "AlexNet 48.4.",
        (0,),
    ),
    "parts": Grid(
        "Parts of a better recipe",
        (
            Row("256 labels, 10 heads", FIRST),
            Row("64 labels a head instead of 256", {"heads": 10}),
            Row("4 heads instead of 10", {"k": 256}),
            Row("trained at 32 px instead of 24", FIRST | {"train_size": 32}),
            Row("labels of the plain image instead of 2 views", FIRST | {"views": 0}),
            Row("no hidden layer", FIRST | {"hidden": False}),
            Row("hue 0.4 instead of 0.1", FIRST | {"augment": "cifar", "train_size": 24}),
            Row("MoCo-v2's augmentation", FIRST | {"augment": "moco", "train_size": 24}),
            Row("labels solved for before every other epoch", FIRST | {"relabels": 10}),
        ),
        "The paper's recipe has no hidden layer with ResNets, labels of the plain or of one changed image, hue 0.4, a "
        "learning rate in steps and, on CIFAR, 10 heads of 128.",
        (0,),
    ),
    "mixup": Grid(
        "Learning rate and mixup",
        (
            Row("256 labels, 10 heads: 0.05, falling along a cosine", FIRST),
            Row("in steps, after 15 and 18 of 20 epochs", FIRST | STEPS),
            Row("and 0.1 instead of 0.05", FIRST | STEPS | {"lr": 0.1}),
            Row("and mixup", FIRST | STEPS | {"lr": 0.1, "mixup": 1.0}),
        ),
        "The paper's recipe has steps of the learning rate, as was usual then, and no mixup.",
    ),
    "modern": Grid(
        "--preset modern, 96 epochs",
        (
            Row("untrained network", {"relabels": 0}),
            Row("its first labels, never updated", MODERN | {"assigner": "frozen", "relabels": 1}),
            Row("--preset modern", MODERN),
        ),
        "Paper (AlexNet, all of CIFAR-10, 400 epochs, ten heads): 77.6 kNN, 83.4 linear on conv5.",
    ),
    "whole": Grid(
        "All 50,000 images",
        (
            Row("SeLa", WHOLE),
            Row("heavy imbalance, SeLa", WHOLE | {"imbalance": "heavy"}),
            Row("k-means", WHOLE | {"assigner": "kmeans"}),
            Row("heavy imbalance, k-means", WHOLE | {"assigner": "kmeans", "imbalance": "heavy"}),
            *(Row(f"SeLa, {n} solves", WHOLE | {"relabels": n}) for n in (0, 1, 10, 40)),
        ),
        "Paper (AlexNet, one head of 128, kNN): SeLa 72.9, heavy imbalance 67.6; k-means 64.7, heavy imbalance 60.7.",
        (0,),
        WHOLE_SET,
    ),
}
