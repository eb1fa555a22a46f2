"""The library as its users see it: properties that must hold for any input, and what comes back."""

from __future__ import annotations

import dataclasses
import threading
import warnings

import numpy as np
import oracle
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import otlabel
from otlabel import Status


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


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int8", "uint8", "bool"])
@pytest.mark.parametrize("layout", ["C", "Fortran", "strided", "read-only"])
def test_any_dtype_and_layout_and_no_mutation(backend, rng, dtype, layout):
    scores = (rng.normal(size=(120, 6)) * 4).astype(dtype)
    if layout == "Fortran":
        scores = np.asfortranarray(scores)
    elif layout == "strided":
        scores = np.repeat(np.repeat(scores, 2, axis=0), 3, axis=1)[::2, ::3]
    elif layout == "read-only":
        scores.flags.writeable = False
    before = scores.copy()
    result = otlabel.assign(scores, epsilon=1.0, backend=backend)
    np.testing.assert_array_equal(scores, before)
    reference = otlabel.assign(before.astype(np.float64), epsilon=1.0, backend=backend)
    assert result.labels.dtype == np.int64
    assert set(result.sizes) == {20}
    total = before.astype(np.float64)[np.arange(120), [result.labels, reference.labels]].sum(axis=1)
    assert total[0] == pytest.approx(total[1], rel=1e-12)


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2, torch.int32]
)
def test_cpu_tensors_come_back_as_tensors(rng, dtype):
    scores = torch.from_numpy(rng.normal(size=(120, 6)) * 4).to(dtype)
    if dtype.is_floating_point and dtype.itemsize > 1:
        scores.requires_grad_()
    result = otlabel.assign(scores, k=6, epsilon=1.0)
    assert isinstance(result.labels, torch.Tensor)
    assert result.labels.dtype == torch.int64
    assert isinstance(result.potentials, np.ndarray)
    same = otlabel.assign(scores.detach().double().numpy(), epsilon=1.0)
    values = scores.detach().double()[torch.arange(120)]
    assert values[torch.arange(120), result.labels].sum() == pytest.approx(
        float(values[torch.arange(120), torch.from_numpy(same.labels)].sum())
    )
    new = result.predict(scores[:5])
    assert isinstance(new, torch.Tensor)
    assert new.shape == (5,)


def test_lists_are_read(backend):
    assert otlabel.assign([[2, 0], [1, 0]], k=2, backend=backend).labels.tolist() == [0, 1]


def test_saturated_plans_do_not_send_the_potentials_away(backend):
    """Shares of 1e-6 at hundreds of nats: the curvature is rounding noise, and steps must stay bounded all the same."""
    scores = np.array(
        [[230, -170, -10], [120, 110, 140], [20, 120, 240], [90, 130, -60],
         [-200, -30, -10], [120, -40, 10], [10, 170, 30], [-30, 20, 40]], dtype=float,
    )  # fmt: skip
    b = np.array([1 - 1e-6, 1e-13, 1e-6])
    result = otlabel.assign(scores, b=b / b.sum(), epsilon=1.0, backend=backend)
    assert np.abs(result.potentials).max() < 1e4
    assert scores[np.arange(8), result.labels].sum() == pytest.approx(oracle.best_balanced_score(scores, b / b.sum()))


def test_the_certificate_is_that_of_the_returned_potentials(backend, rng):
    """Subtracting a mean of 1e8 afterwards would cost the potentials their last digits."""
    scores = rng.normal(size=(1000, 7))
    scores[:, 0] -= 1e9
    result = otlabel.assign(scores, epsilon=1.0, tol=1e-5, rounding="argmax", backend=backend)
    truth = oracle.error(scores, 1.0, result.potentials, uniform(1000), uniform(7))
    assert result.error == pytest.approx(truth, rel=0.01, abs=1e-9)


def test_heads_are_independent_solves(backend, rng):
    scores = rng.normal(size=(3, 200, 8))
    b = rng.dirichlet(np.full(8, 3.0), size=3)
    together = otlabel.assign(scores, 8, b=b, epsilon=0.5, backend=backend)
    assert together.labels.shape == (3, 200)
    assert together.potentials.shape == together.sizes.shape == (3, 8)
    for head in range(3):
        alone = otlabel.assign(scores[head], b=b[head], epsilon=0.5, backend=backend)
        np.testing.assert_array_equal(together.labels[head], alone.labels)
        np.testing.assert_array_equal(together.potentials[head], alone.potentials)
        for name in ("error", "max_relative_error", "gap", "n_sweeps"):
            assert getattr(together, name)[head] == getattr(alone, name)
        np.testing.assert_array_equal(together.history[head], alone.history)
    assert together.plan([0, 5]).shape == (3, 2, 8)
    np.testing.assert_array_equal(together.predict(scores[:, :4]).shape, (3, 4))
    np.testing.assert_array_equal(
        otlabel.assign(scores, b=b[0], epsilon=0.5, backend=backend).labels[0], together.labels[0]
    )


def test_plan_rows_sum_to_their_weights(backend, rng):
    scores = rng.normal(size=(90, 7))
    a = rng.random(90)
    a /= a.sum()
    result = otlabel.assign(scores, a=a, rounding="argmax", epsilon=0.5, backend=backend)
    rows = rng.integers(0, 90, 12)
    np.testing.assert_allclose(
        result.plan(rows), oracle.plan(scores, 0.5, result.potentials, a)[rows].astype(float), rtol=1e-12
    )
    np.testing.assert_allclose(result.plan(rows).sum(axis=1), a[rows])
    np.testing.assert_allclose(result.plan(4), result.plan([4]))


