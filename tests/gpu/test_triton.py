"""Triton's kernels without a GPU: run by its interpreter, and compiled for the GPUs they are meant for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nvrtc
import pytest

triton = pytest.importorskip("triton", reason="torch has no Triton on this platform")

TESTS = Path(__file__).parents[1]
SMALL = "not many and not 3000 and not 700"  # the interpreter is slow


def interpreted(*arguments: str) -> subprocess.CompletedProcess:
    settings = {**os.environ, "TRITON_INTERPRET": "1", "OTLABEL_TEST_BACKENDS": "torch"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=TESTS.parent, env=settings, capture_output=True, text=True)


def test_kernels_conform_under_the_interpreter():
    done = interpreted(str(TESTS / "test_kernels.py"), "-k", SMALL)
    assert done.returncode == 0, done.stdout[-5000:]
    assert int(re.search(r"(\d+) passed", done.stdout).group(1)) > 150


def test_whole_solves_under_the_interpreter():
    chosen = "certified_by_an_independent or rows_of_weight_zero or labels_of_share_zero or heads_are_independent"
    done = interpreted(str(TESTS / "test_assign.py"), str(TESTS / "gpu" / "test_device.py"), "-k", chosen + " or bfloat16")
    assert done.returncode == 0, done.stdout[-5000:]


COMPILED = """
import sys
import triton, triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from otlabel.backends import triton as kernels

architecture, score, k = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
matrix = {"scores": "*" + score, "stride": "i64", "g": "*fp64"}
sweep = matrix | {"a": "*fp64", "lse": "*fp64", "partial": "*fp64", "n": "i64", "k": "i32"}
shape, tile = kernels.sweep_shape(k), kernels.tile_shape(k)
tiled = {"COLUMNS": tile.columns, "ROWS": tile.rows}
jobs = {
    "sweep": (sweep, {"COLUMNS": shape.columns, "ROWS": shape.rows, "STINT": kernels.STINT, "STAGES": shape.stages,
                      "ALIGN": 8}, shape.warps),
    "sweep_wide": (sweep, tiled | {"REAL": tl.float64}, tile.warps),
    "total": ({"partial": "*fp64", "out": "*fp64", "programs": "i32", "length": "i32"}, {"COLUMNS": 128}, 4),
    "scan": (matrix | {"width": "*fp64", "best": "*fp64", "label": "*i64", "count": "*i32", "n": "i64", "k": "i32"},
             tiled | {"COUNT": True}, tile.warps),
    "fill": (matrix | {"width": "*fp64", "best": "*fp64", "indptr": "*i64", "label": "*i32", "score": "*" + score,
                       "n": "i64", "k": "i32"}, tiled, tile.warps),
    "sweep_listed": ({"indptr": "*i64", "label": "*i32", "score": "*" + score, "g": "*fp64", "lse": "*fp64",
                      "a": "*fp64", "column_sums": "*i64", "partial": "*fp64", "m": "i64", "k": "i32"},
                     {"ENTRIES": 32, "ROWS": 8}, 4),
}
for name, (signature, constants, warps) in jobs.items():
    aligned = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(signature.values()) if kind[0] == "*"}
    source = ASTSource(
        fn=getattr(kernels, name), signature=signature | dict.fromkeys(constants, "constexpr"), constexprs=constants,
        attrs=aligned,
    )
    code = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options={"num_warps": warps})
    with open(f"{sys.argv[4]}/{name}.cubin", "wb") as file:
        file.write(code.asm["cubin"])
    with open(f"{sys.argv[4]}/{name}.ptx", "w") as file:
        file.write(code.asm["ptx"])
"""


@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize(("score", "k"), [("fp16", 3000), ("fp32", 3000), ("bf16", 1000), ("fp64", 8000)])
def test_kernels_compile_without_spills(tmp_path, architecture, score, k):
    # By itself: where TRITON_INTERPRET is set on import, nothing compiles.
    settings = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-c", COMPILED, str(architecture), score, str(k), str(tmp_path)]
    subprocess.run(command, check=True, env=settings)
    for file in tmp_path.glob("*.cubin"):
        (usage,) = nvrtc.usage(file.read_bytes()).values()
        # A logarithm in float64 is a call, which needs a few bytes.
        assert usage.stack <= (0 if file.stem == "sweep" else 64), f"{file.stem} spills: {usage}"
        assert usage.registers <= 168, f"{file.stem}: {usage}"
    # The rows to come are copied into shared memory, 16 bytes at a time, while others are summed.
    assert "cp.async.cg.shared.global" in (tmp_path / "sweep.ptx").read_text()
    assert len(list(tmp_path.glob("*.cubin"))) == 6
