"""torch: its tensors, and kernels for them: Triton on CUDA, plain tensor operations in float64 on any other device."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from .._arrays import libraries
from .._arrays.libraries import HOST
from .._arrays.score_source import ScoreSource
from .gpu import kernels
from .gpu.torch_engine import Plain, as_tensor


class Kernels(kernels.Kernels):
    """``protocol.Kernels``.

    Scores: a tensor, used where it is; pinned host memory, streamed to the current CUDA device; anything else that
    NumPy reads, a block of rows at a time on the CPU.
    """

    def __init__(self, source: ScoreSource, scale: float, a: np.ndarray, largest: float):
        device = self.device(source)
        # AMD's devices are "cuda" too: docs/gpu.md says what Triton's kernels would need there.
        is_nvidia = device.type == "cuda" and torch.version.hip is None
        triton = is_nvidia and importlib.util.find_spec("triton") is not None
        # Triton's interpreter runs the same kernels on the CPU, for tests.
        kind: Any = Plain
        if triton or os.environ.get("TRITON_INTERPRET") == "1":
            from .gpu.triton_engine import Triton

            kind = Triton
        super().__init__(source, kind(device), scale, a, largest)

    @staticmethod
    def device(source: ScoreSource) -> torch.device:
        """Where the kernels work."""
        if source.place != HOST:
            device = source.place.device  # what is fetched whatever its size has no kernels there
            return torch.device("cpu") if math.isinf(source.place.library.fetched(device)) else device
        if source.in_memory and torch.cuda.is_available() and as_tensor(source[:1]).is_pinned():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("cpu")


class Library(libraries.Library):
    """Tensors. Those in host memory are read as NumPy arrays; a device is a torch.device."""

    name = "torch"
    host = frozenset({"cpu"})  # torch's names of the types of device that are host memory

    def owns(self, value: Any) -> bool:
        return isinstance(value, torch.Tensor)

    def device(self, value: torch.Tensor) -> torch.device:
        return value.device

    def on_device(self, value: torch.Tensor) -> bool:
        return value.device.type not in self.host

    def fetched(self, device: torch.device) -> float:
        return math.inf if device.type == "mps" else libraries.FEW  # Metal has no float64

    def array(self, value: torch.Tensor, name: str) -> Any:
        if not self.on_device(value):
            return self.to_numpy(value, name)
        if value.is_meta:
            raise ValueError(f"{name} must hold numbers, got a tensor on meta. Pass one on a device or in host memory.")
        if value.layout != torch.strided or value.dtype.is_complex or value.is_quantized:
            raise TypeError(
                f"{name} must be a dense tensor of real numbers, got {value.dtype}, {value.layout}. "
                f"Convert it first, for example {name}.to_dense() or {name}.float()."
            )
        return value.detach()

    def to_numpy(self, value: torch.Tensor, name: str) -> np.ndarray:
        if self.on_device(value):
            value = value.cpu()
        value = value.detach()
        try:
            narrow = value.is_floating_point() and value.dtype.itemsize < 4  # of these NumPy only knows float16
            array = (value.float() if narrow and value.dtype != torch.float16 else value).numpy()
        except (TypeError, RuntimeError) as error:  # sparse, quantised
            raise TypeError(f"{name} must be a dense tensor of real numbers, got {value.dtype}: {error}") from None
        return libraries.NUMPY.to_numpy(array, name)

    def give_back(self, labels: np.ndarray, device: torch.device) -> torch.Tensor:
        return torch.from_numpy(labels).to(device)

    def largest(self, block: torch.Tensor) -> float:
        # Where it is not contiguous, or bool, torch makes a copy: of a part at a time.
        step = max(1, (1 << (30 if block.is_contiguous() else 24)) // max(1, block[0].numel()))
        parts = [part.byte() if part.dtype == torch.bool else part for part in block.split(step)]
        low, high = (torch.stack(ends) for ends in zip(*(part.aminmax() for part in parts), strict=True))
        return max(-float(low.amin()), float(high.amax()))  # NaN is both

    def softmax(self, block: torch.Tensor, scale: float, g: np.ndarray) -> torch.Tensor:
        if block.device.type == "mps":  # Metal has no float64
            block = block.cpu()
        return torch.softmax(block.double() * scale + torch.from_numpy(g).to(block.device), dim=1)

    def with_soft_maximum(self, block: torch.Tensor, scale: float) -> torch.Tensor:
        dtype, x = torch.promote_types(block.dtype, torch.float32), block.double()
        best = x.amax(dim=1, keepdim=True)
        x = x - best.masked_fill(best == -torch.inf, 0.0)
        soft = torch.logsumexp(x * scale, dim=1, keepdim=True) / scale
        return torch.cat([x.to(dtype), soft.to(dtype)], dim=1)

    def concatenate(self, blocks: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat(blocks)

    def blanked(self, block: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        block = block.clone()
        block[rows] = 0
        return block

    def pick(self, block: torch.Tensor, columns: np.ndarray) -> np.ndarray:
        return block.gather(1, torch.from_numpy(columns).to(block.device)[:, None])[:, 0].cpu().numpy()

    def stack(self, arrays: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack(arrays)

    def layer(self, features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> tuple[Any, Any]:
        dtype = torch.promote_types(torch.promote_types(features.dtype, weight.dtype), torch.float32)
        return weight, weight.new_zeros(len(weight), dtype=dtype) if bias is None else bias.to(dtype)

    def linear(self, features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Without TF32, whatever the program's setting, and without autocast."""
        if features.is_cuda and features.dtype == weight.dtype and features.dtype in (torch.float16, torch.bfloat16):
            return torch.mm(features, weight.T, out_dtype=bias.dtype) + bias
        with _without_tf32(), torch.autocast(features.device.type, enabled=False):
            return torch.addmm(bias, features.to(bias.dtype), weight.T.to(bias.dtype))


@contextlib.contextmanager
def _without_tf32() -> Iterator[None]:
    """TF32 keeps 10 bits: errors of 1e-3 of a score, many nats at a small epsilon."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision = before
