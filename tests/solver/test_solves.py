"""Whole solves against the oracle: certified, invariant, for any shape and scale."""

from __future__ import annotations

import warnings

import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import otlabel


def uniform(size):
    return np.full(size, 1 / size)


@pytest.mark.parametrize("method", ["lbfgs", "sinkhorn"])
@pytest.mark.parametrize("tol", [1e-3, 1e-6, 1e-9])
def test_error_is_certified_by_an_independent_computation(backend, rng, method, tol):
    scores = rng.normal(size=(700, 30)).astype(np.float32)
    a = rng.random(700)
    b = rng.dirichlet(np.full(30, 5.0))
    result = otlabel.assign(
        scores,
        30,
        epsilon=0.5,
        a=a / a.sum(),
        b=b,
        rounding="argmax",
        tol=tol,
        method=method,
        backend=backend,
    )
    truth = oracle.error(scores, 0.5, result.potentials, a / a.sum(), b)
    assert result.converged
    assert result.error <= tol
    assert abs(result.error - truth) <= max(0.01 * truth, 1e-12)
    columns = oracle.plan(scores, 0.5, result.potentials, a / a.sum()).sum(axis=0)
    assert result.max_relative_error == pytest.approx(float(np.max(np.abs(columns / b - 1))), rel=0.01, abs=1e-12)
    assert result.backend == backend


def test_both_methods_find_the_same_potentials(backend, rng):
    scores = rng.normal(size=(300, 12))
    found = [
        otlabel.assign(scores, epsilon=0.5, tol=1e-11, method=method, backend=backend).potentials
        for method in ("lbfgs", "sinkhorn")
    ]
    np.testing.assert_allclose(*found, atol=1e-9)
    assert abs(found[0].mean()) < 1e-12


def test_sinkhorn_never_lowers_the_objective(backend, rng):
    scores = rng.normal(size=(400, 25)) * 3
    steps = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", otlabel.ConvergenceWarning)
        result = otlabel.assign(
            scores, epsilon=0.2, method="sinkhorn", rounding="argmax", tol=1e-10, backend=backend, max_sweeps=60,
            callback=steps.append,
        )  # fmt: skip
    objective = np.array([step.objective for step in steps])
    assert len(objective) > 20
    assert (np.diff(objective) >= -1e-13 * np.abs(objective[:-1])).all()
    np.testing.assert_array_equal(result.history[:, 1], objective)


def test_the_first_sinkhorn_steps_are_the_textbook_s(backend, rng):
    """Potentials of t iterations against u, v scalings of the kernel matrix (Cuturi 2013).

    While the error is large only the best entry of a row is summed in float64.
    """
    scores = 3 * rng.normal(size=(80, 6))  # slow enough that no error falls below what float32 knows
    result_of = {}
    for t in (1, 2, 5):
        with pytest.warns(otlabel.ConvergenceWarning):
            result_of[t] = otlabel.assign(
                scores,
                epsilon=1.0,
                method="sinkhorn",
                max_sweeps=t,
                tol=1e-15,
                rounding="argmax",
                backend=backend,
            )
    matrix, v = np.exp(scores), np.ones(6)
    for t in range(1, 6):
        u = (1 / 80) / (matrix @ v)
        if t in result_of:
            error = np.abs(v * (matrix.T @ u) - 1 / 6).sum()
            assert result_of[t].history[-1, 2] == pytest.approx(error, abs=3e-7)
            np.testing.assert_allclose(result_of[t].potentials, np.log(v) - np.log(v).mean(), atol=1e-6)
        v = (1 / 6) / (matrix.T @ u)


def test_objective_matches_the_oracle(backend, rng):
    scores = rng.normal(size=(50, 4))
    steps = []
    otlabel.assign(scores, epsilon=0.3, backend=backend, callback=steps.append)
    first = -oracle.logsumexp(scores, 0.3, np.zeros(4), uniform(50))
    assert steps[0].objective == pytest.approx(float(first), rel=1e-13)
    assert steps[0].sweeps == 1
    assert (np.diff([step.sweeps for step in steps]) >= 1).all()


# Labels are compared where the optimum is unique; random real scores make it so.
def test_row_shifts_do_not_matter(backend, rng):
    scores = rng.normal(size=(240, 8))
    plain = otlabel.assign(scores, backend=backend)
    shifted = otlabel.assign(scores + 100 * rng.normal(size=(240, 1)), backend=backend)
    np.testing.assert_array_equal(shifted.labels, plain.labels)


