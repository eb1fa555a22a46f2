"""Weights that come from elsewhere, and that go elsewhere: torchvision's names."""

from __future__ import annotations

import pytest
import torch
import torchvision

from otlabel_torch.images.images import Images
from otlabel_torch.network.models import Network
from otlabel_torch.network.weights import initialise
from otlabel_torch.options.config import Config
from otlabel_torch.runs.resolve import resolve
from otlabel_torch.system.errors import UsageError
from otlabel_torch.system.processes import Processes
from otlabel_torch.training import checkpoint
from otlabel_torch.training.state import start

IMAGES = Images(torch.zeros(20, 3, 64, 64, dtype=torch.uint8), [f"{i}" for i in range(20)], None, [])


@pytest.fixture
def peer():
    return torchvision.models.resnet18(weights=None)


def equal(trunk, weights):
    own = trunk.state_dict()
    return [name for name in own if torch.equal(own[name], weights[name])]


def test_checkpoints_load_into_torchvisions_networks(peer, tmp_path):
    config = resolve(Config(data="folder", arch="resnet18", k=5, heads=2), 20, 64)
    state = start(config, IMAGES, Processes(torch.device("cpu")))
    state.save(tmp_path / "last.pt")
    saved = torch.load(tmp_path / "last.pt", weights_only=True)["model"]
    missing, unexpected = peer.load_state_dict(saved, strict=False)
    assert (missing, unexpected) == (["fc.weight", "fc.bias"], [])
    peer.fc = torch.nn.Identity()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(peer.eval()(images), state.network.eval().features(images))


@pytest.mark.parametrize("wrapped", ["plain", "state_dict", "module", "ours"])
def test_files_of_weights(peer, tmp_path, wrapped):
    weights = {name: torch.rand_like(value.float()).to(value.dtype) for name, value in peer.state_dict().items()}
    saved = {
        "plain": weights,
        "state_dict": {"epoch": 3, "state_dict": weights},
        "module": {"state_dict": {f"module.{name}": value for name, value in weights.items()}},
        "ours": {"model": weights, "heads": {"head": {}}, "epoch": 3},
    }[wrapped]
    torch.save(saved, tmp_path / "weights.pt")
    network = Network("resnet18", 64, heads=1, k=2)
    assert initialise(network, "resnet18", str(tmp_path / "weights.pt")) == []
    assert len(equal(network.trunk, weights)) == len(network.trunk.state_dict())


def test_the_stem_of_small_images_stays_random(peer, tmp_path):
    torch.save(peer.state_dict(), tmp_path / "weights.pt")
    network = Network("resnet18", 32, heads=1, k=2)
    assert initialise(network, "resnet18", str(tmp_path / "weights.pt")) == ["conv1.weight"]
    assert "layer1.0.conv1.weight" in equal(network.trunk, peer.state_dict() | {"conv1.weight": torch.zeros(1)})


def test_imagenets_weights_are_torchvisions(peer, tmp_path, monkeypatch):
    """From torchvision's own cache, as if they had been fetched."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    name = torchvision.models.ResNet18_Weights.DEFAULT.url.rsplit("/", 1)[-1]
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(peer.state_dict(), tmp_path / "hub" / "checkpoints" / name)
    network = Network("resnet18", 64, heads=1, k=2)
    assert initialise(network, "resnet18", "imagenet") == []
    assert len(equal(network.trunk, peer.state_dict())) == len(network.trunk.state_dict())


def test_what_is_refused(peer, tmp_path):
    network = Network("resnet18", 64, heads=1, k=2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(UsageError, match="`init` imagenet needs `arch` resnet18"):
        initialise(Network("convnet", 16, 1, 2), "convnet", "imagenet")
    with pytest.raises(UsageError, match="`init` must be random, imagenet or a file of weights"):
        initialise(network, "resnet18", str(tmp_path / "nothing.pt"))
    (tmp_path / "noise.pt").write_bytes(b"noise")
    with pytest.raises(UsageError, match="must be a file of tensors"):
        initialise(network, "resnet18", str(tmp_path / "noise.pt"))
    torch.save({"state_dict": peer}, tmp_path / "evil.pt")  # a pickled object
    with pytest.raises(UsageError, match=r"must be a file of tensors .*: it is damaged, or holds more than tensors"):
        initialise(network, "resnet18", str(tmp_path / "evil.pt"))
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), tmp_path / "other.pt")
    with pytest.raises(UsageError, match=r"must hold the weights of `arch` resnet18, but of .* are missing"):
        initialise(network, "resnet18", str(tmp_path / "other.pt"))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_run_starts_from_another_runs_checkpoint(tmp_path):
    alone = Processes(torch.device("cpu"))
    first = start(resolve(Config(data="folder", k=5), 20, 16), IMAGES, alone)
    first.save(tmp_path / "last.pt")
    config = resolve(Config(data="folder", k=7, heads=3, seed=1, init=str(tmp_path / "last.pt")), 20, 16)
    second = start(config, IMAGES, alone)
    assert len(equal(second.network.trunk, first.network.trunk.state_dict())) == len(first.network.trunk.state_dict())
    assert set(checkpoint.load(tmp_path / "last.pt")) >= {"model", "heads", "optimiser", "labels", "potentials"}
