"""Points and their weights as callers of scikit-learn's estimators give them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, validate_data

from .._arrays.libraries import HOST, NUMPY, Place
from ..backends import library_of, place_of


def points_of(estimator: BaseEstimator, X: Any, *, reset: bool) -> np.ndarray:
    """(n, d) float32 or float64 of what scikit-learn takes; an error names the first number that is none."""
    library = library_of(X)
    if library is not NUMPY:  # tensors and CuPy's arrays, which scikit-learn takes from host memory only, detached
        X = library.to_numpy(X, "X")
    kinds = [np.float32, np.float64] if getattr(X, "dtype", None) == np.float16 else [np.float64, np.float32]
    names = getattr(X, "columns", None)
    X = validate_data(estimator, X, dtype=kinds, order="C", reset=reset, ensure_all_finite=False)
    if not np.isfinite(X.sum(dtype=np.float64)) and not np.isfinite(X).all():
        row, column = (int(place) for place in np.argwhere(~np.isfinite(X))[0])
        what = "NaN" if np.isnan(X[row, column]) else "infinity"
        where = column if names is None else repr(names[column])
        raise ValueError(f"X must be finite, got {what} in row {row}, column {where}. Leave such rows out, or impute.")
    return X


def place_of_points(X: Any) -> Place:
    """The device that points are on, or the host."""
    return place_of(X) if library_of(X).on_device(X) else HOST


def weights_of(sample_weight: Any, X: np.ndarray) -> np.ndarray:
    """(n,) float64, of points X."""
    weights = np.asarray(_check_sample_weight(sample_weight, X, dtype=np.float64))
    if weights.size and weights.min() < 0:
        row = int(np.argmin(weights))
        raise ValueError(f"sample_weight must not be negative, got {weights[row]:g} in row {row}. Use 0 for no weight.")
    return weights
