"""What is freed stays with the process, and goes back when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from otlabel._system import heap

SIZES = (12, 80)  # MiB
SCRIPT = f"""
import resource, sys
import numpy as np
from otlabel._system import heap
kept = sys.argv[1] == "kept" and heap.keep()

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for size in {SIZES}:
        np.empty(size << 17).fill(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

new_pages()
print(min(new_pages() for _ in range(10)))
heap.give_back()
print(new_pages(), int(kept))
"""


def faults(how):
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


def test_large_tensors_are_no_new_pages_until_memory_is_handed_back():
    huge = sum(SIZES) // 2  # pages of 2 MiB, the fewest that they can be
    anew, _, _ = faults("plain")
    kept, after, does = faults("kept")
    if not does:
        pytest.skip("this heap keeps nothing")
    assert min(anew, after) > huge / 2
    assert kept < huge / 10


def test_where_settings_are_refused_nothing_is_set(monkeypatch):
    """A heap that trims late, but maps all large blocks, would be worse than one left alone."""
    asked = []
    for accepted, expected in (
        (1 << 30, [(-3, 1 << 30), (-1, 1 << 30)]),
        (32 << 20, [(-3, 1 << 30), (-3, 32 << 20), (-1, 1 << 30)]),
        (0, [(-3, 1 << 30), (-3, 32 << 20)]),
    ):
        asked.clear()
        setting = lambda which, size, most=accepted: asked.append((which, size)) or int(which == -1 or size <= most)  # noqa: E731
        monkeypatch.setattr(heap, "_glibcs", lambda name, setting=setting: setting)
        assert heap.keep() == (accepted > 0)
        assert asked == expected
    monkeypatch.setattr(heap, "_glibcs", lambda name: None)
    assert not heap.keep()
    heap.give_back()
