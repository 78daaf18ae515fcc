# Two commands do all set-up on a fresh machine: make demo, make test.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test lint types imports unit clean

demo: $(STAMP)
	$(BIN)/unmask demo

test: lint types imports unit

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports --no-cache

# The tests' small networks are fastest with one thread a process.
unit: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache
