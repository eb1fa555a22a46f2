"""The library as its users see it: properties that must hold for any input, and what comes back."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import oracle
import pytest
import torch

import otlabel
from otlabel import Status


def uniform(size):
    return np.full(size, 1 / size)


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
    n, k = 240, 24
    scores = (2 * rng.normal(size=(n, k))).astype(dtype)
    steps = []
    result = otlabel.assign(scores, epsilon=0.5, tol=1e-9, rounding="argmax", backend=backend, callback=steps.append)
    truth = oracle.error(scores, 0.5, result.potentials, uniform(n), 1 / k)
    assert result.converged
    assert result.error == pytest.approx(truth, rel=0.01, abs=1e-13)
    first = -oracle.logsumexp(scores, 0.5, np.zeros(k), uniform(n))  # on a GPU float32's
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
