"""The numbers that steer: frozen, documented one by one, and free to change without harm to the labels."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools

import numpy as np
import oracle
import pytest

import otlabel
from otlabel._solver import tuning
from otlabel._solver.tuning import DEFAULT, Tuning, tuned

FIELDS = [field.name for field in dataclasses.fields(Tuning)]


def test_every_number_says_what_it_means():
    body = next(node for node in ast.parse(inspect.getsource(tuning)).body if isinstance(node, ast.ClassDef)).body
    documented = [
        before.target.id
        for before, after in itertools.pairwise(body)
        if isinstance(before, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    ]
    assert documented == FIELDS


def test_they_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULT.listed = 3


@pytest.mark.filterwarnings("ignore::otlabel.ConvergenceWarning")
@pytest.mark.parametrize("name", FIELDS)
def test_other_numbers_give_the_same_labels(rng, name):
    scores = rng.normal(size=(200, 12))
    best = oracle.best_balanced_score(scores, np.full(12, 1 / 12))
    value = getattr(DEFAULT, name)
    for factor in (0.25, 4):
        other = max(1, round(value * factor)) if isinstance(value, int) else value * factor
        numbers = dataclasses.replace(DEFAULT, small=500, whole_matrix=500) if name != "small" else DEFAULT
        with tuned(dataclasses.replace(numbers, **{name: other})):
            result = otlabel.assign(scores, epsilon=0.3)
        assert set(result.sizes) == {16, 17}
        assert scores[np.arange(200), result.labels].sum() == pytest.approx(best, abs=1e-9)
        assert result.gap <= 1e-9
