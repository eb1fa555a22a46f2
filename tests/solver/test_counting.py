"""n_sweeps is what was looked at: counted from outside, at the kernels."""

from __future__ import annotations

import warnings
import weakref

import numpy as np
import pytest

import otlabel
from otlabel._input.sources import InMemory
from otlabel._solver import outline
from otlabel._solver.counting import Scores
from otlabel._solver.marginal import Marginal
from otlabel._solver.outline import solve
from otlabel._solver.tuning import Tuning
from otlabel.backends import load


class Watched:
    """Kernels that count what is asked of them."""

    def __init__(self, kernels, shape):
        self.kernels, (self.n, self.k), self.looked, self.blur = kernels, shape, 0.0, kernels.blur

    def rows(self, rows):
        self.looked += len(rows) / self.n
        return self.kernels.rows(rows)

    def survey(self, g, width, precise):
        survey = self.kernels.survey(g, width, precise)
        self.looked += survey.cost
        return WatchedSurvey(survey, self)


class WatchedSurvey:
    def __init__(self, survey, watched):
        self.survey, self.watched = survey, watched

    def __getattr__(self, name):
        return getattr(self.survey, name)

    def sweep(self, g):
        self.watched.looked += self.survey.density
        return self.survey.sweep(g)

    def hessian(self, g):
        self.watched.looked += self.survey.density
        return self.survey.hessian(g)

    def narrowed(self, g, width):
        self.watched.looked += self.survey.density
        return WatchedSurvey(self.survey.narrowed(g, width), self.watched)


@pytest.mark.parametrize("method", ["lbfgs", "sinkhorn"])
@pytest.mark.parametrize("max_sweeps", [3, 8, 1000])
@pytest.mark.parametrize("size", [(500, 20), (4000, 50)], ids=str)
def test_every_look_is_counted_and_the_limit_is_kept(rng, method, max_sweeps, size):
    scores = rng.normal(size=size) * 4
    problem = otlabel._input.problem.as_heads(scores)[0]
    kernels = load("numpy").Kernels(problem, 5.0, np.full(size[0], 1 / size[0]), float(np.abs(scores).max()))
    watched = Watched(kernels, size)
    solution = solve(
        watched,
        size,
        Marginal.exactly(np.full(size[1], 1 / size[1])),
        init=np.zeros(size[1]),
        tol=1e-7,
        max_sweeps=max_sweeps,
        method=method,
        tuning=Tuning(small=1 << 12),
    )
    assert solution.n_sweeps == pytest.approx(watched.looked, rel=1e-12)
    assert solution.n_sweeps <= max_sweeps
    assert solution.history[-1, 0] == solution.n_sweeps  # the last survey is the last look


@pytest.mark.parametrize("max_sweeps", [2, 3, 4, 5, 7, 10, 15, 40])
def test_a_tight_limit_is_used_and_kept(rng, max_sweeps):
    """Hessians are paid for too: nothing is held back for them, and none is made that there is no budget for."""
    scores = rng.normal(size=(3000, 60)) * rng.choice([1.0, 10.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", otlabel.ConvergenceWarning)
        result = otlabel.assign(scores, epsilon=0.3, tol=1e-13, max_sweeps=max_sweeps, rounding="argmax")
    assert result.n_sweeps <= max_sweeps
    assert result.n_sweeps > max_sweeps - 2 or result.status is not otlabel.Status.SWEEP_LIMIT


def test_at_most_two_sets_of_lists_are_alive(monkeypatch):
    """Those of here and of the survey under way: on crowded rows lists are the most of a solve's memory."""
    alive, most, bursting = weakref.WeakSet(), {True: 0, False: 0}, []
    burst, surveyed = outline._burst, Scores.survey

    def survey(scores, *rest):
        found = surveyed(scores, *rest)
        alive.add(found[2])  # short lists that are taken from these are not counted
        most[bool(bursting)] = max(most[bool(bursting)], len(alive))
        return found

    def bursts(*rest):
        bursting.append(1)
        found = burst(*rest)
        bursting.clear()
        return found

    monkeypatch.setattr(Scores, "survey", survey)
    monkeypatch.setattr(outline, "_burst", bursts)
    marginal = Marginal.exactly(np.full(200, 1 / 200))
    tuning = Tuning(margin=20.0, enough=1e-3, most_sinkhorn=0)  # at the edge of its box again and again
    for seed in range(3):  # draws that are known to have bursts: most have, but not all
        rng = np.random.default_rng(seed)
        source, start = InMemory(rng.normal(size=(2000, 200))), rng.normal(size=200) * 40
        kernels = load("numpy").Kernels(source, 1.0, np.full(2000, 1 / 2000), 10.0)
        solve(kernels, (2000, 200), marginal, init=start, tol=1e-9, max_sweeps=300, method="lbfgs", tuning=tuning)
    assert most[False] == 2
    assert 2 <= most[True] <= 4  # where it began, the best, the last but one, and the last
