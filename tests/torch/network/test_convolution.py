"""Convolutions by Winograd's way against PyTorch's in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from otlabel_torch.network import convolution
from otlabel_torch.network.convolution import Convolution, convolve, quicken, unchanging
from otlabel_torch.network.models import Network

WIDE = 100  # channels, enough for the faster way


def error(found, right):
    found, right = found.detach().double(), right.detach()
    return float((found - right).norm() / right.norm())


def problem(n, channels, results, height, width):
    images = torch.randn(n, channels, height, width)
    weight = torch.randn(results, channels, 3, 3)
    return images, weight, F.conv2d(images.double(), weight.double(), padding=1)


@pytest.mark.parametrize("side", [3, 4])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "shape", [(5, 7, 3, 12, 12), (2, 3, 8, 6, 3), (6, 5, 4, 1, 2), (3, 4, 2, 5, 14), (4, 2, 9, 7, 2)]
)
def test_results_and_gradients_are_those_of_a_convolution(shape, layout, side):
    images, weight, right = problem(*shape)
    wanted = [t.double().requires_grad_() for t in (images, weight)]
    slope = torch.randn_like(right)
    gradients = torch.autograd.grad(F.conv2d(*wanted, padding=1), wanted, slope)
    given = [t.contiguous(memory_format=layout).requires_grad_() for t in (images, weight)]
    found = convolve(*given, side)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert error(found, right) < 1e-5
    for one, other in zip(torch.autograd.grad(found, given, slope.float()), gradients, strict=True):
        assert error(one, other) < 1e-5


def test_gradients_of_a_slice_and_of_one_input_only():
    images, weight, _ = problem(3, 5, 4, 8, 8)
    learned = weight.clone().requires_grad_()
    convolve(images, learned, 4)[:, 1:3, ::2].sum().backward()
    right = weight.double().requires_grad_()
    F.conv2d(images.double(), right, padding=1)[:, 1:3, ::2].sum().backward()
    assert error(learned.grad, right.grad) < 1e-5
    seen, right = images.clone().requires_grad_(), images.double().requires_grad_()
    convolve(seen, weight, 4).sum().backward()
    F.conv2d(right, weight.double(), padding=1).sum().backward()
    assert error(seen.grad, right.grad) < 1e-5


def test_second_derivatives():
    images, weight, _ = problem(3, 5, 4, 8, 8)
    found = []
    for given, way in (
        ([images, weight], lambda x, w: convolve(x, w, 4)),
        ([images.double(), weight.double()], lambda x, w: F.conv2d(x, w, padding=1)),
    ):
        inputs = [t.clone().requires_grad_() for t in given]
        slopes = torch.autograd.grad(way(*inputs).square().sum(), inputs, create_graph=True)
        sum(slope.square().sum() for slope in slopes).backward()
        found.append([t.grad for t in inputs])
    for one, other in zip(*found, strict=True):
        assert error(one, other) < 1e-4


@pytest.mark.parametrize("pixels", [7, 8])
def test_results_can_be_changed_in_place(pixels):
    layer = Convolution(WIDE, WIDE, 3, padding=1, bias=False)
    images = torch.randn(16, WIDE, pixels, pixels)
    layer(images).relu_().sum().backward()
    right = F.conv2d(images.double(), layer.weight.double().detach().requires_grad_(), padding=1)
    assert error(layer(images).relu_(), right.relu()) < 1e-5


def test_without_gradients_images_are_taken_in_parts_that_fit(monkeypatch):
    images, weight, right = problem(9, 6, 5, 10, 11)
    parts = []
    points = convolution._points_of_tiles
    monkeypatch.setattr(
        convolution, "_points_of_tiles", lambda some, side: parts.append(len(some)) or points(some, side)
    )
    for most, expected in ((1, [1] * 9), (4 * 9 * 36 * 6, [4, 4, 1]), (1 << 30, [9])):
        parts.clear()
        monkeypatch.setattr(convolution, "AT_ONCE", most)
        with torch.no_grad():
            assert error(convolve(images, weight, 4), right) < 1e-5
        assert parts == expected


def test_the_weight_is_brought_to_the_points_once_where_it_does_not_change(monkeypatch):
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv2d(90, 90, 3, padding=1, bias=False))
    quicken(layer)
    count, points = [], convolution._points_of_weight
    monkeypatch.setattr(convolution, "_points_of_weight", lambda *given: count.append(1) or points(*given))

    def right() -> bool:
        images = torch.randn(32, 90, 8, 8)
        with torch.no_grad():
            return error(layer(images), F.conv2d(images.double(), layer[0].weight.double(), padding=1)) < 1e-5

    for expected in (1, 2):
        with unchanging(layer):
            assert right()
            assert right()
        assert len(count) == expected
        with torch.no_grad():
            layer[0].weight.mul_(2)
    assert right()
    assert right()
    assert len(count) == 4


@pytest.mark.parametrize(
    ("height", "width", "side"), [(12, 12, 4), (6, 6, 3), (3, 3, 3), (7, 14, 4), (1, 9, None), (2, 2, None)]
)
def test_tiles_that_take_fewest_products(height, width, side):
    assert convolution._tile(height, width) == side


@pytest.mark.parametrize("bias", [True, False])
def test_wide_layers_of_float32_take_the_faster_way(bias, monkeypatch):
    layer = Convolution(WIDE, WIDE, 3, padding=1, bias=bias)
    images = torch.randn(8, WIDE, 6, 6)
    right = F.conv2d(
        images.double(), layer.weight.double(), None if layer.bias is None else layer.bias.double(), padding=1
    )
    monkeypatch.setattr(F, "conv2d", None)
    assert error(layer(images), right) < 1e-5


@pytest.mark.parametrize(
    ("channels", "images"),
    [
        (10, torch.randn(8, 10, 6, 6)),  # thin
        (WIDE, torch.randn(7, WIDE, 6, 6)),  # 28 tiles
        (WIDE, torch.randn(0, WIDE, 6, 6)),
        (WIDE, torch.randn(WIDE, 6, 6)),  # an image alone
        (WIDE, torch.randn(20, WIDE, 1, 6)),
        (WIDE, torch.randn(8, WIDE, 6, 6, dtype=torch.float64)),
        (WIDE, torch.randn(8, WIDE, 6, 6, dtype=torch.bfloat16)),
    ],
)
def test_all_else_is_left_to_torch(channels, images, monkeypatch):
    layer = Convolution(channels, 7 * channels, 3, padding=1).to(images.dtype)
    monkeypatch.setattr(convolution, "convolve", None)
    assert torch.equal(layer(images), F.conv2d(images, layer.weight, layer.bias, padding=1))


def test_what_is_too_large_for_the_memory_is_left_to_torch(monkeypatch):
    layer, images = Convolution(WIDE, WIDE, 3, padding=1), torch.randn(8, WIDE, 6, 6)
    taken = []
    monkeypatch.setattr(convolution, "convolve", lambda *_: taken.append(True) or images)
    for most, expected in ((8 * 4 * 25 * 2 * WIDE, [True]), (8 * 4 * 25 * 2 * WIDE - 1, [])):
        taken.clear()
        monkeypatch.setattr(convolution, "LARGEST", most)
        layer(images)
        assert taken == expected


def test_autocast_is_left_to_torch(monkeypatch):
    layer, images = Convolution(WIDE, WIDE, 3, padding=1), torch.randn(8, WIDE, 6, 6)
    monkeypatch.setattr(convolution, "convolve", None)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(images).dtype == torch.bfloat16


def test_torchs_compiler_sees_torchs_convolutions(monkeypatch):
    layer, images = Convolution(WIDE, WIDE, 3, padding=1), torch.randn(8, WIDE, 6, 6)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    monkeypatch.setattr(convolution, "convolve", None)
    assert torch.equal(compiled(images), F.conv2d(images, layer.weight, layer.bias, padding=1))


def test_tracing_sees_torchs_convolutions():
    layer, images = Convolution(WIDE, WIDE, 3, padding=1), torch.randn(8, WIDE, 6, 6)
    traced = torch.fx.symbolic_trace(nn.Sequential(layer))
    assert torch.equal(traced(images), F.conv2d(images, layer.weight, layer.bias, padding=1))
    exported = torch.export.export(layer, (images,)).module()
    assert torch.equal(exported(images), traced(images))


def test_where_other_devices_are_the_default_the_maps_are_on_the_cpu():
    convolution._maps.cache_clear()
    images, weight, right = problem(2, 3, 4, 6, 6)
    with torch.device("meta"), torch.inference_mode():
        assert error(convolve(images, weight, 4), right) < 1e-5
    exact = weight.double().requires_grad_()
    weight.requires_grad_()
    convolve(images, weight, 4).sum().backward()
    F.conv2d(images.double(), exact, padding=1).sum().backward()
    assert error(weight.grad, exact.grad) < 1e-5


def test_other_layers_and_names_of_parameters_stay():
    others = [
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, padding=1, stride=2),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 5, padding=1),
        nn.Linear(4, 4),
    ]
    whole = nn.Sequential(*others, nn.Sequential(nn.Conv2d(4, 4, 3, padding=1)))
    before = copy.deepcopy(whole)
    quicken(whole)
    assert [type(layer) for layer in others] == [type(layer) for layer in before[:-1]]
    assert type(whole[-1][0]) is Convolution
    after, kept = whole.state_dict(), before.state_dict()
    assert after.keys() == kept.keys()
    assert all(torch.equal(after[name], kept[name]) for name in kept)


@pytest.mark.parametrize("arch", ["convnet-2x", "resnet18"])
def test_a_network_learns_what_it_learns_by_torchs_convolutions(arch, monkeypatch):
    """Gradients of all its weights against float64. Statistics of a small batch would make much of little errors."""
    network = Network(arch, 16, heads=2, k=5).eval()
    images = torch.rand(32, 3, 16, 16)

    def slopes(network, images):
        network.zero_grad()
        scores, _ = network(images)
        scores.logsumexp(2).sum().backward()
        return torch.cat([parameter.grad.double().flatten() for parameter in network.parameters()])

    right = slopes(copy.deepcopy(network).double(), images.double())
    taken = []
    way = convolution.convolve
    monkeypatch.setattr(convolution, "convolve", lambda *given: taken.append(given[2]) or way(*given))
    assert error(slopes(network, images), right) < 1e-2  # some ReLUs turn by rounding; what is wrong is off by 1
    assert taken
