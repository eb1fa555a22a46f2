"""Convolutions of 3 x 3 with fewer multiplications, on processors: Winograd's minimal filtering.

m x m results of one channel take (m + 2)^2 products with what is read instead of 9 m^2: the same numbers but for
rounding (float32: 3e-6), since tiles and weights are looked at as polynomials through m + 2 points (Winograd, 1980;
F(m x m, 3 x 3) of Lavin and Gray, CVPR 2016, section 4.1). What is left is one product of matrices a point, which BLAS
does at the processor's peak; PyTorch's own convolutions of few pixels do not reach it (docs/training.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

POINTS = {3: (0, 1, -1, 2), 4: (0, 1, -1, 2, -2)}  # by m; one more is at infinity
THIN = 40  # harmonic mean of the channels, halved: with fewer of them bringing tiles there and back costs more
FEW = 32  # tiles of a batch, below which its weights' way to the points is too long
AT_ONCE = 1 << 20  # numbers of the tiles of several images in memory at a time, where no gradient is wanted
LARGEST = 1 << 27  # numbers of tiles and products: more are not worth their memory


class Convolution(nn.Conv2d):
    """nn.Conv2d of 3 x 3 that takes Winograd's way in float32 on a CPU, where that has less to do."""

    points: dict[int, Tensor] | None = None  # the weight at them, by the side of a tile: only while it does not change

    def forward(self, input: Tensor) -> Tensor:
        side = _tile(*input.shape[-2:]) if self._suits(input) else None
        if side is None or not self._is_worth(input, side):
            return super().forward(input)
        result = convolve(input, self.weight, side, self.points)
        return result if self.bias is None else result + self.bias[:, None, None]

    def _is_worth(self, images: Tensor, side: int) -> bool:
        n, _, height, width = images.shape
        down, across = _grid(height, width, side)
        tiles = n * down * across
        return tiles >= FEW and tiles * (side + 2) ** 2 * (self.in_channels + self.out_channels) <= LARGEST

    def _suits(self, images: Tensor) -> bool:
        return (
            isinstance(images, Tensor)  # torch.fx traces with what is none
            and images.device.type == "cpu"
            and images.ndim == 4
            and images.dtype == self.weight.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
            and self.in_channels * self.out_channels >= THIN * (self.in_channels + self.out_channels)
        )


def quicken(module: nn.Module) -> None:
    """Let the 3 x 3 convolutions inside take the faster way; parameters and their names stay."""
    for child in module.modules():
        if type(child) is nn.Conv2d and _is_plain(child):
            child.__class__ = Convolution


@contextmanager
def unchanging(module: nn.Module) -> Iterator[None]:
    """Inside, where no weight may change, each is brought to the points once and not for every batch."""
    layers = [layer for layer in module.modules() if isinstance(layer, Convolution)]
    for layer in layers:
        layer.points = {}
    try:
        yield
    finally:
        for layer in layers:
            layer.points = None


def convolve(images: Tensor, weight: Tensor, side: int, kept: dict[int, Tensor] | None = None) -> Tensor:
    """What F.conv2d(images, weight, padding=1) is.

    Args:
        images: (n, c, h, w).
        weight: (o, c, 3, 3).
        side: of a tile of results, 3 or 4.
        kept: the weight at the points by the side, where no gradient is wanted; what is not there yet is put there.

    Returns:
        (n, o, h, w), channels last in memory.
    """
    if torch.is_grad_enabled() and (images.requires_grad or weight.requires_grad):
        return _Winograd.apply(images, weight, side)
    kept = {} if kept is None else kept
    points = kept[side] = kept[side] if side in kept else _points_of_weight(weight, side)
    channels, height, width = images.shape[1:]
    down, across = _grid(height, width, side)
    part = max(1, AT_ONCE // (down * across * (side + 2) ** 2 * channels))
    return torch.cat([_results(_points_of_tiles(some, side), points, some, side) for some in images.split(part)])


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, side: int) -> Tensor:
        tiles, points = _points_of_tiles(images, side), _points_of_weight(weight, side)
        ctx.save_for_backward(images, weight, tiles, points)
        ctx.side = side
        return _results(tiles, points, images, side)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """The transposes of forward's linear maps, in opposite order."""
        images, weight, tiles, points = ctx.saved_tensors
        if torch.is_grad_enabled():  # for second derivatives
            return *_derivatives(ctx.needs_input_grad, images, weight, gradient), None
        side, (n, channels, height, width) = ctx.side, images.shape
        down, across = _grid(height, width, side)
        of_images = of_weight = None
        read, filters, results = _maps(side)
        padded = gradient.permute(0, 2, 3, 1)
        if (height, width) != (side * down, side * across):
            padded = F.pad(padded, (0, 0, 0, side * across - width, 0, side * down - height))
        squares = padded.reshape(n, down, side, across, side, -1).permute(2, 4, 0, 1, 3, 5).reshape(side**2, -1)
        products = (results.T @ squares).view(len(tiles), -1, gradient.shape[1])
        if ctx.needs_input_grad[1]:
            summed = filters.T @ torch.bmm(products.transpose(1, 2), tiles).view(len(tiles), -1)
            of_weight = _channels_last(summed.view(3, 3, -1, channels).permute(2, 3, 0, 1))
        if ctx.needs_input_grad[0]:
            spread = (read.T @ torch.bmm(products, points).view(len(tiles), -1)).view(
                side + 2, side + 2, n, down, across, channels
            )
            whole = gradient.new_zeros(n, side * down + 2, side * across + 2, channels)
            for row in range(side + 2):  # tiles overlap: what they say of a pixel adds up
                for column in range(side + 2):
                    rows = slice(row, row + side * (down - 1) + 1, side)
                    whole[:, rows, column : column + side * (across - 1) + 1 : side] += spread[row, column]
            of_images = _channels_last(whole[:, 1 : height + 1, 1 : width + 1].permute(0, 3, 1, 2))
        return of_images, of_weight, None


