"""The engine's own launches, compiled for a GPU and handed to a driver that only counts them: launch_triton.py.

Prints a JSON object: per kernel how many were compiled and how often it was launched. What a launch passes, its types
and its options, is checked by Triton itself; nothing is computed.
"""

import collections
import json

import numpy as np
import torch
import triton
from triton.backends.compiler import GPUTarget

from otlabel._arrays.score_source import Held
from otlabel.backends.gpu import kernels, triton_engine

compiled, launched = collections.Counter(), collections.Counter()


class Utils:
    """What a kernel is loaded with."""

    def load_binary(self, name, kernel, shared, device):
        assert kernel[:4] == b"\x7fELF"
        compiled[name] += 1
        return object(), name, 32, 0, 1024

    def unload_module(self, module):
        pass

    def get_device_properties(self, device):
        return {"max_shared_mem": 232_448, "multiprocessor_count": 132}


class Launcher:
    def __init__(self, source, metadata):
        self.name = source.fn.__name__

    def __call__(self, x, y, z, stream, function, *rest):
        assert x > 0
        assert (y, z) == (1, 1)
        launched[self.name] += 1


class Driver:
    """In the place of the one that has a GPU."""

    utils, launcher_cls = Utils(), Launcher

    def get_current_target(self):
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0

    def get_active_torch_device(self):
        return torch.device("cpu")


class Strict(triton_engine.Triton):
    """As Triton 3.6 is: NumPy's bool is no constant to it."""

    def sweep(self, scores, g, a, lse, out, precise):
        assert type(precise) is bool
        super().sweep(scores, g, a, lse, out, precise)


triton.runtime.driver.set_active(Driver())
engine = Strict(torch.device("cpu"))


def float64(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.float64)


# A solve: blocks and lists of many lengths, odd ones and multiples of 16, and arrays that begin anywhere.
k = 304
g, width, out = float64(k + 1), float64(1), float64(k + 1)
for n in (1, 16, 33, 1000, 4096, 70_001):
    scores = torch.zeros((n + 1, k), dtype=torch.float16)[1:]
    a, lse, best = float64(n + 1)[1:], float64(n + 1)[1:], float64(n + 1)[1:]
    label, count = torch.zeros(n + 1, dtype=torch.int64)[1:], torch.ones(n + 1, dtype=torch.int32)[1:]
    for precise in (False, True):
        engine.sweep(scores, g, a, lse, out, precise)
    engine.scan(scores, g, width, best, label, count)
    for entries in (n, 5 * n, 40 * n):
        indptr = torch.zeros(n + 1, dtype=torch.int64)
        lists = indptr, torch.zeros(entries, dtype=torch.int32), torch.zeros(entries, dtype=torch.float16)
        engine.fill(scores, g, width, best, *lists)
        engine.sweep_listed(lists, g, lse, a)
# What a solve passes is of NumPy's types here and there.
host = kernels.Kernels(Held(torch.zeros((300, k), dtype=torch.float16)), engine, 25.0, np.full(300, 1 / 300), 1.0)
for precise in np.array([False, True]):
    host.survey(np.zeros(k), 3.0, precise)
print(json.dumps({name: (compiled[name], launched[name]) for name in sorted(launched)}))
