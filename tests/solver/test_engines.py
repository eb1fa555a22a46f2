"""Whole solves by each engine: certified, within their limits, the same labels; and quantile steps with their guard."""

from __future__ import annotations

import dataclasses
import warnings
from types import SimpleNamespace

import numpy as np
import oracle
import pytest

import otlabel
from otlabel import _assign
from otlabel._input.sources import InMemory
from otlabel._solver import outline, quantiles
from otlabel._solver.counting import Budget
from otlabel._solver.engines import prefers_dense
from otlabel._solver.marginal import Marginal
from otlabel._solver.outcome import Status
from otlabel._solver.point import Point
from otlabel._solver.quantiles import by_quantiles, quantile_step
from otlabel._solver.record import Record
from otlabel._solver.tuning import DEFAULT, Tuning, tuned
from otlabel._system import threads
from otlabel.backends import Counted, load, numba
from otlabel.backends.numba_dense import Dense

DENSE = Tuning(entry_cost=np.inf)
PYTHON = Tuning(entry_cost=np.inf, compiled=1)  # dense, step by step in Python
LISTS = Tuning(survey_cost=0.0, entry_cost=0.0, step_cost=0.0)
WAYS = pytest.mark.parametrize("way", [DEFAULT, DENSE, PYTHON, LISTS], ids=["cheaper", "dense", "python", "lists"])


def uniform(size):
    return np.full(size, 1 / size)


def solve(way, scores, **options):
    with tuned(way), warnings.catch_warnings():
        warnings.simplefilter("ignore", otlabel.ConvergenceWarning)
        return otlabel.assign(scores, **({"epsilon": 1.0, "rounding": "argmax", "backend": "numba"} | options))


def certify(result, scores, b, a=None):
    """The error is what extended precision says it is."""
    assert np.isfinite(result.potentials[b > 0]).all()
    truth = oracle.error(scores, 1.0, result.potentials, uniform(len(scores)) if a is None else a, b)
    assert abs(result.error - truth) <= max(0.01 * truth, 1e-12)


@WAYS
@pytest.mark.parametrize("tol", [1e-4, 1e-6, 1e-9])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_every_way_reaches_any_tolerance_and_proves_it(rng, way, tol, dtype):
    scores = (rng.normal(size=(600, 40)) * rng.choice([0.3, 3.0, 20.0])).astype(dtype)
    b, a = rng.dirichlet(np.full(40, 3.0)), rng.dirichlet(np.full(600, 3.0))
    result = solve(way, scores, tol=tol, a=a, b=b)
    assert result.converged
    assert result.error <= tol
    certify(result, scores, b, a)
    assert result.history[-1, 0] == result.n_sweeps
    if way is PYTHON or (way is DENSE and tol == 1e-4):
        assert result.engine == "dense"
    if way is LISTS:
        assert result.engine == "lists"


@pytest.mark.parametrize("way", [DEFAULT, DENSE, PYTHON], ids=["cheaper", "dense", "python"])
def test_scores_that_are_large_in_what_rows_share_are_solved_by_dense_sweeps(rng, way):
    scores = 3 * rng.normal(size=(600, 40)) + 1e6 * rng.normal(size=40)
    for b in (uniform(40), np.where(np.arange(40) % 7 == 3, 0.0, 1 / 34)):  # the second with labels out of use
        result = solve(way, scores, init=-scores[0], b=b / b.sum())
        assert result.converged
        assert result.engine == "dense"
        certify(result, scores, b / b.sum())


def test_every_way_gives_the_same_labels(rng):
    for scores in (rng.normal(size=(300, 20)), np.round(3 * rng.normal(size=(90, 12))), rng.normal(size=(40, 60))):
        n, k = scores.shape
        b = rng.dirichlet(np.full(k, 5.0))
        best = oracle.best_balanced_score(scores, b)
        for way in (DEFAULT, DENSE, PYTHON, LISTS):
            result = solve(way, scores, b=b, epsilon=0.3, rounding="balanced")
            assert scores[np.arange(n), result.labels].sum() == pytest.approx(best, abs=1e-9)
            assert abs(result.gap) <= 1e-9


@WAYS
@pytest.mark.parametrize("size", [(300, 20), (90, 130)], ids=str)
def test_any_limit_is_kept(rng, way, size):
    scores = rng.normal(size=size) * rng.choice([1.0, 3.0])  # no column underflows
    for limit in range(1, 61):
        result = solve(way, scores, tol=1e-13, max_sweeps=limit)
        assert result.n_sweeps <= limit
        assert result.status is not Status.SWEEP_LIMIT or result.n_sweeps > limit - 4
        certify(result, scores, uniform(size[1]))


