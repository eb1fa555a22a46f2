"""``BalancedKMeans`` as scikit-learn's users meet it."""

from __future__ import annotations

import contextlib
import pickle
import re

import numpy as np
import pandas
import pytest
import torch
import zarr
from scipy.optimize import linear_sum_assignment
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from otlabel.cluster import BalancedKMeans, Progress, alternation

# Exact sizes cannot split a point: one that weighs 2 is one point, and two that are the same are two.
EXPECTED_TO_FAIL = {
    "check_sample_weight_equivalence_on_dense_data": "sizes count points, whatever they weigh",
    "check_sample_weight_equivalence_on_sparse_data": "sizes count points, whatever they weigh",
}


@parametrize_with_checks(
    [BalancedKMeans(n_clusters=2, random_state=0)], expected_failed_checks=lambda estimator: EXPECTED_TO_FAIL
)
def test_scikit_learn_s_checks(estimator, check):
    check(estimator)


def best_total(points, centres, sizes):
    """The least sum of squared distances of any labels of these sizes, by SciPy."""
    places = np.repeat(np.arange(len(centres)), sizes)
    squares = ((points[:, None].astype(np.float64) - centres[places][None]) ** 2).sum(axis=2)
    return squares[linear_sum_assignment(squares)].sum()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "k", "d"), [(97, 5, 3), (60, 60, 2), (150, 7, 20), (31, 1, 4), (12, 11, 1)])
