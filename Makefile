SHELL := /bin/bash
# Everything a user or a contributor types. `make` alone lists it.

# The first that runs: an installed name may be a shim of pyenv that does not
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell $(name) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $(name))))
PYTHON := $(PYTHON)

LAB := .venvs/lab/bin
PYTEST := python -m pytest
# A tool's environment is found by its tests, not by its name
NATIVE := $(patsubst tests/native/%/,%,$(wildcard tests/native/*/))

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast up down bench bench-load bench-growth bench-transform soak lint types native lock clean

help: ## list what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "make %-10s %s\n", $$1, $$2}'

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
	$(LAB)/mypy core benchmarks tests/unit tests/integration tests/contract
	@for tool in $(NATIVE); do \
	  echo "mypy $${tool}_impl"; $(LAB)/mypy --python-executable .venvs/$$tool/bin/python $${tool}_impl || exit 1; done

native: setup ## the tests that run inside each tool's own environment
	@for tool in $(NATIVE); do \
	  echo "tests of $$tool, in its environment"; .venvs/$$tool/bin/$(PYTEST) tests/native/$$tool || exit 1; done

test-fast: setup ## what needs no orchestrator: under 2 minutes
	$(LAB)/$(PYTEST) -m "not slow" tests/unit tests/integration

test: lint types native ## all of it, the parity suite on real services last
	$(LAB)/$(PYTEST) tests/unit tests/integration tests/contract

bench: bench-load bench-growth bench-transform ## every benchmark

bench-load: setup ## the load and the digest against what a user would pick instead: 8 minutes
	@$(PYTHON) -m core.lab.environments bench
	$(LAB)/python -m benchmarks.load_race
	$(LAB)/python -m benchmarks.digest_race
	$(LAB)/python -m benchmarks.report

bench-growth: setup ## what a reload costs as the table grows, by strategy, and what people say about inserts: 5 minutes
	@$(PYTHON) -m core.lab.environments bench
	$(LAB)/python -m benchmarks.growth
	$(LAB)/python -m benchmarks.claims
	$(LAB)/python -m benchmarks.report

bench-transform: setup ## dbt cold and warm, many months at once, one month among many: 5 minutes
	$(LAB)/python -m benchmarks.transform_times
	$(LAB)/python -m benchmarks.report

soak: setup ## 1,000 random kills, and what the usual pattern loses under the same: a minute
	@$(PYTHON) -m core.lab.environments bench
	$(LAB)/python -m benchmarks.soak --kills 1000 --seed 7
	$(LAB)/python -m benchmarks.report

lock: ## compile the floors of pyproject.toml into pins (make lock UPGRADE=--upgrade for the newest)
	@$(PYTHON) -m core.lab.environments lock $(UPGRADE)

clean: ## end everything and delete state, environments and caches
	@test ! -x $(LAB)/triptych || $(LAB)/triptych down --wipe
	rm -rf .venvs .triptych .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dbt/target dbt/logs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
