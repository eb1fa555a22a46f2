"""What only the compiled loops promise."""

from __future__ import annotations

import numpy as np
import pytest
from test_kernels import random_case

from otlabel._input.sources import InMemory
from otlabel._system import threads
from otlabel.backends import numba
from otlabel.backends.numba_loops import exp


@pytest.mark.parametrize(
    "sizes", [numba.Sizes(), numba.Sizes(part=50, labelled_part=50, converted=40)], ids=["few parts", "many parts"]
)
def test_results_are_bit_identical_for_any_number_of_threads(rng, monkeypatch, sizes):
    monkeypatch.setattr(numba.Kernels, "sizes", sizes)
    scores, a, g = random_case(rng, (10_000, 65), "float32")
    kernels = numba.Kernels(InMemory(scores), 10.0, a, float(np.abs(scores).max()))
    results = []
    for count in (1, 2, 7):
        monkeypatch.setattr(threads, "count", lambda count=count: count)
        survey = kernels.survey(g, 2.0, True)
        results.append((*survey.swept, *survey.sweep(g + 0.1), kernels.labels(g)))
    for result in results[1:]:
        for value, first in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(value, first)


def test_exponential_is_accurate_to_the_last_digits(rng):
    x = -np.concatenate([rng.random(2000) * 40, rng.random(2000) * 590, [0.0]])
    ours = np.array([exp(value) for value in x])
    assert np.max(np.abs(ours / np.exp(x.astype(np.longdouble)) - 1)) < 5e-16
    assert exp(-601.0) == 0.0
    assert exp(-np.inf) == 0.0
