# make demo | make test | make setup ... ; every target sets up .venv first and only when pyproject.toml changed.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

.PHONY: setup demo test bench bench-imagenet lint docs clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: setup
	$(RUN)/python -m otlabel_torch.train --controls --out runs/demo --overwrite

test: setup
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/mkdocs build --strict --quiet --site-dir .site
	$(RUN)/python -m pytest

bench: setup
	$(RUN)/python -m pytest benchmarks -q --benchmark-json=benchmarks/results/solver.json
	$(RUN)/python benchmarks/performance_table.py benchmarks/results/solver.json

bench-imagenet: setup
	$(RUN)/python benchmarks/imagenet.py

lint: setup
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

docs: setup
	$(RUN)/mkdocs serve

clean:
	rm -rf $(VENV) .site .pytest_cache .mypy_cache .ruff_cache
