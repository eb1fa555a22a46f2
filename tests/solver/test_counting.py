"""n_sweeps is what was looked at: counted from outside, at the kernels."""

from __future__ import annotations

import numpy as np
import pytest

import otlabel
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