def test_predict_is_the_argmax_at_the_potentials(backend, rng):
    scores = rng.normal(size=(300, 7))
    result = otlabel.assign(scores, epsilon=0.1, backend=backend)
    new = rng.normal(size=(50, 7))
    np.testing.assert_array_equal(result.predict(new), (new / 0.1 + result.potentials).argmax(axis=1))


def test_labels_of_share_zero_are_not_used(backend, rng):
    b = np.array([0.5, 0.0, 0.5, 0.0])
    for rounding in ("balanced", "argmax"):
        result = otlabel.assign(rng.normal(size=(100, 4)), b=b, rounding=rounding, backend=backend)
        assert result.converged
        assert not result.sizes[[1, 3]].any()
        assert np.isneginf(result.potentials[[1, 3]]).all()
        assert result.potentials[[0, 2]].mean() == pytest.approx(0, abs=1e-12)
    assert set(result.predict(rng.normal(size=(100, 4)))) <= {0, 2}


def test_rows_of_weight_zero_are_labelled_but_not_counted(backend, rng):
    scores = rng.normal(size=(120, 4))
    a = np.zeros(120)
    a[:80] = 1 / 80
    result = otlabel.assign(scores, a=a, epsilon=0.5, backend=backend)
    np.testing.assert_array_equal(result.sizes, 20)
    np.testing.assert_array_equal(result.labels[:80], otlabel.assign(scores[:80], epsilon=0.5, backend=backend).labels)
    np.testing.assert_array_equal(result.labels[80:], result.predict(scores[80:]))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_narrow_scores_are_certified_in_float64(backend, rng, dtype):
    scores = (2 * rng.normal(size=(600, 30))).astype(dtype)
    steps = []
    result = otlabel.assign(scores, epsilon=0.5, tol=1e-9, rounding="argmax", backend=backend, callback=steps.append)
    truth = oracle.error(scores, 0.5, result.potentials, uniform(600), 1 / 30)
    assert result.converged
    assert result.error == pytest.approx(truth, rel=0.01, abs=1e-13)
    first = -oracle.logsumexp(scores, 0.5, np.zeros(30), uniform(600))  # on a GPU float32's
    assert steps[0].objective == pytest.approx(float(first), rel=1e-6)


def test_init_is_where_the_solve_starts(backend, rng):
    scores = rng.normal(size=(500, 20))
    cold = otlabel.assign(scores, epsilon=0.1, backend=backend)
    warm = otlabel.assign(scores, epsilon=0.1, init=cold.potentials, backend=backend)
    assert warm.n_sweeps == 1
    assert cold.n_sweeps > 1


def test_sweep_limit_is_a_status_and_a_warning(backend, rng):
    with pytest.warns(otlabel.ConvergenceWarning, match=r"max_sweeps was reached.*L1 error is .*tol is 1e-12"):
        result = otlabel.assign(rng.normal(size=(300, 20)), max_sweeps=3, tol=1e-12, backend=backend)
    assert result.status is Status.SWEEP_LIMIT
    assert not result.converged
    assert 2 < result.n_sweeps <= 3


def test_plateau_is_its_own_status(backend, rng):
    with pytest.warns(otlabel.ConvergenceWarning, match="limit of float64"):
        result = otlabel.assign(rng.normal(size=(300, 40)) * 3, epsilon=1.0, tol=1e-18, backend=backend)
    assert result.status is Status.PLATEAU
    assert result.error < 1e-12


def test_the_result_is_the_best_point_seen(backend, rng):
    steps = []
    with pytest.warns(otlabel.ConvergenceWarning):
        result = otlabel.assign(
            rng.normal(size=(300, 20)) * 20,
            epsilon=1.0,
            max_sweeps=4,
            tol=1e-12,
            backend=backend,
            callback=steps.append,
        )
    seen = [(step.objective, step.error) for step in steps]
    objective = next(objective for objective, error in seen if error == result.error)
    assert not any(better > objective and error < result.error for better, error in seen)


def test_repr_says_what_matters(rng):
    text = repr(otlabel.assign(rng.normal(size=(100, 5))))
    assert "100 items, 5 labels, sizes 20," in text
    assert "converged" in text
    assert "2 heads" in repr(otlabel.assign(rng.normal(size=(2, 100, 5))))


def test_results_are_frozen(rng):
    with pytest.raises(dataclasses.FrozenInstanceError):
        otlabel.assign(rng.normal(size=(10, 5))).labels = None


def test_runs_are_bit_identical(backend, rng):
    scores = rng.normal(size=(4000, 50)).astype(np.float32)
    one, two = (otlabel.assign(scores, backend=backend) for _ in range(2))
    np.testing.assert_array_equal(one.potentials, two.potentials)
    np.testing.assert_array_equal(one.labels, two.labels)


def test_concurrent_solves_do_not_disturb_each_other(rng):
    scores = rng.normal(size=(6000, 60))
    expected = otlabel.assign(scores).labels
    found = [None] * 4
    threads = [
        threading.Thread(target=lambda slot=slot: found.__setitem__(slot, otlabel.assign(scores).labels))
        for slot in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for labels in found:
        np.testing.assert_array_equal(labels, expected)