def test_column_shifts_move_the_potentials_only(backend, rng):
    scores = rng.normal(size=(240, 8))
    shift = rng.normal(size=8)
    plain = otlabel.assign(scores, epsilon=0.5, tol=1e-10, backend=backend)
    moved = otlabel.assign(scores + shift, epsilon=0.5, tol=1e-10, backend=backend)
    np.testing.assert_array_equal(moved.labels, plain.labels)
    expected = plain.potentials - (shift - shift.mean()) / 0.5
    np.testing.assert_allclose(moved.potentials, expected, atol=1e-8)


def test_permutations_permute_the_result(backend, rng):
    scores = rng.normal(size=(240, 8))
    plain = otlabel.assign(scores, tol=1e-9, backend=backend)
    rows, columns = rng.permutation(240), rng.permutation(8)
    by_row = otlabel.assign(scores[rows], tol=1e-9, backend=backend)
    by_column = otlabel.assign(scores[:, columns], tol=1e-9, backend=backend)
    np.testing.assert_array_equal(by_row.labels, plain.labels[rows])
    np.testing.assert_array_equal(columns[by_column.labels], plain.labels)
    np.testing.assert_allclose(by_column.potentials, plain.potentials[columns], atol=1e-6)


def test_scores_over_tau_with_epsilon_are_scores_with_epsilon_tau(backend, rng):
    scores = rng.normal(size=(100, 5))
    one = otlabel.assign(scores / 0.1, epsilon=0.5, tol=1e-10, backend=backend)
    other = otlabel.assign(scores, epsilon=0.05, tol=1e-10, backend=backend)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_allclose(one.potentials, other.potentials, atol=1e-8)


def test_planted_labels_are_found(backend, rng):
    truth = rng.permutation(np.repeat(np.arange(20), 50))
    scores = rng.normal(size=(1000, 20)) * 0.2
    scores[np.arange(1000), truth] += 2
    result = otlabel.assign(scores, k=20, backend=backend)
    np.testing.assert_array_equal(result.labels, truth)
    assert set(result.sizes) == {50}


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore::otlabel.ConvergenceWarning")
@given(data=st.data())
def test_any_shape_scale_and_degeneracy(backend, data):
    n, k = data.draw(st.integers(1, 40), "n"), data.draw(st.integers(1, 12), "k")
    scale = 10.0 ** data.draw(st.integers(-6, 6), "log10 scale")
    kind = data.draw(st.sampled_from(["normal", "constant", "duplicated rows", "shunned column", "one-hot"]), "kind")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31), "seed"))
    scores = rng.normal(size=(n, k))
    if kind == "constant":
        scores[:] = 1.0
    elif kind == "duplicated rows":
        scores[:] = scores[0]
    elif kind == "shunned column":
        scores[:, 0] -= 1e6
    elif kind == "one-hot":
        scores = np.eye(k)[rng.integers(0, k, n)]
    result = otlabel.assign(scores * scale, epsilon=1.0, max_sweeps=60, backend=backend)
    assert np.isfinite(result.potentials).all()
    assert np.isfinite(result.error)
    assert result.sizes.max() - result.sizes.min() <= 1
    assert result.sizes.sum() == n
    np.testing.assert_array_equal(result.sizes, np.bincount(result.labels, minlength=k))


@pytest.mark.filterwarnings("ignore::otlabel.ConvergenceWarning")
@pytest.mark.parametrize("log10_scale", range(-6, 13))
def test_logits_of_any_scale(backend, rng, log10_scale):
    scores = rng.normal(size=(60, 7)) * 10.0**log10_scale
    with np.errstate(all="raise", under="ignore"):
        result = otlabel.assign(scores, epsilon=1.0, max_sweeps=150, backend=backend)
    assert np.isfinite(result.potentials).all()
    assert np.abs(result.potentials).max() < 100 * (1 + np.abs(scores).max())
    assert result.sizes.max() - result.sizes.min() <= 1
    assert result.converged or log10_scale > 3
    assert result.error == pytest.approx(
        oracle.error(scores, 1.0, result.potentials, uniform(60), uniform(7)), abs=1e-4
    )
