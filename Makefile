# make demo | make test | make setup ... ; every target sets up .venv first and only when pyproject.toml changed.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

# Byte-code is written when a module is first imported, whatever is set outside: else every process compiles torch anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test test-all bench bench-imagenet lint docs dist notebooks clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --no-compile --editable '.[dev]'
	touch $@

demo: setup
	$(RUN)/python -m otlabel_torch.train --controls --out runs/demo --overwrite

# Two tests at a time: torch's threads would wait for each other. otlabel's own, which are tested, need two.
TOGETHER = env OMP_NUM_THREADS=1 OTLABEL_NUM_THREADS=2

test: setup
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy & types=$$!; $(RUN)/mkdocs build --strict --quiet --site-dir .site; pages=$$?; wait $$types && exit $$pages
	$(TOGETHER) $(RUN)/python -m pytest -n 2 --dist worksteal -p no:benchmark -m 'not slow'

test-all: test dist
	$(RUN)/python -m pip install --quiet --editable '.[explore]'
	$(TOGETHER) $(RUN)/python -m pytest -p no:benchmark -m slow
	$(RUN)/python tests/fuzz.py --problems 2000 --seed $$(date +%j)

# Settings for OpenBLAS from outside are dropped, as otlabel-bench does: they may be for other processors.
CLEAN = env $(foreach name,$(filter OPENBLAS_%,$(.VARIABLES)),-u $(name))
RESULTS = benchmarks/results/$(1)_$$($(RUN)/python -m otlabel.bench.machine).json

bench: setup
	$(CLEAN) $(RUN)/python -m pytest benchmarks -q -m 'not smoke' --benchmark-json=$(call RESULTS,solver)
	$(RUN)/otlabel-bench overview --json $(call RESULTS,overview)
	$(RUN)/python benchmarks/performance_table.py

bench-imagenet: setup
	$(RUN)/otlabel-bench solve --n 1281167 --k 3000 --dtype float16 --cap 60 --rounds 1 --json $(call RESULTS,imagenet)
	$(RUN)/python benchmarks/performance_table.py

lint: setup
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

dist: setup
	rm -rf dist
	$(RUN)/python -m build --outdir dist
	$(RUN)/twine check --strict dist/*
	$(RUN)/python tests/dist.py dist

notebooks: setup
	$(RUN)/jupytext --to ipynb examples/*.py

docs: setup
	$(RUN)/mkdocs serve

clean:
	rm -rf $(VENV) dist .site .pytest_cache .mypy_cache .ruff_cache
