"""Triton's kernels to machine code, without a GPU: compile_triton.py ARCHITECTURE TYPE K FOLDER.

A program of its own: where TRITON_INTERPRET was set when triton was imported, nothing compiles. Where there is no torch
(another Triton in an environment of its own), none is needed.
"""

import importlib.util
import json
import math
import sys
from unittest.mock import MagicMock

if importlib.util.find_spec("torch") is None:
    sys.modules["torch"] = MagicMock()

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from otlabel.backends.gpu import triton_engine as kernels
from otlabel.backends.gpu import triton_kernels

architecture, score, k = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
align = math.gcd(16, k)
matrix = {"scores": "*" + score, "stride": "i64", "g": "*fp64"}
sweep = matrix | {"a": "*fp64", "lse": "*fp64", "partial": "*fp64", "n": "i64", "k": "i32"}
size, (columns, rows) = {"fp64": 8, "fp32": 4}.get(score, 2), kernels.tile_shape(k)
tiled = {"COLUMNS": columns, "ROWS": rows, "ALIGN": align}
by_warp = [
    dict(zip(("COLUMNS", "ROWS"), kernels.row_shape(k, size), strict=True))
    for size in (kernels.SCANNED, kernels.FILLED)
]
scanned, filled = (tiled | shape for shape in by_warp)
jobs = {
    "sweep_wide": (sweep, tiled | {"REAL": tl.float64}, 8),
    "total": (
        {"partial": "*fp64", "out": "*fp64", "programs": "i32", "length": "i32"},
        {"COLUMNS": 32, "PROGRAMS": 64},
        4,
    ),
    "scan": (
        matrix | {"width": "*fp64", "best": "*fp64", "label": "*i64", "count": "*i32", "n": "i64", "k": "i32"},
        scanned | {"COUNT": True},
        1,
    ),
    "fill": (
        matrix
        | {
            "width": "*fp64",
            "best": "*fp64",
            "indptr": "*i64",
            "label": "*i32",
            "score": "*" + score,
            "n": "i64",
            "k": "i32",
        },
        filled,
        1,
    ),
    "sweep_listed": (
        {
            "indptr": "*i64",
            "label": "*i32",
            "score": "*" + score,
            "g": "*fp64",
            "lse": "*fp64",
            "a": "*fp64",
            "column_sums": "*i64",
            "partial": "*fp64",
            "m": "i64",
            "k": "i32",
        },
        {name: value for name, value in kernels.LISTED.items() if name != "maxnreg"},
        1,
    ),
}
registers, shared = {"sweep_listed": {"maxnreg": kernels.LISTED["maxnreg"]}}, {}
for name, precise, widest in (("sweep", False, kernels.WIDEST), ("sweep_precise", True, kernels.WIDEST_PRECISE)):
    if k > widest or (score == "fp64" and not precise):  # those are swept by sweep_wide, or in float64
        continue
    shape = kernels.sweep_shape(k, size, precise)
    cut = {"HEAD": shape.head, "TAIL": shape.tail, "ROWS": shape.rows, "STINT": kernels.STINT, "STAGES": shape.stages}
    jobs[name] = sweep, cut | {"PRECISE": precise, "ALIGN": align}, shape.warps
    registers[name] = {"maxnreg": shape.registers}
for name, (signature, constants, warps) in jobs.items():
    options = {"num_warps": warps} | registers.get(name, {})
    aligned = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(signature.values()) if kind[0] == "*"}
    source = ASTSource(
        fn=getattr(triton_kernels, name.removesuffix("_precise")),
        signature=signature | dict.fromkeys(constants, "constexpr"),
        constexprs=constants,
        attrs=aligned,
    )
    code = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)
    with open(f"{sys.argv[4]}/{name}.cubin", "wb") as file:
        file.write(code.asm["cubin"])
    shared[name] = code.metadata.shared
    with open(f"{sys.argv[4]}/{name}.ptx", "w") as file:
        file.write(code.asm["ptx"])
print(json.dumps(shared))