@pytest.mark.parametrize("way", [DENSE, PYTHON], ids=["dense", "python"])
def test_every_dense_look_is_counted(rng, monkeypatch, way):
    looked = []

    def watch(kind, name, cost):
        method = getattr(kind, name)

        def watched(self, *arguments):
            found = method(self, *arguments)
            looked.append(cost(found, *arguments))
            return found

        monkeypatch.setattr(kind, name, watched)

    n = 400
    watch(Dense, "sweep", lambda found, g, every: 1 / every)
    watch(Dense, "count", lambda found, g, reach, every: 1 / every)
    watch(Dense, "precise", lambda found, g: found[1])
    watch(Dense, "climb", lambda found, *arguments: found[1])
    watch(numba.Kernels, "rows", lambda found, rows: len(rows) / n)
    result = solve(way, 4 * rng.normal(size=(n, 30)), b=rng.dirichlet(np.ones(30)))
    assert result.engine == "dense"
    assert result.n_sweeps == pytest.approx(sum(looked), rel=1e-12)


@pytest.mark.parametrize(("spread", "samples"), [(8.0, True), (0.3, False)])
def test_a_first_look_at_a_sample_says_what_is_far_away_only(rng, monkeypatch, spread, samples):
    sweep, looked = Dense.sweep, []

    def watched(self, g, every):
        looked.append(every)
        return sweep(self, g, every)

    monkeypatch.setattr(Dense, "sweep", watched)
    scores = (3 * rng.normal(size=(12_000, 20)) + spread * rng.normal(size=20)).astype("float32")
    for way in (PYTHON, dataclasses.replace(LISTS, compiled=1)):
        looked.clear()
        result = solve(way, scores)
        assert result.converged
        certify(result, scores, uniform(20))
        assert looked[0] == 12_000 // (20 * DEFAULT.looked_at)
        assert (1 in looked[:2]) == (not samples or way is PYTHON)


@pytest.mark.parametrize("way", [PYTHON, dataclasses.replace(LISTS, compiled=1)], ids=["python", "lists"])
def test_where_quantile_steps_lead_astray_the_solve_begins_where_it_was_told(rng, monkeypatch, way):
    asked = []

    def astray(run, dense, g):
        asked.append(g)
        return g + 40 * np.linspace(-1, 1, len(g))

    monkeypatch.setattr(outline, "by_quantiles", astray)
    scores = (3 * rng.normal(size=(12_000, 20)) + 4 * rng.normal(size=20)).astype("float32")
    result = solve(way, scores)
    assert len(asked) == 1
    assert result.converged
    certify(result, scores, uniform(20))


def test_the_last_look_that_is_allowed_is_the_last_even_if_it_proves_nothing():
    budget = Budget(2)
    record = Record(1e-9, 6, budget, DEFAULT, lambda step: None)
    near, far = (Point(np.zeros(2), -error, np.ones(2), np.zeros(2), np.array([error, 0])) for error in (0.1, 0.9))
    budget.spend(1)
    record.add(near, 0)
    assert record.status is None
    budget.spend(0.5)
    record.show(far, 0)
    assert record.status is Status.SWEEP_LIMIT
    assert record.error == 0.1


@WAYS
def test_solved_potentials_are_certified_at_once(rng, way):
    scores = rng.normal(size=(500, 30))
    first = solve(way, scores, tol=1e-7)
    again = solve(way, scores, tol=1e-7, init=first.potentials)
    assert again.n_sweeps == 1
    np.testing.assert_allclose(again.potentials, first.potentials, atol=1e-12)
    near = solve(way, scores, tol=1e-4, init=first.potentials + 0.01 * rng.normal(size=30))
    assert near.converged
    assert near.n_sweeps <= first.n_sweeps


@WAYS
@pytest.mark.parametrize("far", [30.0, 3000.0, 1e5])
def test_starts_from_far_away_come_home(rng, way, far):
    """Errors of float32's sums are not climbed on: potentials once went to 1e15 and stayed there."""
    scores, b = np.round(3 * rng.normal(size=(200, 60))), rng.dirichlet(np.full(60, 1.0))
    for limit in (45, 1000):
        result = solve(way, scores, b=b, tol=1e-6, max_sweeps=limit, init=far * rng.normal(size=60))
        certify(result, scores, b)
        assert result.history[:, 1].max() <= 1e3
        assert np.abs(result.potentials).max() <= 1e3 + 20 * far
        assert result.converged or limit < 1000 or far > 3000


