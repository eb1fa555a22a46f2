"""Real processes: forks, interrupts, many that start at once, folders that cannot be written."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import otlabel

# What other tests have imported here may not like forks; no test of ours starts it in the children.
pytestmark = pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
PACKAGE = Path(otlabel.__file__).parent
SOLVE = """
import numpy as np, otlabel
scores = np.random.default_rng(0).normal(size=(3000, 20)).astype(np.float32)
print(otlabel.assign(scores).potentials.tobytes().hex())
"""


def solve(seed):
    return otlabel.assign(np.random.default_rng(seed).normal(size=(3000, 20)).astype(np.float32)).labels


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_forked_workers_solve_after_the_parent_has():
    before = [solve(seed) for seed in range(4)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        after = pool.map_async(solve, range(4)).get(timeout=60)
    for found, truth in zip(after, before, strict=True):
        np.testing.assert_array_equal(found, truth)


def test_workers_of_a_dataloader_solve():
    torch = pytest.importorskip("torch")

    class Labels(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, seed):
            return solve(seed)

    truth = [solve(seed) for seed in range(4)]
    for found, labels in zip(torch.utils.data.DataLoader(Labels(), batch_size=None, num_workers=2), truth, strict=True):
        np.testing.assert_array_equal(found, labels)


def start_copy(folder: Path, **environment: str) -> subprocess.Popen:
    """SOLVE in a new process, by the package as it was copied to a folder."""
    settings = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"} | environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", SOLVE], cwd=folder, env=settings, **pipes)


def outputs(*runs: subprocess.Popen) -> list[str]:
    results = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0] * len(runs), results
    return [out for out, _ in results]


def test_processes_that_start_at_once_cache_safely_and_no_cache_is_no_error(tmp_path):
    uncompiled = shutil.ignore_patterns("__pycache__")
    for folder in ("cached", "uncached"):
        shutil.copytree(PACKAGE, tmp_path / folder / "otlabel", ignore=uncompiled)
    together = outputs(start_copy(tmp_path / "cached"), start_copy(tmp_path / "cached"))
    assert list((tmp_path / "cached").rglob("*.nbi"))
    later = outputs(start_copy(tmp_path / "cached"))
    # Even root cannot write into a folder that is a file.
    nowhere = str(tmp_path / "no folder")
    Path(nowhere).touch()
    for folder in {path.parent for path in (tmp_path / "uncached").rglob("*.py")}:
        (folder / "__pycache__").touch()
    without = outputs(start_copy(tmp_path / "uncached", HOME=nowhere, XDG_CACHE_HOME=nowhere))
    assert not list((tmp_path / "uncached").rglob("*.nbi"))
    assert {*together, *later, *without} == {together[0]}


# What is started in the background of a shell ignores Ctrl-C, and so do its children.
LISTENS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


def interrupted(run: subprocess.Popen) -> str:
    """What a program prints that is told to stop; twice if need be, as Python drops what is raised in a finaliser."""
    run.send_signal(signal.SIGINT)
    try:
        return run.communicate(timeout=20)[0]
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGINT)
        return run.communicate(timeout=20)[0]


def test_interrupt_ends_rounding_within_a_second(tmp_path):
    """Of scores that are full of ties, and lists as long as rows: compiled code asks for it now and then."""
    code = (
        LISTENS
        + """
import numpy as np, otlabel
from otlabel._solver.tuning import Tuning, tuned
small, scores = (np.random.default_rng(0).integers(0, 3, size=(n, 100)).astype(np.float32) for n in (3_000, 300_000))
otlabel.assign(small)
with tuned(Tuning(ties=100, near_tie=1e9)):
    otlabel.assign(small)
    print("begun", flush=True)
    try:
        otlabel.assign(scores)
        print("done")
    except KeyboardInterrupt:
        print("stopped")
"""
    )
    stopped = []
    for delay in np.random.default_rng().uniform(1, 6, size=3):
        run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        try:
            assert run.stdout.readline() == "begun\n"
            time.sleep(delay)
            start = time.monotonic()
            stopped.append((interrupted(run), time.monotonic() - start))
        finally:
            run.kill()
    assert {said for said, _ in stopped} == {"stopped\n"}
    assert min(seconds for _, seconds in stopped) < 1.5  # with what Python takes to leave


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="only Linux lists the threads of a process")
def test_interrupt_ends_a_solve_and_leaves_no_threads(tmp_path):
    code = (
        LISTENS
        + """
import os, time
import numpy as np, otlabel
scores = np.random.default_rng(0).normal(size=(20_000, 100)).astype(np.float32)
otlabel.assign(scores, epsilon=0.1)
time.sleep(0.1)  # a thread is listed for a moment after its work has ended
threads = len(os.listdir("/proc/self/task"))
try:
    while True:
        otlabel.assign(scores, epsilon=0.1, tol=1e-12, callback=lambda step: print("step", flush=True))
except KeyboardInterrupt:
    deadline = time.monotonic() + 1.0
    while len(os.listdir("/proc/self/task")) > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    print(len(os.listdir("/proc/self/task")) - threads, flush=True)
"""
    )
    for delay in np.random.default_rng().uniform(0, 0.4, size=8):  # into a survey, a climb, between them
        run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        try:
            assert run.stdout.readline() == "step\n"
            time.sleep(delay)
            out = interrupted(run)
        finally:
            run.kill()
        assert run.returncode == 0
        assert out.splitlines()[-1] == "0"
        assert not list(tmp_path.iterdir())


def test_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    result = otlabel.assign(np.eye(4))
    result.save(tmp_path / "labels.npz")
    old = (tmp_path / "labels.npz").read_bytes()

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", interrupt)
    with pytest.raises(KeyboardInterrupt):
        result.save(tmp_path / "labels.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["labels.npz"]
    assert (tmp_path / "labels.npz").read_bytes() == old