def test_sizes_are_exact_and_labels_the_best_for_the_centres(rng, n, k, d, dtype):
    points = (rng.normal(size=(n, d)) * rng.uniform(0.1, 100)).astype(dtype)
    model = BalancedKMeans(k, random_state=int(rng.integers(1000))).fit(points)
    assert set(model.sizes_) <= {n // k, -(-n // k)}
    np.testing.assert_array_equal(model.sizes_, np.bincount(model.labels_, minlength=k))
    assert model.cluster_centers_.dtype == dtype
    found = ((points.astype(np.float64) - model.cluster_centers_[model.labels_]) ** 2).sum()
    assert model.inertia_ == pytest.approx(found, rel=1e-4, abs=1e-9)
    assert found <= best_total(points, model.cluster_centers_, model.sizes_) * (1 + 1e-5) + 1e-9
    assert abs(model.gap_) <= 1e-6 * (model.inertia_ / n + np.square(points).mean())


def test_shares_of_clusters(rng):
    points, shares = rng.normal(size=(200, 4)), np.array([0.5, 0.3, 0.2])
    model = BalancedKMeans(3, shares=shares, random_state=0).fit(points)
    np.testing.assert_array_equal(model.sizes_, [100, 60, 40])
    np.testing.assert_array_equal(np.bincount(model.predict(points[:100], balanced=True)), [50, 30, 20])


def test_sizes_between_bounds_cost_less_than_equal_ones(rng):
    """And those of plain k-means where the bounds hold nobody; new points keep to them too."""
    points, _ = make_blobs(600, 3, centers=6, cluster_std=0.5, random_state=int(rng.integers(1000)))
    start = points[rng.choice(600, 6, replace=False)]
    inertias = []
    for bounds in ({}, dict(size_min=60, size_max=180), dict(size_max=600)):
        model = BalancedKMeans(6, init=start, random_state=0, **bounds).fit(points)
        least, most = bounds.get("size_min", 0), bounds.get("size_max", 100)
        assert model.sizes_.min() >= least
        assert model.sizes_.max() <= most
        assert abs(model.gap_) < 1e-9 * np.square(points).mean()
        nearest = model.transform(points).argmin(axis=1)
        assert (most < 600) or np.array_equal(model.labels_, nearest)
        inertias.append(((points - model.cluster_centers_[nearest]) ** 2).sum() if most == 600 else model.inertia_)
    balanced = BalancedKMeans(6, size_min=60, size_max=180, random_state=0).fit(points)
    sizes = np.bincount(balanced.predict(points[:500], balanced=True), minlength=6)
    assert sizes.min() >= 60
    assert sizes.max() <= 180
    with pytest.raises(ValueError, match="size_min must not sum to more than the 300 items"):
        balanced.predict(points[:300], balanced=True)


def test_bounds_of_many_points_hold_for_samples_in_proportion(rng, monkeypatch):
    monkeypatch.setattr(alternation, "_SAMPLED", 300)
    monkeypatch.setattr(alternation, "_SAMPLED_ITEMS", 20)
    points = np.concatenate([rng.normal(size=(3000, 2)), 0.1 * rng.normal(size=(1000, 2)) + 5])
    least, most = np.array([100, 200, 0, 700, 300]), np.array([150, 900, 4000, 701, 3000])
    model = BalancedKMeans(5, size_min=least, size_max=most, random_state=0).fit(points)
    assert (model.sizes_ >= least).all()
    assert (model.sizes_ <= most).all()
    assert abs(model.gap_) < 1e-9


def test_the_inertia_never_rises_between_exact_assignments(rng, capsys):
    points, _ = make_blobs(600, 5, centers=30, cluster_std=3.0, random_state=int(rng.integers(1000)))
    BalancedKMeans(12, random_state=0, tol=0.0, verbose=1).fit(points)
    inertias = [float(value) for value in re.findall(r"exact: inertia (\S+),", capsys.readouterr().out)]
    assert len(inertias) > 2
    assert (np.diff(inertias) <= 1e-5 * inertias[0]).all()


def test_points_far_from_the_origin(rng):
    points, _ = make_blobs(400, 6, centers=8, random_state=3)
    near, far = (BalancedKMeans(8, random_state=0).fit(points + offset) for offset in (0.0, 1e6))
    np.testing.assert_array_equal(near.labels_, far.labels_)
    assert far.inertia_ == pytest.approx(near.inertia_, rel=1e-6)
    np.testing.assert_array_equal(far.predict(points + 1e6), near.predict(points))
    np.testing.assert_allclose(far.transform(points + 1e6), near.transform(points), rtol=1e-5)
    np.testing.assert_allclose(far.cluster_centers_ - 1e6, near.cluster_centers_, atol=1e-6)


@pytest.mark.parametrize(("dtype", "scale"), [("float32", 2.0**100), ("float32", 2.0**-100), ("float64", 2.0**500)])
def test_any_unit_gives_the_same_clusters(rng, dtype, scale):
    points = rng.normal(size=(200, 3)).astype(dtype)
    one, other = (
        BalancedKMeans(5, random_state=0).fit(points * dtype_scale) for dtype_scale in (1, points.dtype.type(scale))
    )
    np.testing.assert_array_equal(one.labels_, other.labels_)
    np.testing.assert_array_equal(one.predict(points), other.predict(points * points.dtype.type(scale)))
    np.testing.assert_allclose(one.cluster_centers_ * scale, other.cluster_centers_, rtol=1e-5)
    assert other.inertia_ == pytest.approx(one.inertia_ * scale**2, rel=1e-6)


def test_cosine_takes_no_notice_of_lengths(rng):
    points = rng.normal(size=(300, 5))
    longer = points * rng.uniform(0.1, 50, size=(300, 1))
    short, long = (BalancedKMeans(6, metric="cosine", random_state=1).fit(x) for x in (points, longer))
    np.testing.assert_array_equal(short.labels_, long.labels_)
    np.testing.assert_allclose(np.linalg.norm(short.cluster_centers_, axis=1), 1.0)
    np.testing.assert_array_equal(short.predict(longer), short.predict(points))


def test_points_that_are_all_the_same_and_points_of_length_0():
    model = BalancedKMeans(4, random_state=0).fit(np.ones((50, 3)))
    assert sorted(model.sizes_) == [12, 12, 13, 13]
    assert model.inertia_ == pytest.approx(0.0, abs=1e-12)
    assert set(BalancedKMeans(4, metric="cosine", random_state=0).fit(np.zeros((8, 2))).sizes_) == {2}


def test_predict_is_the_nearest_centre_less_its_price(rng):
    points = rng.normal(size=(500, 8)).astype(np.float32)
    model = BalancedKMeans(10, random_state=0).fit(points)
    fresh = rng.normal(size=(200, 8)).astype(np.float32)
    priced = model.transform(fresh).astype(np.float64) ** 2 - model.potentials_
    ranked = np.sort(priced, axis=1)
    clear = ranked[:, 1] - ranked[:, 0] > 1e-4
    np.testing.assert_array_equal(model.predict(fresh)[clear], priced.argmin(axis=1)[clear])
    assert (model.predict(points) == model.labels_).mean() > 0.95
    balanced = model.predict(fresh, balanced=True)
    np.testing.assert_array_equal(np.bincount(balanced), np.full(10, 20))
    assert model.score(fresh) == pytest.approx(
        -(model.transform(fresh)[np.arange(200), model.predict(fresh)] ** 2).sum(), rel=1e-4
    )


def test_the_same_seed_the_same_result_and_more_starts_no_worse(rng):
    points = rng.normal(size=(300, 3))
    one, again = (BalancedKMeans(9, random_state=5).fit(points) for _ in range(2))
    np.testing.assert_array_equal(one.labels_, again.labels_)
    assert BalancedKMeans(9, random_state=5, n_init=4).fit(points).inertia_ <= one.inertia_


def test_weights_move_centres(rng):
    points, weights = rng.normal(size=(100, 2)), np.ones(100)
    weights[:10] = 50.0
    model = BalancedKMeans(4, random_state=0).fit(points, sample_weight=weights)
    assert set(model.sizes_) == {25}
    squares = ((points - model.cluster_centers_[model.labels_]) ** 2).sum(axis=1)
    assert model.inertia_ == pytest.approx(weights @ squares)
    with pytest.raises(ValueError, match=r"sample_weight must not be negative, got -1 in row 3\. Use"):
        BalancedKMeans(4).fit(points, sample_weight=np.where(np.arange(100) == 3, -1.0, 1.0))
    zero = BalancedKMeans(4, random_state=0).fit(points, sample_weight=np.where(np.arange(100) < 3, 0.0, 1.0))
    assert set(zero.sizes_) == {25}


@pytest.mark.parametrize("init", ["k-means++", "random", "array", "function"])
def test_where_centres_begin(rng, init):
    points = rng.normal(size=(120, 3))
    given = {"array": points[:6], "function": lambda x, k, random: x[random.permutation(len(x))[:k]]}.get(init, init)
    model = BalancedKMeans(6, init=given, random_state=0, n_init=2).fit(points)
    assert set(model.sizes_) == {20}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_clusters": 31}, "n_clusters must be at most the number of points, got n_clusters=31 and n_samples=30"),
        ({"n_clusters": 0}, "n_clusters must be a whole number, 1 or more, got 0"),
        ({"n_clusters": 2.0}, "n_clusters must be a whole number"),
        ({"n_init": 0}, "n_init must be"),
        ({"max_iter": True}, "max_iter must be"),
        ({"metric": "manhattan"}, "metric must be one of euclidean, cosine, got 'manhattan'"),
        ({"init": "kmeans"}, "init must be one of k-means++, random, centres or a function, got 'kmeans'"),
        ({"init": np.zeros((2, 2))}, "init must be centres of shape (3, 2)"),
        ({"init": np.full((3, 2), np.nan)}, "init must be finite"),
        ({"tol": -1}, "tol must be a number, 0 or more, got -1"),
        ({"shares": [0.5, 0.2, 0.2]}, "shares must be positive and sum to 1, got a least of 0.2 and a sum of 0.9"),
        ({"shares": [0.5, 0.5, 0.0]}, "shares must be positive"),
        ({"shares": [0.5, 0.3, 0.2], "size_min": 1}, "pass shares or bounds, not both"),
        ({"size_min": [1, 2]}, "size_min must be one number for all labels or have shape (3,)"),
        ({"shares": [0.5, 0.5]}, "shares must be 3 numbers, one a cluster, got shape (2,)"),
    ],
)
def test_what_is_wrong_is_named(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        BalancedKMeans(**({"n_clusters": 3} | options)).fit(np.random.default_rng(0).normal(size=(30, 2)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_named_by_row_and_column(rng, bad):
    points = rng.normal(size=(20, 3))
    model = BalancedKMeans(2, random_state=0).fit(points)
    points[7, 1] = bad
    what = "NaN" if np.isnan(bad) else "infinity"
    with pytest.raises(ValueError, match=f"got {what} in row 7, column 1. Leave"):
        BalancedKMeans(2).fit(points)
    with pytest.raises(ValueError, match=f"got {what} in row 7, column 1. Leave"):
        model.predict(points)
    with pytest.raises(ValueError, match=f"got {what} in row 7, column 'age'. Leave"):
        BalancedKMeans(2).fit(pandas.DataFrame(points, columns=["id", "age", "size"]))


def test_points_in_any_form(rng, tmp_path):
    points = rng.normal(size=(60, 4)).astype(np.float16)
    np.save(tmp_path / "points.npy", points)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    forms = [points, mapped, points.astype(np.float32), np.asfortranarray(points), points[::-1][::-1]]
    stored = zarr.create_array(tmp_path / "points.zarr", data=points)
    forms += [torch.from_numpy(points), torch.from_numpy(points).requires_grad_(), stored]
    forms += [points.astype(np.float64).tolist()]
    models = [BalancedKMeans(6, random_state=0).fit(form) for form in forms]
    assert models[0].cluster_centers_.dtype == np.float32
    for model in models[1:-1]:
        np.testing.assert_array_equal(model.labels_, models[0].labels_)
    assert set(models[-1].sizes_) == {10}


def test_a_cluster_that_may_have_nothing_is_out_of_use(rng):
    points = rng.normal(size=(300, 4))
    model = BalancedKMeans(4, size_max=[100, 100, 100, 0], random_state=0).fit(points)
    assert model.sizes_[3] == 0
    assert model.predict(points).max() < 3
    assert model.score(points) < 0


def test_numbers_too_large_to_be_squared_are_named(rng):
    with pytest.raises(ValueError, match=r"X must be below 1e\+152 in size, got .*\. Rescale it"):
        BalancedKMeans(4).fit(rng.normal(size=(300, 4)) * 1e300)


def test_ctrl_c_between_starts_keeps_the_best(rng, monkeypatch):
    points, calls = rng.normal(size=(300, 3)), []
    first = alternation.first_centres

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return first(*arguments)

    monkeypatch.setattr(alternation, "first_centres", interrupted)
    model = BalancedKMeans(5, n_init=4, random_state=0).fit(points)
    assert len(calls) == 3
    assert set(model.sizes_) == {60}


def test_ctrl_c_in_a_soft_step_is_followed_by_an_exact_one(rng, monkeypatch):
    def interrupted(step):
        if step.number == 3:
            raise KeyboardInterrupt

    with pytest.warns(ConvergenceWarning, match="interrupted"):
        model = BalancedKMeans(5, random_state=0, n_init=3, callback=interrupted).fit(rng.normal(size=(300, 3)))
    assert set(model.sizes_) == {60}


def test_the_callback_hears_of_every_assignment_and_a_bar_is_one(rng, capsys):
    points, steps = rng.normal(size=(300, 3)), []
    model = BalancedKMeans(6, random_state=0, callback=steps.append).fit(points)
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    exact = [step for step in steps if step.phase == "exact"]
    assert exact[-1].inertia == pytest.approx(model.inertia_)
    assert all(np.isnan(step.inertia) for step in steps if step.phase == "soft")
    with Progress() as bar:
        BalancedKMeans(6, random_state=0, callback=bar).fit(points)
    assert f"{len(steps)}assignment" in capsys.readouterr().err


def test_a_model_is_saved_without_pickle_and_comes_back_as_it_was(rng, tmp_path):
    points, file = rng.normal(size=(200, 4)).astype(np.float32) + 100, tmp_path / "model.npz"
    frame = pandas.DataFrame(points, columns=list("abcd"))
    for options in ({}, dict(size_min=10, size_max=np.full(8, 60)), dict(metric="cosine", shares=np.full(8, 0.125))):
        model = BalancedKMeans(8, random_state=0, init=points[:8], callback=print, **options).fit(frame)
        model.save(file)
        loaded = BalancedKMeans.load(file)
        np.testing.assert_array_equal(loaded.predict(frame), model.predict(frame))
        np.testing.assert_array_equal(loaded.predict(frame, balanced=True), model.predict(frame, balanced=True))
        np.testing.assert_array_equal(loaded.transform(frame), model.transform(frame))
        assert loaded.inertia_ == model.inertia_
        assert list(loaded.feature_names_in_) == list("abcd")
        assert loaded.size_min == options.get("size_min")
    model = BalancedKMeans(8, size_min=[np.int64(10)] * 8, size_max=[200] * 7 + [60], random_state=np.int64(0)).fit(
        points
    )
    model.save(file)
    assert BalancedKMeans.load(file).size_min == [10] * 8
    stored = bytearray(file.read_bytes())
    for place in rng.integers(0, len(stored), 60):  # a bit that flips is an error that says so, or does no harm
        stored[place] ^= 16
        (tmp_path / "flipped.npz").write_bytes(stored)
        with contextlib.suppress(ValueError):
            BalancedKMeans.load(tmp_path / "flipped.npz")
        stored[place] ^= 16
    (tmp_path / "empty.npz").touch()
    np.savez(tmp_path / "other.npz", kind=np.array("Predictor"))
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("other.npz", "text.npz", "empty.npz"):
        with pytest.raises(ValueError, match=r"must be what BalancedKMeans\.save wrote"):
            BalancedKMeans.load(tmp_path / name)


def test_ctrl_c_leaves_what_there_is(rng, monkeypatch):
    points = rng.normal(size=(500, 4))
    labelled, calls = alternation.Points.labelled, []

    def interrupted(self, *arguments, exact):
        calls.append(exact)
        if sum(calls) == 3:
            raise KeyboardInterrupt
        return labelled(self, *arguments, exact=exact)

    monkeypatch.setattr(alternation.Points, "labelled", interrupted)
    with pytest.warns(ConvergenceWarning, match=r"interrupted after \d+ assignments of all points"):
        model = BalancedKMeans(10, random_state=0, tol=0.0).fit(points)
    assert set(model.sizes_) == {50}
    assert model.n_iter_ == len(calls) - 1
    assert model.inertia_ == pytest.approx(((points - model.cluster_centers_[model.labels_]) ** 2).sum())
    monkeypatch.setattr(alternation.Points, "labelled", labelled)
    calls.clear()

    def at_once(self, *arguments, exact):
        raise KeyboardInterrupt

    monkeypatch.setattr(alternation.Points, "labelled", at_once)
    with pytest.raises(KeyboardInterrupt):
        BalancedKMeans(10, random_state=0).fit(points)


def test_pickles_are_small_clones_are_new_and_pipelines_and_searches_work(rng):
    digits = load_digits().data
    model = BalancedKMeans(10, random_state=0).fit(digits)
    stored = pickle.dumps(model)
    assert len(stored) < 8 * (2 * 10 * 64 + 2 * len(digits)) + 4000  # centres twice, labels; no points
    np.testing.assert_array_equal(pickle.loads(stored).predict(digits), model.predict(digits))
    assert not hasattr(clone(model), "labels_")
    pipeline = make_pipeline(StandardScaler(), BalancedKMeans(10, random_state=0)).fit(digits)
    np.testing.assert_array_equal(np.unique(np.bincount(pipeline[-1].labels_)), [179, 180])
    search = GridSearchCV(BalancedKMeans(random_state=0), {"n_clusters": [2, 5]}, cv=2).fit(digits[:300])
    assert search.best_params_ == {"n_clusters": 5}


@pytest.mark.parametrize("frames", ["pandas", "polars"])
def test_frames_in_and_out(rng, frames):
    library = pytest.importorskip(frames)
    points = library.DataFrame({"x": rng.normal(size=40), "y": rng.normal(size=40)})
    model = BalancedKMeans(4, random_state=0).set_output(transform=frames).fit(points)
    assert list(model.feature_names_in_) == ["x", "y"]
    assert list(model.transform(points).columns) == [f"balancedkmeans{number}" for number in range(4)]
