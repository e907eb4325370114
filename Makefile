# Every target sets up what it needs. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
# The first Python 3.11 or 3.12 that really runs (a pyenv shim may exist and not run).
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' >/dev/null 2>&1 && echo $$p && break; done)
BIN := .venv/bin
k ?=
PROCESSES ?= 3

.PHONY: help setup java demo ui test test-faults test-all check lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

java: ## check for Java 17 or newer and for libgomp; install them where no password is needed
	@bash .ci/java
	@PYTHON="$(PYTHON)" bash .ci/libgomp

setup: .venv/compiled ## build .venv from requirements.lock and compile the engine, nothing else

.venv/compiled: .venv/installed $(wildcard include/paxcast/core/prophet_map/*.py include/paxcast/adapters/hyperopt_search/*.py)
	@echo "Compiling the engine (about 20 s, once) ..."
	@$(BIN)/python -c "from paxcast.jobs.searches import warm; warm()"
	@touch $@

.venv/installed: requirements.lock pyproject.toml .ci/install
	@PYTHON="$(PYTHON)" bash .ci/install .venv requirements.lock
	@touch $@

.venv-core/installed: tests/core/requirements.lock pyproject.toml .ci/install
	@PYTHON="$(PYTHON)" bash .ci/install .venv-core tests/core/requirements.lock
	@touch $@

demo: java setup ## run the whole line on real airports (about 3 minutes)
	@$(BIN)/python -m paxcast.orchestration.demo

ui: java setup ## Airflow's UI and the MLflow UI on what the demo made
	@$(BIN)/python -m paxcast.orchestration.demo --ui

test: java setup ## the tests, three files at a time; `make test k=NAME` runs some
	@$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder $(if $(k),-k "$(k)")

test-faults: java setup ## processes killed in the middle of batches and backfills (about 20 minutes)
	@$(BIN)/python -m pytest -m faults

test-all: test test-faults ## both

check: setup .venv-core/installed ## linter, types, import contracts, and the core's tests without the heavy packages
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@.venv-core/bin/python -m pytest -q tests/core

lock: ## renew both locks from requirements.txt
	@bash .ci/lock

clean: ## remove the environments and everything the demo made
	rm -rf .venv .venv-core .paxcast
