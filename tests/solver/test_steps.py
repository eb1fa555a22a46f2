"""Climbs by themselves, on functions that can be looked through: where they end, and why."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from otlabel._solver.directions import Directions, Kind, Pairs
from otlabel._solver.marginal import Marginal
from otlabel._solver.outcome import Ended
from otlabel._solver.point import Point
from otlabel._solver.steps import Box, climb
from otlabel._solver.tuning import DEFAULT


class Dense:
    """F of dense scores, in a few lines; as a model to climb on."""

    def __init__(self, rng, n=200, k=8, evaluations=1000, newton_cost=np.inf):
        self.scores, self.marginal = rng.normal(size=(n, k)) * 2, Marginal.exactly(np.full(k, 1 / k))
        self.left, self.newton_cost, self.hessians = evaluations, newton_cost, 0

    @property
    def exhausted(self):
        return self.left == 0

    def plan(self, g):
        x = self.scores + g
        q = np.exp(x - x.max(axis=1, keepdims=True))
        return q / q.sum(axis=1, keepdims=True) / len(x)

    def evaluate(self, g):
        self.left -= 1
        x, c = self.scores + g, self.plan(g).sum(axis=0)
        top = x.max(axis=1)
        objective = self.marginal.support(g) - np.mean(top + np.log(np.exp(x - top[:, None]).sum(axis=1)))
        return Point(g, float(objective), c, np.log(c), self.marginal.wanted(g, c) - c)

    def hessian(self, point):
        self.hessians += 1
        p = self.plan(point.g)
        return np.diag(p.sum(axis=0)) - len(p) * p.T @ p

    def climb(self, goal, box=None, tuning=DEFAULT, g=None):
        start = self.evaluate(np.zeros(self.scores.shape[1]) if g is None else g)
        directions = Directions(self.marginal, tuning, 1e-4)
        end, why, at_edge = climb(self, start, self.marginal, directions, tuning, goal=goal, box=box)
        assert end.objective >= start.objective - 1e-13
        assert at_edge == (box is not None)  # where it ends early and labels are held, too
        return end, why


def test_it_reaches_its_goal(rng):
    end, why = Dense(rng).climb(1e-9)
    assert why is Ended.GOAL
    assert end.error <= 1e-9


def test_newton_is_tried_where_it_has_been_paid_for_and_is_faster(rng):
    seed = rng.integers(2**31)
    plain, newton = (Dense(np.random.default_rng(seed), newton_cost=cost) for cost in (np.inf, 2.0))
    plain.climb(1e-12)
    _end, why = newton.climb(1e-12)
    assert why is Ended.GOAL
    assert newton.hessians > 0
    assert plain.hessians == 0
    assert newton.left >= plain.left


def test_it_stays_in_its_box_and_says_so(rng):
    box = Box.around(np.zeros(8), 0.05)
    end, why = Dense(rng).climb(1e-9, box)
    assert why is Ended.EDGE
    assert (np.abs(end.g) <= 0.05).all()
    assert box.touches(end.g)


@pytest.mark.parametrize("evaluations", [1, 2, 5])
def test_it_ends_when_no_more_may_be_evaluated(rng, evaluations):
    model = Dense(rng, evaluations=evaluations)
    _, why = model.climb(0.0)
    assert why is Ended.EXHAUSTED
    assert model.left == 0


def test_it_ends_when_steps_gain_nothing(rng):
    _, why = Dense(rng).climb(-1.0, tuning=dataclasses.replace(DEFAULT, step_patience=3))  # some errors are 0
    assert why is Ended.STALLED


def test_far_away_and_where_columns_are_empty_steps_are_sinkhorn_s(rng):
    model = Dense(rng)
    directions = Directions(model.marginal, DEFAULT, 1e-4)
    held = np.zeros(8, dtype=bool)
    far = model.evaluate(np.array([-20.0, 0, 0, 0, 0, 0, 0, 20]))
    assert directions.next(model, far, held, held)[0] is Kind.SINKHORN
    near, _ = model.climb(1e-3)
    directions = Directions(model.marginal, DEFAULT, 1e-4)
    assert directions.next(model, near, held, held)[0] is Kind.SINKHORN  # nothing has been learned yet
    directions.learn(Kind.SINKHORN, model.evaluate(np.zeros(8)), near, 1)
    assert directions.next(model, near, held, held)[0] is Kind.LBFGS
    directions.failed(Kind.LBFGS, 3)
    assert directions.next(model, near, held, held)[0] is Kind.SINKHORN
    empty = dataclasses.replace(near, log_c=near.log_c - np.eye(8)[0] * 2 * DEFAULT.widest)
    directions.learn(Kind.SINKHORN, model.evaluate(np.zeros(8)), near, 1)
    assert directions.next(model, empty, held, held)[0] is Kind.SINKHORN


def test_a_change_too_small_to_be_squared_teaches_nothing(rng):
    """Shares of 1e-170 have such gradients: sqrt(y @ y) is 0 where s @ y is not."""
    pairs, step = Pairs(np.full(4, 0.25), most=5, least=1e-3), np.abs(rng.normal(size=4))
    pairs.add(step, 1e-170 * step)
    assert pairs.count == 0
    pairs.add(step, 1e-60 * step)
    assert pairs.count == 1
    assert np.isfinite(pairs.direction(1e-60 * rng.normal(size=4))).all()
