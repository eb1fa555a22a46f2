"""An engine over tensors in torch's own operations and float64: for devices that no kernel here is written for."""

from __future__ import annotations

import contextlib
import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from .engine import STAGED, Item, out_of_memory

_NATIVE = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_SMALL = (torch.bool, torch.uint8, torch.int8, torch.int16)  # float32 holds all their values


class Plain:
    """``engine.Engine`` in plain tensor operations, on any device."""

    has_float32 = False
    block = 1 << 20  # entries that are worked on at a time

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
                raise out_of_memory(str(self.place), free, whole, error) from error

    def upload(self, array: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self.place.type == "cuda" and array.nbytes <= STAGED:
            tensor = tensor.pin_memory()
        return tensor.to(self.place, non_blocking=True)  # what is not pinned is waited for all the same

    def holds(self, scores: Any) -> bool:
        return isinstance(scores, torch.Tensor) and scores.device == self.place

    def stored(self, block: Any) -> torch.dtype:
        dtype = as_tensor(block).dtype
        if dtype in _NATIVE:
            return dtype
        return torch.float32 if dtype in _SMALL else torch.float64

    def is_ready(self, scores: torch.Tensor) -> bool:
        return scores.dtype in _NATIVE and (scores.stride(1) == 1 or scores.shape[1] == 1)

    def ready(self, block: Any, stored: torch.dtype) -> torch.Tensor:
        return as_tensor(block).to(self.place, non_blocking=True).to(stored).contiguous()

    def streamed(self, items: Sequence[Item], read: Callable[[Item], torch.Tensor]) -> Iterator:
        """On CUDA an item is copied while the kernels work on the one before; three are there at most."""
        if self.place.type != "cuda":
            yield from map(read, items)
            return
        copying, working = self._copying, torch.cuda.current_stream()
        copying.wait_stream(working)
        done: deque[torch.cuda.Event] = deque()
        previous: torch.Tensor | None = None
        for item in items:
            if len(done) > 1:
                done.popleft().synchronize()
            with torch.cuda.stream(copying):
                block = read(item)
            if previous is not None:
                yield previous
                done.append(working.record_event())
            working.wait_stream(copying)
            block.record_stream(working)
            previous = block
        if previous is not None:
            yield previous

    @functools.cached_property
    def _copying(self) -> torch.cuda.Stream:
        """One for all sweeps: memory and workspaces are kept by stream."""
        return torch.cuda.Stream()

    def pick(self, scores: Any, rows: np.ndarray) -> torch.Tensor:
        place = scores.device if isinstance(scores, torch.Tensor) else None
        picked = scores[rows if place is None else torch.from_numpy(rows).to(place)]
        return as_tensor(picked).to(self.place)

    def wide(self, array: torch.Tensor) -> torch.Tensor:
        return array.double()

    def download(self, array: torch.Tensor) -> np.ndarray:
        array = array.float() if array.dtype == torch.bfloat16 else array
        if array.is_cuda and array.nbytes <= STAGED:
            staged = torch.empty(array.shape, dtype=array.dtype, pin_memory=True)
            staged.copy_(array, non_blocking=True)
            torch.cuda.current_stream(array.device).synchronize()
            return staged.numpy()
        return array.cpu().numpy()

    def zeros(self, length: int, dtype: str) -> torch.Tensor:
        return torch.zeros(length, dtype=getattr(torch, dtype), device=self.place)

    def empty(self, length: int, dtype: str) -> torch.Tensor:
        return torch.empty(length, dtype=getattr(torch, dtype), device=self.place)

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
            top = x.amax(1)
            q = torch.exp(x - top[:, None])
            total = q.sum(1)
            lse[rows] = top + torch.log(total)
            out[:-1] += (a[rows] / total) @ q
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

    def sweep_listed(self, lists, g, lse, a) -> tuple[float, np.ndarray]:
        indptr, label, score = lists
        row = torch.repeat_interleave(torch.arange(len(a), device=self.place), indptr.diff())
        j = label.long()
        q = torch.exp(score.double() * g[-1] - lse[row] + g[j])
        total = torch.zeros_like(a).index_add_(0, row, q)
        c = torch.zeros_like(g[:-1]).index_add_(0, j, q * (a / total)[row])
        return float(a @ torch.log(total)), self.download(c)

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
        step = max(1, self.block // scores.shape[1])
        for start in range(0, len(scores), step):
            rows = slice(start, min(start + step, len(scores)))
            yield rows, scores[rows].double() * g[-1] + g[:-1]

    def _near(self, x: torch.Tensor, best: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
        return (x >= best[:, None] - width) & ~torch.isneginf(x)


def as_tensor(block: Any) -> torch.Tensor:
    """A block of rows as a tensor: the same memory where torch can use it."""
    if isinstance(block, torch.Tensor):
        return block
    block = np.ascontiguousarray(block)
    if not block.flags.writeable or min(block.strides) < 0:  # of one row NumPy calls those contiguous too
        block = block.copy()
    try:
        return torch.from_numpy(block)
    except TypeError:  # of NumPy's types torch lacks a few
        return torch.from_numpy(block.astype(np.float64))
