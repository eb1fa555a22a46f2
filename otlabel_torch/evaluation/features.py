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
    subject: Subject, names: Sequence[str] = (layers.FEATURES,), linear: Linear = "quick", epochs: int = probe.EPOCHS
) -> dict[str, dict[str, float]]:
    """What the values of layers are worth, by the layers' names in full.

    Args:
        names: as ``layers.find`` knows them. Neighbours are asked of the features only.
        linear: which probes.
        epochs: of the paper's.
    """
    network, train, test = subject.network, subject.train, subject.test
    found = [layers.find(network, name, subject.team.device) for name in names]
    for name, layer in zip(names, found, strict=True):
        if layer.module is None or linear in ("quick", "both"):  # else its values are not held
            _check_room(subject, name, layer)
    scores: dict[str, dict[str, float]] = {layer.called: {} for layer in found}
    for layer in found:
        if layer.module is None:
            scores[layer.called] |= _neighbours(subject)
        if linear in ("quick", "both"):
            scores[layer.called][QUICK] = _quick(subject, layer)
    if found and linear in ("paper", "both"):
        if test is None:
            learned, held = subject.parts(len(train))
            train, test = train.of(learned), train.of(held)
        accuracies = probe.paper(
            network,
            found,
            train,
            test,
            subject.team.device,
            epochs=epochs,
            seed=subject.seed,
            precision=subject.precision,
        )
        for layer, accuracy in zip(found, accuracies, strict=True):
            scores[layer.called][PAPERS] = accuracy
    return scores


def _quick(subject: Subject, layer: layers.Layer) -> float:
    """Of the values of all images: learned and measured on training images where there are no others."""
    train, test = subject.train, subject.test
    if layer.module is None:
        x, asked_of = subject.features
    else:
        read = _reader(subject, layer)
        x, asked_of = subject.values(train, read), None if test is None else subject.values(test, read)
    y, asked = train.truth, _with_truth(subject, asked_of)
    if asked is None:
        learned, held = subject.parts(len(train))
        return probe.quick((x[learned], y[learned]), (x[held], y[held]), subject.seed)
    return probe.quick((x, y), asked, subject.seed)


def _reader(subject: Subject, layer: layers.Layer) -> Callable[[Tensor], Tensor]:
    return lambda images: layers.read(subject.network, [layer], images)[0]


def _check_room(subject: Subject, name: str, layer: layers.Layer) -> None:
    """Raise UsageError if a layer's values of all images take too much memory: standardised they are there twice."""
    size = subject.network.size
    with torch.no_grad(), in_mode(subject.network, False):
        width = _reader(subject, layer)(torch.zeros(1, 3, size, size, device=subject.team.device)).shape[1]
    needed = 4 * width * (len(subject.train) + len(subject.test or []))
    if needed > free_memory() / 2:
        raise UsageError(
            f"`layers` {name} of all images takes {needed / 2**30:.1f} GiB, more than half of the free memory. "
            "Choose a narrower layer."
        )


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


def _components(x: Tensor, other: Tensor | None, seed: int) -> tuple[Tensor, Tensor | None]:
    """Principal components of the training images' values, not whitened, and the same of the others."""
    from sklearn.decomposition import PCA

    found = PCA(COMPONENTS, svd_solver="randomized", random_state=seed).fit(x.cpu().numpy())

    def few(values: Tensor) -> Tensor:
        return torch.from_numpy(found.transform(values.cpu().numpy())).float()

    return few(x), None if other is None else few(other)
