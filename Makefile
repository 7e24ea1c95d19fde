# Everything goes by .venv/bin/python and by relative paths: the checkout may lie in a long path with spaces in it,
# where the first line of an installed script would not work. Set-up is quick when nothing has changed.

PY := .venv/bin/python
SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
.NOTPARALLEL:

# The user's own Python settings are not ours.
unexport PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONUSERBASE
export PYTHONNOUSERSITE := 1

# Passed on to the command of a target: make test ARGS="-k kernel", make bench ARGS="launch --json".
ARGS ?=

.PHONY: help setup build demo test lint sim sanitize bench accept docs clean

help:  ## this list
	@awk -F ':.*  ## ' '/^[a-z]+:.*  ## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

setup:
	@sh scripts/setup.sh

build: setup  ## set up: the virtual environment in .venv, the compiled kernel
	@echo "ready: .venv/bin/orch (or .venv/bin/python -m orch)"

demo: setup  ## the main job, on an embedded local cluster: a service and 10,000 pods
	@$(PY) examples/demo.py $(ARGS)

test: lint  ## lint, then all tests with the coverage of the pure rooms
	@$(PY) -m pytest --cov --cov-report= $(ARGS)

lint: setup  ## ruff, mypy, the import contracts
	@$(PY) -m ruff check --quiet .
	@$(PY) -m mypy --no-error-summary
	@$(PY) -c "from importlinter.cli import lint_imports_command as run; run()" --no-logo --no-cache

sim: setup  ## the simulator, seed after seed, until stopped
	@$(PY) -m orch.sim $(ARGS)

sanitize: setup  ## the compiled core under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(PY) scripts/sanitize.py $(ARGS)

bench: setup  ## the benchmarks (ARGS="launch --json" for one of them)
	@$(PY) -m bench $(ARGS)

accept: setup  ## every acceptance command, with figure and target, on a clean tree
	@$(PY) scripts/accept.py $(ARGS)

docs: setup  ## the documentation as a web site, in site/
	@$(PY) scripts/setup_env.py --extra docs
	@$(PY) -m zensical build

clean:  ## remove what was built and cached (.venv stays)
	@rm -rf build dist site .cache .ruff_cache .mypy_cache .pytest_cache .hypothesis ./*.egg-info
	@find orch tests bench scripts examples -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
	@find orch \( -name '*.so' -o -name '_*.c' -o -path orch/node/stub \) -exec rm -f {} +
