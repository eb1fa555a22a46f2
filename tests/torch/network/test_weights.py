"""Weights that come from elsewhere, and that go elsewhere: torchvision's names."""

from __future__ import annotations

import argparse

import pytest
import torch
import torchvision
from safetensors.torch import save_file

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
    assert initialise(network, "resnet18", str(tmp_path / "weights.pt")).random == []
    assert len(equal(network.trunk, weights)) == len(network.trunk.state_dict())


def other_names(kind, weights):
    """The weights as other people's code names them, beside what else it keeps."""

    def behind(prefix, of=lambda value: value):
        return {f"{prefix}{name}": of(value) for name, value in weights.items()}

    more = torch.rand(2, 2)
    if kind == "MoCo":
        return {
            "state_dict": behind("module.encoder_k.", torch.zeros_like) | behind("module.encoder_q.") | {"queue": more}
        }
    if kind == "DINO":
        student = behind("module.backbone.", torch.zeros_like)
        return {"student": student, "teacher": behind("backbone.") | {"head.mlp.0.weight": more}}
    if kind == "SwAV":
        return behind("module.") | {"module.projection_head.0.weight": more}
    if kind == "solo-learn":
        return {"state_dict": behind("backbone.") | {"classifier.weight": more}}
    if kind == "Lightly":
        return {"state_dict": behind("student.teacher.encoder.")}
    assert kind == "SeLa"
    place = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
    parts = [(name.split(".", 1), value) for name, value in weights.items() if not name.startswith("fc")]
    return {f"features.{place[first]}.{rest}": value for (first, rest), value in parts} | {"top_layer0.weight": more}


@pytest.mark.parametrize("kind", ["MoCo", "DINO", "SwAV", "solo-learn", "Lightly", "SeLa", "safetensors"])
def test_files_of_other_people_s_code(peer, tmp_path, kind):
    weights = {name: torch.rand_like(value.float()).to(value.dtype) for name, value in peer.state_dict().items()}
    network = Network("resnet18", 64, heads=1, k=2)
    if kind == "safetensors":
        save_file({f"backbone.{name}": value for name, value in weights.items()}, tmp_path / "weights.safetensors")
        taken = initialise(network, "resnet18", str(tmp_path / "weights.safetensors"))
    else:
        torch.save(other_names(kind, weights), tmp_path / "weights.pt")
        taken = initialise(network, "resnet18", str(tmp_path / "weights.pt"))
    assert taken.random == []
    assert len(equal(network.trunk, weights)) == len(network.trunk.state_dict())
    assert f"{len(network.trunk.state_dict())} of " in taken.notes[0]


def test_sela_s_alexnet(tmp_path):
    """With biases before batch normalisation, and the second fully connected layer in the classifier."""
    network = Network("alexnet", 64, heads=1, k=2)
    torch.manual_seed(1)
    theirs = []
    for layer in network.trunk.features:
        if isinstance(layer, torch.nn.Conv2d):
            shape = layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding
            theirs.append(torch.nn.Conv2d(*shape))
        elif isinstance(layer, torch.nn.BatchNorm2d):
            theirs.append(torch.nn.BatchNorm2d(layer.num_features))
            torch.nn.init.normal_(theirs[-1].running_mean)
        else:
            theirs.append(layer)
    features = torch.nn.Sequential(*theirs).eval()
    width = network.trunk.classifier[1].in_features
    layers = [torch.nn.Dropout(), torch.nn.Linear(width, 4096), torch.nn.ReLU()]
    layers += [torch.nn.Dropout(), torch.nn.Linear(4096, 4096), torch.nn.ReLU()]
    classifier = torch.nn.Sequential(*layers).eval()
    saved = {f"features.{name}": value for name, value in features.state_dict().items()}
    saved |= {f"classifier.{name}": value for name, value in classifier.state_dict().items()}
    torch.save(
        {"epoch": 400, "state_dict": saved | {"top_layer0.weight": torch.rand(3, 4096)}}, tmp_path / "alexnet.pth"
    )
    taken = initialise(network, "alexnet", str(tmp_path / "alexnet.pth"))
    assert "5 biases of convolutions are taken into the batch normalisation behind them" in taken.notes
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        truth = classifier[:3](features(images).flatten(1))
        torch.testing.assert_close(network.eval().features(images), truth)


