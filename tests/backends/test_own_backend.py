"""A backend in one file: an array library, its kernels and one line of registration pass the conformance tests.

The library is a toy, NumPy's arrays in a box, as if in the memory of a device; the kernels are what the protocol says,
written down in float64. Nothing outside this file knows of either.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from scipy.special import logsumexp
from test_kernels import *  # noqa: F403 - the conformance tests, which take the fixtures below

import otlabel
from otlabel import backends
from otlabel._arrays.libraries import NUMPY
from otlabel.backends import Backend, Shortlist, Sweep
from otlabel.cluster import BalancedKMeans


class Box:
    """An array of the toy library: nothing but what is in here may look inside."""

    def __init__(self, inside):
        self.inside = inside

    shape = property(lambda self: self.inside.shape)
    ndim = property(lambda self: self.inside.ndim)
    dtype = property(lambda self: self.inside.dtype)

    def __len__(self):
        return len(self.inside)

    def __getitem__(self, index):
        return Box(self.inside[index])


class Library(backends.Library):
    name = "toy"

    def owns(self, value):
        return isinstance(value, Box)

    def device(self, value):
        return "the box"

    def on_device(self, value):
        return True

    def to_numpy(self, value, name):
        return NUMPY.to_numpy(value.inside, name)

    def give_back(self, labels, device):
        assert device == "the box"
        return Box(labels)

    def largest(self, block):
        return NUMPY.largest(block.inside)

    def reached(self, block, columns):
        return NUMPY.reached(block.inside, columns)

    def softmax(self, block, scale, g):
        return Box(NUMPY.softmax(block.inside, scale, g))

    def pick(self, block, columns):
        return NUMPY.pick(block.inside, columns)

    def stack(self, arrays):
        return Box(np.stack([array.inside for array in arrays]))

    def layer(self, features, weight, bias):
        return tuple(map(Box, NUMPY.layer(features.inside, weight.inside, None if bias is None else bias.inside)))

    def linear(self, features, weight, bias):
        return Box(NUMPY.linear(features.inside, weight.inside, bias.inside))


class Survey:
    cost, rough, listing, narrows, pairs, squares = 1.0, False, 0.0, True, math.inf, None

    def __init__(self, scaled, a, g, listed):
        self.scaled, self.a, self.listed, self.density = scaled, a, listed, listed.mean()
        lse, q = softmax(scaled + g)
        with np.errstate(divide="ignore"):
            log_c = logsumexp(scaled + g - lse[:, None], axis=0, b=a[:, None])
        self.swept = Sweep(a @ lse, a @ q, log_c)

    def sweep(self, g):
        lse, q = softmax(np.where(self.listed, self.scaled, -np.inf) + g)
        return self.a @ lse, self.a @ q

    def narrowed(self, g, width):
        return Survey(self.scaled, self.a, g, self.listed & near(self.scaled + g, width))

    def hessian(self, g):
        raise NotImplementedError("pairs is infinite")


class Kernels:
    in_host_memory = False

    def __init__(self, source, scale, a, largest):
        self.source, self.scale, self.a, self.largest = source, scale, a, largest
        self.blur = 2.0**-53 * largest * scale

    def rescaled(self, factor):
        return Kernels(self.source, self.scale * factor, self.a, self.largest)

    def seekable(self):
        return Kernels(self.source.seekable(), self.scale, self.a, self.largest)

    def survey(self, g, width, precise):
        scaled = self.rows(slice(None))
        return Survey(scaled, self.a, g, near(scaled + g, width))

    def labels(self, g):
        return (self.rows(slice(None)) + g).argmax(axis=1)

    def shortlist(self, g, width):
        scaled = self.rows(slice(None))
        listed = near(scaled + g, width)
        indptr = np.concatenate([[0], np.cumsum(listed.sum(axis=1))])
        return Shortlist((scaled + g).max(axis=1), indptr, np.nonzero(listed)[1].astype(np.int32), scaled[listed])

    def regrets(self, items, labels):
        least, which = np.full((2, len(items), self.source.shape[1]), np.inf)
        for some, label, row, who in zip(items, labels, least, which, strict=True):
            if len(some):
                scaled = self.rows(some)
                regrets = scaled[:, [label]] - scaled
                row[:], who[:] = regrets.min(axis=0), some[regrets.argmin(axis=0)]
        return least, np.where(np.isinf(which), 0, which).astype(np.int64)

    def rows(self, rows):
        block = self.source[rows]
        return (block.inside if isinstance(block, Box) else block).astype(np.float64, order="C") * self.scale


def softmax(x):
    top = x.max(axis=1)
    q = np.exp(x - top[:, None])
    total = q.sum(axis=1)
    return top + np.log(total), q / total[:, None]


def near(x, width):
    return (x >= x.max(axis=1, keepdims=True) - width) & np.isfinite(x)


TOY = Backend("toy", sys.modules[__name__], library=__name__)


@pytest.fixture(autouse=True)
def backend():
    backends.register(TOY)
    yield "toy"
    backends.unregister("toy")


@pytest.fixture
def put():
    return Box


def test_labels_come_back_in_the_library_of_the_scores(rng):
    scores = rng.normal(size=(90, 6)).astype(np.float32)
    result, truth = otlabel.assign(Box(scores), epsilon=0.5), otlabel.assign(scores, epsilon=0.5)
    assert result.backend == "toy"
    assert isinstance(result.labels, Box)
    np.testing.assert_array_equal(result.labels.inside, truth.labels)
    np.testing.assert_array_equal(result.predict(Box(scores[:9])).inside, truth.predict(scores[:9]))
    np.testing.assert_allclose(result.plan([3, 5]), truth.plan([3, 5]), rtol=1e-3)


def test_heads_shares_and_forbidden_labels(rng):
    scores = rng.normal(size=(2, 80, 4))
    scores[0, :20, 1] = -np.inf
    b = np.array([0.5, 0.25, 0.25, 0.0])
    result, truth = (otlabel.assign(make(scores), b=b, epsilon=0.5) for make in (Box, np.asarray))
    np.testing.assert_array_equal(result.labels.inside, truth.labels)
    scores[0, 7] = -np.inf
    with pytest.raises(ValueError, match="but row 7 of head 0 has none"):
        otlabel.assign(Box(scores))
    scores[1, 9, 2] = np.nan
    with pytest.raises(ValueError, match="got nan in row 9 of head 1, column 2"):
        otlabel.assign(Box(scores))


@pytest.mark.parametrize("shape", [(90, 6), (2, 90, 6)])
def test_plans_and_confidence_of_new_scores_stay_there(rng, shape):
    scores = rng.normal(size=shape)
    learned = otlabel.assign(scores, epsilon=0.5).predictor
    for found, truth in (
        (learned.plan(Box(scores)), learned.plan(scores)),
        (learned.confidence(Box(scores)), learned.confidence(scores)),
    ):
        assert isinstance(found, Box)
        np.testing.assert_array_equal(found.inside, truth)


def test_scores_that_are_computed_there(rng):
    features, weight = rng.normal(size=(60, 5)), rng.normal(size=(4, 5))
    result = otlabel.assign(otlabel.LinearScores(Box(features), Box(weight)), epsilon=0.5)
    assert result.backend == "toy"
    np.testing.assert_array_equal(result.labels.inside, otlabel.assign(features @ weight.T, epsilon=0.5).labels)
    with pytest.raises(ValueError, match="weight must be where the features are, toy on the box, got ndarray"):
        otlabel.LinearScores(Box(features), weight)


def test_it_reads_host_memory_where_it_is_asked_to_and_others_do_not_read_its_own(rng):
    scores = rng.normal(size=(60, 4))
    assert otlabel.assign(scores).backend == "numba"
    asked = otlabel.assign(scores, backend="toy")
    assert (asked.backend, type(asked.labels)) == ("toy", np.ndarray)
    with pytest.raises(ValueError, match=r"backend 'numba' cannot read scores of toy on a device. Pass backend='auto'"):
        otlabel.assign(Box(scores), backend="numba")


def test_it_reads_any_source(rng):
    scores = rng.normal(size=(60, 4))

    class Rows(otlabel.ScoreSource):
        shape = scores.shape

        def rows(self, index):
            return scores[index]

    found = otlabel.assign(Rows(), epsilon=0.5, backend="toy")
    np.testing.assert_array_equal(found.labels, otlabel.assign(scores, epsilon=0.5).labels)


def test_a_name_is_given_once():
    with pytest.raises(ValueError, match="but 'toy' is taken"):
        backends.register(TOY)
    with pytest.raises(ValueError, match="but 'auto' is taken"):
        backends.register(Backend("auto", sys.modules[__name__]))


def test_points_on_a_device_are_assigned_there(rng):
    """The means are the host's; what comes out is the same: of six clouds, for in one there are many optima."""
    points = rng.permutation(np.repeat(20 * np.eye(6), 50, axis=0) + rng.normal(size=(300, 6)))
    model = BalancedKMeans(6, random_state=0).fit(Box(points))
    truth = BalancedKMeans(6, random_state=0, backend="numpy").fit(points)
    assert isinstance(model.labels_, np.ndarray)
    np.testing.assert_array_equal(model.labels_, truth.labels_)
    assert set(model.sizes_) == {50}
    np.testing.assert_array_equal(model.predict(Box(points)), truth.predict(points))
    with pytest.raises(ValueError, match="backend 'numpy' cannot read scores of toy on a device"):
        BalancedKMeans(6, random_state=0, backend="numpy").fit(Box(points))
