# Two commands do all set-up on a fresh machine: make demo, make test.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test test-oldest quick quick-half quick-rest lint types imports unit unit-half unit-rest docs clean

demo: $(STAMP)
	$(BIN)/unmask demo

test: lint types imports unit

# Everything that takes less than two seconds per test, on two cores. What it needs and does not find, it skips.
quick: lint imports
	$(MAKE) --jobs 2 --output-sync quick-half quick-rest types

HALF := $(addprefix tests/,cases choosing cli comparison data deploy stages)
QUICK := $(BIN)/python -m pytest -m "not slow"
quick-half: $(STAMP)
	$(QUICK) $(HALF)

quick-rest: $(STAMP)
	$(QUICK) $(HALF:%=--ignore=%)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

# The oldest versions that pyproject.toml allows, in an environment of their own, on tests of every part. Deprecations of
# these old packages are not ours: warnings are no errors here.
OLDEST := .venv-oldest
test-oldest:
	test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-oldest.txt \
		--editable '.[hf]' pytest pytest-timeout hypothesis psutil
	$(OLDEST)/bin/python -m pytest -W default $(OLDEST_TESTS)

OLDEST_TESTS := tests/config tests/cases/test_hostile_weights.py tests/cases/test_hostile_files.py \
	tests/data/sources/test_huggingface.py tests/targets

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks examples docs
	$(BIN)/ruff format --check src tests benchmarks examples docs

# Scripts beside the package: names and attributes that are not there, not every type.
types: $(STAMP)
	$(BIN)/mypy
	$(BIN)/mypy --ignore-missing-imports $(foreach code,arg-type union-attr operator misc call-overload \
		method-assign assignment index unused-ignore import-not-found import-untyped,--disable-error-code $(code)) benchmarks

imports: $(STAMP)
	$(BIN)/lint-imports --no-cache

# All tests, in two processes: much of the time goes into waiting for processes that they start.
# PYTEST_FLAGS="--may-skip REASON" allows no other skip.
unit: $(STAMP)
	$(MAKE) --jobs 2 --output-sync unit-half unit-rest

unit-half: $(STAMP)
	$(BIN)/python -m pytest $(PYTEST_FLAGS) $(HALF)

unit-rest: $(STAMP)
	$(BIN)/python -m pytest $(PYTEST_FLAGS) $(HALF:%=--ignore=%)

# The documentation as a site in site/. Warnings are errors; read it with: python -m http.server -d site
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf .venv .venv-oldest build dist site .pytest_cache .mypy_cache .ruff_cache