@WAYS
@pytest.mark.parametrize("least", [0.0, 1e-6, 1e-12, 1e-40])
def test_labels_of_hardly_any_share(rng, way, least):
    """Shares that float32 cannot tell from nothing are not aimed at: that took all sweeps there were."""
    scores, b = 5 * rng.normal(size=(120, 14)), rng.dirichlet(np.full(14, 5.0))
    b[[2, 5]] = least
    result = solve(way, scores, b=b / b.sum(), tol=1e-5)
    assert result.converged
    assert result.n_sweeps < (400 if way is LISTS else 100)
    assert (result.potentials[b == 0] == -np.inf).all()
    certify(result, scores, b / b.sum())
    if least == 0.0:
        assert (result.sizes[b == 0] == 0).all()


@WAYS
@pytest.mark.parametrize("size", [(1, 1), (5, 1), (1, 7), (3, 50), (17, 16)], ids=str)
def test_few_items_and_few_labels(rng, way, size):
    scores, b = 3 * rng.normal(size=size), rng.dirichlet(np.full(size[1], 3.0))
    result = solve(way, scores, b=b, tol=1e-6)
    assert result.converged
    certify(result, scores, b)
    again = solve(way, scores, b=b, tol=1e-6)
    np.testing.assert_array_equal(again.potentials, result.potentials)
    assert again.n_sweeps == result.n_sweeps


@WAYS
def test_rows_that_may_have_one_label_only(rng, way):
    scores = rng.normal(size=(60, 6))
    scores[:18] = -np.inf
    scores[np.arange(18), np.arange(18) % 6] = 1e3  # nobody compares it with anything
    result = solve(way, scores, tol=1e-8)
    assert result.converged
    np.testing.assert_array_equal(result.labels[:18], np.arange(18) % 6)
    certify(result, scores, uniform(6))


@WAYS
def test_a_plan_that_cannot_be_met_does_not_take_potentials_beyond_what_can_be_certified(rng, way):
    scores = 10 * rng.normal(size=(40, 5))
    scores[:30, 0] = -np.inf  # 10 items may have label 0; it is asked for by 24
    b = np.array([0.6, 0.1, 0.1, 0.1, 0.1])
    a = rng.dirichlet(np.full(40, 100.0))  # of items that weigh the same this is known before
    result = solve(way, scores, b=b, a=a, max_sweeps=300)
    assert not result.converged
    assert np.abs(result.potentials).max() < 1e6
    certify(result, scores, b, a)


@WAYS
def test_the_callback_hears_of_sweeps_in_order(rng, way):
    scores, steps = rng.normal(size=(300, 40)) * 3, []
    result = solve(way, scores, tol=1e-8, callback=steps.append)
    assert [step.sweeps for step in steps] == sorted({step.sweeps for step in steps})
    np.testing.assert_array_equal(result.history[:, 0], [step.sweeps for step in steps])
    assert steps[-1].error == result.error

    def stop(step):
        if step.sweeps > 5:
            raise InterruptedError("enough")

    with pytest.raises(InterruptedError, match="enough"):
        solve(way, scores, tol=1e-8, callback=stop)


def test_what_is_right_at_the_first_look_is_certified_by_a_dense_one(rng):
    scores = rng.normal(size=(400, 10)).astype(np.float32)
    result = otlabel.assign(scores, epsilon=1.0, tol=0.5, rounding="argmax")
    assert (result.engine, result.n_sweeps) == ("dense", 2.0)


def test_the_prediction_is_right_where_it_is_plain(rng):
    flat, peaked = 5 * rng.random((128, 100)), 200 + rng.random((128, 3000))
    flat[:, 0] = peaked[:, 0] = 0.0
    for n in (100, 10_000, 1_000_000):
        assert prefers_dense(lambda: flat, n * 100, 1e-4, DEFAULT)
    assert not prefers_dense(lambda: peaked, 100_000 * 3000, 1e-4, DEFAULT)
    between = np.where(np.arange(3000) < 90, peaked - 200, peaked)  # 3 % are near: what is loose is better done densely
    assert prefers_dense(lambda: between, 100_000 * 3000, 1e-2, DEFAULT)
    assert not prefers_dense(lambda: between, 100_000 * 3000, 1e-8, DEFAULT)
    for way, dense in ((DENSE, True), (PYTHON, True), (LISTS, False)):
        for depth in (flat, peaked):
            assert prefers_dense(lambda depth=depth: depth, 1 << 24, 1e-4, way) is dense


# Quantile steps.


class Dual:
    """The unregularised dual of scores, in float64, as quantile steps ask for it; remembers where."""

    def __init__(self, x, step=None):
        self.x, self.a, self.asked, self.step = x, uniform(len(x)), [], step

    def value(self, g, marginal):
        return marginal.support(g) - self.a @ (self.x + g).max(axis=1)

    def rows_apart(self, items):
        return 1

    def depth(self, g):
        return float(np.ptp(self.x + g, axis=1).max())

    def count(self, g, reach, every):
        self.asked.append(g)
        wins = np.bincount((self.x + g).argmax(axis=1), weights=self.a, minlength=len(g))
        return Counted(float(self.a @ (self.x + g).max(axis=1)), wins, None, self.step(g), None)


