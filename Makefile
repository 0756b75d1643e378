# sigjepa: what can be done here. `make help` lists it.
VENV ?= .venv
PYTHON ?= python3
ARGS ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.sigjepa-installed
UV ?= uv
KNOWN_BAD ?= known_bad.txt
WORKERS ?= 3
# torch alone has no hash: which file it is depends on the index (CPU or CUDA), and a plain `torch` can pull gigabytes;
# it comes last, when what it needs is there from files with hashes
TORCH := $(shell sed -n 's/^\(torch==[^ ;]*\).*/\1/p' constraints.txt)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check
OFFLINE := { echo "make setup: pip could not install; its message is above. It needs a package index: pip's default one, or yours in PIP_INDEX_URL" >&2; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help setup train test test-slow check supply-chain docs pin format bench scale torture clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo "  options: VENV=path of the environment (.venv), PYTHON=interpreter (python3), ARGS='overrides of make train', WORKERS=processes of make test (3: one waits while two compute)"

setup: $(STAMP) ## create the environment: every file has a sha256 of constraints.txt, save torch's

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sigjepa needs Python 3.11 or newer: make setup PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	@echo "installing the packages of constraints.txt into $(VENV) (minutes)"
	@sed -nE '/^(pip|setuptools)==/,/[^\\]$$/p' constraints.txt | $(PIP_INSTALL) --require-hashes --no-deps -r /dev/stdin || $(OFFLINE)
	@sed '/^torch==/d' constraints.txt | $(PIP_INSTALL) --require-hashes --no-deps --no-build-isolation -r /dev/stdin || $(OFFLINE)
	@$(PIP_INSTALL) $(TORCH) || $(OFFLINE)
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

train: setup ## extract, embed, mine, train experiment=hardneg_curriculum, test, print the results
	$(BIN)/python -m sigjepa.train experiment=hardneg_curriculum $(ARGS)
	@echo "The student that beats word matching (test Rank@1 75.8 % where BM25 has 47.6 %, over 100 pinned packages; README):"
	@echo "    $(BIN)/sigjepa train experiment=flagship"

# with bytecode, whatever the environment says: its processes import a thousand files each
test: setup ## the default test suite (under 10 minutes on 2 cores)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m 'not slow' --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

test-slow: setup ## the tests that take longer
	$(BIN)/python -m pytest -m slow --timeout 3600

check: setup ## format, lint, types, import layers, supply chain
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory supply-chain

# pip itself says what is not as it should be, offline: on a complete environment, every line is "already satisfied"
DRY_RUN := $(BIN)/python -m pip install --no-input --disable-pip-version-check --dry-run --no-index --no-deps
AS_IT_SHOULD_BE := grep -Ev '^(Requirement already satisfied|Looking in links|Ignoring [^ ]+: markers)'

supply-chain: ## what is installed has no version of known_bad.txt, is complete, and is what constraints.txt says
	@! $(BIN)/python -m pip list --format freeze | sed 's/==.*//' | $(DRY_RUN) -c $(KNOWN_BAD) -r /dev/stdin 2>&1 | $(AS_IT_SHOULD_BE)
	@$(BIN)/python -m pip check
	@! sed '/^torch==/d' constraints.txt | $(DRY_RUN) --require-hashes -r /dev/stdin 2>&1 | $(AS_IT_SHOULD_BE)

docs: setup ## build the documentation site strictly, offline, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# constraints.txt is the lock. `uv lock` would write the address of the index into every line of its file, and which
# index that is is the user's affair; what uv compiles here has versions and hashes alone.
pin: ## resolve constraints.txt anew from pyproject.toml with uv, with every file's sha256 (ARGS=--upgrade for newer ones)
	$(UV) pip compile pyproject.toml --quiet --extra dev --universal --python-version 3.11 --generate-hashes \
	  --constraints known_bad.txt --no-annotate --no-header --no-emit-package torch --output-file constraints.txt $(ARGS)
	{ echo '# Exact versions of all that `make setup` installs, and the sha256 of every file of each. Made by: make pin'; \
	  echo '# torch has no hash, since its file depends on the index: change its version here, then `make pin`.'; \
	  echo '$(TORCH)'; echo; cat constraints.txt; } > constraints.txt.new
	mv constraints.txt.new constraints.txt

format: setup ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

BENCHMARKS := corpus_building teacher_encoding shard_reading training_step training_memory ranking mining judging command_start warm_run report_building indexing search

bench: setup ## measure every stage beside a peer and its limit, 25 minutes on 2 idle cores; writes docs/performance.md
	@failed=; for each in $(BENCHMARKS); do \
	  echo "benchmarks/$$each.py"; OMP_NUM_THREADS=1 $(BIN)/python benchmarks/$$each.py || failed="$$failed $$each"; \
	done; $(BIN)/python benchmarks/performance_page.py; \
	test -z "$$failed" || { echo "these failed, and the page has no figure of them or an earlier one:$$failed"; exit 1; }

scale: setup ## the chain at 10,000, 100,000 and a million functions, at most 40 minutes on 2 cores; writes docs/scale.md
	$(BIN)/python benchmarks/scale/scale.py $(ARGS)

torture: setup ## kill, damage, fuzz and distribute real runs and sweeps, 30 minutes; writes docs/reliability.md
	$(BIN)/python benchmarks/reliability/torture.py $(ARGS)

clean: ## remove caches and build products; artifacts (data/) and runs stay
	rm -rf build dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
