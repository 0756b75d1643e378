# sigjepa: what can be done here. `make help` lists it.
VENV ?= .venv
PYTHON ?= python3
ARGS ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.sigjepa-installed
# one place for the version that constraints.txt pins; installed first, since a plain `torch` can pull gigabytes of CUDA
TORCH := $(shell sed -n 's/^\(torch==[^ ;]*\).*/\1/p' constraints.txt)

.DEFAULT_GOAL := help
.PHONY: help setup train test test-slow check format bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo "  options: VENV=path of the environment (.venv), PYTHON=interpreter (python3), ARGS='overrides of make train'"

setup: $(STAMP) ## create the environment: torch first, then the rest at the versions of constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sigjepa needs Python 3.11 or newer: make setup PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

train: setup ## extract, embed, mine, train experiment=hardneg_curriculum, test, print the results
	$(BIN)/python -m sigjepa.train experiment=hardneg_curriculum $(ARGS)

test: setup ## the default test suite (under 10 minutes on 2 cores)
	$(BIN)/python -m pytest -m 'not slow'

test-slow: setup ## the tests that take longer
	$(BIN)/python -m pytest -m slow --timeout 3600

check: setup ## format, lint, types, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## measure encoding, mining, training and the latest report against peers or limits; writes benchmarks/results/
	$(BIN)/python benchmarks/teacher_encoding.py
	$(BIN)/python benchmarks/mining.py
	$(BIN)/python benchmarks/training_epoch.py
	$(BIN)/python benchmarks/report_building.py runs=latest

clean: ## remove caches and build products; artifacts (data/) and runs stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
