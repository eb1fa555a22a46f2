"""What labels are worth, where ground truth exists: scikit-learn's scores, in percent.

scikit-learn is imported where it is needed: that takes a second, which --help should not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

OTHER_IMAGES = "majority-label accuracy, other images"


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


def clustering(labels: Tensor, classes: Tensor, k: int, test: tuple[Tensor, Tensor] | None = None) -> dict[str, float]:
    """Every score of one labelling by its full name, in percent.

    Purity is the share of images whose class is the most frequent one of their label. Majority-label accuracy is the
    same of other images, which had no say in which class that is; a label that no image has is wrong. Hungarian
    accuracy, only where k is at most the number of classes: the best one-to-one match.

    Args:
        labels: (n,) of one head, below k, with the classes (n,).
        test: labels and classes of other images.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn import metrics

    found, truth = labels.numpy(), classes.numpy()
    table = np.zeros((k, int(classes.max()) + 1))
    np.add.at(table, (found, truth), 1)
    scores = {
        "normalised mutual information (NMI)": metrics.normalized_mutual_info_score(truth, found),
        "adjusted mutual information (AMI)": metrics.adjusted_mutual_info_score(truth, found),
        "adjusted Rand index (ARI)": metrics.adjusted_rand_score(truth, found),
        "purity": table.max(axis=1).sum() / len(found),
    }
    if test is not None:
        majority = np.where(table.any(axis=1), table.argmax(axis=1), -1)
        scores[OTHER_IMAGES] = np.mean(majority[test[0].numpy()] == test[1].numpy())
    if k <= table.shape[1]:
        rows, columns = linear_sum_assignment(table, maximize=True)
        scores["Hungarian accuracy"] = table[rows, columns].sum() / len(found)
    return {name: float(100 * value) for name, value in scores.items()}
