"""What is asked of every array library, of NumPy's and torch's arrays."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import torch

from otlabel._arrays.libraries import HOST, NUMPY
from otlabel.backends import library_of, place_of

MAKERS = {"numpy": np.asarray, "torch": torch.from_numpy}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_softmax_is_the_plan_s_in_float64_where_the_block_is(make, rng, dtype):
    block, g = (rng.normal(size=(40, 9)) * 30).astype(dtype), rng.normal(size=9) * 100
    g[3] = -np.inf
    block[5, 6] = -np.inf
    array = make(block)
    found = library_of(array).softmax(array, 25.0, g)
    assert type(found) is type(array)
    truth = oracle.plan(block, 1 / 25, g, np.ones(40)).astype(float)
    np.testing.assert_allclose(np.asarray(found), truth, rtol=1e-12, atol=1e-300)
    assert not found[:, 3].any()


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_a_column_more_is_the_soft_maximum(make, rng, dtype):
    block = (rng.normal(size=(40, 9)) * 30).astype(dtype)
    block[5, 6] = block[7] = -np.inf
    found = np.asarray(library_of(make(block)).with_soft_maximum(make(block), 0.2))
    assert found.dtype == np.result_type(dtype, np.float32)
    wide = block.astype(np.longdouble)
    wide -= np.where(np.isneginf(wide.max(axis=1)), 0, wide.max(axis=1))[:, None]  # each row's best is 0
    np.testing.assert_array_equal(found[:, :-1], wide.astype(found.dtype))
    truth = np.logaddexp.reduce(0.2 * wide, axis=1) / np.longdouble(0.2)
    np.testing.assert_allclose(found[:, -1], truth.astype(float), rtol=4 * np.finfo(found.dtype).eps, atol=1e-14)


def test_blocks_below_each_other_and_rows_made_blank(make, rng):
    blocks = [make(rng.normal(size=(rows, 3))) for rows in (2, 5)]
    library = library_of(blocks[0])
    together = library.concatenate(blocks)
    np.testing.assert_array_equal(np.asarray(together), np.concatenate([np.asarray(block) for block in blocks]))
    blank = np.asarray(library.blanked(together, np.array([1, 6])))
    assert not blank[[1, 6]].any()
    np.testing.assert_array_equal(blank[2:6], np.asarray(together)[2:6])
    assert np.asarray(together)[1].any()


def test_which_labels_and_rows_are_reached(make, rng):
    block = rng.normal(size=(6, 5))
    block[2] = block[:, 4] = -np.inf
    block[3, :3] = -np.inf
    array = make(block)
    labels, rows = library_of(array).reached(array, np.array([0, 2, 4]))
    assert labels.tolist() == [4, 4, 0]
    assert rows.tolist() == [2, 2, 0, 0, 2, 2]


def test_the_largest_size_of_a_score(make):
    for block, most in (([[1.0, -3.0]], 3.0), ([[-np.inf, 0.0]], np.inf), ([[np.nan, 1.0]], np.nan)):
        for dtype in ("float64", "float32", "float16"):
            array = make(np.array(block, dtype))
            assert library_of(array).largest(array) == pytest.approx(most, nan_ok=True)


def test_scores_of_a_layer(make, rng):
    features, weight, bias = (rng.normal(size=shape).astype(np.float32) for shape in ((7, 3), (4, 3), (4,)))
    library = library_of(make(features))
    for given in (None, bias):
        ready = library.layer(make(features), make(weight), None if given is None else make(given))
        scores = np.asarray(library.linear(make(features), *ready))
        np.testing.assert_allclose(scores, features @ weight.T + (0 if given is None else given), rtol=1e-5, atol=1e-6)
        assert scores.dtype == np.float32


def test_entries_are_picked_and_arrays_stacked(make, rng):
    block = rng.normal(size=(5, 3))
    array, columns = make(block), np.array([2, 0, 1, 1, 2])
    library = library_of(array)
    np.testing.assert_array_equal(library.pick(array, columns), block[np.arange(5), columns])
    np.testing.assert_array_equal(np.asarray(library.stack([array, array])), np.stack([block, block]))


def test_labels_go_back_where_scores_came_from(make, rng):
    array = make(rng.normal(size=(3, 2)))
    labels = place_of(array).give_back(np.array([1, 0, 1]))
    assert type(labels) is type(array)
    assert labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "value", [[[1, 2]], np.zeros((2, 2)), iter([]), None], ids=["list", "array", "iterator", "none"]
)
def test_what_nobody_owns_is_on_the_host(value):
    assert library_of(value) is NUMPY
    assert place_of(value) == HOST
