"""Kernels for torch tensors: Triton on CUDA, plain tensor operations in float64 on any other device."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from ..sources import LinearScores
from . import device

_NATIVE = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_SMALL = (torch.bool, torch.uint8, torch.int8, torch.int16)  # float32 holds all their values
_BLOCK = 1 << 20  # entries that plain operations work on at a time


class Kernels(device.Kernels):
    """The protocol ``otlabel.backends.Kernels``.

    Scores: a tensor, used where it is; pinned host memory, streamed to the current CUDA device; anything else that
    NumPy reads, a block of rows at a time on the CPU.
    """

    def __init__(self, scores: Any, scale: float, a: np.ndarray, largest: float):
        place = _place(scores)
        triton = place.type == "cuda" and importlib.util.find_spec("triton") is not None
        # Triton's interpreter runs the same kernels on the CPU, for tests.
        kind: Any = Plain
        if triton or os.environ.get("TRITON_INTERPRET") == "1":
            from .triton import Triton

            kind = Triton
        engine = kind(place)
        with engine.working():
            super().__init__(_scores(scores, place), engine, scale, engine.upload(a), largest)


class Plain:
    """The protocol ``device.Engine`` in plain tensor operations."""

    has_float32 = False

    def __init__(self, place: torch.device):
        self.place = place

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        if self.place.type != "cuda":
            yield
            return
        with torch.cuda.device(self.place):
            try:
                yield
            except torch.cuda.OutOfMemoryError as error:
                free, whole = torch.cuda.mem_get_info()
                raise MemoryError(
                    f"{self.place} has {free / 2**20:,.0f} of {whole / 2**20:,.0f} MiB free, too little to label with: "
                    "the scores and about 64 MiB and 16 bytes a row must fit. Keep the scores in pinned host memory "
                    "(logits.cpu().pin_memory(), backend='torch'), from where they are streamed, or use LinearScores. "
                    f"{error}"
                ) from error

    def upload(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.place)

    def download(self, array: torch.Tensor) -> np.ndarray:
        return (array.float() if array.dtype == torch.bfloat16 else array).cpu().numpy()

    def zeros(self, length: int, dtype: str) -> torch.Tensor:
        return torch.zeros(length, dtype=getattr(torch, dtype), device=self.place)

    def empty_like_scores(self, scores: torch.Tensor, length: int) -> torch.Tensor:
        return torch.empty(length, dtype=scores.dtype, device=self.place)

    def joined(self, arrays: list[torch.Tensor]) -> torch.Tensor:
        return arrays[0] if len(arrays) == 1 else torch.cat(arrays)

    def log(self, array: torch.Tensor) -> torch.Tensor:
        return torch.log(array)

    def starts(self, counts: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(torch.cumsum(counts, 0, dtype=torch.int64), (1, 0))

    def sweep(self, scores, g, a, lse, out, precise) -> None:
        for rows, x in self._exponents(scores, g):
            lse[rows] = torch.logsumexp(x, 1)
            out[:-1] += a[rows] @ torch.exp(x - lse[rows, None])
        out[-1] += a @ lse

    def scan(self, scores, g, width, best, label, count) -> None:
        for rows, x in self._exponents(scores, g):
            best[rows] = x.amax(1)
            columns = torch.arange(x.shape[1], device=self.place)
            label[rows] = torch.where(x == best[rows, None], columns, x.shape[1]).amin(1)
            if count is not None:
                count[rows] = self._near(x, best[rows], width).sum(1, dtype=torch.int32)

    def fill(self, scores, g, width, best, indptr, label, score) -> None:
        for rows, x in self._exponents(scores, g):
            row, column = torch.nonzero(self._near(x, best[rows], width), as_tuple=True)
            there = slice(int(indptr[rows.start]), int(indptr[rows.stop]))
            label[there], score[there] = column.int(), scores[rows][row, column]

    def sweep_listed(self, lists, g, lse, a, out) -> None:
        indptr, label, score = lists
        row = torch.repeat_interleave(torch.arange(len(a), device=self.place), indptr.diff())
        j = label.long()
        q = torch.exp(score.double() * g[-1] - lse[row] + g[j])
        total = torch.zeros_like(a).index_add_(0, row, q)
        out[:-1] = torch.zeros_like(g[:-1]).index_add_(0, j, q * (a / total)[row])
        out[-1] = a @ torch.log(total)

    def log_columns(self, scores, columns, scale, shift) -> np.ndarray:
        x = scores[:, torch.from_numpy(columns).to(self.place)].double() * scale + shift[:, None]
        return self.download(torch.logsumexp(x, 0))

    def cheapest(self, scores, label) -> tuple[np.ndarray, np.ndarray]:
        regret = scores[:, label, None] - scores
        least = regret.amin(0)
        rows = torch.arange(len(scores), device=self.place)[:, None]
        return self.download(least), self.download(torch.where(regret == least, rows, len(scores)).amin(0))

    def _exponents(self, scores: torch.Tensor, g: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        """S/epsilon + g in float64, a block of rows at a time."""
        step = max(1, _BLOCK // scores.shape[1])
        for start in range(0, len(scores), step):
            rows = slice(start, min(start + step, len(scores)))
            yield rows, scores[rows].double() * g[-1] + g[:-1]

    def _near(self, x: torch.Tensor, best: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
        return (x >= best[:, None] - width) & ~torch.isneginf(x)


class _Tensor:
    """The protocol ``device.Scores``: a tensor on the device of the kernels."""

    def __init__(self, tensor: torch.Tensor):
        self.tensor, self.shape = tensor, tuple(tensor.shape)
        self.stored = tensor.dtype if tensor.dtype in _NATIVE else _floating(tensor.dtype)
        self.itemsize = self.stored.itemsize

    def blocks(self) -> Iterator[tuple[slice, torch.Tensor]]:
        if self.tensor.dtype == self.stored and (self.tensor.stride(1) == 1 or self.shape[1] == 1):
            yield slice(0, self.shape[0]), self.tensor
            return
        for rows in _slices(self.shape, self.itemsize):
            yield rows, self.tensor[rows].to(self.stored).contiguous()

    def thinned(self, every: int) -> _Tensor:
        return _Tensor(self.tensor[::every])

    def take(self, rows: np.ndarray) -> torch.Tensor:
        return self.tensor[torch.from_numpy(rows).to(self.tensor.device)].double()


class _Host:
    """The protocol ``device.Scores``: rows that come from host memory, or from a source, block by block."""

    def __init__(self, rows: Any, shape: tuple[int, int], place: torch.device, every: int = 1):
        self.rows, self.place, self.every = rows, place, every
        self.shape = (-(-shape[0] // every), shape[1])
        self.stored = _floating(_tensor(rows[0:1]).dtype)
        self.itemsize = self.stored.itemsize

    def blocks(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """On CUDA a block is copied while the kernels work on the one before; three are there at most."""
        spans = _slices(self.shape, self.itemsize)
        if self.place.type != "cuda":
            yield from ((rows, self._block(rows)) for rows in spans)
            return
        copying, working = torch.cuda.Stream(), torch.cuda.current_stream()
        done: deque[torch.cuda.Event] = deque()
        previous: tuple[slice, torch.Tensor] | None = None
        for rows in spans:
            if len(done) > 1:
                done.popleft().synchronize()
            with torch.cuda.stream(copying):
                block = self._block(rows)
            if previous is not None:
                yield previous
                done.append(working.record_event())
            working.wait_stream(copying)
            block.record_stream(working)
            previous = rows, block
        if previous is not None:
            yield previous

    def _block(self, rows: slice) -> torch.Tensor:
        block = _tensor(self.rows[rows.start * self.every : rows.stop * self.every : self.every])
        return block.to(self.place, non_blocking=True).to(self.stored)

    def thinned(self, every: int) -> _Host:
        return _Host(self.rows, (self.shape[0] * self.every, self.shape[1]), self.place, self.every * every)

    def take(self, rows: np.ndarray) -> torch.Tensor:
        return _tensor(self.rows[rows * self.every]).to(self.place).double()


class _Linear:
    """The protocol ``device.Scores``: features @ weight.T + bias, computed where they are needed."""

    def __init__(self, scores: LinearScores, features: torch.Tensor):
        self.scores, self.features = scores, features
        self.shape = (len(features), scores.shape[1])
        self.itemsize = scores.bias.dtype.itemsize

    def blocks(self) -> Iterator[tuple[slice, torch.Tensor]]:
        for rows in _slices(self.shape, self.itemsize):
            yield rows, self.scores.of(self.features[rows])

    def thinned(self, every: int) -> _Linear:
        return _Linear(self.scores, self.features[::every])

    def take(self, rows: np.ndarray) -> torch.Tensor:
        return self.scores.of(self.features[torch.from_numpy(rows).to(self.features.device)]).double()


def linear(features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """features (m, d) @ weight (k, d).T + bias (k,), summed and kept in the bias's dtype, float32 or float64; no TF32."""
    if features.dtype == weight.dtype != bias.dtype and features.is_cuda:
        return torch.mm(features, weight.T, out_dtype=bias.dtype) + bias
    with _without_tf32():
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


