"""Choices that follow from the images, and the file that keeps them."""

from __future__ import annotations

import pytest
import torch

from otlabel_torch.options.config import Config
from otlabel_torch.runs.resolve import resolve
from otlabel_torch.system.processes import Processes

ALONE = Processes(torch.device("cpu"))


@pytest.mark.parametrize(("n", "k"), [(7, 7), (50, 10), (1797, 17), (50_000, 500), (1_281_167, 3000)])
def test_k_follows_the_number_of_images(n, k):
    config = resolve(Config(), n, 32)
    assert config.k == k
    assert config.batch_size == min(64, n)


def test_config_survives_its_file(tmp_path):
    config = resolve(Config(out=tmp_path / "x", root=tmp_path), 1797, 16)
    config.save(tmp_path / "config.yaml")
    assert vars(Config.read(tmp_path / "config.yaml")) == vars(config)