def _derivatives(
    wanted: tuple[bool, ...], images: Tensor, weight: Tensor, gradient: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Of the images and of the weight, by operations that have derivatives themselves."""
    of_images = conv2d_input(images.shape, weight, gradient, padding=1) if wanted[0] else None
    of_weight = conv2d_weight(images, weight.shape, gradient, padding=1) if wanted[1] else None
    return of_images, of_weight


def _points_of_tiles(images: Tensor, side: int) -> Tensor:
    """((side + 2)^2, n * tiles, c): every tile with the pixels around it, at every point."""
    n, channels, height, width = images.shape
    (down, across), reach = _grid(height, width, side), side + 2
    padded = images.new_zeros(n, side * down + 2, side * across + 2, channels)
    padded[:, 1 : height + 1, 1 : width + 1] = images.permute(0, 2, 3, 1)
    whole, row, column, channel = padded.stride()
    strides = (row, column, whole, side * row, side * column, channel)
    windows = padded.as_strided((reach, reach, n, down, across, channels), strides)
    read, _, _ = _maps(side)
    return (read @ windows.reshape(reach**2, -1)).view(reach**2, -1, channels)


def _points_of_weight(weight: Tensor, side: int) -> Tensor:
    """((side + 2)^2, o, c)."""
    _, filters, _ = _maps(side)
    return (filters @ weight.permute(2, 3, 0, 1).reshape(9, -1)).view(-1, *weight.shape[:2])


def _results(tiles: Tensor, points: Tensor, images: Tensor, side: int) -> Tensor:
    """(n, o, h, w) of what tiles and weights are at the points."""
    n, _, height, width = images.shape
    down, across = _grid(height, width, side)
    _, _, results = _maps(side)
    products = torch.bmm(tiles, points.transpose(1, 2))
    squares = (results @ products.view(len(products), -1)).view(side, side, n, down, across, -1)
    shape, last = (n, squares.shape[-1], side * down, side * across), torch.channels_last
    whole = torch.empty(shape, dtype=squares.dtype, device=squares.device, memory_format=last)
    whole.permute(0, 2, 3, 1).view(n, down, side, across, side, -1).copy_(squares.permute(2, 3, 0, 4, 1, 5))
    fits = (height, width) == (side * down, side * across)  # else of its own: a view could not be changed in place
    return whole if fits else whole[:, :, :height, :width].clone(memory_format=last)


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def _is_plain(layer: nn.Conv2d) -> bool:
    square = (layer.kernel_size, layer.stride, layer.padding, layer.dilation) == ((3, 3), (1, 1), (1, 1), (1, 1))
    return square and layer.groups == 1 and layer.padding_mode == "zeros"


def _grid(height: int, width: int, side: int) -> tuple[int, int]:
    """Tiles down and across."""
    return -(-height // side), -(-width // side)


def _tile(height: int, width: int) -> int | None:
    """The side of a tile that takes fewest products; None: none takes much fewer than the convolution itself."""

    def products(side: int) -> int:
        down, across = _grid(height, width, side)
        return down * across * (side + 2) ** 2

    best = min(POINTS, key=products)
    return best if 2 * products(best) <= 9 * height * width else None


@cache
def _maps(side: int) -> tuple[Tensor, Tensor, Tensor]:
    """What tiles of pixels, weights and products become: ((side + 2)^2, (side + 2)^2), (.., 9) and (side^2, ..).

    Toom's and Cook's: a product of polynomials by its values at points, of which Lavin and Gray's matrices B^T, G and
    A^T are the transposed one. Both directions of an image at once.
    """
    numbers: dict[str, Any] = {"dtype": torch.float64, "device": "cpu"}
    finite = torch.tensor(POINTS[side], **numbers)
    powers = finite[:, None] ** torch.arange(side + 2, **numbers)  # what a polynomial's coefficients are worth at each
    differences = finite[:, None] - finite
    differences.fill_diagonal_(1)
    last = torch.zeros(1, side + 2, **numbers)
    last[0, -1] = 1

    def at_infinity(count: int) -> Tensor:
        return torch.cat([powers[:, :count], last[:, -count:]])

    scale = torch.cat([differences.prod(1), torch.ones(1, **numbers)])
    filters, results = at_infinity(3) / scale[:, None], at_infinity(side).T
    read = torch.linalg.inv(at_infinity(side + 2)).T * scale[:, None]
    return tuple(torch.kron(one, one).float() for one in (read, filters, results))  # type: ignore[return-value]
