"""Every image meets its own label, however images are shuffled, dealt and passed."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from otlabel_torch.images.augment import mixed
from otlabel_torch.images.images import Images
from otlabel_torch.options.config import Config
from otlabel_torch.options.kinds import LOSSES
from otlabel_torch.runs.resolve import resolve
from otlabel_torch.system.errors import TrainingError, UsageError
from otlabel_torch.system.processes import Processes
from otlabel_torch.training import epoch
from otlabel_torch.training.epoch import train_epoch
from otlabel_torch.training.loop import fit
from otlabel_torch.training.losses.around import loss_of
from otlabel_torch.training.losses.base import Batch, Loss
from otlabel_torch.training.state import start

CPU = torch.device("cpu")


@pytest.fixture
def images():
    """Image i is of the colour i, which no augmentation of this file changes."""
    pixels = torch.arange(120, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 8, 8).contiguous()
    return Images(pixels, [f"{i}.png" for i in range(120)], None, [])


def begun(images, **options):
    config = resolve(Config(data="folder", k=12, heads=2, epochs=2, views=0, batch_size=24, **options), len(images), 8)
    state = start(config, images, Processes(CPU))
    state.labels = torch.stack([torch.arange(120) % 12, torch.arange(120) // 10], dim=1)
    return config, state


def loss(config, state, images, labels):
    """As in training, without augmentation."""
    return loss_of(config)(state.forward, Batch(images, labels, lambda: images), state)


@pytest.mark.parametrize(("accumulate", "size"), [(1, 1), (3, 1), (2, 2), (1, 3)])
def test_labels_follow_their_images(images, monkeypatch, accumulate, size):
    seen, met = [], 0

    class Unchanged:
        def __init__(self, *_):
            pass

        def __call__(self, pixels):
            return pixels.float()

    def loss(forward, batch, state):
        nonlocal met
        index = batch.images[:, 0, 0, 0].long()
        assert torch.equal(batch.labels, state.labels[index])
        assert torch.equal(batch.another_view(), batch.images)
        seen.extend(index.tolist())
        met += 1
        return state.network.head.weight.sum()

    monkeypatch.setattr(epoch, "Augment", Unchanged)
    for rank in range(size):
        config, state = begun(images, accumulate=accumulate)
        torch.manual_seed(7)
        train_epoch(config, state, loss, images, Processes(CPU, rank, size), "test")
    assert sorted(seen) == list(range(120))  # all processes together show every image once
    assert met == 5 * accumulate * size
    assert seen[:24] != sorted(seen[:24])


def gradients(state):
    return [parameter.grad for parameter in state.network.parameters() if parameter.grad is not None]


def test_gradients_of_parts_add_up_to_that_of_the_batch(images):
    """In evaluation mode, where an image's output does not depend on the others of its batch."""
    found = []
    for parts in (1, 4):
        config, state = begun(images)
        state.network.eval()
        for part in torch.arange(24).split(24 // parts):
            batch = images.pixels[part].float() / 255
            (loss(config, state, batch, state.labels[part]) / parts).backward()
        found.append(gradients(state))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def test_the_loss_is_the_mean_over_images_and_heads(images):
    config, state = begun(images)
    state.network.eval()
    batch, labels = images.pixels[:5].float(), state.labels[:5]
    scores, _ = state.network(batch)
    expected = -torch.stack(
        [scores[i, head].double().log_softmax(dim=0)[labels[i, head]] for i in range(5) for head in range(2)]
    ).mean()
    torch.testing.assert_close(loss(config, state, batch, labels).double(), expected, rtol=1e-5, atol=0)


def test_rotation_asks_the_turn_of_all_and_the_label_of_the_upright(images):
    """SeLa+Rot: the sum of the label loss of the images and of the mean loss of the four turns."""
    config, state = begun(images, rotation=True)
    state.network.eval()
    batch = torch.rand(5, 3, 8, 8)
    labels = state.labels[:5]
    expected = torch.zeros((), dtype=torch.float64)
    for turn in range(4):
        hidden = state.network.hidden(state.network.features(torch.rot90(batch, turn, (2, 3))))
        expected += 0.25 * torch.nn.functional.cross_entropy(
            state.network.rotation(hidden).double(), torch.full((5,), turn)
        )
        if turn == 0:
            scores = state.network.head(hidden).view(-1, 12).double()
            expected += torch.nn.functional.cross_entropy(scores, labels.flatten())
    torch.testing.assert_close(loss(config, state, batch, labels).double(), expected, rtol=1e-5, atol=0)


def test_mixup_blends_images_and_the_losses_of_their_labels(images):
    config, state = begun(images, mixup=0.7)
    state.network.eval()
    batch, labels = torch.rand(6, 3, 8, 8), state.labels[:6]
    torch.manual_seed(5)
    found = loss(config, state, batch, labels).double()
    torch.manual_seed(5)
    blends, share, partner = mixed(batch, 0.7)
    assert share.min() >= 0.5
    assert share.unique().numel() == 6  # draws of their own
    assert sorted(partner.tolist()) == list(range(6))
    expected = 0.0
    for i in range(6):
        own, other = share[i].double(), partner[i]
        blend = own * batch[i].double() + (1 - own) * batch[other].double()
        torch.testing.assert_close(blends[i].double(), blend, rtol=1e-6, atol=1e-6)
        scores = state.network(blend.float()[None])[0][0].double().log_softmax(dim=1)
        for head in range(2):
            expected -= (own * scores[head, labels[i, head]] + (1 - own) * scores[head, labels[other, head]]) / 12
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("around", [{}, {"rotation": True, "mixup": 1.0}])
@pytest.mark.parametrize(
    ("value", "got"),
    [
        (lambda scores: scores.mean(dim=(1, 2)), r"a tensor \(24,\) with a gradient"),
        (lambda scores: scores.mean().detach(), r"a tensor \(\) without a gradient"),
        (lambda scores: scores.mean().item(), "a float"),
        (lambda scores: None, "a NoneType"),
    ],
)
def test_a_loss_that_is_no_single_number_is_refused_in_a_line_that_names_it(images, monkeypatch, around, value, got):
    class Mine(Loss):
        def __call__(self, forward, batch, state):
            return value(forward(batch.images)[0])

    monkeypatch.setitem(LOSSES._added, "mine", Mine)
    config, state = begun(images, loss="mine", **around)
    with pytest.raises(UsageError, match=rf"^the loss mine must return a tensor \(\).*, got {got}\. .*extending"):
        train_epoch(config, state, loss_of(config), images, Processes(CPU), "test")


@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
def test_training_learns_in_every_precision(images, precision):
    config, state = begun(images, precision=precision, lr=0.02)
    before = [parameter.clone() for parameter in state.network.parameters()]
    losses = [train_epoch(config, state, loss_of(config), images, Processes(CPU), "test")["loss"] for _ in range(2)]
    assert losses[1] < losses[0] < 4
    assert all(not torch.equal(one, other) for one, other in zip(before, state.network.parameters(), strict=True))
    assert all(parameter.dtype == torch.float32 for parameter in state.network.parameters())
    assert (state.scaler.state_dict() != {}) == (precision == "fp16")


def test_a_loss_that_is_no_number_ends_the_run_before_it_is_saved(images):
    config, state = begun(images, lr=1e30)
    saved = []
    with pytest.raises(TrainingError, match=r"became no finite numbers in epoch 1.*smaller `lr` than 1e\+30"):
        fit(
            dataclasses.replace(config, assigner="file", relabels=1),
            images,
            Processes(CPU),
            state=state,
            table=state.labels,
            after_epoch=saved.append,
        )
    assert not saved


def test_compiled_and_plain_networks_take_the_same_step(images):
    outcome = []
    for compiled in (False, True):
        config, state = begun(images, compile=compiled)
        torch.manual_seed(3)
        train_epoch(config, state, loss_of(config), images, Processes(CPU), "test")
        outcome.append(state.network.state_dict())
    assert outcome[0].keys() == outcome[1].keys()
    for name, tensor in outcome[0].items():
        torch.testing.assert_close(tensor, outcome[1][name], rtol=2e-2, atol=2e-3, msg=name)
