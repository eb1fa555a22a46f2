"""``ResidualKMeans``: codes, what they stand for, and sizes of every level."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
from sklearn.base import clone

from otlabel.cluster import BalancedKMeans, ResidualKMeans


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_level_is_balanced_and_leaves_less(rng, dtype):
    points = (rng.normal(size=(12, 6))[rng.integers(0, 12, 500)] * 4 + rng.normal(size=(500, 6)) + 50).astype(dtype)
    model = ResidualKMeans(3, 8, random_state=0).fit(points)
    assert model.codes_.shape == (500, 3)
    assert set(model.sizes_.ravel()) == {62, 63}
    for level in range(3):
        np.testing.assert_array_equal(np.bincount(model.codes_[:, level], minlength=8), model.sizes_[level])
        left = points - model.decode(model.codes_[:, : level + 1])
        assert (left.astype(np.float64) ** 2).sum() == pytest.approx(model.inertia_[level], rel=1e-3)
    assert (np.diff(model.inertia_) < 0).all()
    _, first, counts = np.unique(model.codes_, axis=0, return_inverse=True, return_counts=True)
    assert model.collisions_ == (counts[first.ravel()] > 1).sum()
    alone = BalancedKMeans(8, random_state=0).fit(points)
    np.testing.assert_array_equal(model.codes_[:, 0], alone.labels_)


def test_codes_of_new_points_bring_them_near(rng):
    points = rng.normal(size=(2000, 4))
    model = ResidualKMeans(4, 16, random_state=0).fit(points)
    fresh = rng.normal(size=(300, 4))
    codes = model.predict(fresh)
    errors = [((fresh - model.decode(codes[:, :levels])) ** 2).sum() for levels in (1, 2, 3, 4)]
    assert (np.diff(errors) < 0).all()
    assert errors[-1] < 0.1 * (fresh**2).sum()
    assert (model.predict(points) == model.codes_).mean() > 0.7
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(fresh), codes)
    assert not hasattr(clone(model), "codes_")
    np.testing.assert_array_equal(clone(model).fit_predict(points), model.codes_)


def test_points_that_are_all_the_same_collide():
    model = ResidualKMeans(2, 4, random_state=0).fit(np.ones((64, 3)))
    assert set(model.sizes_.ravel()) == {16}
    np.testing.assert_allclose(model.decode(model.codes_), 1.0)
    assert model.collisions_ > 0


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((5, 3), int), "codes must be whole numbers of shape (m, 1 to 2), got int64 of shape (5, 3)"),
        (np.zeros(5, int), "got int64 of shape (5,)"),
        (np.zeros((5, 2)), "got float64 of shape (5, 2)"),
        (np.full((5, 2), 4), "codes must be 0 to 3, got 4 to 4"),
        (np.full((5, 1), -1), "codes must be 0 to 3, got -1 to -1"),
    ],
)
def test_what_is_no_code_is_named(rng, codes, message):
    model = ResidualKMeans(2, 4, random_state=0).fit(rng.normal(size=(40, 2)))
    with pytest.raises(ValueError, match=re.escape(message)):
        model.decode(codes)


@pytest.mark.parametrize("levels", [0, -1, 1.5, True])
def test_levels_are_a_number(rng, levels):
    with pytest.raises(ValueError, match="levels must be a whole number, 1 or more"):
        ResidualKMeans(levels, 4).fit(rng.normal(size=(40, 2)))
