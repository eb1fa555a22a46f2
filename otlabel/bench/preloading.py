"""Imported by the fork server: what its processes would import one after the other. What fails is told by them."""

import contextlib
import importlib
import os

MODULES = "OTLABEL_BENCH_PRELOAD"  # in the environment: names, with commas between them

for _name in filter(None, os.environ.get(MODULES, "").split(",")):
    with contextlib.suppress(Exception):
        importlib.import_module(_name)
