"""Commands as processes of their own that begin where imports end, which take four of a short command's five seconds.

They are forked from a server that has imported torch and what else all commands need, and has computed nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

STARTED = multiprocessing.get_context("forkserver")
STARTED.set_forkserver_preload(["otlabel_torch.runs.run", "otlabel_torch.runs.evaluated", "sklearn.datasets"])


def called(module, *words, env=None, cwd=None, timeout=300):
    """``python -m module words``, as ``subprocess.run`` with its output captured as text.

    Args:
        env: variables to be set beside those that are.
    """
    words = [module, *map(str, words)]
    with tempfile.TemporaryDirectory() as place:
        outputs = [Path(place) / name for name in ("out", "err")]
        process = STARTED.Process(target=_run, args=(words, outputs, env or {}, cwd or Path.cwd()))
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            raise subprocess.TimeoutExpired(words, timeout)
        out, err = (output.read_text(errors="replace") if output.exists() else "" for output in outputs)
    return subprocess.CompletedProcess(words, process.exitcode, out, err)


def _run(words, outputs, env, cwd):
    for number, output in enumerate(outputs, start=1):
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), number)
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
