"""Evaluation: every measure against something independent, and the command on a run and on a file of weights."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
import torchvision
from commands import called
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from torchvision.models.feature_extraction import create_feature_extractor

from otlabel_torch.evaluation import knn, metrics, probe
from otlabel_torch.evaluation.features import layer_scores
from otlabel_torch.evaluation.subject import Subject
from otlabel_torch.images.augment import normalise
from otlabel_torch.images.images import Source, load
from otlabel_torch.network import layers
from otlabel_torch.network.models import Network
from otlabel_torch.options.of_evaluate import EvaluateOptions
from otlabel_torch.runs.evaluated import evaluate
from otlabel_torch.system.errors import UsageError
from otlabel_torch.system.processes import Processes

CPU = torch.device("cpu")


def call(command, *options):
    return called(f"otlabel_torch.{command}", *options, env={"COLUMNS": "200"})  # tables with every name on one line


def ran(command, *options):
    done = call(command, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_knn_of_several_counts_agrees_with_scikit_learn_in_blocks_of_any_size(monkeypatch):
    digits = load_digits()
    x, y = torch.from_numpy(digits.data).float(), torch.from_numpy(digits.target).long()
    expected = []
    for count in (10, 200):
        peer = KNeighborsClassifier(count, metric="cosine", weights=lambda d: np.exp((1 - d) / 0.1))
        expected.append(100 * peer.fit(x[:1000], y[:1000]).score(x[1000:], y[1000:]))
    monkeypatch.setattr(knn, "BLOCK", 7_000)
    assert knn.weighted_knn(x[:1000], y[:1000], (x[1000:], y[1000:]), (10, 200)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_that_scikit_learn_does_not_take(seed, tmp_path):
    with pytest.raises(UsageError, match=f"`seed` must be from 0 to 4294967295, got {seed}"):
        evaluate(EvaluateOptions(tmp_path, seed=seed))


def test_of_many_images_an_even_choice_is_left_out_one_at_a_time(monkeypatch):
    x, y = torch.eye(40).repeat(2, 1), torch.arange(40).repeat(2)
    monkeypatch.setattr(knn, "LEFT_OUT", 13)
    assert knn.weighted_knn(x, y, None) == [100.0]  # each has its twin
    y[40:] = 40  # now no twin is of its class
    assert knn.weighted_knn(x, y, None) == [0.0]


def test_scores_of_labellings_that_are_known():
    generator = torch.Generator().manual_seed(1)
    classes = torch.randint(0, 5, (3000,), generator=generator)
    renamed = (classes + 2) % 5
    perfect = metrics.clustering(renamed, classes, 5, (renamed[:100], classes[:100]))
    assert list(perfect.values()) == pytest.approx([100] * 6)
    assert "Hungarian accuracy" in perfect
    split = 3 * classes + torch.randint(0, 3, (3000,), generator=generator)  # three labels a class
    halves = metrics.clustering(split, classes, 15, (split, (classes + 1) % 5))
    assert halves["purity"] == pytest.approx(100)
    assert halves["majority-label accuracy, other images"] == 0
    assert "Hungarian accuracy" not in halves
    ceiling = 100 * 2 * np.log(5) / (np.log(5) + np.log(15))  # of balanced labels
    assert halves["normalised mutual information (NMI)"] == pytest.approx(ceiling, abs=0.1)
    chance = metrics.clustering(torch.randint(0, 15, (3000,), generator=generator), classes, 15)
    assert abs(chance["adjusted mutual information (AMI)"]) < 1
    assert abs(chance["adjusted Rand index (ARI)"]) < 1
    assert 20 < chance["purity"] < 30


def test_labels_that_no_image_has_count_as_labels():
    classes = torch.arange(40) % 4
    empty = metrics.clustering(classes, classes, 5)  # label 4 has no image
    assert "Hungarian accuracy" not in empty  # five labels, four classes
    unseen = metrics.clustering(classes, classes, 5, (torch.tensor([0, 4]), torch.tensor([0, 0])))
    assert unseen["majority-label accuracy, other images"] == 50
    assert "Hungarian accuracy" in metrics.clustering(classes % 3, classes, 4)


@pytest.mark.parametrize(("channels", "values"), [(96, 9600), (256, 9216), (384, 9600), (2048, 8192)])
def test_maps_are_pooled_as_in_the_paper(channels, values):
    maps = torch.rand(2, channels, 27, 27)
    assert layers.pooled(maps).shape == (2, values)


def test_layers_are_those_that_torchvision_extracts():
    torch.manual_seed(0)
    network = Network("resnet18", 64, heads=1, k=10, hidden=False).eval()
    images = torch.randn(3, 3, 64, 64)
    peer = create_feature_extractor(network.trunk, {"layer2": "layer2", "layer4": "layer4"})(images)
    with torch.no_grad():
        for name, own in (("layer2", "layer2"), ("maps", "layer4")):
            layer = layers.find(network, name, CPU)
            assert own in layer.called
            assert layer.channels == peer[own].shape[1]
            torch.testing.assert_close(layers.read(network, [layer], images)[0], layers.pooled(peer[own]))
        several = [layers.find(network, name, CPU) for name in ("features", "layer2", "maps", "layer2")]
        together = layers.read(network, several, images)
        assert all(
            torch.equal(layers.read(network, [own], images)[0], x) for own, x in zip(several, together, strict=True)
        )
        assert torch.equal(together[0], network.features(images))
    with pytest.raises(UsageError, match=r"must be features, maps or one of conv1, .* got layer9"):
        layers.find(network, "layer9", CPU)


def test_quick_probe_finds_a_linear_rule_and_none_in_noise():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1200, 20, generator=generator)
    y = (x @ torch.randn(20, 4, generator=generator)).argmax(dim=1)
    assert probe.quick((x[:900], y[:900]), (x[900:], y[900:])) > 88
    noise = torch.randint(0, 4, (1200,), generator=generator)
    assert 12 < probe.quick((x[:900], noise[:900]), (x[900:], noise[900:])) < 38


def test_the_papers_probe_learns_and_leaves_the_network_alone(monkeypatch):
    digits, _ = load(Source("digits"))
    train, test = digits.of(torch.arange(1400)), digits.of(torch.arange(1400, 1797))
    torch.manual_seed(0)
    network = Network("convnet", 16, heads=1, k=10)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    both = [layers.find(network, name, CPU) for name in ("maps", "features")]
    normalised, layer = [], torch.nn.BatchNorm1d
    monkeypatch.setattr(probe.nn, "BatchNorm1d", lambda count, **rest: normalised.append(count) or layer(count, **rest))
    found = [probe.paper(network, layer, train, test, CPU, epochs=6) for layer in (both[:1], both[1:], both)]
    assert normalised == [256] * 4  # a statistic a channel, as published, not one a value
    assert found[2] == [*found[0], *found[1]]  # whoever else is probed
    assert found[0][0] > 65
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training


@pytest.mark.parametrize(("own", "least", "most"), [(8, 55, 100), (2, 0, 30)])
def test_the_papers_probe_takes_the_mean_scores_of_the_crops(own, least, most, monkeypatch):
    """Of ten crops some are another image's."""
    digits, _ = load(Source("digits"))
    train, test = digits.of(torch.arange(1400)), digits.of(torch.arange(1400, 1797))
    torch.manual_seed(0)
    network = Network("convnet", 16, heads=1, k=10)

    def crops(pixels: torch.Tensor, size: int, side: float):
        plain = normalise(pixels, size)
        return [plain] * (own // 2) + [plain.roll(1, 0)] * (10 - own) + [plain] * (own // 2)

    monkeypatch.setattr(probe, "ten_crops", crops)
    (found,) = probe.paper(network, [layers.find(network, "features", CPU)], train, test, CPU, epochs=6)
    assert least < found < most


@pytest.mark.parametrize("linear", ["quick", "paper", "both", "none"])
def test_no_layer_has_no_scores(linear):
    digits, _ = load(Source("digits", image_size=8))
    subject = Subject(Network("convnet", 8, heads=1, k=10), digits.of(torch.arange(40)), None, Processes(CPU))
    assert layer_scores(subject, (), linear) == {}


def test_a_run_is_evaluated(tmp_path):
    run = tmp_path / "run"
    ran("train", "--epochs", 2, "--heads", 2, "--device", "cpu", "--out", run)
    shown = ran("evaluate", run, "--linear", "both", "--layers", "features", "maps", "11", "--device", "cpu")
    report = json.loads((run / "evaluation" / "report.json").read_text())
    closing = json.loads((run / "report.json").read_text())["rows"][-1]
    features, labels = report["features"], report["labels"]
    assert features["features"]["weighted kNN accuracy, 10 neighbours"] == pytest.approx(closing["knn"])
    assert set(features) == {"features", "maps (layer 14)", "layer 11"}
    assert all("linear probe accuracy (the paper's recipe)" in scores for scores in features.values())
    name = "normalised mutual information (NMI)"
    assert labels["mean over heads"][name] == pytest.approx(closing["nmi"])
    assert labels["mean over heads"][name] == pytest.approx((labels["head 0"][name] + labels["head 1"][name]) / 2)
    assert "Hungarian accuracy" in labels["k-means of the features, 10 clusters"]
    held_out = [scores["majority-label accuracy, other images"] for scores in labels.values()]
    assert min(held_out) > 30
    assert "held out" in report["protocol"]
    with (run / "evaluation" / "row.csv").open() as file:
        header, row = csv.reader(file)
    numbers = dict(zip(header, row, strict=True))
    assert float(numbers[f"mean over heads: {name}"]) == pytest.approx(labels["mean over heads"][name], abs=1e-3)
    for line in ("weighted kNN accuracy, 200 neighbours", "head 1", "purity"):
        assert line in shown
    again = call("evaluate", run)
    assert again.returncode == 1
    assert "is not empty" in again.stderr


def test_help_says_what_is_measured():
    shown = ran("evaluate", "--help")
    for word in ("kNN", "--layers", "--linear", "row.csv"):
        assert word in shown


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """train/ and val/ of digits, four classes."""
    root = tmp_path_factory.mktemp("digits")
    digits = load_digits()
    seen = [0] * 10
    for image, digit in zip(digits.images, digits.target, strict=True):
        if digit < 4:
            part = root / ("val" if seen[digit] % 4 == 3 else "train") / str(digit)
            part.mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(np.rint(image * (255 / 16)).astype(np.uint8))
            picture.resize((32, 32)).save(part / f"{seen[digit]:03d}.png")
            seen[digit] += 1
    return root


def test_a_file_of_weights_with_torchvisions_names_is_evaluated(folders, tmp_path):
    torch.manual_seed(0)
    file = tmp_path / "weights.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), file)
    refused = call("evaluate", file)
    assert refused.returncode == 1
    assert "needs --arch NAME and --root DIR" in refused.stderr
    ran("evaluate", file, "--arch", "resnet18", "--root", folders, "--image-size", 64, "--device", "cpu")
    report = json.loads((tmp_path / "weights-evaluation" / "report.json").read_text())
    assert report["features"]["features"]["linear probe accuracy (logistic regression)"] > 80
    assert set(report["labels"]) == {"k-means of the features, 4 clusters"}
    assert report["protocol"].endswith(f"measured on {report['validation_images']} validation images")


def test_features_of_an_imbalanced_run_are_judged_with_all_images_and_its_labels_with_its_own(folders, tmp_path):
    run = tmp_path / "run"
    options = "--data", "folder", "--root", folders, "--image-size", 16, "--epochs", 1, "--k", 4, "--heads", 1
    ran("train", *options, "--imbalance", "light", "--device", "cpu", "--out", run)
    ran("evaluate", run, "--linear", "none", "--layers", "features", "--device", "cpu")
    report = json.loads((run / "evaluation" / "report.json").read_text())
    train = json.loads((run / "report.json").read_text())
    assert report["images"] > train["images"]
    expected = train["rows"][-1]["nmi"]
    assert report["labels"]["head 0"]["normalised mutual information (NMI)"] == pytest.approx(expected)
    assert "Hungarian accuracy" in report["labels"]["head 0"]
