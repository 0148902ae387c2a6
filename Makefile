SHELL := /bin/bash
# Every command that a user or a contributor needs. `make` alone lists them.

# The interpreter of the existing environments, so that they are not made again; otherwise the first one that runs. An
# installed name may be a shim of pyenv that does not run.
PYTHON ?= $(or $(shell test -x .venvs/lab/bin/python && .venvs/lab/bin/python -c 'import sys; print(sys._base_executable)' 2>/dev/null),$(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell $(name) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $(name)))))
PYTHON := $(PYTHON)

# Stops with one line unless PYTHON can run the lab.
VERSION = $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
define check-python
$(if $(PYTHON),,$(error no Python 3.11, 3.12 or 3.13 found: install one, or name it with PYTHON=...))
$(if $(filter 3.11 3.12 3.13,$(VERSION)),,$(error PYTHON=$(PYTHON) $(or $(VERSION:%=is Python %),does not run): name a \
Python 3.11, 3.12 or 3.13))
endef

LAB := .venvs/lab/bin
# What takes longest is told: `make test` should stay below 45 minutes.
PYTEST := python -m pytest --durations=15 --durations-min=10
# Each orchestrator that has tests of its own, in its own environment.
NATIVE := $(patsubst tests/native/%/,%,$(wildcard tests/native/*/))
# Two parts of `make test` at a time, each printed whole once it has ended; GNU make 3.81, of macOS, prints them mixed.
ABREAST := --no-print-directory --jobs=2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

.DEFAULT_GOAL := help
.PHONY: help setup doctor demo test test-fast test-slow test-bench parity parity-airflow parity-others questions up down azurite browser bench bench-load bench-race bench-growth bench-transform bench-year bench-tools bench-backfill bench-floor bench-chains bench-curves bench-footprint bench-folklore report guide conformance soak kill-points drills database pairs fuzz readers lint types native $(NATIVE:%=native-%) pictures site lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "make %-15s %s\n", $$1, $$2}'

setup: ## make the five environments below .venvs/ (a second time: seconds)
	$(check-python)
	@$(PYTHON) -m core.lab.environments

doctor: ## what is missing on this machine, and the command that fixes it; it runs before `make setup` too
	$(check-python)
	@$$($(LAB)/python -c '' 2>/dev/null && echo $(LAB)/python || echo $(PYTHON)) -m core.lab doctor

demo: setup ## load three months of sample data on every orchestrator and the baseline, and compare the tables
	@$(LAB)/triptych demo

up: setup ## start all services and leave them running, with their web pages
	@$(LAB)/triptych up

down: ## end all services and runs
	@test ! -x $(LAB)/python || $(LAB)/python -m core.lab down

lint: setup ## ruff, and who may import whom
	$(LAB)/ruff check
	$(LAB)/ruff format --check --quiet
	PATH="$(CURDIR)/$(LAB):$$PATH" $(LAB)/lint-imports --no-cache | sed -n '/^Contracts:/p;/BROKEN/p'; exit $${PIPESTATUS[0]}

types: setup ## mypy, each adapter against its own orchestrator
	$(LAB)/mypy core benchmarks tests/unit tests/integration tests/contract tests/questions tests/conformance tests/fuzz tests/faults tests/browser
	@shopt -s nullglob; for name in $(NATIVE); do \
	  echo "mypy $${name}_impl"; $(LAB)/mypy --python-executable .venvs/$$name/bin/python $${name}_impl \
	    {tests/questions/*,tests/conformance/*,benchmarks/orchestrators/subjects/*,benchmarks/folklore/probes,tests/faults/drills/subjects/*}/$${name}_*.py || exit 1; done

native: $(NATIVE:%=native-%) ## the tests that run inside each orchestrator's own environment

$(NATIVE:%=native-%): native-%: setup
	.venvs/$*/bin/$(PYTEST) tests/native/$*

test-fast: setup ## the tests that need no orchestrator: under 2 minutes
	$(LAB)/$(PYTEST) -m "not slow" tests/unit tests/integration

test-slow: setup ## the others that need no orchestrator: with dbt, servers, and services of their own
	$(LAB)/$(PYTEST) -m slow tests/unit tests/integration --ignore=$(BENCH_TESTS)

BENCH_TESTS = tests/integration/test_bench_orchestrators.py

test-bench: setup ## one trial of each benchmark of orchestrators, on their own services
	$(LAB)/$(PYTEST) $(BENCH_TESTS)

# The slow tests take as long as all other parts beside them. Both cores are busy all the time, so no other order is
# faster: with parity from the start, it took 52 minutes.
test: ## lint, types and every test; those on the orchestrators' own services run last
	@$(MAKE) $(ABREAST) lint test-slow types native test-fast
	@$(MAKE) $(ABREAST) parity-others parity-airflow questions test-bench

CONTRACT = $(LAB)/$(PYTEST) -m "not exhaustive" tests/contract --ignore=tests/contract/test_questions.py --ignore=tests/contract/test_conformance.py

parity: setup ## the same tests for every orchestrator, on its own services
	$(CONTRACT)

# Two halves of it, each with a lab of its own: side by side they take less time than one after the other.
parity-airflow: setup
	$(CONTRACT) -k airflow

parity-others: setup
	$(CONTRACT) -k "not airflow"

questions: setup ## a slice of what the guide and the conformance page say, asked of every orchestrator again
	$(LAB)/$(PYTEST) tests/contract/test_questions.py tests/contract/test_conformance.py

# The last version that runs on Node 20, which the distributions have; 3.36 needs 21, and is twice as large.
AZURITE := 3.35.0

azurite: ## install the server program for the tests of Azure's containers, with npm; they skip without it
	@if command -v npm > /dev/null; \
	then npm install --prefix .venvs/azurite --no-fund --no-audit --no-progress --ignore-scripts --loglevel=error azurite@$(AZURITE); \
	else echo "azurite: no npm here, so the tests of Azure's containers will skip"; fi

browser: ## install Debian's chromium, as root; the tests of the orchestrators' pages skip without it
	@if command -v chromium > /dev/null; then chromium --version; \
	elif command -v apt-get > /dev/null && test "$$(id -u)" = 0; \
	then apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; \
	else echo "browser: install the package chromium, as root; until then the tests of the orchestrators' pages will skip"; fi

# Benchmarks and fault injection. QUICK=1 is a trial of a minute or two, whose figures and pages go to
# .triptych/benchmarks only.
BENCH = $(PYTHON) -m core.lab.environments bench && $(LAB)/python -m benchmarks.harness.run $(if $(QUICK),--quick)

bench: setup ## run every benchmark, and the fault injection of `make soak` (QUICK=1: a trial, which publishes nothing)
	@$(BENCH) load digest growth claims transform year backfill floor chains curves footprint folklore soak kill_points

bench-load: setup ## measure all that docs/benchmarks says of loads and transforms: an hour, 12 GB of memory, 40 GB of disk
	@$(BENCH) load digest growth claims transform year

bench-race: setup ## of these, the load and the digest beside their alternatives: 20 minutes, 12 GB of memory
	@$(BENCH) load digest

bench-growth: setup ## of these, what a reload costs as the table grows, and rules of thumb about inserts: 5 minutes
	@$(BENCH) growth claims

bench-transform: setup ## of these, dbt cold and warm, many months at once, one month among many: 5 minutes
	@$(BENCH) transform

bench-year: setup ## of these, a year of yellow months of 3 million rows, beside what PostgreSQL does alone: 11 minutes, 40 GB
	@$(BENCH) year

bench-tools: setup ## what each orchestrator costs, the five below: under 85 minutes
	@$(BENCH) backfill floor chains curves footprint

bench-backfill: setup ## of these, a backfill: time, processor, memory, and where the seconds of a month go: 10 minutes
	@$(BENCH) backfill

bench-floor: setup ## of these, months that do nothing: tuned, as shipped, and without each setting: 21 minutes
	@$(BENCH) floor

bench-chains: setup ## of these, chains of tasks, one after the other, and where the seconds of a task go: 20 minutes
	@$(BENCH) chains

bench-curves: setup ## of these, what grows with tasks and runs, cold starts, and when an edit is seen: 24 minutes
	@$(BENCH) curves

bench-footprint: setup ## of these, what there is before any run: to install, import, start, idle, stop: 8 minutes
	@$(BENCH) footprint

bench-folklore: setup ## the checks behind docs/claims.md: what is shipped, parsed, retried, refused (2 minutes)
	@$(BENCH) folklore

report: setup ## write every generated page again, and docs/report.html, the one page of all results
	@$(LAB)/python -m benchmarks.harness.report
	@$(LAB)/python -m tests.questions.pages
	@$(LAB)/python -m tests.conformance.page

guide: setup ## put the questions of docs/guide to Airflow, Dagster and Prefect, and write what was observed (under an hour)
	@$(LAB)/python -m tests.questions

conformance: setup ## ask reported faults of Airflow, Dagster and Prefect, and write the page (AGAIN=1: also those that are recorded)
	@$(LAB)/triptych conformance --on all --json docs/conformance/results.json $(if $(AGAIN),--again); code=$$?; \
	$(LAB)/python -m tests.conformance.page; exit $$code

fuzz: setup ## load 20,000 hostile files: each ends in a line that says why not, or in the right rows (10 minutes)
	$(LAB)/python -m tests.fuzz --cases 20000 --seed 11

readers: setup ## readers at both isolation levels beside two orchestrators: no mart is empty or partial (6 minutes)
	$(LAB)/python -m tests.faults.readers

soak: setup ## 1,000 random kills, what the usual pattern loses under them, and every kill point: over an hour
	@$(BENCH) soak kill_points

kill-points: setup ## of these, the faults at every statement and file operation of a load and a build: over an hour
	@$(BENCH) kill_points

drills: setup ## kill and stop the orchestrators' components in six-month backfills: up to 100 minutes; go on with it again
	@$(BENCH) drills

database: setup ## no connection, failover, a full disk, time-outs, restored records in backfills of three months (30 minutes)
	@$(BENCH) database

pairs: setup ## two of each service, and one of them dies, in a backfill and among fifty events (45 minutes)
	@$(BENCH) pairs

pictures: setup ## record `triptych demo` in a terminal, and take pictures of the report and the orchestrators' pages (5 minutes)
	@$(LAB)/python -m core.lab.recording
	@$(LAB)/python -m tests.browser.pictures

site: setup ## build the pages as a web site that needs no network, below .triptych/site
	@$(LAB)/python -m benchmarks.harness.site

lock: ## compile the floors of pyproject.toml into pins (make lock UPGRADE=--upgrade for the newest)
	$(check-python)
	@$(PYTHON) -m core.lab.environments lock $(UPGRADE)

clean: ## end everything, and delete state, environments and caches
	@test ! -x $(LAB)/python || $(LAB)/python -m core.lab down --wipe
	rm -rf .venvs .triptych .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dbt/target dbt/logs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
