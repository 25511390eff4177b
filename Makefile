# Vestibule. `make help` lists what can be done.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
# Processes that run tests: more than two cores, for most tests wait for processes that they started.
TESTERS ?= 3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-input --retries 1 --timeout 15
PIP_LOG := $(VENV)/pip.log

.DEFAULT_GOAL := help
.PHONY: help install run test soak check format bench build docs screenshots catalogue schema clean lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## create .venv and install what requirements.lock names

$(STAMP): requirements.lock pyproject.toml hatch_build.py $(wildcard proxy/vestibule/core/html/*.[ch])
	@command -v $(PYTHON) >/dev/null || { echo "vestibule: $(PYTHON) is not on the PATH; install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@found=$$($(PYTHON) -c 'import platform; print(platform.python_version())' 2>/dev/null) && expr "$$found" : "[0-9]" >/dev/null || { echo "vestibule: $(PYTHON) does not run as Python; name one that does: make PYTHON=python3.12"; exit 1; }; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "vestibule: Python 3.11 or newer is needed, $(PYTHON) is $$found; name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 || { echo "vestibule: $(PYTHON) cannot create a virtual environment; install its venv module (on Debian: the package python3-venv)"; exit 1; }
	@echo "Installing into $(VENV) …"
	@$(PIP) --no-deps --require-hashes -r requirements.lock >$(PIP_LOG) 2>&1 || { echo "vestibule: the dependencies could not be installed; is the package index reachable? pip's own words are in $(PIP_LOG)"; exit 1; }
	@$(PIP) --no-deps --no-build-isolation -e . >>$(PIP_LOG) 2>&1 || { echo "vestibule: the package itself could not be installed; pip's own words are in $(PIP_LOG)"; exit 1; }
	@touch $@

run: $(STAMP) ## start the demo site, Vestibule in front of it and the dashboard
	@$(BIN)/python -m demo

test: $(STAMP) ## run the tests (browser tests where Chromium is found)
	@$(BIN)/python -m pytest -n $(TESTERS) --dist loadfile -m "not slow"

soak: $(STAMP) ## run the slow tests: all corpus pages, controls
	@$(BIN)/python -m pytest -n auto --dist loadfile -m slow

check: $(STAMP) ## lint, check formatting, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP) ## format the code and mend what the linter can
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

bench: $(STAMP) ## measure, and print ratios
	@$(BIN)/python -m bench

build: $(STAMP) ## build wheel and sdist, the bill of materials and the licences into dist/
	@$(BIN)/python -m build --no-isolation
	@$(BIN)/python -m tools.bill dist

docs: $(STAMP) ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

screenshots: $(STAMP) ## take the screenshots in docs/ from the running demo
	@$(BIN)/python -m docs.screenshots

catalogue: $(STAMP) ## write the generated part of the catalogue anew (npm fetches its sources)
	@$(BIN)/python -m tools.catalogue

schema: $(STAMP) ## write config/schema/ anew from the settings' models
	@$(BIN)/python -m vestibule.config.schema

lock: $(STAMP) ## write requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --all-extras --group dev pyproject.toml -o requirements.lock

clean: ## remove what was built and installed, and the demo's state
	@rm -f proxy/vestibule/core/html/*.so
	@rm -rf $(VENV) .vestibule dist build site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
