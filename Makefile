# `make test` and `make demo` need nothing but Python >= 3.11, a C++ compiler and a package registry.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

.PHONY: help install test test-all test-nightly lowest demo bench gpu compat docs dist lint format clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 @ \2/p' Makefile | column -t -s @ 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1: \2/p' Makefile

install:  ## make .venv with everything in it (quick when nothing changed)
	@if [ -z "$(PYTHON)" ]; then \
		echo "No Python >= 3.11 found on PATH. Install one, or name it: make PYTHON=/path/to/python3"; \
		exit 1; fi
	@$(PYTHON) tools/install.py

PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

test: install lint  ## install, lint, run the tests (but the slow ones)
	$(PYTEST) -m "not slow and not nightly"

test-all: install lint  ## the slow tests too, as CI does
	$(PYTEST) -m "not nightly"

test-nightly: install lint  ## every test: before a release, and before an issue is closed
	$(PYTEST)

lowest:  ## tests on the oldest versions of setup.py (3 GB, about 25 minutes the first time)
	@$(PYTHON) tools/lowest.py

demo: install  ## install, then train, test and report on generated digit scenes
	$(BIN)/python tools/demo.py

bench: install  ## speed and memory beside SpikingJelly's and the ANN's
	$(BIN)/python -m benchmarks.speed.bench

gpu: install  ## what a GPU computes against the CPU, and how fast
	$(BIN)/python -m benchmarks.gpu.check

compat: install  ## every upstream config made spiking: docs/compatibility.md (long)
	$(BIN)/python tools/compat.py --table docs/compatibility.md
	$(BIN)/python tools/compat.py --backbones other --table docs/compatibility_other.md

docs: install  ## the documentation site: build/site/index.html
	$(BIN)/mkdocs build --strict

dist:  ## a source archive and a wheel: dist/
	rm -rf dist build/dist && $(PYTHON) -m venv build/dist
	build/dist/bin/python -m pip -q install build
	build/dist/bin/python -m build --outdir dist .

lint: install  ## rules, formatting, types, spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/codespell

format: install  ## formats the code and fixes what ruff can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:  ## remove what was built (not .venv, data/ or work_dirs/)
	rm -rf build dist *.egg-info sakd_dense/.mim .pytest_cache .ruff_cache .mypy_cache
	rm -f .venv/.sakd_dense-installed
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
