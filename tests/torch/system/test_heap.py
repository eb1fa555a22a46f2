"""What is freed stays with the process, and goes back when it is asked for."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys, torch
from otlabel._system import machine
from otlabel_torch.system import heap
if sys.argv[1] == "kept":
    heap.keep()

def step():
    for size in (3 << 20, 20 << 20):  # 12 and 80 MiB
        torch.empty(size).fill_(1.0)

step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

def held():
    with open("/proc/self/statm") as file:
        return resource.getpagesize() * int(file.read().split()[1])

most = held()
machine._give_back()
print(most - held())
"""


def faults(how):
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.split()]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc's heap")
def test_large_tensors_are_no_new_pages_and_can_be_handed_back():
    anew, _ = faults("plain")
    kept, handed_back = faults("kept")
    pages = 10 * (92 << 20) / 4096
    assert anew > 0.5 * pages / 512  # at most huge pages of 2 MiB
    assert kept < 0.01 * pages
    assert kept < 0.1 * anew
    assert handed_back > 40 << 20
