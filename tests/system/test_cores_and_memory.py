"""What this process may take of the machine."""

from __future__ import annotations

import os

import pytest

from otlabel._system import machine, threads


@pytest.mark.skipif(not os.path.exists("/proc/meminfo"), reason="only Linux says what is free")
def test_what_is_free_is_less_than_what_there_is():
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 2**20 < machine.free_memory() <= whole


@pytest.mark.parametrize(("said", "most"), [("1", 1), ("1000000", None), ("0", None), ("many", None), ("", None)])
def test_threads_are_as_many_as_cores_or_as_few_as_asked_for(monkeypatch, said, most):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OTLABEL_NUM_THREADS", said)
    assert threads.count() == (most or machine.cores())
