"""Linear probes: how well a linear classifier tells the classes from a frozen layer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from ..images.augment import Augment, normalise, ten_crops
from ..images.images import Images
from ..network.collect import BATCH, autocast, in_mode
from ..network.layers import Layer, read
from ..network.models import Network
from ..options.config import Augmentation, Precision
from ..system.devices import sent

PENALTIES = (1e-3, 1e-2, 1e-1)  # C of scikit-learn's LogisticRegression, on standardised values
HELD_BACK = 10  # one of so many training images chooses among them
ITERATIONS = 200

# SGD of the probes published with SeLa, after Zhang et al., 2017
EPOCHS, DROPS, RATE, MOMENTUM, DECAY, STEP = 36, (10, 20, 30), 0.01, 0.9, 1e-5, 192
CROPS: Augmentation = "crops"
SIDE = 7 / 8  # of the ten crops of a validation image: 224 of 256 px


def quick(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], seed: int = 0) -> float:
    """Accuracy in percent of logistic regression on standardised values of the plain images.

    The penalty is the one of three that is best on a tenth of the training images, which is held back for that; then
    all train. L-BFGS stops after 200 iterations.

    Args:
        train: values (n, width) and classes (n,), as ``test``.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    (x, y), (queries, truth) = ((values.cpu().numpy(), classes.numpy()) for values, classes in (train, test))
    mixed = np.random.default_rng(seed).permutation(len(x))
    back, rest = np.split(mixed, [max(1, len(x) // HELD_BACK)])

    def fitted(penalty: float, rows: np.ndarray) -> LogisticRegression:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=ITERATIONS))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # said above
            return model.fit(x[rows], y[rows])

    best = max(PENALTIES, key=lambda penalty: fitted(penalty, rest).score(x[back], y[back]))
    return float(100 * fitted(best, mixed).score(queries, truth))


def paper(
    network: Network,
    layers: Sequence[Layer],
    train: Images,
    test: Images,
    device: torch.device,
    *,
    epochs: int = EPOCHS,
    seed: int = 0,
    precision: Precision = "float32",
) -> list[float]:
    """Accuracy in percent of a linear layer that SGD trains on augmented images, for each of the network's layers.

    36 epochs with batches of 192, learning rate 0.01, a tenth of it after 10, 20 and 30, weight decay 1e-5; channels
    normalised over batch and places without learned scales; crops of about 7/8 of the side, and mirroring. Of a
    validation image the mean scores of ten such crops count, its middle and corners and those mirrored. The network,
    which is frozen, sees a batch once for all layers, as in the published script; a layer's accuracy does not depend on
    the others.

    Args:
        precision: of the network's products; the linear layers' are in float32.
    """
    augment, steps = Augment(network.size, CROPS), max(1, len(train) // STEP)

    def values(images: Tensor) -> list[Tensor]:
        with torch.no_grad(), autocast(device, precision):
            return [value.float() for value in read(network, layers, images)]

    with in_mode(network, False):
        probes = nn.ModuleList()
        two = normalise(train.take(torch.arange(2)).to(device), network.size)
        for layer, seen in zip(layers, values(two), strict=True):
            torch.manual_seed(seed)
            probes.append(_probe(layer.channels, seen.shape[1], int(train.truth.max()) + 1))
        probes.to(device)
        optimiser = torch.optim.SGD(probes.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
        drops = torch.optim.lr_scheduler.MultiStepLR(optimiser, [drop * steps for drop in DROPS])
        bar = tqdm(total=epochs * steps, desc="linear probe", unit="batch", leave=False, disable=None)
        torch.manual_seed(seed)
        for _epoch in range(epochs):
            rows = torch.randperm(len(train))[: steps * STEP].chunk(steps)
            for some, pixels in zip(rows, train.batches(rows), strict=True):
                truth = sent(train.truth[some], device)
                scores = [probe(x) for probe, x in zip(probes, values(augment(sent(pixels, device))), strict=True)]
                optimiser.zero_grad()
                torch.stack([F.cross_entropy(score, truth) for score in scores]).sum().backward()
                optimiser.step()
                drops.step()
                bar.update()
        bar.close()
        probes.eval()
        right = torch.zeros(len(layers), dtype=torch.int64)
        rows = torch.arange(len(test)).split(BATCH)
        for some, pixels in zip(rows, test.batches(rows), strict=True):
            of_crops = torch.stack(
                [
                    torch.stack([probe(x) for probe, x in zip(probes, values(shown), strict=True)])
                    for shown in ten_crops(sent(pixels, device), network.size, SIDE)
                ]
            )
            found = of_crops.mean(dim=0).argmax(dim=2)
            right += (found.cpu() == test.truth[some]).sum(dim=1)
    return [100 * number / len(test) for number in right.tolist()]


def _probe(channels: int, width: int, classes: int) -> nn.Sequential:
    """From values of a layer (n, width), one channel's after the other's, to scores (n, classes)."""
    linear = nn.Linear(width, classes)
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
    places = nn.Unflatten(1, (channels, width // channels))
    return nn.Sequential(places, nn.BatchNorm1d(channels, affine=False), nn.Flatten(), linear)
