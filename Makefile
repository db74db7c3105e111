PYTHON ?= python3
BIN := .venv/bin
export PYTHON

.PHONY: quickstart test lint clean freeze

quickstart: .venv/quickstart.stamp  ## fine-tune on MovieLens-100K and recommend
	$(BIN)/recgen quickstart

test: .venv/tests.stamp lint  ## everything that CI checks
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: .venv/tests.stamp  ## style, types and import contracts
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

clean:  ## remove the environment and the runs
	rm -rf .venv runs

freeze:  ## rewrite the frozen requirements from what .venv holds
	$(BIN)/python requirements/freeze.py

.venv/%.stamp: requirements/%.txt requirements/quickstart.txt pyproject.toml
	@requirements/install $*
