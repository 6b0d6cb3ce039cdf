# What a developer does here, one word each. `make` alone lists them.
# Every target makes the environment itself; nothing needs to be installed first but Python 3.11 or newer and make.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

PYTHON := .venv/bin/python
PRIVATE_UV := .cache/uv/bin/uv
UV := $(shell command -v uv 2>/dev/null || echo $(PRIVATE_UV))
COMPOSE = $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
SOURCES := services shared sdk/src deploy examples tests
# Ours, whatever environment happens to be active.
export UV_PROJECT_ENVIRONMENT := .venv
# Every service, runner, command and test process is a Python of its own: where bytecode is not kept, each compiles all
# that it imports anew, which takes longer than its start. Some machines forbid it for all; here it is kept.
export PYTHONDONTWRITEBYTECODE :=
export UV_COMPILE_BYTECODE := 1

.PHONY: help setup run test check fmt chaos chaos-short load up down

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: .venv/.synced ## make the Python environment (every other target does it too)

run: .venv/.synced ## start all of Sluice here until Ctrl-C; SLUICE_PORT, SLUICE_HANDLERS, … in the environment count
	@exec $(PYTHON) -m deploy.local --end-with $$PPID

test: .venv/.synced ## unit, contract, integration and acceptance tests; ARGS="-k word" narrows them
	@$(PYTHON) -m pytest -n 5 --no-loadscope-reorder tests/acceptance tests/integration tests/contract tests/unit $(ARGS)

check: .venv/.synced ## format, lint, types, the direction of imports, and all of deploy/ against its schemas and the code
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@$(PYTHON) -m mypy $(SOURCES)
	@.venv/bin/lint-imports
	@$(PYTHON) -m deploy.checks

fmt: .venv/.synced ## format the code and mend what the linter can
	@.venv/bin/ruff check --fix-only .
	@.venv/bin/ruff format .

chaos: .venv/.synced ## faults against a running system, judged by the history of every call; ARGS as for test
	@$(PYTHON) -m pytest tests/chaos $(ARGS)

chaos-short: .venv/.synced ## the part of it that continuous integration runs, in about two minutes; it prints its seed
	@$(PYTHON) -m pytest tests/chaos -m ci $(ARGS)

load: .venv/.synced .venv-load/.synced ## measure every row of the performance targets; ARGS="--rows p1 --runs 3" narrows it
	@$(PYTHON) -m tests.load --peer-python .venv-load/bin/python $(ARGS)

up: ## start all of Sluice in Docker containers and wait until it is ready
	@$(COMPOSE) up --build --detach
	@sh deploy/docker/wait-ready $(COMPOSE)

down: ## end the containers and forget what they hold
	@$(COMPOSE) down --volumes --remove-orphans

.venv/.synced: pyproject.toml sdk/pyproject.toml uv.lock | $(UV)
	@echo "Making the Python environment in .venv (it takes a while the first time)" >&2
	@$(UV) sync --locked --quiet
	@touch $@

.venv-load/.synced: pyproject.toml sdk/pyproject.toml uv.lock | $(UV)
	@echo "Making an environment for the rivals that we are measured against, in .venv-load" >&2
	@UV_PROJECT_ENVIRONMENT=.venv-load $(UV) sync --locked --quiet --only-group load
	@touch $@

$(PRIVATE_UV):
	@command -v python3 >/dev/null || { echo "Python 3.11 or newer was not found (python3). Install it: https://www.python.org/downloads/" >&2; exit 1; }
	@echo "uv is not on the PATH; installing one for this folder alone, in .cache/uv" >&2
	@python3 -m venv .cache/uv || { rm -rf .cache/uv; echo "python3 cannot make environments. On Debian and Ubuntu:  sudo apt-get install python3-venv" >&2; exit 1; }
	@.cache/uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
