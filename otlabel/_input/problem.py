"""What the caller asked for, checked, with the rule, the value and the remedy where it is wrong."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays.libraries import Place
from .._arrays.score_source import ScoreSource
from ..backends import library_of, place_of
from .bounds import bounds_of
from .coverage import WithNone
from .finite import LARGEST, check_finite
from .known import Held, check_allowed, known_of
from .reach import Reach, WithBlanks, rows_of_block
from .sources import as_heads, as_source, forbidden_where_masked, kept

ROUNDINGS = ("balanced", "argmax")
METHODS = ("lbfgs", "sinkhorn")


@dataclass(frozen=True)
class Problem:
    """A checked labelling problem. ``scores`` may be views of the caller's array, the rest is in host memory."""

    scores: list[ScoreSource]  # of each head: (n, k) of any real dtype; what is computed may be in memory
    sources: list[ScoreSource]  # the same, as the caller gave them
    shape: tuple[int, int, int]  # h, n, k; one label more where coverage is given
    has_heads: bool  # whether the caller's scores had the axis h
    largest: float  # of |scores| but -inf
    forbids: bool  # whether there are scores of -inf
    reach: Reach | None  # where there are, once shares are settled; not of shards
    epsilon: float
    a: np.ndarray  # (n,) float64, sums to 1
    known: np.ndarray | None  # (n,) int64: labels that items keep, -1 for none
    held: Held  # by those; of all processes once they are merged
    lost: list[np.ndarray]  # of each head: rows that do not count, and that have no label
    coverage: float | None  # of the items, those that get a label
    b: np.ndarray  # (h, k) float64, rows sum to 1; with bounds equal shares of the labels that may have items
    bounds: tuple[np.ndarray, np.ndarray] | None  # (h, k) int64 each: least and most items a label, in the place of b
    init: np.ndarray  # (h, k) float64
    tol: float
    max_sweeps: int
    method: str
    place: Place  # where labels go

    def without(self, lost: list[np.ndarray]) -> Problem:
        """The same where some rows of each head, which do not count, have no label."""
        if not any(len(rows) for rows in lost):
            return self
        blank = [
            [WithBlanks(source, rows) if len(rows) else source for source, rows in zip(sources, lost, strict=True)]
            for sources in (self.scores, self.sources)
        ]
        return dataclasses.replace(self, scores=blank[0], sources=blank[1], lost=lost)

    @property
    def free(self) -> np.ndarray:
        """(n,) float64: a, without the items whose labels are known, as parts of what is left of it."""
        if self.known is None:
            return self.a
        return np.where(self.known < 0, self.a, 0.0) / (1 - self.held.weights.sum())


def problem_of(
    logits: Any,
    k: int | None,
    *,
    epsilon: float,
    a: Any,
    b: Any,
    size_min: Any,
    size_max: Any,
    known: Any,
    coverage: float | None,
    rounding: str,
    tol: float,
    max_sweeps: int,
    method: str,
    init: Any,
    is_shard: bool = False,
) -> Problem:
    """Validate the arguments of ``assign``; raise ValueError or TypeError with rule, value and remedy.

    With ``is_shard``, what only all shards together can break is left to ``Shards.merge``.
    """
    _check_choice("rounding", rounding, ROUNDINGS)
    _check_choice("method", method, METHODS)
    epsilon = _positive("epsilon", epsilon, "SeLa uses 1/25 on ImageNet and 1/10 on CIFAR")
    tol = _positive("tol", tol, "the default is 1e-4")
    if not isinstance(max_sweeps, int | np.integer) or max_sweeps < 1:
        raise ValueError(f"max_sweeps must be an integer of at least 1, got {max_sweeps!r}.")

    scores = as_scores(logits)
    n, width = scores.shape[-2:]
    if k is not None and k != width:
        raise ValueError(
            f"k must equal the number of columns of logits: k={k}, but logits has shape {tuple(scores.shape)}. "
            "Pass one score per label, or leave k out."
        )
    sources = as_heads(scores)
    heads = [kept(source) for source in sources]
    h, has_heads = len(heads), len(scores.shape) == 3
    largest, forbids = check_finite(heads, epsilon)
    labels = None
    if known is not None:
        labels = _known(known, heads, width, has_heads, forbids)
    if coverage is not None:
        coverage = _coverage(coverage)
    has_bounds = size_min is not None or size_max is not None
    weights = np.full(n, 1.0 / n) if a is None else _shares("a", a, (n,), "row weights")
    if a is not None and not is_shard:
        weights = check_total("a", weights, "row weights", "a / a.sum()")
        if has_bounds:
            check_equal_weights(weights)
    bounds = None
    if has_bounds:
        if b is not None:
            raise ValueError(
                "b and size_min, size_max both say how many items labels get: pass shares (b) or bounds, not both."
            )
        bounds = bounds_of(size_min, size_max, h, width)
        b = (bounds[1] > 0) / np.maximum((bounds[1] > 0).sum(axis=1, keepdims=True), 1)
    shares = np.full((h, width), 1.0 / width) if b is None else _per_head("b", b, h, width)
    if b is not None:
        remedy = "b / b.sum(-1, keepdims=True)"
        checked = (_shares("b", row, (width,), "label shares") for row in shares)
        shares = np.stack([check_total("b", row, "label shares", remedy) for row in checked])
    may_be_full = bounds is not None or labels is not None  # then labels have been out of use that need not be now
    start = np.zeros((h, width)) if init is None else _potentials(init, h, width, shares, may_be_full)
    if coverage is not None:
        heads = [WithNone(source, epsilon).kept() for source in heads]
        sources = [WithNone(source, epsilon) for source in sources]
        start = np.pad(start, ((0, 0), (0, 1)))
        largest = 2 * largest + epsilon * float(np.log(width))
    shape = (h, n, width + (coverage is not None))
    return Problem(
        heads,
        sources,
        shape,
        has_heads,
        largest,
        forbids,
        None,
        epsilon,
        weights,
        labels,
        Held.by(labels, weights, width),
        [np.zeros(0, dtype=np.int64) for _ in heads],
        coverage,
        shares,
        bounds,
        start,
        tol,
        int(max_sweeps),
        method,
        place_of(logits),
    )


