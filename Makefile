SHELL := /bin/bash
# Everything a user or a contributor types. `make` alone lists it.

# What the environments have, so that they stay as they were made; else the first that runs: an installed name may be a shim of pyenv
# that does not
PYTHON ?= $(or $(shell test -x .venvs/lab/bin/python && .venvs/lab/bin/python -c 'import sys; print(sys._base_executable)' 2>/dev/null),$(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell $(name) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $(name)))))
PYTHON := $(PYTHON)

LAB := .venvs/lab/bin
PYTEST := python -m pytest
# A tool's environment is found by its tests, not by its name
NATIVE := $(patsubst tests/native/%/,%,$(wildcard tests/native/*/))

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast up down azurite bench bench-load bench-race bench-growth bench-transform soak kill-points fuzz readers lint types native lock clean

help: ## list what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "make %-15s %s\n", $$1, $$2}'

setup: ## make the five environments below .venvs/ (again: seconds)
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11, 3.12 or 3.13 found: install one, or name it with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m core.lab.environments

demo: setup ## sample data, three months through all four loaders, and the table that compares them
	@$(LAB)/triptych demo

up: setup ## start all services and leave them running, with their web pages
	@$(LAB)/triptych up

down: ## end everything that runs
	@test ! -x $(LAB)/triptych || $(LAB)/triptych down

lint: setup ## ruff, and who may import whom
	$(LAB)/ruff check
	$(LAB)/ruff format --check --quiet
	PATH="$(CURDIR)/$(LAB):$$PATH" $(LAB)/lint-imports --no-cache | sed -n '/^Contracts:/p;/BROKEN/p'; exit $${PIPESTATUS[0]}

types: setup ## mypy, each adapter against its own tool
	$(LAB)/mypy core benchmarks tests/unit tests/integration tests/contract tests/fuzz tests/faults
	@for tool in $(NATIVE); do \
	  echo "mypy $${tool}_impl"; $(LAB)/mypy --python-executable .venvs/$$tool/bin/python $${tool}_impl || exit 1; done

native: setup ## the tests that run inside each tool's own environment
	@for tool in $(NATIVE); do \
	  echo "tests of $$tool, in its environment"; .venvs/$$tool/bin/$(PYTEST) tests/native/$$tool || exit 1; done

test-fast: setup ## what needs no orchestrator: under 2 minutes
	$(LAB)/$(PYTEST) -m "not slow" tests/unit tests/integration

test: lint types native ## all of it, the parity suite on real services last
	$(LAB)/$(PYTEST) tests/unit tests/integration tests/contract

# The last that takes the Node of the distributions (20); 3.36 asks for 21 and weighs twice as much
AZURITE := 3.35.0

azurite: ## the server program for the tests of Azure's containers, with npm; they skip without it
	@if command -v npm > /dev/null; \
	then npm install --prefix .venvs/azurite --no-fund --no-audit --no-progress --ignore-scripts --loglevel=error azurite@$(AZURITE); \
	else echo "azurite: no npm here, so the tests of Azure's containers will skip"; fi

# Benchmarks and fault injection. With QUICK=1, a trial of a minute or two, whose figures and pages go to
# .triptych/benchmarks and nowhere else
BENCH = $(PYTHON) -m core.lab.environments bench && $(LAB)/python -m benchmarks.harness.run $(if $(QUICK),--quick)

bench: setup ## every benchmark, and the fault injection of `make soak` (QUICK=1: a trial of each, published nowhere)
	@$(BENCH) load digest growth claims transform soak kill_points

bench-load: setup ## all that docs/benchmarks says of loads and transforms, results and pages: 30 minutes, 12 GB of memory
	@$(BENCH) load digest growth claims transform

bench-race: setup ## of that, the load and the digest against what a user would pick instead: 20 minutes, 12 GB of memory
	@$(BENCH) load digest

bench-growth: setup ## of that, what a reload costs as the table grows, and what people say about inserts: 5 minutes
	@$(BENCH) growth claims

bench-transform: setup ## of that, dbt cold and warm, many months at once, one month among many: 5 minutes
	@$(BENCH) transform

fuzz: setup ## load 20,000 hostile files: a line that says why not, or the right rows (10 minutes)
	$(LAB)/python -m tests.fuzz --cases 20000 --seed 11

readers: setup ## readers at both isolation levels beside two orchestrators: no mart is empty, partial or contradicting (6 minutes)
	$(LAB)/python -m tests.faults.readers

soak: setup ## 1,000 random kills, what the usual pattern loses under the same, and every kill point: over an hour
	@$(BENCH) soak kill_points

kill-points: setup ## of that, the faults at every statement and file operation of a load and a build: over an hour
	@$(BENCH) kill_points

lock: ## compile the floors of pyproject.toml into pins (make lock UPGRADE=--upgrade for the newest)
	@$(PYTHON) -m core.lab.environments lock $(UPGRADE)

clean: ## end everything and delete state, environments and caches
	@test ! -x $(LAB)/triptych || $(LAB)/triptych down --wipe
	rm -rf .venvs .triptych .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dbt/target dbt/logs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
