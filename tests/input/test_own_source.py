"""A source in one class: scores that the caller's own code computes give what the same scores in memory give."""

from __future__ import annotations

import numpy as np
import pytest

import otlabel
from otlabel import backends


class Distances(otlabel.ScoreSource):
    """Negative squared distances of points (n, d) to centres (k, d), a block of points at a time."""

    def __init__(self, points, centres):
        self.points, self.centres, self.shape = points, centres, (len(points), len(centres))

    def rows(self, index):
        return -((self.points[index, None].astype(np.float64) - self.centres) ** 2).sum(axis=2)


@pytest.fixture
def distances(rng):
    return Distances(rng.normal(size=(700, 3)).astype(np.float32), rng.normal(size=(30, 3)))


def test_it_is_labelled_as_its_matrix_is(backend, distances):
    settings = dict(epsilon=0.2, tol=1e-9, backend=backend)
    found, truth = otlabel.assign(distances, **settings), otlabel.assign(distances[:], **settings)
    np.testing.assert_array_equal(found.labels, truth.labels)
    np.testing.assert_allclose(found.potentials, truth.potentials, atol=1e-10)
    np.testing.assert_array_equal(found.sizes, truth.sizes)
    np.testing.assert_allclose(found.plan([5, 0, -5, 5]), truth.plan([5, 0, -5, 5]), rtol=1e-9)
    assert found.gap == pytest.approx(0, abs=1e-9)
    new = Distances(distances.points[:9], distances.centres)
    np.testing.assert_array_equal(found.predict(new), truth.predict(new[:]))


def test_it_may_be_read_ahead_and_have_another_place_for_single_rows(distances):
    class Slow(Distances):
        read_ahead = True

        def seekable(self):
            return distances

    slow = Slow(distances.points, distances.centres)
    np.testing.assert_array_equal(otlabel.assign(slow).labels, otlabel.assign(distances).labels)
    for name in ("numba", "numpy"):
        kernels = backends.load(name).Kernels(slow, 5.0, np.full(700, 1 / 700), 100.0)
        assert kernels.seekable().source is distances


def test_what_it_raises_ends_the_solve_and_bad_scores_are_named(distances):
    distances.points[33] = np.nan
    with pytest.raises(ValueError, match="got nan in row 33, column 0"):
        otlabel.assign(distances)

    class Broken(Distances):
        def rows(self, index):
            raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        otlabel.assign(Broken(distances.points, distances.centres))


def test_one_without_items_is_an_error():
    with pytest.raises(ValueError, match=r"at least one item and one label, got shape \(0, 2\)"):
        otlabel.assign(Distances(np.zeros((0, 3)), np.zeros((2, 3))))


def test_sources_that_do_not_keep_to_the_protocol_say_what_it_is():
    class Wrong(otlabel.ScoreSource):
        def __init__(self, shape, row):
            self.row = row
            if shape is not None:
                self.shape = shape

        def rows(self, index):
            return self.row

    for shape in (None, (3,), (3, 2.5)):
        with pytest.raises(ValueError, match=r"must have a shape \(n, k\) of whole numbers, but Wrong.shape is"):
            otlabel.assign(Wrong(shape, np.zeros((1, 2))))
    for row in ([[1.0, 2.0]], np.zeros((1, 3)), np.zeros(2), None):
        with pytest.raises(TypeError, match=r"rows of a ScoreSource must be arrays \(m, 2\), but Wrong.rows"):
            otlabel.assign(Wrong((3, 2), row))
