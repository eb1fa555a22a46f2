"""``ResidualKMeans``: balanced clusters of points, then of what those left over, and so on."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .estimator import BalancedKMeans
from .points import points_of


class ResidualKMeans(BaseEstimator):
    """Residual quantisation with balanced levels: codes of several small numbers for points, and points from codes.

    Each level clusters what is left of the points when the centres of the levels before are taken off. As every
    cluster of a level has its share of the points, no code book collapses: for semantic IDs of recommenders (Rajput et
    al., NeurIPS 2023) and for compressed vectors.

    Args:
        levels: numbers in a code.
        n_clusters: k, of each level.
        init: of each level, as in ``BalancedKMeans``; so are all that follow.
        n_init: starts.
        max_iter: assignments with exact sizes at most, of a start.
        tol: the alternation ends when an assignment lowers the inertia by less than this part of it.
        random_state: an int makes the result the same each time.
        verbose: 1 prints a line for every assignment.
        backend: as in ``otlabel.assign``.

    Attributes:
        codes_: (n, levels) int64.
        cluster_centers_: (levels, k, d): a point is about the sum of its code's centres.
        sizes_: (levels, k) int64: floor or ceil of n/k.
        inertia_: (levels,) sums of squared distances that are left over after each level.
        collisions_: points whose whole code is another's too.
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.
    """

    def __init__(
        self,
        levels: int = 3,
        n_clusters: int = 256,
        *,
        init: Any = "k-means++",
        n_init: int = 1,
        max_iter: int = 100,
        tol: float = 1e-4,
        random_state: Any = None,
        verbose: int = 0,
        backend: str = "auto",
    ):
        self.levels = levels
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose
        self.backend = backend

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the centres of all levels.

        Args:
            X: (n, d) numbers.
            y: not used.

        Raises:
            ValueError: as ``BalancedKMeans.fit``, or fewer than one level.
        """
        if isinstance(self.levels, bool) or not isinstance(self.levels, int | np.integer) or self.levels < 1:
            raise ValueError(f"levels must be a whole number, 1 or more, got {self.levels!r}.")
        left = points_of(self, X, reset=True).copy()
        random = check_random_state(self.random_state)
        self._models = []
        for _ in range(self.levels):
            model = BalancedKMeans(
                self.n_clusters,
                init=self.init,
                n_init=self.n_init,
                max_iter=self.max_iter,
                tol=self.tol,
                random_state=random,
                verbose=self.verbose,
                backend=self.backend,
            ).fit(left)
            left -= model.cluster_centers_[model.labels_]
            self._models.append(model)
        self.codes_ = np.stack([model.labels_ for model in self._models], axis=1)
        self.cluster_centers_ = np.stack([model.cluster_centers_ for model in self._models])
        self.sizes_ = np.stack([model.sizes_ for model in self._models])
        self.inertia_ = np.array([model.inertia_ for model in self._models])
        _, counts = np.unique(self.codes_, axis=0, return_counts=True)
        self.collisions_ = int(counts[counts > 1].sum())
        for model in self._models:
            del model.labels_  # codes_ has them
        return self

    def fit_predict(self, X: Any, y: Any = None) -> np.ndarray:
        """``codes_`` of the points that are fitted."""
        return self.fit(X).codes_

    def predict(self, X: Any) -> np.ndarray:
        """(m, levels) int64: codes of points (m, d), at each level ``BalancedKMeans.predict`` of what is left over."""
        check_is_fitted(self)
        left = points_of(self, X, reset=False).copy()
        codes = np.empty((len(left), len(self._models)), dtype=np.int64)
        for level, model in enumerate(self._models):
            codes[:, level] = model.predict(left)
            left -= model.cluster_centers_[codes[:, level]].astype(left.dtype, copy=False)
        return codes

    def decode(self, codes: Any) -> np.ndarray:
        """(m, d): the points that codes (m, levels or fewer) stand for; fewer levels, a coarser point.

        Raises:
            ValueError: numbers that are no code.
        """
        check_is_fitted(self)
        codes = np.asarray(codes)
        levels, k, _ = self.cluster_centers_.shape
        if codes.ndim != 2 or not 1 <= codes.shape[1] <= levels or codes.dtype.kind not in "iu":
            raise ValueError(
                f"codes must be whole numbers of shape (m, 1 to {levels}), got {codes.dtype} of shape {codes.shape}."
            )
        if codes.size and (codes.min() < 0 or codes.max() >= k):
            raise ValueError(f"codes must be 0 to {k - 1}, got {codes.min()} to {codes.max()}.")
        return sum(self.cluster_centers_[level][codes[:, level]] for level in range(codes.shape[1]))
