# Two commands on a fresh clone: `make run` trains, evaluates and draws; `make test` runs the suite.
# What CI runs is `make check test` (.ci/run).

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# torch first and by exact version, so that pip takes the CPU build where there is one
TORCH  := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test test-all check format setup setup-dev bench coverage clean

run: $(VENV)/.ready
	$(BIN)/arl run --env maze --experiment maze-demo-$$(date +%Y%m%d-%H%M%S) --train-dir train_dir
	$(BIN)/arl eval $$(ls -td train_dir/maze-demo-* | head -1) --episodes 20 --picture maze.png
	@echo "The solved path: maze.png"

test: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -q -m "not slow" --cov --cov-report=term:skip-covered

test-all: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -q --cov --cov-report=term:skip-covered

check: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.ready-dev
	$(BIN)/python benchmarks/engine.py

setup: $(VENV)/.ready
setup-dev: $(VENV)/.ready-dev

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: $(VENV)/bin/python pyproject.toml plugins/maze/pyproject.toml constraints.txt
	$(PIP) $(TORCH)
	$(PIP) -c constraints.txt -e . -e plugins/maze
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready plugins/minihack/pyproject.toml
	$(PIP) -c constraints.txt -e ".[dev]" -e "plugins/maze[test]" -e "plugins/minihack[test]"
	@touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .coverage htmlcov
