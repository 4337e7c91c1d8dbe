# Two commands on a fresh clone: `make run` trains, evaluates and draws; `make test` runs the suite.
# What CI runs is `make check test` (.ci/run).

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# torch first and by exact version, so that pip takes the CPU build where there is one
TORCH  := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
DIST   ?= dist
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))

.PHONY: run test test-runs test-rest test-plugins coverage test-all test-newest check format setup setup-dev bench dist clean

run: $(VENV)/.ready
	$(BIN)/arl run --env maze --experiment maze-demo-$$(date +%Y%m%d-%H%M%S) --train-dir train_dir
	$(BIN)/arl eval $$(ls -td train_dir/maze-demo-* | head -1) --episodes 20 --picture maze.png
	@echo "The solved path: maze.png"

# Three parts side by side, as much of each is waiting: whole runs with their processes, everything else, and the plugins. Each is
# printed when it ends.
test: $(VENV)/.ready-dev
	@echo "Testing, some minutes: three parts side by side, each is printed when it ends."
	@$(MAKE) --no-print-directory -j3 --output-sync=target $(PARTS)

# The same with the lines that were run, which takes a third longer
coverage: $(VENV)/.ready-dev
	@rm -f .coverage*
	@$(MAKE) --no-print-directory -j3 --output-sync=target COV="--cov --cov-report=" $(PARTS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --skip-covered

PARTS := test-runs test-rest test-plugins
RUNS := tests/end_to_end tests/faults tests/runtime
PYTEST = COVERAGE_FILE=.coverage.$@ $(BIN)/python -m pytest -q -m "not slow" $(COV) -p no:cacheprovider
test-runs: $(VENV)/.ready-dev
	$(PYTEST) $(RUNS)
test-rest: $(VENV)/.ready-dev
	$(PYTEST) tests $(RUNS:%=--ignore=%)
test-plugins: $(VENV)/.ready-dev
	$(PYTEST) plugins

test-all: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -q --cov --cov-report=term:skip-covered

# The core and maze under the newest gymnasium and numpy, which NetHack (nle) does not allow in .venv. Not part of CI: what is
# newest changes by the day.
test-newest: .venv-newest/.ready
	.venv-newest/bin/python -m pytest -q -m "not slow" tests plugins/maze/tests

.venv-newest/.ready: pyproject.toml plugins/maze/pyproject.toml
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade -e ".[test]" -e "plugins/maze[test]" gymnasium
	@touch $@

check: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.ready-dev
	$(BIN)/python benchmarks/engine.py

# Wheels of the core and of every plugin. Times in them are the last commit's, so that equal sources give equal wheels;
# setuptools' build folders go before and after, or files that were deleted long ago would be packed.
dist: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 1000000000)
dist: $(VENV)/bin/python
	rm -rf $(DIST)/*.whl build plugins/*/build
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir $(DIST) . $(wildcard plugins/*/.)
	rm -rf build plugins/*/build
	@ls $(DIST)

setup: $(VENV)/.ready
setup-dev: $(VENV)/.ready-dev

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: $(VENV)/bin/python pyproject.toml plugins/maze/pyproject.toml constraints.txt
	$(PIP) $(TORCH)
	$(PIP) -c constraints.txt -e . -e plugins/maze
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready $(PLUGINS:%=%/pyproject.toml)
	$(PIP) -c constraints.txt -e ".[dev]" $(PLUGINS:%=-e "%[test]")
	@touch $@

clean:
	rm -rf $(VENV) .venv-newest build dist .pytest_cache .mypy_cache .ruff_cache .coverage* htmlcov
