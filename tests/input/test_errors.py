"""Every message about bad input: the rule, the value received, the remedy."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import otlabel

GOOD = np.arange(12.0).reshape(4, 3) % 5


def bad(row, column, value, dtype=np.float64):
    scores = GOOD.astype(dtype)
    scores[row, column] = value
    return scores


MESSAGES = {
    "NaN": (dict(logits=bad(2, 1, np.nan)), "where a label is forbidden, got nan in row 2, column 1"),
    "inf": (dict(logits=bad(3, 0, np.inf)), "where a label is forbidden, got inf in row 3, column 0"),
    "row of -inf": (dict(logits=bad(2, slice(None), -np.inf)), "but row 2 has none. Allow it a label"),
    "row of -inf in a head": (
        dict(logits=np.stack([GOOD, bad(1, slice(None), -np.inf)])),
        "but row 1 of head 1 has none",
    ),
    "row with unused labels only": (dict(logits=bad(0, [0, 1], -np.inf), b=[0.5, 0.5, 0]), "but row 0 has none"),
    "column of -inf": (dict(logits=bad(slice(None), 1, -np.inf)), "but label 1 is forbidden to all"),
    "too few items for a label": (
        dict(logits=bad([0, 1, 2], 0, -np.inf), b=[0.5, 0.25, 0.25]),
        "the sizes asked for cannot be met",
    ),
    "NaN float16": (dict(logits=bad(1, 1, np.nan, np.float16)), "got nan in row 1, column 1"),
    "NaN in a head": (dict(logits=np.stack([GOOD, bad(2, 1, np.nan)])), "got nan in row 2 of head 1, column 1"),
    "NaN, strided": (dict(logits=bad(2, 1, np.nan)[:, ::-1]), "got nan in row 2, column 1"),
    "overflow": (dict(logits=bad(1, 2, 1e305)), "logits / epsilon must be below 1e+300"),
    "wrong k": (dict(logits=GOOD, k=4), "k=4, but logits has shape (4, 3)"),
    "1-d": (dict(logits=GOOD[0]), "logits must have shape (n, k), or (h, n, k) for h heads, got shape (3,)"),
    "4-d": (dict(logits=GOOD[None, None]), "got shape (1, 1, 4, 3)"),
    "no rows": (dict(logits=GOOD[:0]), "at least one item and one label, got shape (0, 3)"),
    "no columns": (dict(logits=GOOD[:, :0]), "at least one item and one label, got shape (4, 0)"),
    "ragged": (dict(logits=[[1, 2], [3]]), "logits must be a rectangular array of numbers"),
    "epsilon 0": (dict(logits=GOOD, epsilon=0), "epsilon must be a positive number from 1e-300 to 1e+300, got 0"),
    "epsilon < 0": (
        dict(logits=GOOD, epsilon=-0.1),
        "epsilon must be a positive number from 1e-300 to 1e+300, got -0.1",
    ),
    "epsilon NaN": (
        dict(logits=GOOD, epsilon=np.nan),
        "epsilon must be a positive number from 1e-300 to 1e+300, got nan",
    ),
    "epsilon text": (
        dict(logits=GOOD, epsilon="0.1"),
        "epsilon must be a positive number from 1e-300 to 1e+300, got '0.1'",
    ),
    "epsilon tiny": (dict(logits=GOOD, epsilon=1e-310), "epsilon must be a positive number from 1e-300"),
    "init huge": (dict(logits=GOOD, init=[0, 1e305, 0]), "got 1e+305 for label 1"),
    "tol 0": (dict(logits=GOOD, tol=0), "tol must be a positive number from 1e-300 to 1e+300, got 0"),
    "max_sweeps 0": (dict(logits=GOOD, max_sweeps=0), "max_sweeps must be an integer of at least 1, got 0"),
    "max_sweeps 1.5": (
        dict(logits=GOOD, max_sweeps=1.5),
        "max_sweeps must be an integer of at least 1, got 1.5",
    ),
    "rounding": (
        dict(logits=GOOD, rounding="floor"),
        "rounding must be one of 'balanced', 'argmax', got 'floor'",
    ),
    "method": (dict(logits=GOOD, method="newton"), "method must be one of 'lbfgs', 'sinkhorn', got 'newton'"),
    "backend": (
        dict(logits=GOOD, backend="jax"),
        "backend must be 'auto' or one of 'numba', 'numpy', 'torch', 'cupy', got 'jax'",
    ),
    "a shape": (dict(logits=GOOD, a=[0.5, 0.5]), "a (row weights) must have shape (4,), got (2,)"),
    "a < 0": (
        dict(logits=GOOD, a=[1.5, -0.5, 0, 0]),
        "a (row weights) must be finite and non-negative, got a[1] = -0.5",
    ),
    "a NaN": (dict(logits=GOOD, a=[1, np.nan, 0, 0]), "got a[1] = nan"),
    "a sum": (
        dict(logits=GOOD, a=[1, 1, 1, 1]),
        "a (row weights) must sum to 1 within 1e-6, got 4. Pass a / a.sum()",
    ),
    "a unequal": (dict(logits=GOOD, a=[0.4, 0.2, 0.2, 0.2], size_max=3), "Use shares, b, for weighted items"),
    "b shape": (
        dict(logits=GOOD, b=[0.5, 0.5]),
        "b must have shape (3,), or (1, 3) for one row per head, got (2,)",
    ),
    "b < 0": (
        dict(logits=GOOD, b=[1.5, -0.5, 0]),
        "b (label shares) must be finite and non-negative, got b[1] = -0.5",
    ),
    "b sum": (dict(logits=GOOD, b=[1, 1, 1]), "b (label shares) must sum to 1 within 1e-6, got 3"),
    "init shape": (dict(logits=GOOD, init=[0, 0]), "init must have shape (3,), or (1, 3)"),
    "init NaN": (
        dict(logits=GOOD, init=[0, np.nan, 0]),
        "init must be finite and below 1e+300 for every label in use, got nan for label 1",
    ),
}
TYPES = {
    "objects": (dict(logits=np.array([[None, 1]], dtype=object)), "got dtype object"),
    "text": (
        dict(logits=[["a", "b"]]),
        "logits must hold real numbers (float, integer or bool), got dtype <U1",
    ),
    "complex": (dict(logits=GOOD.astype(complex)), "got dtype complex128"),
    "b text": (dict(logits=GOOD, b=["a", "b", "c"]), "b must hold real numbers"),
}


@pytest.mark.parametrize("case", MESSAGES, ids=str)
def test_value_error_says(case):
    arguments, message = MESSAGES[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        otlabel.assign(**arguments)


@pytest.mark.parametrize("case", TYPES, ids=str)
def test_type_error_says(case):
    arguments, message = TYPES[case]
    with pytest.raises(TypeError, match=re.escape(message)):
        otlabel.assign(**arguments)


def test_only_the_offending_value_is_named_in_a_large_array():
    scores = np.zeros((300_000, 8), np.float32)
    scores[299_999, 7] = np.nan
    with pytest.raises(ValueError, match="got nan in row 299999, column 7"):
        otlabel.assign(scores)


def test_tensors_without_numbers_are_refused_with_the_remedy():
    with pytest.raises(
        ValueError, match=r"logits must hold numbers, got a tensor on meta. Pass one on a device or in host"
    ):
        otlabel.assign(torch.empty(4, 3, device="meta"))


def test_predict_checks_its_input():
    result = otlabel.assign(GOOD, epsilon=1.0)
    with pytest.raises(
        ValueError,
        match=re.escape("the shape of the solve, (any, 3), got shape (4, 2)"),
    ):
        result.predict(GOOD[:, :2])
    with pytest.raises(ValueError, match="where a label is forbidden, got nan in row 2, column 1"):
        result.predict(bad(2, 1, np.nan))


def test_plan_wants_indices():
    result = otlabel.assign(GOOD, epsilon=1.0)
    with pytest.raises(TypeError, match=re.escape("For a mask pass np.flatnonzero(mask)")):
        result.plan(np.ones(4, bool))
    with pytest.raises(ValueError, match=re.escape("got shape (2, 2). Pass rows.ravel()")):
        result.plan([[0, 1], [2, 3]])
    with pytest.raises(IndexError, match="index 9 is out of bounds"):
        result.plan([9])


def test_weighted_items_work_with_argmax():
    assert otlabel.assign(GOOD, a=[0.4, 0.2, 0.2, 0.2], rounding="argmax", epsilon=1.0).converged


def test_options_may_be_numpy_scalars():
    """A float16 epsilon divides in float64 all the same."""
    scores = np.random.default_rng(0).normal(size=(60, 3)) * 1e4
    result = otlabel.assign(scores, epsilon=np.float16(2000), tol=np.float32(1e-3), max_sweeps=np.int64(500))
    assert result.converged


def test_sparse_tensors_are_refused():
    with pytest.raises(TypeError, match="logits must be a dense tensor"):
        otlabel.assign(torch.eye(4).to_sparse())