def _place(scores: Any) -> torch.device:
    """Where the kernels work."""
    if isinstance(scores, LinearScores):
        scores = scores.features
    if isinstance(scores, torch.Tensor):  # Metal has no float64
        return torch.device("cpu") if scores.device.type == "mps" else scores.device
    if isinstance(scores, np.ndarray) and torch.cuda.is_available() and _tensor(scores[:1]).is_pinned():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def _scores(scores: Any, place: torch.device) -> device.Scores:
    if isinstance(scores, LinearScores) and isinstance(scores.features, torch.Tensor):
        return _Linear(scores, scores.features)
    if isinstance(scores, torch.Tensor) and scores.device == place:
        return _Tensor(scores)
    return _Host(scores, scores.shape, place)


def _tensor(block: Any) -> torch.Tensor:
    """A block of rows as a tensor: the same memory where torch can use it."""
    if isinstance(block, torch.Tensor):
        return block
    block = np.ascontiguousarray(block)
    try:
        return torch.from_numpy(block if block.flags.writeable else block.copy())
    except TypeError:  # of NumPy's types torch lacks a few
        return torch.from_numpy(block.astype(np.float64))


def _floating(dtype: torch.dtype) -> torch.dtype:
    """The narrowest type that the kernels read and that holds every value."""
    if dtype in _NATIVE:
        return dtype
    return torch.float32 if dtype in _SMALL else torch.float64


def _slices(shape: tuple[int, int], itemsize: int) -> list[slice]:
    """Blocks of rows of CHUNK bytes."""
    step = max(1, device.CHUNK // (shape[1] * itemsize))
    return [slice(start, min(start + step, shape[0])) for start in range(0, shape[0], step)]
