"""What a network's features are worth: nearest neighbours and linear probes, by their full names, in percent.

The closing table of a run, the evaluate command and benchmarks/cifar10_h100.py all ask here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from ..network import layers
from ..network.collect import in_mode
from ..system.devices import free_memory
from ..system.errors import UsageError
from . import probe
from .knn import weighted_knn
from .subject import Subject

Linear = Literal["quick", "paper", "both", "none"]

NEIGHBOURS = (10, 200)
COMPONENTS = 128  # of the features, for kNN as in the paper's code
QUICK = "linear probe accuracy (logistic regression)"
PAPERS = "linear probe accuracy (the paper's recipe)"


def knn_accuracy(subject: Subject, counts: Sequence[int] = NEIGHBOURS) -> list[float]:
    """Of the features, for each number of neighbours: of validation images by the training images, or of those by each
    other."""
    features, asked = subject.features
    return weighted_knn(features, subject.train.truth, _with_truth(subject, asked), counts)


def layer_scores(
    subject: Subject, name: str, linear: Linear = "quick", epochs: int = probe.EPOCHS
) -> tuple[str, dict[str, float]]:
    """The layer's full name, and what its values are worth.

    Args:
        name: as ``layers.reader`` knows it. Neighbours are asked of the features only.
        linear: which probes.
        epochs: of the paper's.
    """
    train, test, device = subject.train, subject.test, subject.team.device
    called, read, channels = layers.reader(subject.network, name, device)
    needed = 4 * _width(subject, read) * (len(train) + len(test or []))
    if needed > free_memory() / 2:  # standardised they are there twice
        raise UsageError(
            f"`layers` {name} of all images takes {needed / 2**30:.1f} GiB, more than half of the free memory. "
            "Choose a narrower layer."
        )
    scores: dict[str, float] = {}
    if name == layers.FEATURES:
        x, asked_of = subject.features
        scores |= _neighbours(subject)
    else:
        x, asked_of = subject.values(train, read), None if test is None else subject.values(test, read)
    y, other = train.truth, _with_truth(subject, asked_of)
    if other is None or test is None:
        learned, held = subject.parts(len(train))
        fit, asked = (x[learned], y[learned]), (x[held], y[held])
        train, test = train.of(learned), train.of(held)
    else:
        fit, asked = (x, y), other
    if linear in ("quick", "both"):
        scores[QUICK] = probe.quick(fit, asked, subject.seed)
    if linear in ("paper", "both"):
        scores[PAPERS] = probe.paper(
            subject.network, read, channels, train, test, device, epochs=epochs, seed=subject.seed
        )
    return called, scores


def _neighbours(subject: Subject) -> dict[str, float]:
    """kNN on the features, and on their principal components if those are fewer."""
    features, asked = subject.features
    names = [f"weighted kNN accuracy, {count} neighbours" for count in NEIGHBOURS]
    scores = dict(zip(names, knn_accuracy(subject), strict=True))
    if min(features.shape) > COMPONENTS:
        few, asked_few = _components(features, asked, subject.seed)
        found = weighted_knn(few, subject.train.truth, _with_truth(subject, asked_few), NEIGHBOURS)
        names = [f"{name}, {COMPONENTS} principal components" for name in names]
        scores |= dict(zip(names, found, strict=True))
    return scores


def _with_truth(subject: Subject, values: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """Values of the validation images, and their classes."""
    return None if subject.test is None or values is None else (values, subject.test.truth)


def _width(subject: Subject, read: Callable[[Tensor], Tensor]) -> int:
    with torch.no_grad(), in_mode(subject.network, False):
        size = subject.network.size
        return read(torch.zeros(1, 3, size, size, device=subject.team.device)).shape[1]


def _components(x: Tensor, other: Tensor | None, seed: int) -> tuple[Tensor, Tensor | None]:
    """Principal components of the training images' values, not whitened, and the same of the others."""
    from sklearn.decomposition import PCA

    found = PCA(COMPONENTS, svd_solver="randomized", random_state=seed).fit(x.cpu().numpy())

    def few(values: Tensor) -> Tensor:
        return torch.from_numpy(found.transform(values.cpu().numpy())).float()

    return few(x), None if other is None else few(other)
