# Needs make and Python 3.11 to 3.14; everything else goes into .venv, from requirements pinned by hash.

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check
# The files name everything: an installer that looked further could take a release that is newer than they are.
INSTALL := $(PIP) --no-deps --require-hashes -r
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
CODE := $(wildcard src tests bench examples docs)
# The tests start hundreds of Python processes: without bytecode each of them would compile the whole package.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --numprocesses 4 --dist worksteal

# The newest supported Python that can make a virtual environment; PYTHON=... chooses another.
USABLE := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
ifndef PYTHON
PYTHON := $(shell for python in python3.14 python3.13 python3.12 python3.11 python3; do \
	if $$python -c '$(USABLE)' >/dev/null 2>&1; then command -v $$python; break; fi; done)
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help docs wheel audit sbom demo test lint format types unit coverage redis bench rivals chaos interop requirements clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-14s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: .venv/run.stamp ## see the whole service at work: embedded broker, mail server, jobs, dead letters
	$(BIN)/auth-worker demo $(ARGS)

test: lint types unit ## everything a change must pass

lint: .venv/dev.stamp ## format, style, and the direction of imports
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/lint-imports

format: .venv/dev.stamp ## put the code into the house's format
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

types: .venv/dev.stamp ## mypy, strict
	$(BIN)/mypy $(CODE)

unit: .venv/dev.stamp ## the tests alone; ARGS="-k name" for some of them
	$(PYTEST) $(ARGS)

coverage: .venv/dev.stamp ## the tests with branch coverage, which takes more than half as long again; as CI does
	$(PYTEST) --cov --cov-report=term --cov-fail-under=95 --durations=40 $(ARGS)

REDIS ?= $(shell command -v redis-server)
redis: .venv/dev.stamp interop ## the tests that meet a broker once more, on uvloop and REDIS= (the redis-server of the PATH)
	@test -x "$(REDIS)" || { echo "make redis needs redis-server on the PATH, or REDIS=/path/to/it" >&2; exit 1; }
	AUTH_TEST_LOOP=uvloop AUTH_TEST_REDIS_SERVER=$(REDIS) $(PYTEST) \
		tests/brokers tests/engine tests/conformance tests/interop tests/chaos $(ARGS)

bench: .venv/dev.stamp interop ## measure against Node BullMQ and the official client
	$(BIN)/python -m bench $(ARGS)

rivals: .venv/dev.stamp .venv-rivals/stamp ## measure threads and processes beside Celery, dramatiq and RQ
	$(BIN)/python -m bench.rivals $(ARGS)

chaos: .venv/dev.stamp ## break things for MINUTES=, repeatable with SEED=; or RESTARTS=100, or JOBS=1000000
	PYTHONPATH=tests $(BIN)/python -m chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(RESTARTS),--restarts $(RESTARTS)) $(if $(JOBS),--jobs $(JOBS)) $(ARGS)

interop: tests/interop/node_modules/.package-lock.json ## install Node BullMQ, for the interop tests and the benchmark

requirements: .venv/dev.stamp ## pin what pyproject.toml asks for; ARGS=--upgrade for the newest versions
	$(COMPILE) pyproject.toml requirements/build.in --extra demo -o requirements/run.txt $(ARGS)
	$(COMPILE) pyproject.toml requirements/build.in --all-extras -c requirements/run.txt -o requirements/dev.txt $(ARGS)
	$(COMPILE) pyproject.toml --extra standard --extra otel --extra sentry -c requirements/dev.txt \
		-o requirements/image.txt $(ARGS)
	$(COMPILE) requirements/rivals.in -o requirements/rivals.txt $(ARGS)
	$(COMPILE) requirements/docs.in -c requirements/dev.txt -o requirements/docs.txt $(ARGS)
	$(COMPILE) requirements/release.in -c requirements/dev.txt -o requirements/release.txt $(ARGS)

docs: .venv/docs.stamp ## make the documentation's site in build/site; SERVE=1 shows it while you write
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs $(if $(SERVE),serve,build --strict --quiet)

wheel: .venv/run.stamp ## build the wheel and the sdist into dist/
	rm -rf dist && $(BIN)/python -m hatchling build

audit: .venv/release.stamp ## look for known vulnerabilities in what run.txt and dev.txt pin
	.venv/release/bin/pip-audit --disable-pip --require-hashes -r requirements/run.txt -r requirements/dev.txt

sbom: .venv/release.stamp ## list what is installed with the service, as CycloneDX, into dist/
	mkdir -p dist
	.venv/release/bin/cyclonedx-py requirements requirements/run.txt --output-reproducible -o dist/auth-worker.cdx.json

clean: ## remove everything that can be made again
	rm -rf .venv .venv-rivals build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache tests/interop/node_modules
	find src tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

.venv/run.stamp: requirements/run.txt pyproject.toml
	@$(or $(PYTHON),python3) -c '$(USABLE)' 2>/dev/null || { \
		echo "auth-worker needs Python 3.11 to 3.14 with its venv module, and found none." >&2; \
		echo "Install one (Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python)," >&2; \
		echo "or name one: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version)"
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(INSTALL) requirements/run.txt
	$(PIP) --no-index --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.stamp: .venv/run.stamp requirements/dev.txt
	$(INSTALL) requirements/dev.txt
	$(BIN)/python -m pip check --disable-pip-version-check
	@touch $@

.venv-rivals/stamp: requirements/rivals.txt .venv/dev.stamp
	rm -rf .venv-rivals
	$(BIN)/python -m venv .venv-rivals
	.venv-rivals/bin/python -m pip install --quiet --no-input --disable-pip-version-check \
		--no-deps --require-hashes -r requirements/rivals.txt
	@touch $@

.venv/docs.stamp: .venv/dev.stamp requirements/docs.txt
	$(INSTALL) requirements/docs.txt
	@touch $@

.venv/release.stamp: .venv/run.stamp requirements/release.txt
	$(BIN)/python -m venv .venv/release
	.venv/release/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		-r requirements/release.txt
	@touch $@

tests/interop/node_modules/.package-lock.json: tests/interop/package-lock.json
	cd tests/interop && npm ci --no-audit --no-fund
	@touch $@
