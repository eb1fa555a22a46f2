"""What a solve leaves behind: the same labels, plan and confidence for any scores, saved or pickled."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import oracle
import pytest
import torch

import otlabel


@pytest.fixture
def solved(rng):
    scores = rng.normal(size=(400, 12)) * 3
    return scores, otlabel.assign(scores, epsilon=0.5)


def test_it_labels_new_items_as_the_assignment_does(put, rng, solved):
    _, result = solved
    new = rng.normal(size=(50, 12)) * 3
    labels = result.predictor.predict(put(new))
    np.testing.assert_array_equal(np.asarray(labels), (new / 0.5 + result.potentials).argmax(axis=1))
    np.testing.assert_array_equal(result.predict(new), np.asarray(labels))


def test_its_plan_is_the_solve_s(solved):
    scores, result = solved
    plan = result.predictor.plan(scores)
    np.testing.assert_allclose(plan / 400, result.plan(np.arange(400)), rtol=1e-12, atol=1e-300)
    truth = oracle.plan(scores, 0.5, result.potentials, np.ones(400)).astype(float)
    np.testing.assert_allclose(plan, truth, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(plan.sum(axis=1), 1.0)


def test_confidence_is_what_the_plan_gives_to_a_label(monkeypatch, solved):
    from otlabel import _predictor

    monkeypatch.setattr(_predictor, "_BLOCK", 100)  # many blocks of few rows
    scores, result = solved
    predictor, plan = result.predictor, result.predictor.plan(scores)
    np.testing.assert_allclose(predictor.confidence(scores), plan.max(axis=1))
    rows = np.arange(400)
    np.testing.assert_allclose(predictor.confidence(scores, result.labels), plan[rows, result.labels])
    assert (
        predictor.confidence(scores, result.labels) < plan.max(axis=1)
    ).any()  # balanced labels are not all the best


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_what_it_gives_is_where_the_scores_are(solved, dtype):
    scores, result = solved
    tensor = torch.from_numpy(scores).to(dtype)
    wide = tensor.double().numpy()
    for found in (result.predictor.predict(tensor), result.predictor.plan(tensor), result.predictor.confidence(tensor)):
        assert isinstance(found, torch.Tensor)
    np.testing.assert_array_equal(result.predictor.predict(tensor), result.predictor.predict(wide))
    np.testing.assert_allclose(result.predictor.plan(tensor), result.predictor.plan(wide), rtol=1e-12)
    labels = torch.from_numpy(result.labels)
    np.testing.assert_allclose(
        result.predictor.confidence(tensor, labels), result.predictor.confidence(wide, result.labels), rtol=1e-12
    )


def test_heads_have_an_axis_of_their_own(rng):
    scores = rng.normal(size=(3, 90, 5))
    result = otlabel.assign(scores)
    predictor = result.predictor
    alone = [
        otlabel.Predictor(g, predictor.epsilon, b) for g, b in zip(predictor.potentials, predictor.shares, strict=True)
    ]
    new = rng.normal(size=(3, 20, 5))
    for name in ("predict", "plan", "confidence"):
        together = getattr(predictor, name)(new)
        for head, one in enumerate(alone):
            np.testing.assert_array_equal(together[head], getattr(one, name)(new[head]))
    np.testing.assert_array_equal(predictor.confidence(scores, result.labels).shape, (3, 90))


def test_scores_may_be_computed(rng):
    features, weight = rng.normal(size=(200, 6)), rng.normal(size=(9, 6))
    source = otlabel.LinearScores(features, weight)
    result = otlabel.assign(source)
    dense = features @ weight.T
    np.testing.assert_array_equal(result.predictor.predict(source), result.predictor.predict(dense))
    np.testing.assert_allclose(result.predictor.plan(source), result.predictor.plan(dense), rtol=1e-9)
    np.testing.assert_allclose(result.predictor.confidence(source), result.predictor.confidence(dense), rtol=1e-9)


def test_shares_are_equal_ones_if_none_are_given(rng, solved):
    scores, result = solved
    potentials = result.potentials.copy()
    potentials[3] = -np.inf
    predictor = otlabel.Predictor(potentials, 0.5)
    np.testing.assert_allclose(predictor.shares, np.where(np.arange(12) == 3, 0, 1 / 11))
    assert not (predictor.predict(scores) == 3).any()


def test_labels_out_of_use_and_forbidden_ones_get_nothing(rng):
    scores = rng.normal(size=(100, 4))
    predictor = otlabel.assign(scores, b=[0.5, 0.0, 0.25, 0.25]).predictor
    new = rng.normal(size=(30, 4))
    new[:, 1] += 100  # out of use
    new[:10, 0] = -np.inf
    plan = predictor.plan(new)
    assert (plan[:, 1] == 0).all()
    assert (plan[:10, 0] == 0).all()
    np.testing.assert_allclose(plan.sum(axis=1), 1.0)
    assert not (predictor.predict(new) == 1).any()


def test_it_is_small_and_what_is_pickled_or_saved_labels_alike(rng, tmp_path):
    scores = rng.normal(size=(6000, 3000)).astype(np.float32)
    result = otlabel.assign(scores, epsilon=1.0, rounding="argmax")
    assert len(pickle.dumps(result.predictor)) < 100_000
    again = pickle.loads(pickle.dumps(result))  # an Assignment leaves its scores behind
    np.testing.assert_array_equal(copy.copy(result).plan(3), result.plan(3))
    assert (
        len(pickle.dumps(result)) < 250_000
    )  # 48 kB of labels, 96 of potentials, shares, sizes; the scores have 72 MB
    result.predictor.save(tmp_path / "predictor.npz")
    result.save(tmp_path / "assignment.npz")
    new = rng.normal(size=(20, 3000))
    expected = result.predictor.predict(new)
    for predictor in (
        again.predictor,
        pickle.loads(pickle.dumps(result.predictor)),
        otlabel.Predictor.load(tmp_path / "predictor.npz"),
        otlabel.Predictor.load(tmp_path / "assignment.npz"),
        otlabel.Assignment.load(tmp_path / "assignment.npz").predictor,
    ):
        np.testing.assert_array_equal(predictor.predict(new), expected)
    with pytest.raises(ValueError, match="no scores to compute a plan from"):
        again.plan(0)
    assert repr(again) == repr(result)


def test_what_cannot_be_is_an_error(rng, tmp_path, solved):
    scores, result = solved
    predictor = result.predictor
    with pytest.raises(ValueError, match=r"shape of the solve, \(any, 12\), got shape \(400, 11\)"):
        predictor.plan(scores[:, :11])
    with pytest.raises(ValueError, match="must be finite, or -inf"):
        predictor.confidence(np.full((2, 12), np.nan))
    with pytest.raises(ValueError, match="row 0 has none"):
        predictor.plan(np.full((1, 12), -np.inf))
    with pytest.raises(ValueError, match=r"labels must be integers of shape \(400,\), got int64 \(3,\)"):
        predictor.confidence(scores, [0, 1, 2])
    with pytest.raises(ValueError, match="labels must be from 0 to 11, got 0 to 12"):
        predictor.confidence(scores, np.arange(400) % 13)
    g, b = np.zeros(3), np.full(3, 1 / 3)
    for wrong in (np.full(4, 0.25), [0.5, 0.5, 0.0], [0.5, np.nan, 0.5], [1.5, -0.25, -0.25]):
        with pytest.raises(ValueError, match="shares must be of the shape of the potentials"):
            otlabel.Predictor(g, 0.1, wrong)
    for wrong in (-1, 0, np.inf, np.nan, "warm"):
        with pytest.raises(ValueError, match="epsilon must be a positive number, got"):
            otlabel.Predictor(g, wrong, b)
    for wrong in ([0, np.nan], [0, np.inf], [-np.inf, -np.inf], [], 3.0, np.zeros((2, 2, 2)), np.zeros((2, 0))):
        with pytest.raises(ValueError, match=r"potentials .* must be finite"):
            otlabel.Predictor(np.array(wrong), 0.1)
    with pytest.raises(ValueError, match="read-only"):
        predictor.potentials[0] = 5
    np.savez(tmp_path / "other.npz", x=np.arange(3))
    with pytest.raises(ValueError, match=r"other.npz must be what Predictor.save or Assignment.save wrote"):
        otlabel.Predictor.load(tmp_path / "other.npz")
