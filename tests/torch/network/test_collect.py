"""What a layer makes of all images: every image in its place, whatever its neighbours."""

from __future__ import annotations

import pytest
import torch

from otlabel_torch.images.augment import Augment, normalise
from otlabel_torch.images.images import Source, load
from otlabel_torch.network.collect import Views, collect, rows_of, together
from otlabel_torch.network.models import Network
from otlabel_torch.system.processes import Processes

ALONE = Processes(torch.device("cpu"))


def test_collect_keeps_places_and_uses_eval_mode():
    images, _ = load(Source("digits", None, 8))
    network = Network("convnet", 8, heads=2, k=6)
    features = collect(network, images, ALONE)
    assert network.training
    network.eval()
    with torch.no_grad():
        some = [0, 5, 1234, 1796]
        torch.testing.assert_close(
            features[some], network.features(normalise(images.pixels[some], 8)), rtol=1e-4, atol=1e-5
        )


def test_labels_in_training_mode_use_batch_statistics():
    """As the paper's code: which moves the running ones."""
    images, _ = load(Source("digits", image_size=8))
    alone = Processes(torch.device("cpu"))
    network = Network("convnet", 8, heads=1, k=3)
    before = {name: value.clone() for name, value in network.named_buffers()}
    one = collect(network, images, alone, layer="hidden")
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    other = collect(network, images, alone, layer="hidden", train_mode=True)
    assert not torch.allclose(one, other)
    assert not any(torch.equal(value, before[name]) for name, value in network.named_buffers())


def test_dropout_in_training_mode_differs_from_batch_to_batch():
    """Views change every image alike; dropout must not, or labels would follow an image's place in its batch."""
    from otlabel_torch.images.images import Images

    same = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8).expand(256, -1, -1, -1)
    images = Images(same, [str(i) for i in range(256)], None, [])
    network = Network("alexnet", 64, heads=1, k=3)
    views = Views(Augment(64, "cifar", alike=True), 2, seed=5)
    alone = Processes(torch.device("cpu"))
    trained = collect(network, images, alone, layer="hidden", views=views, train_mode=True)
    assert not torch.allclose(trained[:128], trained[128:])
    calm = collect(network, images, alone, layer="hidden", views=views)
    torch.testing.assert_close(calm, calm[:1].expand(256, -1), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("layer", ["features", "hidden"])
def test_several_batches_in_one_pass_change_nothing(monkeypatch, layer):
    """As on CUDA devices, whose host would start the kernels of small batches too slowly."""
    images, _ = load(Source("digits", image_size=8))
    network = Network("convnet", 8, heads=1, k=3)
    views = Views(Augment(8, "cifar", alike=True), 2, seed=5) if layer == "hidden" else None
    seen = []
    network.trunk.register_forward_pre_hook(lambda trunk, given: seen.append(len(given[0])))
    one = collect(network, images, ALONE, layer=layer, views=views)
    assert set(seen) == {128, 5}  # 1,797 images
    seen.clear()
    monkeypatch.setattr("otlabel_torch.network.collect.together", lambda device, size: 8)
    torch.testing.assert_close(collect(network, images, ALONE, layer=layer, views=views), one, rtol=1e-4, atol=1e-5)
    assert set(seen) == {1024, 773}
    seen.clear()
    collect(network, images, ALONE, layer=layer, views=views, train_mode=True)  # statistics are of one batch
    assert set(seen) == {128, 5}


@pytest.mark.parametrize(
    ("layer", "width"), [("features", 256), ("hidden", 256), (lambda shown: shown.mean(1).flatten(1), 64)]
)
def test_a_process_without_images_has_nothing_as_wide_as_the_others(layer, width):
    """Of one batch the first of two processes has none: all gather the same widths."""
    images, _ = load(Source("digits", image_size=8))
    few, network = images.of(torch.arange(50)), Network("convnet", 8, heads=1, k=3)
    parts = [collect(network, few, Processes(torch.device("cpu"), rank, 2), layer=layer) for rank in range(2)]
    assert [tuple(part.shape) for part in parts] == [(0, width), (50, width)]


def test_a_pass_takes_more_small_images_than_large_ones():
    cuda = torch.device("cuda")
    assert [together(cuda, size) for size in (28, 32, 48, 64, 96, 224, 384)] == [8, 8, 3, 2, 1, 1, 1]
    assert together(torch.device("cpu"), 32) == 1


@pytest.mark.parametrize("n", [5, 128, 129, 257, 1000])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_image_is_dealt_to_one_process(n, size):
    counts = rows_of(Processes(torch.device("cpu"), 0, size), n)
    assert sum(counts) == n
    assert len(counts) == size
