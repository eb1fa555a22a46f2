"""What the explorer shows: items and their labels, and whatever is known of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


class Thumbnails(Protocol):
    """Pictures of the items, on sheets of ``side`` x ``side``."""

    side: int

    def sheets(self, order: np.ndarray) -> Iterator[bytes]:
        """Files of WebP: the pictures of items ``order``, row by row, a sheet at a time."""


@dataclass(frozen=True)
class Contents:
    """Items and their labels.

    Args:
        names: (n,) of the items: file names, ids.
        labels: (n, heads) from 0.
        k: labels of a head.
        confidence: (n, heads) at most 1, nan where nobody knows; None: of none.
        no_label: the number of the label that items without one have, of all heads; None: all have one.
        values: what the labels of each head are called in the table they came from; None: their numbers.
        classes: (n,) of the items, -1: not known; None: of none.
        class_names: of the classes.
        centres: of each head (k, d): clusters of similar directions are near; None: nobody knows.
        history: earlier labels (n,) of head 0, oldest first, and when they were made; the last are today's.
        thumbnails: pictures of the items.
        cluster_names: by head and label, "0/12".
        items: what they are called, in the plural.
    """

    title: str
    names: Sequence[str]
    labels: np.ndarray
    k: int
    confidence: np.ndarray | None = None
    no_label: int | None = None
    values: Sequence[Sequence[str]] | None = None
    classes: np.ndarray | None = None
    class_names: Sequence[str] = ()
    centres: Sequence[np.ndarray] | None = None
    history: Sequence[tuple[str, np.ndarray]] = ()
    thumbnails: Thumbnails | None = None
    cluster_names: dict[str, str] = field(default_factory=dict)
    items: str = "items"

    @property
    def order(self) -> np.ndarray:
        """(n,) items by label and, among those of one, by confidence: what is looked at together lies together."""
        sure = np.zeros(len(self.labels)) if self.confidence is None else np.nan_to_num(self.confidence[:, 0], nan=-9.0)
        return np.lexsort((-sure, self.labels[:, 0]))

    @property
    def key(self) -> str:
        """Of these items with these labels: what a browser keeps for them is not for others."""
        digest = hashlib.sha256("\n".join(self.names).encode("utf-8", "surrogateescape"))
        digest.update(np.ascontiguousarray(self.labels, dtype=np.int64).tobytes())
        return digest.hexdigest()[:16]


def called(values: Sequence[Sequence[str]]) -> dict[str, str]:
    """Names by head and label, "0/12", of those that ``Contents.values`` do not call by their numbers."""
    return {
        f"{head}/{label}": value
        for head, own in enumerate(values)
        for label, value in enumerate(own)
        if value not in ("", str(label))
    }


def named(rows: Iterable[tuple[str, str, str]], values: Sequence[Sequence[str]] | None) -> dict[str, str]:
    """Names by head and label, "0/12", of a table that the page has saved.

    Args:
        rows: head, label as ``values`` call it, and name; of labels that there are not, nobody's.
        values: as ``Contents.values``.
    """
    if values is None:
        return {f"{head}/{label}": name for head, label, name in rows}
    place = {(str(head), value): label for head, own in enumerate(values) for label, value in enumerate(own)}
    return {f"{head}/{place[head, label]}": name for head, label, name in rows if (head, label) in place}