def _known(value: Any, heads: list[ScoreSource], k: int, has_heads: bool, forbids: bool) -> np.ndarray:
    if has_heads:
        raise ValueError(
            "known takes scores (n, k): with heads it would be another label in each. Assign one head after the other."
        )
    known = known_of(value, heads[0].shape[0], k)
    if forbids:
        check_allowed(known, heads[0], rows_of_block(heads))
    return known


def _coverage(value: Any) -> float | None:
    """The share of the items that get labels; None if that is all of them."""
    number = _positive("coverage", value, "0.8 labels the surest 80 % of the items")
    if number > 1:
        raise ValueError(f"coverage must be at most 1, all items, got {value!r}.")
    return number if number < 1 else None


def as_scores(logits: Any) -> Any:
    """The scores as an array (n, k) or (h, n, k), not copied where the library allows it, or as a source (n, k)."""
    if isinstance(logits, list | tuple) and any(isinstance(part, np.ma.MaskedArray) for part in logits):
        logits = np.ma.stack(logits)  # NumPy's own would drop the masks
    source = as_source(logits)
    if source is not None and not source.in_memory:
        _check_source(source)
    if isinstance(logits, np.ma.MaskedArray):
        logits = forbidden_where_masked(logits)
    array = library_of(logits).array(logits, "logits") if source is None else source
    if len(array.shape) not in ((2, 3) if source is None else (2,)):
        raise ValueError(
            f"logits must have shape (n, k), or (h, n, k) for h heads, got shape {tuple(array.shape)}. "
            "One row per item, one column per label."
        )
    if 0 in array.shape:
        raise ValueError(f"logits must have at least one item and one label, got shape {tuple(array.shape)}.")
    return array


def _check_source(source: ScoreSource) -> None:
    """Raise ValueError or TypeError if a source does not keep to its protocol, as its first row shows."""
    name, shape = type(source).__name__, tuple(getattr(source, "shape", ()))
    if len(shape) != 2 or not all(isinstance(size, int | np.integer) for size in shape):
        raise ValueError(
            f"a ScoreSource must have a shape (n, k) of whole numbers, but {name}.shape is {shape}. Set it."
        )
    if 0 in shape:
        return  # said with all others that are empty
    row = source[:1]
    if not hasattr(row, "dtype") or tuple(row.shape) != (1, shape[1]):
        raise TypeError(
            f"rows of a ScoreSource must be arrays (m, {shape[1]}), but {name}.rows(slice(0, 1)) gives "
            f"{type(row).__name__} of shape {np.shape(row)}. Let rows return an array, a row an item."
        )


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")


def _positive(name: str, value: Any, hint: str) -> float:
    try:
        number = float("nan") if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 1 / LARGEST < number < LARGEST:
        raise ValueError(
            f"{name} must be a positive number from {1 / LARGEST:.0e} to {LARGEST:.0e}, got {value!r}; {hint}."
        )
    return number


def _shares(name: str, value: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    array = library_of(value).to_numpy(value, name).astype(np.float64)
    if array.shape != shape:
        raise ValueError(f"{name} ({what}) must have shape {shape}, got {array.shape}.")
    bad = ~(np.isfinite(array) & (array >= 0))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise ValueError(f"{name} ({what}) must be finite and non-negative, got {name}[{first}] = {array[first]}.")
    return array


def check_total(name: str, array: np.ndarray, what: str, remedy: str) -> np.ndarray:
    """The array, summing to 1 exactly; ValueError if it does not nearly."""
    total = array.sum()
    if abs(total - 1.0) > 1e-6:
        raise ValueError(f"{name} ({what}) must sum to 1 within 1e-6, got {total:.9g}. Pass {remedy}.")
    return array / total


def _per_head(name: str, value: Any, h: int, k: int) -> np.ndarray:
    array = library_of(value).to_numpy(value, name).astype(np.float64)
    if array.shape not in ((k,), (h, k)):
        raise ValueError(f"{name} must have shape ({k},), or ({h}, {k}) for one row per head, got {array.shape}.")
    return np.broadcast_to(array, (h, k))


def _potentials(init: Any, h: int, k: int, shares: np.ndarray, may_be_full: bool) -> np.ndarray:
    start = _per_head("init", init, h, k)
    if may_be_full:
        start = np.where(np.isneginf(start), 0.0, start)
    bad = ~(np.abs(start) < LARGEST) & (shares > 0)
    if bad.any():
        head, label = (int(axis[0]) for axis in np.nonzero(bad))
        raise ValueError(
            f"init must be finite and below {LARGEST:.0e} for every label in use, got {start[head, label]} "
            f"for label {label}. Pass the potentials of an earlier Assignment, or leave init out."
        )
    return start


def are_equal(a: np.ndarray) -> bool:
    """Whether all positive weights are the same."""
    positive = a[a > 0]
    return bool(np.ptp(positive) <= 1e-9 * positive[0])


def check_equal_weights(a: np.ndarray) -> None:
    """Raise ValueError if the positive weights differ."""
    if not are_equal(a):
        positive = a[a > 0]
        raise ValueError(
            "size_min and size_max count items, so the positive weights in a must be equal, got weights from "
            f"{positive.min():.3g} to {positive.max():.3g}. Use shares, b, for weighted items."
        )