def test_what_holds_more_than_tensors_says_how_to_keep_the_weights(peer, tmp_path):
    """DINO's full checkpoints hold an argparse.Namespace, which weights-only loading refuses."""
    torch.save({"teacher": peer.state_dict(), "args": argparse.Namespace(arch="resnet18")}, tmp_path / "dino.pth")
    network = Network("resnet18", 64, heads=1, k=2)
    with pytest.raises(UsageError, match=r"If you trust it, keep its weights alone: torch\.save"):
        initialise(network, "resnet18", str(tmp_path / "dino.pth"))
    torch.save(torch.load(tmp_path / "dino.pth", weights_only=False)["teacher"], tmp_path / "new.pth")  # the remedy
    assert initialise(network, "resnet18", str(tmp_path / "new.pth")).random == []


def test_the_stem_of_small_images_stays_random(peer, tmp_path):
    torch.save(peer.state_dict(), tmp_path / "weights.pt")
    network = Network("resnet18", 32, heads=1, k=2)
    assert initialise(network, "resnet18", str(tmp_path / "weights.pt")).random == ["conv1.weight"]
    assert "layer1.0.conv1.weight" in equal(network.trunk, peer.state_dict() | {"conv1.weight": torch.zeros(1)})


def test_imagenets_weights_are_torchvisions(peer, tmp_path, monkeypatch):
    """From torchvision's own cache, as if they had been fetched."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    name = torchvision.models.ResNet18_Weights.DEFAULT.url.rsplit("/", 1)[-1]
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(peer.state_dict(), tmp_path / "hub" / "checkpoints" / name)
    network = Network("resnet18", 64, heads=1, k=2)
    assert initialise(network, "resnet18", "imagenet").random == []
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


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensor: tensor * float("nan"), "layer1.0.conv1.weight has NaN or infinity"),
        (lambda tensor: tensor.to(torch.complex64), "layer1.0.conv1.weight is of complex64"),
        (lambda tensor: (tensor * 100).to(torch.int8), "layer1.0.conv1.weight is of int8"),
        (lambda tensor: tensor.to_sparse(), "layer1.0.conv1.weight is no plain tensor"),
        (lambda tensor: tensor.to("meta"), "layer1.0.conv1.weight is no plain tensor"),
    ],
)
def test_what_is_no_weight_is_refused(peer, tmp_path, change, words):
    """NaN would end training, an imaginary part be lost, 8 bits be read without their scale."""
    weights = peer.state_dict()
    weights["layer1.0.conv1.weight"] = change(weights["layer1.0.conv1.weight"])
    torch.save(weights, tmp_path / "weights.pt")
    with pytest.raises(UsageError, match=words):
        initialise(Network("resnet18", 64, heads=1, k=2), "resnet18", str(tmp_path / "weights.pt"))


def test_a_deeper_network_is_no_other(tmp_path):
    """All tensors of a ResNet-18 are in a ResNet-34, with their shapes."""
    torch.save(torchvision.models.resnet34(weights=None).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(UsageError, match=r"holds 96 more in its layers \(layer1\.2\.conv1\.weight\): it is a deeper"):
        initialise(Network("resnet18", 64, heads=1, k=2), "resnet18", str(tmp_path / "weights.pt"))


def test_which_of_two_networks_is_taken_is_said(peer, tmp_path):
    weights, average = peer.state_dict(), torchvision.models.resnet18(weights=None).state_dict()
    torch.save({"state_dict": weights, "state_dict_ema": average}, tmp_path / "weights.pt")
    network = Network("resnet18", 64, heads=1, k=2)
    taken = initialise(network, "resnet18", str(tmp_path / "weights.pt"))
    assert "the weights are those of state_dict; left: state_dict_ema" in taken.notes
    assert len(equal(network.trunk, weights)) == len(network.trunk.state_dict())
    torch.save(weights | {"conv1.weight": weights["conv1.weight"][:, :1]}, tmp_path / "gray.pt")
    assert "other shapes, so random: conv1.weight" in initialise(network, "resnet18", str(tmp_path / "gray.pt")).notes


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (
            lambda path, net: path.write_bytes(b"version https://git-lfs.github.com/spec/v1"),
            "git lfs pull",
        ),
        (lambda path, net: path.write_bytes(b"<html>404</html>"), "Get the weights again, or name another file"),
        (lambda path, net: path.write_bytes(b""), "Get the weights again, or name another file"),
        (lambda path, net: torch.save(net, path), r"is a whole network, with \.state_dict\(\) behind"),
        (lambda path, net: torch.save({}, path), r"got none\. Save one: torch\.save\(network\.state_dict\(\), FILE\)"),
    ],
)
def test_what_is_no_file_of_weights_says_what_it_is(peer, tmp_path, write, words):
    write(tmp_path / "weights.pt", peer)
    with pytest.raises(UsageError, match=words):
        initialise(Network("resnet18", 64, heads=1, k=2), "resnet18", str(tmp_path / "weights.pt"))
