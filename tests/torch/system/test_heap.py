"""What is freed stays with the process, and goes back when it is asked for."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

SIZES = (12, 80)  # MiB
SCRIPT = f"""
import resource, sys, torch
from otlabel._system import machine
from otlabel_torch.system import heap
if sys.argv[1] == "kept":
    heap.keep()

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for size in {SIZES}:
        torch.empty(size << 18).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

new_pages()
print(min(new_pages() for _ in range(10)))
machine._give_back()
print(new_pages())
"""


def faults(how):
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc's heap")
def test_large_tensors_are_no_new_pages_until_memory_is_handed_back():
    huge = sum(SIZES) // 2  # pages of 2 MiB, the fewest that they can be
    anew, _ = faults("plain")
    kept, after = faults("kept")
    assert min(anew, after) > huge / 2
    assert kept < huge / 10
