from __future__ import annotations

import pytest

from otlabel_torch.training.schedule import learning_rate, relabel_epochs


@pytest.mark.parametrize(
    ("relabels", "epochs", "schedule", "expected"),
    [
        (0, 10, "linear", []),
        (1, 10, "linear", [0]),
        (1, 10, "quadratic", [0]),
        (2, 10, "quadratic", [0, 10]),
        (6, 10, "linear", [0, 2, 4, 6, 8, 10]),
        (11, 10, "linear", list(range(11))),
        (5, 16, "quadratic", [0, 1, 4, 9, 16]),
        (81, 4, "linear", [0, 1, 2, 3, 4]),  # at most once an epoch
    ],
)
def test_relabel_epochs(relabels, epochs, schedule, expected):
    assert relabel_epochs(relabels, epochs, schedule) == expected


def test_imagenet_schedule_is_dense_early():
    """80 solves in 160 epochs: those that fall into one epoch are merged, and more come in the first half."""
    epochs = relabel_epochs(80, 160, "quadratic")
    assert epochs[0] == 0
    assert epochs[-1] == 160
    assert len(epochs) == len(set(epochs)) < 80
    assert sum(epoch < 80 for epoch in epochs) > len(epochs) / 2


def test_learning_rate_falls_along_a_cosine_or_in_steps():
    assert learning_rate(0.1, 0, 10, ()) == pytest.approx(0.1)
    assert learning_rate(0.1, 5, 10, ()) == pytest.approx(0.05)
    assert learning_rate(0.1, 10, 10, ()) == pytest.approx(0, abs=1e-12)
    steps = [learning_rate(0.03, epoch, 400, (240, 320)) for epoch in (0, 239.9, 240, 319.9, 320, 399)]
    assert steps == pytest.approx([0.03, 0.03, 0.003, 0.003, 0.0003, 0.0003])
    shares = [learning_rate(0.03, epoch, 400, (0.6, 0.8)) for epoch in (0, 239.9, 240, 319.9, 320, 399)]
    assert shares == pytest.approx(steps)
