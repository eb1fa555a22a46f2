"""What the labels and features are worth, where ground truth exists: scikit-learn's scores by their full names.

scikit-learn is imported where it is needed: that takes a second, which --help should not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

NEIGHBOURS, TEMPERATURE = 10, 0.1  # the paper's weighted kNN: cosine, weight exp(similarity / 0.1)


def weighted_knn(features: Tensor, classes: Tensor, test: tuple[Tensor, Tensor] | None) -> float:
    """Accuracy in percent of a weighted vote of the 10 nearest training images by cosine similarity.

    Args:
        features: (n, width) of the training images, with their classes (n,).
        test: features and classes to classify, or None: each training image by the others (leave one out).
    """
    from sklearn.neighbors import NearestNeighbors

    neighbours = min(NEIGHBOURS, len(features) - (test is None))
    search = NearestNeighbors(n_neighbors=neighbours, metric="cosine").fit(features.numpy())
    queries, truth = (None, classes) if test is None else (test[0].numpy(), test[1])
    distance, neighbour = search.kneighbors(queries)
    weight = np.exp((1 - distance) / TEMPERATURE)
    known = classes.numpy()[neighbour]
    votes = np.stack([(weight * (known == c)).sum(axis=1) for c in range(int(classes.max()) + 1)], axis=1)
    return float(100 * np.mean(votes.argmax(axis=1) == truth.numpy()))


def agreement(labels: Tensor, other: Tensor) -> dict[str, float]:
    """Mean over heads of NMI and AMI, in percent.

    Args:
        labels: (n, heads).
        other: (n, heads) or (n,), such as ground truth.
    """
    from sklearn.metrics import adjusted_mutual_info_score

    return {"nmi": nmi(labels, other), "ami": _mean(adjusted_mutual_info_score, labels, other)}


def nmi(labels: Tensor, other: Tensor) -> float:
    """Mean over heads of the normalised mutual information, in percent; arguments as for ``agreement``."""
    from sklearn.metrics import normalized_mutual_info_score

    return _mean(normalized_mutual_info_score, labels, other)


def _mean(score: Callable[[np.ndarray, np.ndarray], float], labels: Tensor, other: Tensor) -> float:
    columns = other.T if other.ndim == 2 else [other] * labels.shape[1]
    return float(100 * np.mean([score(a.numpy(), b.numpy()) for a, b in zip(labels.T, columns, strict=True)]))
