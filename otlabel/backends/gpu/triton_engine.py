"""How the Triton kernels are cut up and called: an engine over CUDA tensors."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import triton
import triton.language as tl

from . import triton_kernels
from .engine import most_partials, of_lists
from .torch_engine import Plain

MEMORY, PROGRAM_MEMORY = 160 << 10, 96 << 10  # bytes that the programs of a multiprocessor share, and one of them
WIDEST, WIDEST_PRECISE = 12_288, 6144  # labels whose scores a program's registers hold, in float32 and float64
WARP = 32
LISTED_PROGRAMS = 32  # of one warp each, that share a multiprocessor: it takes no more
LISTED = {"ROWS": 4, "LANES": WARP // 4, "maxnreg": 65536 // (WARP * LISTED_PROGRAMS)}
SCANNED, FILLED = 512, 256  # scores that a warp looks at together
STINT = 64  # groups of rows that float32 adds up before float64 takes over
EXACT = {"enable_fp_fusion": False}  # S/epsilon + g is rounded twice, as NumPy rounds it: ties stay ties


class Shape(NamedTuple):
    """How ``sweep`` is cut up for the device."""

    head: int  # columns, powers of two; a tail spares most of what the next power of two would waste
    tail: int
    rows: int
    warps: int  # of a program
    per_processor: int  # programs that share a multiprocessor
    stages: int

    @property
    def registers(self) -> int:
        """Of a thread, at most, so that as many programs find room."""
        return min(255, 65536 // (32 * self.warps * self.per_processor))


def sweep_shape(k: int, itemsize: int, precise: bool) -> Shape:
    """All columns in the registers of one program, and the next rows on their way.

    24 to 40 scores a thread in float32, up to 12 in float64. Few warps and many scores a thread: what a row costs
    beside its scores, a thread pays once.
    """
    head = max(32, triton.next_power_of_2(k + 1) // 2)
    tail = max(32, triton.next_power_of_2(k - head)) if k > head else 0
    if tail == head:
        head, tail = 2 * head, 0
    columns = head + tail
    warps = triton.next_power_of_2(triton.cdiv(columns, 384 if precise else 1280))
    # Warps of a multiprocessor: its registers hold no more.
    resident = 16 if precise or columns <= 24 * 32 * warps else 8
    middling = 512 < columns <= 4096 and not precise
    rows = max(1, (256 if precise else 1024) // triton.next_power_of_2(columns))
    if middling and itemsize == 2:  # half the bytes under way, and as many scores to work on: two rows hide more
        rows = 2
    programs = max(1, resident // warps)
    # A stage is a group of rows in shared memory.
    stages = 1 + min(
        2 if middling else 3,
        PROGRAM_MEMORY // (columns * rows * itemsize),
        MEMORY // (columns * rows * itemsize * programs),
    )
    return Shape(head, tail, rows, warps, programs, max(2, stages))


def tile_shape(k: int) -> tuple[int, int]:
    """Columns and rows at a time of the kernels that go over the columns step by step, in 8 warps."""
    columns = min(1024, triton.next_power_of_2(max(k, 16)))
    return columns, max(1, 4096 // columns)


def row_shape(k: int, scores: int) -> tuple[int, int]:
    """The same for ``scan`` and ``fill``, in one warp: sums and maxima of rows are then no barriers for others."""
    columns = min(256, scores, triton.next_power_of_2(max(k, 16)))
    return columns, scores // columns


class Triton(Plain):
    """``engine.Engine`` in Triton; what is seldom done stays plain."""

    has_float32 = True

    def sweep(self, scores, g, a, lse, out, precise) -> None:
        n, k = scores.shape
        wide = k > (WIDEST_PRECISE if precise else WIDEST)
        shape = sweep_shape(k, scores.itemsize, precise)
        columns, rows = tile_shape(k)
        programs = min(
            triton.cdiv(n, rows if wide else shape.rows),
            self._processors() * (2 if wide else shape.per_processor),
            most_partials(scores.shape, scores.itemsize),
        )
        partial = torch.zeros(programs, k + 1, dtype=torch.float64, device=self.place)
        align, layout = _layout(scores)
        arguments = *layout, g, a, lse, partial, n, k // align
        if wide:
            real = tl.float64 if precise else tl.float32
            triton_kernels.sweep_wide[(programs,)](
                *arguments, COLUMNS=columns, ROWS=rows, REAL=real, ALIGN=align, num_warps=8
            )
        else:
            triton_kernels.sweep[(programs,)](
                *arguments,
                HEAD=shape.head,
                TAIL=shape.tail,
                ROWS=shape.rows,
                STINT=STINT,
                STAGES=shape.stages,
                PRECISE=precise,
                ALIGN=align,
                num_warps=shape.warps,
                maxnreg=shape.registers,
            )
        triton_kernels.total[(triton.cdiv(k + 1, 32),)](partial, out, programs, k + 1, COLUMNS=32, PROGRAMS=64)

    def scan(self, scores, g, width, best, label, count) -> None:
        self._by_warp(triton_kernels.scan, SCANNED, scores, g, width, best, label, count, COUNT=count is not None)

    def fill(self, scores, g, width, best, indptr, label, score) -> None:
        self._by_warp(triton_kernels.fill, FILLED, scores, g, width, best, indptr, label, score)

    def _by_warp(self, kernel, size, scores, *rest, **options) -> None:
        n, k = scores.shape
        columns, rows = row_shape(k, size)
        align, layout = _layout(scores)
        kernel[(triton.cdiv(n, rows),)](
            *(*layout, *rest, n, k // align),
            COLUMNS=columns,
            ROWS=rows,
            ALIGN=align,
            num_warps=1,
            **options,
            **EXACT,
        )

    def sweep_listed(self, lists, g, lse, a) -> tuple[float, np.ndarray]:
        m, k = len(a), len(g) - 1
        programs = min(triton.cdiv(m, LISTED["ROWS"]), LISTED_PROGRAMS * self._processors())
        sums = torch.zeros(k + programs, dtype=torch.int64, device=self.place)  # one, to be fetched at once
        arguments = *lists, g, lse, a, sums, sums[k:].view(torch.float64), m, k
        triton_kernels.sweep_listed[(programs,)](*arguments, **LISTED, num_warps=1)
        return of_lists(self.download(sums), k)

    def _processors(self) -> int:
        on_gpu = self.place.type == "cuda"
        return torch.cuda.get_device_properties(self.place).multi_processor_count if on_gpu else 2


def _layout(scores: torch.Tensor) -> tuple[int, tuple[torch.Tensor, int]]:
    """By how much k and stride are divided, so that the compiler knows it divides them; scores and stride, divided."""
    align = math.gcd(16, scores.shape[1], scores.stride(0))
    return align, (scores, scores.stride(0) // align)
