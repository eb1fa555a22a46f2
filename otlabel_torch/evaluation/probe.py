"""Linear probes: how well a linear classifier tells the classes from a frozen layer."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from ..images.augment import Augment, normalise
from ..images.images import Images
from ..network.collect import BATCH, in_mode
from ..network.models import Network
from ..options.config import Augmentation

PENALTIES = (1e-3, 1e-2, 1e-1)  # C of scikit-learn's LogisticRegression, on standardised values
HELD_BACK = 10  # one of so many training images chooses among them
ITERATIONS = 200

# SGD of the probes published with SeLa, after Zhang et al., 2017
EPOCHS, DROPS, RATE, MOMENTUM, DECAY, STEP = 36, (10, 20, 30), 0.01, 0.9, 1e-5, 192
CROPS: Augmentation = "crops"


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
    read: Callable[[Tensor], Tensor],
    channels: int,
    train: Images,
    test: Images,
    device: torch.device,
    *,
    epochs: int = EPOCHS,
    seed: int = 0,
) -> float:
    """Accuracy in percent of a linear layer that SGD trains on augmented images, the network's layer being frozen.

    36 epochs with batches of 192, learning rate 0.01, a tenth of it after 10, 20 and 30, weight decay 1e-5; channels
    normalised over batch and places without learned scales; crops of about 7/8 of the side, and mirroring. Validation
    images are seen once, not in ten crops.

    Args:
        read: from images (n, 3, s, s) to values (n, width).
        channels: of the values, as ``layers.reader`` says.
    """
    torch.manual_seed(seed)
    augment = Augment(network.size, CROPS)
    steps = max(1, len(train) // STEP)
    with in_mode(network, False):
        width = _values(read, normalise(train.take(torch.arange(2)).to(device), network.size)).shape[1]
        linear = nn.Linear(width, int(train.truth.max()) + 1)
        nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(linear.bias)
        places = nn.Unflatten(1, (channels, width // channels))
        probe = nn.Sequential(places, nn.BatchNorm1d(channels, affine=False), nn.Flatten(), linear).to(device)
        optimiser = torch.optim.SGD(probe.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
        drops = torch.optim.lr_scheduler.MultiStepLR(optimiser, [drop * steps for drop in DROPS])
        bar = tqdm(total=epochs * steps, desc="linear probe", unit="batch", leave=False, disable=None)
        for _epoch in range(epochs):
            rows = torch.randperm(len(train))[: steps * STEP].chunk(steps)
            for some, pixels in zip(rows, train.batches(rows), strict=True):
                values = _values(read, augment(pixels.to(device)))
                optimiser.zero_grad()
                F.cross_entropy(probe(values), train.truth[some].to(device)).backward()
                optimiser.step()
                drops.step()
                bar.update()
        bar.close()
        probe.eval()
        right = 0
        rows = torch.arange(len(test)).split(BATCH)
        for some, pixels in zip(rows, test.batches(rows), strict=True):
            values = _values(read, normalise(pixels.to(device), network.size))
            right += int((probe(values).argmax(dim=1).cpu() == test.truth[some]).sum())
    return 100 * right / len(test)


@torch.no_grad()
def _values(read: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    return read(images).float()
