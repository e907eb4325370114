# Every target first sets up what it needs. `make` alone lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
# The first of these commands that starts and is Python 3.11 or 3.12: a pyenv shim may be there and not start.
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' >/dev/null 2>&1 && echo $$p && break; done)
BIN := .venv/bin
k ?=
PROCESSES ?= 3

.PHONY: help setup java demo ui test test-faults test-all check lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

java: ## check for Java 17 or newer and for libgomp; install what is missing where no password is needed
	@bash .ci/java
	@PYTHON="$(PYTHON)" bash .ci/libgomp

setup: .venv/compiled ## build .venv from requirements.lock and compile the engine; nothing else

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

demo: java setup ## run the whole line on real airports, in a real Airflow (about 3 minutes)
	@$(BIN)/python -m paxcast.orchestration.demo

ui: java setup ## open the UIs of Airflow and MLflow on what the demo made
	@$(BIN)/python -m paxcast.orchestration.demo --ui

test: java setup ## run the tests, three files at a time; `make test k=WORD` runs those with WORD in their name
	@$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder $(if $(k),-k "$(k)")

test-faults: java setup ## run the tests that kill processes in the middle of batches and backfills (about 20 minutes)
	@$(BIN)/python -m pytest -m faults

test-all: test test-faults ## run the tests, then those that kill processes

check: setup .venv-core/installed ## check style, types and imports, and run the core's tests without the heavy packages
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@.venv-core/bin/python -m pytest -q tests/core

lock: ## resolve requirements.txt, and the core's, into their locks anew
	@bash .ci/lock

clean: ## remove both environments and .paxcast, with all that the demo and your own fleets keep there
	rm -rf .venv .venv-core .paxcast