def climb_by_quantiles(dual, marginal, tuning=DEFAULT):
    """With the steps that the dual was given."""
    run = SimpleNamespace(tuning=tuning, marginal=marginal, scores=dual)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantiles, "quantile_step", lambda found, target: found.near)
        return by_quantiles(run, dual, np.zeros(len(marginal.target)))


def test_a_step_down_is_halved_and_then_left(rng):
    marginal = Marginal.exactly(uniform(3))
    x = np.tile([4.0, 0.0, 0.0], (9, 1))  # each potential by itself would go by 4; all together that is too far
    far = np.array([-40.0, 20.0, 20.0])
    dual = Dual(x, lambda g: far)
    assert dual.value(far, marginal) < dual.value(np.zeros(3), marginal)
    assert dual.value(far / 2, marginal) < dual.value(np.zeros(3), marginal)
    np.testing.assert_array_equal(climb_by_quantiles(dual, marginal), np.zeros(3))
    np.testing.assert_allclose(dual.asked, [np.zeros(3), far, far / 2])

    right = np.array([-8 / 3, 4 / 3, 4 / 3])
    dual = Dual(x, lambda g: np.where(np.abs(g).max() < 1e-9, 4 * right, 0.0))
    np.testing.assert_allclose(climb_by_quantiles(dual, marginal), 2 * right)
    np.testing.assert_allclose(dual.asked[:3], [np.zeros(3), 4 * right, 2 * right])


def test_what_is_right_for_each_label_by_itself_may_be_wrong_for_all_together():
    x, b = np.tile([8.0, 0.0, 0.0, 0.0], (50, 1)), np.array([0.7, 0.1, 0.1, 0.1])  # the first has all, and too much
    dense = load("numba").Kernels(InMemory(x), 1.0, uniform(50), 8.0).dense()
    marginal, dual = Marginal.exactly(b), Dual(x)
    dual.step = lambda g: quantile_step(dense.count(g, 10.0), b)
    end = climb_by_quantiles(dual, marginal)
    values = [dual.value(g, marginal) for g in dual.asked]
    assert values[1] < values[0] < values[2]
    np.testing.assert_allclose(dual.asked[2], marginal.gauged(dual.asked[1] / 2))
    assert dual.value(end, marginal) > values[0]


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_quantile_steps_are_no_more_than_allowed(steps):
    marginal = Marginal.exactly(uniform(3))
    dual = Dual(np.tile([2.0, 0.0, 0.0], (9, 1)), lambda g: np.array([-0.02, 0.01, 0.01]))
    climb_by_quantiles(dual, marginal, dataclasses.replace(DEFAULT, quantile_steps=steps, settled=-1.0))
    assert len(dual.asked) == steps


# Heads that are solved side by side.


@pytest.mark.parametrize("way", [DEFAULT, PYTHON], ids=["compiled", "python"])
def test_heads_side_by_side_are_as_if_alone(rng, monkeypatch, way):
    monkeypatch.setattr(threads, "count", lambda: 3)
    scores, b = rng.normal(size=(5, 300, 20)) * 4, rng.dirichlet(np.full(20, 5.0), size=5)
    for rounding in ("argmax", "balanced"):
        together = solve(way, scores, b=b, rounding=rounding)
        for head in range(5):
            alone = solve(way, scores[head], b=b[head], rounding=rounding)
            for name in ("potentials", "labels", "sizes", "error", "n_sweeps", "history", "engine"):
                np.testing.assert_array_equal(getattr(together, name)[head], getattr(alone, name))


def test_what_one_head_raises_ends_the_call(rng, monkeypatch):
    monkeypatch.setattr(threads, "count", lambda: 3)
    solved = _assign.solve

    def solve_all_but_one(*arguments, head, **options):
        if head in (2, 3):
            raise ArithmeticError(f"head {head}")
        return solved(*arguments, head=head, **options)

    monkeypatch.setattr(_assign, "solve", solve_all_but_one)
    with pytest.raises(ArithmeticError, match="head 2"):
        otlabel.assign(rng.normal(size=(5, 50, 6)), backend="numba")


def test_heads_report_in_order_where_somebody_listens(rng):
    heads = []
    otlabel.assign(rng.normal(size=(3, 60, 5)), backend="numba", callback=lambda step: heads.append(step.head))
    assert heads == sorted(heads)
    assert set(heads) == {0, 1, 2}
