"""What `cluster` and `label` have learned, in .npz files without pickle."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._input.bounds import NO_LIMIT
from .._predictor import Predictor, predictor_in
from .._system.files import atomic
from ..cluster import BalancedKMeans
from .files import UnreadableError
from .vectors import Vectors


class OfScores(NamedTuple):
    """A model of `label`."""

    predictor: Predictor
    names: list[str]  # of the columns of scores, or none
    bounds: dict[str, Any]  # (k,) size_min and size_max, or none


def save_of_scores(path: Path, model: OfScores) -> None:
    """``Predictor.load`` reads it too."""
    learned = model.predictor
    arrays = {"potentials": learned.potentials, "epsilon": np.array(learned.epsilon), "b": np.asarray(learned.shares)}
    arrays |= {"names": np.array(model.names, dtype=str)} | model.bounds
    with atomic(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def save_of_clusters(path: Path, model: BalancedKMeans, names: list[str] | None) -> None:
    if names is not None:
        model.feature_names_in_ = np.array(names, dtype=object)
    model.save(path)


def load(path: Path) -> BalancedKMeans | OfScores:
    """What either has saved.

    Raises:
        UnreadableError: the file holds something else.
        OSError: it cannot be opened.
    """
    try:
        return BalancedKMeans.load(path)
    except ValueError:
        pass
    try:
        predictor, stored = predictor_in(path, "otlabel label")
    except ValueError:
        raise UnreadableError(f"{path} must be what `otlabel cluster` or `otlabel label` saved with --model.") from None
    if predictor.potentials.ndim != 1:
        raise UnreadableError(f"{path} has several heads: use Assignment.predict, or save one of them.")
    names = stored.get("names", np.array([], dtype=str)).tolist()
    return OfScores(predictor, names, {name: stored[name] for name in ("size_min", "size_max") if name in stored})


def as_learned(vectors: Vectors, model: BalancedKMeans | OfScores) -> Vectors:
    """The vectors with their columns in the order in which the model knows them.

    Raises:
        UnreadableError: they are not those of the model.
    """
    if isinstance(model, BalancedKMeans):
        known = list(model.__dict__.pop("feature_names_in_", []))  # else scikit-learn wants them in every call
        width = model.n_features_in_
    else:
        known, width = model.names, len(model.predictor.potentials)
    if known and vectors.names is not None and vectors.names != known:
        lacking = [name for name in known if name not in vectors.names]
        if lacking:
            raise UnreadableError(
                f"the columns must be those of the model, {known[0]} to {known[-1]}: {lacking[0]!r} is missing."
            )
        more = [name for name in vectors.names if name not in known]
        if more:
            raise UnreadableError(
                f"the columns must be those of the model, {known[0]} to {known[-1]}, but {more[0]!r} is none of them. "
                "Say --columns."
            )
        order = [vectors.names.index(name) for name in known]
        vectors = dataclasses.replace(vectors, matrix=vectors.matrix[:, order], names=known)
    if vectors.matrix.shape[1] != width:
        raise UnreadableError(
            f"the vectors must be as long as those of the model, {width} numbers, got {vectors.matrix.shape[1]}."
        )
    return vectors


def bounds_of_scores(size_min: Any, size_max: Any, k: int) -> dict[str, Any]:
    """(k,) each, as far as they were given."""
    given = {"size_min": size_min, "size_max": size_max}
    return {name: np.minimum(np.broadcast_to(value, k), NO_LIMIT) for name, value in given.items() if value is not None}
