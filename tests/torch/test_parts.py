"""The parts of the training loop, each against something independent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from otlabel_torch.evaluation import metrics
from otlabel_torch.evaluation.knn import weighted_knn
from otlabel_torch.images.augment import Augment
from otlabel_torch.images.images import Source, load
from otlabel_torch.options.config import Config, resolve
from otlabel_torch.runs.report import epoch_line
from otlabel_torch.system import files
from otlabel_torch.system.processes import Processes

ALONE = Processes(torch.device("cpu"))


def test_weighted_knn_agrees_with_scikit_learn():
    digits = load_digits()
    x, y = torch.from_numpy(digits.data).float(), torch.from_numpy(digits.target).long()
    peer = KNeighborsClassifier(10, metric="cosine", weights=lambda d: np.exp((1 - d) / 0.1))
    expected = 100 * peer.fit(x[:1000], y[:1000]).score(x[1000:], y[1000:])
    assert weighted_knn(x[:1000], y[:1000], (x[1000:], y[1000:])) == [pytest.approx(expected, abs=1e-9)]


def test_leave_one_out_never_sees_the_image_itself():
    x = torch.eye(40)  # every image alone in its direction: its own class is no help
    y = torch.arange(40) % 2
    assert weighted_knn(x, y, None)[0] < 90
    pairs = torch.cat([x, x])
    assert weighted_knn(pairs, torch.cat([y, y]), None) == [100]


def test_agreement_is_100_for_renamed_labels_and_near_0_for_random_ones():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 8, (4000, 2), generator=generator)
    renamed = (labels + 3) % 8
    same = metrics.agreement(labels, renamed)
    assert same["nmi"] == pytest.approx(100)
    assert same["ami"] == pytest.approx(100)
    other = metrics.agreement(labels, torch.randint(0, 8, (4000,), generator=generator))
    assert abs(other["ami"]) < 1


def test_augmentation_changes_images_and_keeps_their_shape():
    images, _ = load(Source("digits", None, 16))
    torch.manual_seed(0)
    batch = images.pixels[:30]
    augment = Augment(16, "small")
    one, two = augment(batch), augment(batch)
    assert one.shape == (30, 3, 16, 16)
    assert one.dtype == torch.float32
    assert not torch.equal(one, two)
    assert len({tuple(image.flatten().tolist()) for image in one}) == 30


def test_digits_are_the_scans():
    images, test = load(Source("digits", None, 8))
    assert test is None
    digits = load_digits()
    np.testing.assert_array_equal(images.pixels[:, 0], np.rint(digits.images * 255 / 16).astype(np.uint8))
    np.testing.assert_array_equal(images.classes, digits.target)


@pytest.mark.parametrize(("n", "k"), [(7, 7), (50, 10), (1797, 17), (50_000, 500), (1_281_167, 3000)])
def test_k_follows_the_number_of_images(n, k):
    config = resolve(Config(), n, 32)
    assert config.k == k
    assert config.batch_size == min(64, n)


def test_config_survives_its_file(tmp_path):
    config = resolve(Config(out=tmp_path / "x", root=tmp_path), 1797, 16)
    config.save(tmp_path / "config.yaml")
    assert vars(Config.read(tmp_path / "config.yaml")) == vars(config)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    files.write_text(path, "old")

    class PowerCut(Exception):
        pass

    def half_a_write():
        with files.atomic(path) as file:
            file.write(b"half")
            raise PowerCut

    with pytest.raises(PowerCut):
        half_a_write()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_epoch_line_shows_only_what_happened():
    quiet = epoch_line({"epoch": 3, "loss": 1.5, "train_seconds": 2.0}, 40)
    assert quiet == "epoch   3/40  loss 1.500  2.0 s"
    loud = epoch_line(
        {"epoch": 3, "loss": 1.5, "train_seconds": 2.0, "sweeps": 9, "solve_seconds": 0.25, "converged": False,
         "changed": 0.125, "nmi_previous": 88.0, "nmi_classes": 44.0}, 40,
    )  # fmt: skip
    for part in (
        "9 sweeps in 0.25 s",
        "not converged",
        "12.5 % changed",
        "NMI 88.0 to the previous",
        "NMI 44.0 to the classes",
    ):
        assert part in loud
