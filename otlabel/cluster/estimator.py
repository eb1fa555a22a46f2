"""``BalancedKMeans``, for scikit-learn's pipelines: one class with all that users ask of it, and so one file."""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .. import _showing
from .._arrays.libraries import HOST, Place
from .._input.bounds import bounds_of, feasible
from .._predictor import Predictor
from .._system.files import atomic
from .alternation import Clustered, Options, Points, Step, alternate, scores_of
from .centres import inertia, scale_of
from .points import place_of_points, points_of, weights_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_METRICS = ("euclidean", "cosine")
_INITS = ("k-means++", "random")
# What NumPy raises for files that are none of its own.
_DAMAGED = (
    KeyError,
    TypeError,
    AttributeError,
    ValueError,
    EOFError,
    NotImplementedError,
    OSError,
    zipfile.BadZipFile,
    zlib.error,
)
_LARGEST = 1e152  # coordinates: sums of their squares must not overflow float64
_SAVED = (
    "cluster_centers_", "sizes_", "inertia_", "gap_", "potentials_", "n_iter_", "n_features_in_", "_n_features_out",
    "_origin", "_scale", "_centres", "_prices",
)  # fmt: skip


class BalancedKMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """k-means whose clusters have the sizes that they should have, exactly.

    Labels are an optimal transport of the points to the centres (``otlabel.assign``), so for the centres that are
    returned no other labels of these sizes have a smaller inertia: ``gap_`` is the proof.

    Args:
        n_clusters: k.
        shares: (k,) of the points that each cluster gets, which sum to 1; sizes are floor or ceil of n times that.
            None: 1/k each.
        size_min: least points of each cluster, in the place of shares: a number, or of shape (k,). Default 0. Clusters
            get what suits them best between this and size_max.
        size_max: most points of each cluster, likewise. Default n.
        metric: "euclidean", or "cosine": of points and centres of length 1.
        init: "k-means++", "random", centres (k, d), or a function of points, k and a random state.
        n_init: as many starts; the one with the least inertia is kept. Given centres are one start.
        max_iter: assignments with exact sizes at most, of a start.
        tol: the alternation ends when an assignment lowers the inertia by less than this part of it.
        random_state: an int makes the result the same each time.
        verbose: 1 prints a line for every assignment.
        callback: called with a ``Step`` (phase, number, inertia, sizes) after every assignment.
        backend: as in ``otlabel.assign``.

    Attributes:
        labels_: (n,) int64.
        cluster_centers_: (k, d), in the dtype of the points.
        sizes_: (k,) int64, points a cluster.
        inertia_: sum of squared distances of the points to the centres of their clusters, times their weights.
        gap_: squared distance a point that the total is above a lower bound for any labels of these sizes: 0 but for
            rounding. Weights of points have no part in it.
        potentials_: (k,) prices: clusters of new points are the argmin of squared distance less the price.
        n_iter_: assignments of all points, soft and exact.
        history_: (assignments of all starts, 2) their number in their start, and their inertia, nan while it is soft.
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        shares: Any = None,
        size_min: Any = None,
        size_max: Any = None,
        metric: str = "euclidean",
        init: Any = "k-means++",
        n_init: int = 1,
        max_iter: int = 100,
        tol: float = 1e-4,
        random_state: Any = None,
        verbose: int = 0,
        callback: Callable[[Step], object] | None = None,
        backend: str = "auto",
    ):
        self.n_clusters = n_clusters
        self.shares = shares
        self.size_min = size_min
        self.size_max = size_max
        self.metric = metric
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose
        self.callback = callback
        self.backend = backend

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Cluster the points.

        Args:
            X: (n, d) numbers; float32 and float64 are worked on as they are. Of a CUDA tensor or a CuPy array the
                assignments are solved on its device; means are taken on the host, which holds the points too.
            y: not used.
            sample_weight: (n,) of the points in means and inertia; sizes count points, whatever they weigh.

        Raises:
            ValueError: fewer points than clusters, NaN or infinity, parameters out of their range.
            MemoryError: what competes for the clusters does not fit: many points that are the same, or nearly.
        """
        place = place_of_points(X)
        X = points_of(self, X, reset=True)
        self.check_parameters(len(X))
        weights = weights_of(sample_weight, X)
        # Squared distances far from the origin are small differences of large numbers; others a float may not hold.
        is_flat = self.metric == "euclidean"
        self._origin = X.mean(axis=0, dtype=np.float64) if is_flat else np.zeros(X.shape[1])
        self._scale = scale_of(X, self._origin) if is_flat else 1.0
        if not self._scale < _LARGEST:
            raise ValueError(f"X must be below {_LARGEST:.0e} in size, got {self._scale:.0e}. Rescale it.")
        options, random = self._options(place), check_random_state(self.random_state)
        points = Points(self._placed(X), weights, options)
        best: Clustered | None = None
        self._steps: list[tuple[int, float]] = []
        for _ in range(self.n_init if isinstance(self.init, str) or callable(self.init) else 1):
            try:
                found = alternate(points, options, random)
            except MemoryError as error:
                raise MemoryError(
                    f"{len(X):,} points in {self.n_clusters:,} clusters take too much memory: "
                    f"{str(error).partition('. ')[0]}. "
                    "Many points may be the same, or nearly, whose clusters are all as near. Leave those out, or fit a "
                    "sample and let predict label the rest."
                ) from error
            except KeyboardInterrupt:  # before this start had labels
                if best is None:
                    raise
                break
            best = found if best is None or found.inertia < best.inertia else best
            if found.interrupted:
                break
        assert best is not None  # n_init is 1 or more
        self._centres, self._prices = best.centres, best.prices
        self.cluster_centers_ = (best.centres.astype(np.float64) * self._scale + self._origin).astype(X.dtype)
        self.inertia_, self.gap_, self.potentials_ = (
            self._scale**2 * each for each in (best.inertia, best.gap, best.prices)
        )
        self.labels_, self.n_iter_ = best.labels, best.steps
        self.sizes_ = np.bincount(best.labels, minlength=self.n_clusters)
        self.history_ = np.array(self._steps, dtype=np.float64).reshape(-1, 2)
        del self._steps
        self._n_features_out = self.n_clusters
        return self

    def predict(self, X: Any, balanced: bool = False) -> np.ndarray:
        """The clusters of other points.

        Args:
            X: (m, d).
            balanced: whether these points too are to have the shares or bounds of ``fit``, exactly. Else each gets the
                nearest centre by squared distance less ``potentials_``, whatever others get.

        Returns:
            (m,) int64.
        """
        points = self._points(X)
        if balanced:
            of_points = Points(points, np.ones(len(points)), self._options())
            _, epsilon = of_points.temperatures(self._centres)
            return of_points.labelled(self._centres, epsilon, None, exact=True).labels
        return Predictor(self._prices, 1.0).predict(scores_of(points, self._centres))

    def transform(self, X: Any) -> np.ndarray:
        """(m, k) distances of points (m, d) to the centres."""
        return self._scale * euclidean_distances(self._points(X), self._centres)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the inertia of points (m, d) with the clusters that ``predict`` gives them."""
        points, labels = self._points(X), self.predict(X)
        return -(self._scale**2) * inertia(points, labels, weights_of(sample_weight, points), self._centres)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what was learned to an .npz file, atomically and without pickle; ``load`` reads it.

        ``labels_`` is left out, and so are a callback, and an ``init`` that is no word.

        Raises:
            OSError: the file cannot be written; what was there before still is.
        """
        check_is_fitted(self)
        given = self.get_params() | {"callback": None}
        given["init"] = given["init"] if isinstance(given["init"], str) else "k-means++"
        if not isinstance(given["random_state"], Integral):
            given["random_state"] = None
        arrays = {name: np.asarray(getattr(self, name)) for name in _SAVED}
        arrays["names"] = np.array(getattr(self, "feature_names_in_", []), dtype=str)
        arrays |= {
            "kind": np.array(type(self).__name__),
            "params": np.array(json.dumps(given, default=lambda value: value.tolist())),
        }
        with atomic(path) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """What ``save`` wrote.

        Raises:
            ValueError: the file holds something else.
            OSError: it cannot be opened.
        """
        raw = io.BytesIO(Path(path).read_bytes())  # what is wrong from here on is the content, not the disk
        try:
            with np.load(raw, allow_pickle=False) as file:
                if str(file["kind"]) != cls.__name__:
                    raise KeyError("kind")
                model = cls(**json.loads(str(file["params"])))
                for name in _SAVED:
                    setattr(model, name, file[name] if file[name].ndim else file[name].item())
                if len(file["names"]):
                    model.feature_names_in_ = file["names"].astype(object)
        except _DAMAGED as error:
            raise ValueError(f"{path} must be what {cls.__name__}.save wrote: {error}. Save it anew.") from None
        return model

    def _points(self, X: Any) -> np.ndarray:
        """Points (m, d) of a caller, as those of ``fit`` were placed."""
        check_is_fitted(self)
        return self._placed(points_of(self, X, reset=False))

    def _placed(self, X: np.ndarray) -> np.ndarray:
        """Around the origin, in a unit that suits them, or at length 1."""
        points = np.empty_like(X)
        if self.metric == "euclidean":
            np.subtract(X, self._origin, out=points, casting="same_kind")
            points /= X.dtype.type(self._scale)
            return points
        lengths = np.linalg.norm(X, axis=1, keepdims=True)
        points[:] = X
        return np.divide(X, lengths, out=points, where=lengths > 0)

    def _options(self, place: Place = HOST) -> Options:
        given = not isinstance(self.init, str) and not callable(self.init)
        return Options(
            k=self.n_clusters,
            shares=None if self.shares is None else np.asarray(self.shares, dtype=np.float64),
            bounds=self._bounds(),
            on_sphere=self.metric == "cosine",
            init=(np.asarray(self.init, dtype=np.float64) - self._origin) / self._scale if given else self.init,
            max_iter=self.max_iter,
            tol=self.tol,
            backend=self.backend,
            place=place,
            callback=self._tell,
        )

    def _bounds(self) -> tuple[np.ndarray, np.ndarray] | None:
        if self.size_min is None and self.size_max is None:
            return None
        least, most = bounds_of(self.size_min, self.size_max, 1, self.n_clusters)
        return least[0], most[0]

    def _tell(self, step: Step) -> None:
        step = step._replace(inertia=self._scale**2 * step.inertia)
        self._steps.append((step.number, step.inertia))
        if self.callback is not None:
            self.callback(step)
        if self.verbose:
            sizes = f"sizes {step.sizes.min()} to {step.sizes.max()}"
            print(f"{step.number}, {step.phase}: inertia {step.inertia:.6g}, {sizes}")

    def plot(self) -> Figure:
        """A matplotlib figure: points of each cluster, and the inertia of every exact assignment of ``fit``.

        Raises:
            ImportError: matplotlib is not installed.
        """
        check_is_fitted(self)
        steps = getattr(self, "history_", np.zeros((0, 2)))  # a model that was loaded has none
        exact = steps[np.isfinite(steps[:, 1])]
        figure, (left, *right) = _showing.axes(2 if len(exact) else 1)
        _showing.draw_sizes(left, self.sizes_)
        if right:
            _showing.draw_line(right[0], exact[:, 0], exact[:, 1], "assignment, soft ones before not shown", "inertia")
        return figure

    def check_parameters(self, n: int) -> None:
        """Raise ValueError if a parameter is out of its range, for n points."""
        for name in ("n_clusters", "n_init", "max_iter"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a whole number, 1 or more, got {value!r}.")
        if self.n_clusters > n:
            raise ValueError(
                f"n_clusters must be at most the number of points, got n_clusters={self.n_clusters} and n_samples={n}. "
                "Ask for fewer clusters."
            )
        if self.metric not in _METRICS:
            raise ValueError(f"metric must be one of {', '.join(_METRICS)}, got {self.metric!r}.")
        if isinstance(self.init, str) and self.init not in _INITS:
            raise ValueError(f"init must be one of {', '.join(_INITS)}, centres or a function, got {self.init!r}.")
        if (bounds := self._bounds()) is not None:
            if self.shares is not None:
                raise ValueError(
                    "shares and size_min, size_max both say how many points clusters get: pass shares or bounds, not "
                    "both."
                )
            feasible(*bounds, (n, n))
        if self.shares is not None:
            shares = np.asarray(self.shares, dtype=np.float64)
            if shares.shape != (self.n_clusters,):
                raise ValueError(f"shares must be {self.n_clusters} numbers, one a cluster, got shape {shares.shape}.")
            if not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
                raise ValueError(
                    f"shares must be positive and sum to 1, got a least of {shares.min():g} and a sum of "
                    f"{shares.sum():g}. Pass shares / shares.sum(), without clusters that get nothing."
                )
        if not isinstance(self.tol, Real) or not self.tol >= 0:
            raise ValueError(f"tol must be a number, 0 or more, got {self.tol!r}.")
