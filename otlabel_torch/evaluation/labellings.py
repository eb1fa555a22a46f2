"""What labels are worth against the classes, and k-means of the features to compare them with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from ..labels.kmeans import kmeans
from .metrics import OTHER_IMAGES, clustering
from .subject import Subject

Scores = dict[str, dict[str, float]]  # of each layer or labelling, every number by its full name

STARTS = 3  # of k-means
HEAD = "head "


@dataclass(frozen=True)
class RunLabels:
    """Labels that a run has made."""

    labels: Tensor  # (n, heads) int64, of the images it was trained on
    classes: Tensor  # (n,) of those images
    k: int
    others: Tensor | None  # (m, heads) of the validation images, None where the run cannot label them


def label_scores(subject: Subject, own: RunLabels | None) -> Scores:
    """Of every head, their mean, and k-means of the features with as many labels, and as many as classes.

    Args:
        own: None: there are no labels but those of k-means.
    """
    scores: Scores = {}
    counts = {len(subject.train.class_names)}
    if own is not None:
        counts.add(own.k)
        for head in range(own.labels.shape[1]):
            others = None if own.others is None else own.others[:, head]
            scores[f"{HEAD}{head}"] = _worth(subject, own.labels[:, head], own.classes, own.k, others)
        names = list(scores[f"{HEAD}0"])
        scores["mean over heads"] = {n: float(np.mean([row[n] for row in scores.values()])) for n in names}
    features, queries = (None if values is None else F.normalize(values, dim=1) for values in subject.features)
    for count in sorted(counts):
        assert features is not None
        labels, others = kmeans(features, count, subject.seed, starts=STARTS, in_batches=False, others=queries)
        name = f"k-means of the features, {count} clusters"
        scores[name] = _worth(subject, labels, subject.train.truth, count, others)
    return scores


def _worth(subject: Subject, labels: Tensor, truth: Tensor, k: int, others: Tensor | None) -> dict[str, float]:
    """Every score of labels (n,) of images of classes (n,); majority classes are tried on the validation images.

    Args:
        others: labels of the validation images, None where the network gives them none. Where there are no validation
            images, a fifth of the labelled ones is held out from the majorities, and from nothing else.
    """
    if subject.test is not None:
        return clustering(labels, truth, k, None if others is None else (others, subject.test.truth))
    scores = clustering(labels, truth, k)
    learned, held = subject.parts(len(labels))
    tried = clustering(labels[learned], truth[learned], k, (labels[held], truth[held]))
    return scores | {OTHER_IMAGES: tried[OTHER_IMAGES]}
