"""Scores of -inf: labels that an item may not have."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import otlabel
from otlabel._input.reach import reach_of
from otlabel._input.sources import InMemory
from otlabel._rounding import feasible
from otlabel._rounding.capacities import Bounds


def forbid(rng, scores, share):
    """Some entries -inf, such that balanced labels still exist: item i may always have label i mod k."""
    n, k = scores.shape
    forbidden = rng.random((n, k)) < share
    forbidden[np.arange(n), np.arange(n) % k] = False
    return np.where(forbidden, -np.inf, scores).astype(scores.dtype), forbidden


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_forbidden_labels_are_never_given_and_the_rest_is_optimal(backend, rng, dtype, share):
    scores, forbidden = forbid(rng, rng.normal(size=(90, 6)).astype(dtype), share)
    result = otlabel.assign(scores, epsilon=0.5, tol=1e-9, backend=backend)
    np.testing.assert_array_equal(result.sizes, 15)
    assert not forbidden[np.arange(90), result.labels].any()
    # For scipy a loss that no labelling would choose stands for -inf.
    finite = np.where(forbidden, -1e4, scores.astype(np.float64))
    best = oracle.best_balanced_score(finite, np.full(6, 1 / 6))
    assert finite[np.arange(90), result.labels].sum() == pytest.approx(best, abs=1e-9)
    assert result.plan(np.arange(90))[forbidden].max() == 0
    error = oracle.error(scores, 0.5, result.potentials, np.full(90, 1 / 90), np.full(6, 1 / 6))
    assert result.error == pytest.approx(error, rel=0.01, abs=1e-12)


def test_predict_keeps_to_what_is_allowed(backend, rng):
    scores = rng.normal(size=(60, 4))
    result = otlabel.assign(scores, backend=backend)
    new, forbidden = forbid(rng, rng.normal(size=(40, 4)), 0.7)
    assert not forbidden[np.arange(40), result.predict(new)].any()
    new[3] = -np.inf
    with pytest.raises(ValueError, match="row 3 has none"):
        result.predict(new)


@pytest.mark.parametrize("rounding", ["balanced", "argmax"])
def test_sizes_that_cannot_be_met_are_an_error_before_the_first_sweep(backend, rng, rounding):
    scores, steps = rng.normal(size=(40, 4)), []
    scores[:30, 0] = -np.inf  # label 0 is asked for by 20
    with pytest.raises(ValueError, match=r"-inf leaves 30 items no label but 1, 2, 3, which are to have 20 at most"):
        otlabel.assign(scores, b=[0.5, 0.2, 0.2, 0.1], rounding=rounding, backend=backend, callback=steps.append)
    few = rng.normal(size=(10, 3))
    few[:8, 0] = -np.inf  # for which there is room elsewhere: 4 and 4
    with pytest.raises(ValueError, match=r"labels 0 are to have 3 items at least, but only 2 may have any of them"):
        otlabel.assign(few, rounding=rounding, backend=backend, callback=steps.append)
    scores[:30, 0], scores[:25, 1:3] = 0.0, -np.inf  # 25 items may have labels 0 and 3, which are to have 24
    scores[:25, 0] = -np.inf
    with pytest.raises(ValueError, match=r"-inf leaves 25 items no label but 3, which are to have 4 at most"):
        otlabel.assign(scores, b=[0.5, 0.2, 0.2, 0.1], rounding=rounding, backend=backend, callback=steps.append)
    heads = np.stack([np.zeros((40, 4)), scores])
    with pytest.raises(ValueError, match=r"cannot be met of head 1: -inf leaves 25 items"):
        otlabel.assign(heads, b=[0.5, 0.2, 0.2, 0.1], rounding=rounding, backend=backend, callback=steps.append)
    assert not steps


def test_shares_between_which_no_items_fit_give_way_to_sizes_that_do(backend, rng):
    """Ten items, three labels of 10/3: four that may have label 0 only fit, though their share does not."""
    scores = rng.normal(size=(10, 3))
    scores[:4, 1:] = -np.inf
    result = otlabel.assign(scores, epsilon=0.5, backend=backend)
    np.testing.assert_array_equal(result.labels[:4], 0)
    np.testing.assert_array_equal(result.sizes, [4, 3, 3])
    assert result.converged
    finite = np.where(np.isinf(scores), -1e4, scores)
    assert finite[np.arange(10), result.labels].sum() == pytest.approx(
        oracle.best_balanced_score(finite, np.full(3, 1 / 3)), abs=1e-9
    )


def test_a_network_that_is_too_large_is_left_to_the_solver(rng, monkeypatch):
    monkeypatch.setattr(feasible, "_EDGES", 8)
    scores = rng.normal(size=(40, 4))
    scores[:30, 0] = -np.inf
    scores[rng.random((40, 4)) < 0.2] = -np.inf
    scores[np.isinf(scores).all(axis=1), 3] = 0.0
    with pytest.raises(ValueError, match="too many items are allowed too few labels"):
        otlabel.assign(scores, b=[0.5, 0.2, 0.2, 0.1], max_sweeps=20)


@pytest.mark.parametrize(("share", "evenness"), [(0.3, 3.0), (0.6, 3.0), (0.9, 100.0)])
def test_what_is_plain_is_so(rng, share, evenness):
    """Where the quick test finds nothing wrong, the flow finds nothing either; and the other way round it may ask."""
    plain = 0
    for _ in range(400):  # of which some 15 are plain where few labels are allowed
        n, k = int(rng.integers(3, 40)), int(rng.integers(2, 7))
        scores = np.where(rng.random((n, k)) < share, -np.inf, 0.0)
        scores[np.arange(n), rng.integers(0, k, n)] = 0.0
        b = rng.dirichlet(np.full(k, evenness))
        reach, source = reach_of([InMemory(scores)], b[None], np.ones(n, dtype=bool)).of(0), InMemory(scores)
        if feasible._is_loose(reach, n * b, n):
            plain += 1
            network = feasible._Network(*feasible._patterns(source, b > 0, np.ones(n, dtype=bool)))
            lower, upper = Bounds.of_shares(b, n)
            assert network.overflow(upper) is None
            assert network.shortage(lower) is None
    assert plain > 0


def test_shares_of_a_label_that_nobody_may_have_do_not_overfill_the_others(backend):
    """Label 3 may go without. Its share among the three others would be a third of an item above their ceiling."""
    allowed = np.array([[1, 0, 1, 0], [0, 0, 1, 0], [1, 1, 0, 0], [0, 1, 0, 0]], dtype=bool)
    logits = np.where(allowed, np.random.default_rng().normal(size=(4, 4)), -np.inf)
    b = np.array([0.9997, 1.0020, 0.9987, 0.9996]) / 4
    result = otlabel.assign(logits, epsilon=1.0, b=b / b.sum(), backend=backend)
    np.testing.assert_array_equal(result.sizes, [1, 2, 1, 0])  # floor or ceiling of each
    np.testing.assert_allclose(result.plan(range(4)).sum(axis=0) * 4, [1, 2, 1, 0], atol=2e-3)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore::otlabel.ConvergenceWarning")
@given(data=st.data())
def test_any_problem_is_solved_or_said_to_have_no_solution(backend, data):
    n, k = data.draw(st.integers(1, 30), "n"), data.draw(st.integers(1, 8), "k")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31), "seed"))
    scale = 10.0 ** data.draw(st.integers(-6, 30), "log10 scale")
    b = rng.dirichlet(np.full(k, data.draw(st.sampled_from([0.1, 1.0, 1e6]), "evenness")))
    forbidden = rng.random((n, k)) < data.draw(st.sampled_from([0.0, 0.3, 0.8]), "share forbidden")
    scores = data.draw(st.sampled_from([rng.normal(size=(n, k)), np.ones((n, k)), rng.integers(0, 2, (n, k)) * 1.0]))
    penalised = np.where(forbidden, -1e4, scores)
    # Of a label of share 0 no one is asked for; where sizes can be met, the penalty is never paid.
    possible = oracle.best_balanced_score(penalised, b) > -1e3
    logits = np.where(forbidden, -np.inf, scores * scale)
    refusal, result = "", None
    try:
        result = otlabel.assign(logits, epsilon=1.0, b=b, max_sweeps=40, backend=backend)
    except ValueError as error:
        refusal = str(error)
    if result is None:
        lonely = forbidden[:, b > 0].all(axis=1).any() or forbidden[:, b > 0].all(axis=0).any()
        assert lonely or (not possible and "sizes asked for cannot be met" in refusal)
        return
    assert possible
    reached = (b > 0) & ~forbidden.all(axis=0)  # a label that nobody may have, nor has to, is out of use
    assert np.isfinite(result.potentials[reached]).all()
    lower, upper = oracle.size_limits(n, b)
    assert ((lower <= result.sizes) & (result.sizes <= upper)).all()
    assert not forbidden[np.arange(n), result.labels].any()
    found = scores[np.arange(n), result.labels].sum()
    assert found == pytest.approx(oracle.best_balanced_score(penalised, b), abs=1e-9 * n)
    truth = oracle.error(logits, 1.0, result.potentials, np.full(n, 1 / n), b)
    rounding = 1e-15 * n * (scale + np.abs(result.potentials[reached]).max())
    if result.error < truth - max(0.01 * truth, 1e-9, rounding):  # shares that no plan has: the nearest there are
        c = result.plan(np.arange(n)).sum(axis=0) * n
        outside = np.maximum(lower - c, 0) + np.maximum(c - upper, 0)
        assert outside.sum() / n <= result.error + 1e-6  # items, as feasible.py has it
        return
    assert abs(result.error - truth) <= max(0.01 * truth, 1e-9, rounding)
