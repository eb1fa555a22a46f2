"""Rules that label images: what training asks them, and what each makes of the heads."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import otlabel_torch
from otlabel_torch.images.images import Source, load
from otlabel_torch.labels.assigners.base import Assigner, Labelling
from otlabel_torch.labels.look import look
from otlabel_torch.network.models import Network
from otlabel_torch.options.config import Config
from otlabel_torch.options.kinds import ASSIGNERS
from otlabel_torch.runs.resolve import resolve
from otlabel_torch.system.errors import UsageError
from otlabel_torch.system.processes import Processes
from otlabel_torch.training.loop import fit
from otlabel_torch.training.state import start

ALONE = Processes(torch.device("cpu"))
N = 150


@pytest.fixture(scope="module")
def images():
    return load(Source("digits", None, 8))[0].of(torch.arange(N))


@pytest.fixture
def config():
    return resolve(Config(image_size=8, k=6, heads=2, epochs=3, views=2), N, 8)


@pytest.mark.parametrize("name", ASSIGNERS.names)
def test_every_rule_labels_every_image_for_every_head(name, images, config):
    assigner, state = ASSIGNERS[name](), start(config, images, ALONE)
    table = torch.stack([torch.arange(N) % 6, torch.arange(N) // 25], dim=1)
    context = look(assigner, config, state.network, images, ALONE, epoch=1, seed=3, table=table)
    assert context.all_values().shape == ((0, 0) if assigner.needs in ("table", "nothing") else (N, 256))
    found = assigner.solve(context)
    assert (found.labels.shape, found.labels.dtype) == ((N, 2), torch.int64)
    assert (found.confidence.shape, found.potentials.shape) == ((N, 2), (2, 6))
    assert found.labels.min() >= 0
    assert found.labels.max() < 6
    assert bool(found.confidence.isnan().all()) == (not assigner.uses_transport) == (found.sweeps == 0)
    if name != "kmeans":
        assert all(set(np.bincount(column, minlength=6)) == {25} for column in found.labels.T)
    if name == "file":
        assert torch.equal(found.labels, table)
    assert torch.equal(found.labels, assigner.solve(context).labels)


@pytest.mark.parametrize("needs", ["features", "hidden", "averaged", "table", "nothing"])
def test_the_network_looks_only_for_what_a_rule_needs(needs, images, config, monkeypatch):
    passes = []
    features = Network.features
    monkeypatch.setattr(Network, "features", lambda self, x: passes.append(len(x)) or features(self, x))
    kind = type("Kind", (Assigner,), {"needs": needs})
    look(kind, config, start(config, images, ALONE).network, images, ALONE, seed=0)
    assert sum(passes) == {
        "features": N, "hidden": config.views * N, "averaged": (1 + config.views) * N, "table": 0, "nothing": 0
    }[needs]  # fmt: skip


def test_only_clusters_reset_heads_and_what_the_optimiser_knows_of_them(images, config):
    for name in ASSIGNERS.names:
        state = start(config, images, ALONE)
        scores = state.network(torch.rand(4, 3, 8, 8))[0]
        scores.sum().backward()
        state.optimiser.step()
        head, trunk = state.network.head.weight, next(state.network.trunk.parameters())
        before = [part.detach().clone() for part in (head, trunk)]
        ASSIGNERS[name]().after(state)
        kept = name not in ("clusters", "kmeans")
        assert torch.equal(head, before[0]) == kept
        assert torch.equal(trunk, before[1])
        assert bool(state.optimiser.state[head]["momentum_buffer"].any()) == kept
        assert state.optimiser.state[trunk]["momentum_buffer"].any()


def test_what_becomes_of_heads_is_asked_before_they_learn(images, config, monkeypatch):
    """Not for the final labels, which none learns."""
    asked = []

    class Dealt(ASSIGNERS["random"]):
        updates = True

        def after(self, state):
            asked.append((state.epoch, state.labels_epoch))

    monkeypatch.setitem(ASSIGNERS._added, "dealt", Dealt)
    config = dataclasses.replace(config, assigner="dealt", relabels=4)
    state = fit(config, images, ALONE, state=start(config, images, ALONE))
    assert asked == [(0, 0), (1, 1), (2, 2)]
    assert (state.epoch, state.labels_epoch) == (3, 3)


def test_labels_without_a_plan_are_predicted_by_the_scores_alone():
    found = Labelling.without_plan(torch.tensor([[0, 2], [1, 0]], dtype=torch.int32), 3)
    assert found.labels.dtype == torch.int64
    assert found.confidence.isnan().all()
    np.testing.assert_array_equal(found.potentials, np.zeros((2, 3)))


PLAIN = torch.zeros(N, 2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (PLAIN, "a Labelling, got a tensor of int64"),
        (Labelling.without_plan(PLAIN[:, 0], 6), r"as an int64 tensor \(150, 2\).*got a tensor of int64 \(150,\)"),
        (Labelling.without_plan(PLAIN[1:], 6), r"tensor \(150, 2\).*got a tensor of int64 \(149, 2\)"),
        (Labelling.without_plan(PLAIN + 0.5, 6), r"an int64 tensor.*got a tensor of float32 \(150, 2\)"),
        (Labelling(PLAIN.numpy(), PLAIN.float(), np.zeros((2, 6))), r"got a NumPy array of int64 \(150, 2\)"),
        (Labelling.without_plan(PLAIN + 6, 6), "labels from 0 to k - 1 = 5, got 6"),
        (Labelling.without_plan(PLAIN - 1, 6), "labels from 0 to k - 1 = 5, got -1"),
        (Labelling(PLAIN, PLAIN.float()[:, 0], np.zeros((2, 6))), r"confidence as a float tensor.*\(150,\)"),
        (Labelling(PLAIN, PLAIN, np.zeros((2, 6))), r"confidence as a float tensor.*got a tensor of int64"),
        (Labelling(PLAIN, PLAIN.float(), torch.zeros(2, 6)), r"potentials as a NumPy array.*got a tensor of float32"),
        (Labelling.without_plan(PLAIN, 5), r"potentials as a NumPy array of floats \(2, 6\), got.*\(2, 5\)"),
    ],
)  # fmt: skip
def test_an_answer_of_another_shape_or_type_is_refused_in_a_line_that_names_the_rule(
    answer, message, images, config, monkeypatch
):
    class Mine(Assigner):
        needs = "nothing"

        def solve(self, context):
            return answer

    monkeypatch.setitem(ASSIGNERS._added, "mine", Mine)
    config = dataclasses.replace(config, assigner="mine")
    state = start(config, images, ALONE)
    with pytest.raises(UsageError, match=f"^the assigner mine must return .*{message}.*docs/extending.md"):
        fit(config, images, ALONE, state=state)
    assert state.labels is None


def test_numpy_labels_without_a_plan_are_taken():
    found = Labelling.without_plan(np.array([[0, 2], [1, 0]], dtype=np.uint8), 3)
    assert torch.equal(found.labels, torch.tensor([[0, 2], [1, 0]]))


def test_a_rule_that_needs_what_there_is_not_is_refused(images, config):
    kind = type("Kind", (Assigner,), {"needs": "scores"})
    with pytest.raises(UsageError, match="must need one of hidden, features, averaged, table, nothing, got 'scores'"):
        look(
            kind,
            dataclasses.replace(config, assigner="kind"),
            start(config, images, ALONE).network,
            images,
            ALONE,
            seed=0,
        )


def test_no_module_compares_the_name_of_a_rule_or_of_a_loss():
    for path in Path(otlabel_torch.__file__).parent.rglob("*.py"):
        compared = re.search(r"\.(assigner|loss)\s*(==|!=|(not )?in \()", path.read_text())
        assert compared is None, (path, compared)
