# Needs make, a POSIX shell, Python 3.11 or newer with venv, and a package index.

PYTHON ?= python3
VENV ?= .venv
DEMO_VENV ?= .venv-demo
BENCH_VENV ?= .venv-bench
SITE_VENV ?= .venv-site
MUTANTS_VENV ?= .venv-mutants
# Which tests `make test` runs, as a pytest marker expression.
MARKS ?= not soak
PYTEST_ARGS ?=
# Three workers, each with whole files, which share their fixtures. Much of their time they wait for servers and disks.
WORKERS ?= -n 3 --dist loadfile
# As in: make soak SOAK_ARGS="--fresh power-cut".
SOAK_ARGS ?=
# As in: make bench BENCH_ARGS="--quick --only claim". By default also stores that grow to a million rows of each kind.
BENCH_ARGS ?= --growth

# As in: make mutants MUTANTS_ARGS="--count 100 --seconds 3600 --floor 0.95".
MUTANTS_ARGS ?=
# A fault that only luck catches escapes one of several runs.
FAULT_RUNS ?= 3
FAULT_WORKERS ?= 2

PY := $(VENV)/bin/python
DISTRIBUTIONS := . backends/sqlite backends/postgres
# Tested with the others, but no part of a release.
CONTRIB := contrib/duckdb
PYPROJECTS := pyproject.toml backends/sqlite/pyproject.toml backends/postgres/pyproject.toml contrib/duckdb/pyproject.toml

# $(call make_venv,DIR): an empty environment, or an error where the interpreter is missing or too old.
define make_venv
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
    echo "'$(PYTHON)' is not Python 3.11 or newer. Name one that is, as in: make setup PYTHON=python3.12" >&2; exit 1; }
$(PYTHON) -m venv --clear $(1)
endef

.DEFAULT_GOAL := help
# The distributions for frameworks, each with its tests in an environment of its own.
ADAPTERS ?= langgraph claude openai keyvalue mcp pydantic pydantic-harness adk
.PHONY: help setup demo test adapters coverage lint format stubs tables links bench faults mutants soak docs site build clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 10

setup: $(VENV)/.stamp ## Make .venv with every package (editable) and every tool

# A fresh Python may bring a pip that does not know dependency groups, hence the upgrade.
$(VENV)/.stamp: $(PYPROJECTS)
	$(call make_venv,$(VENV))
	$(PY) -m pip install --quiet --upgrade 'pip>=25.1'
	$(PY) -m pip install --quiet --group dev $(addprefix --editable ,$(DISTRIBUTIONS) $(CONTRIB))
	@touch $@

demo: $(DEMO_VENV)/.stamp ## Show the store at work, in an environment of its own
	$(DEMO_VENV)/bin/ciris-store demo

$(DEMO_VENV)/.stamp: $(PYPROJECTS)
	$(call make_venv,$(DEMO_VENV))
	$(DEMO_VENV)/bin/python -m pip install --quiet --editable '.[cli,secrets]' --editable backends/sqlite
	@touch $@

test: setup ## Run every test but the long ones, PostgreSQL included
	$(PY) -m pytest -m "$(MARKS)" $(WORKERS) $(PYTEST_ARGS)

adapters: $(addprefix adapter-,$(ADAPTERS)) ## Test the distributions for frameworks, with the frameworks' own packages

adapter-%: .venv-adapters/%/.stamp
	.venv-adapters/$*/bin/python -m pytest -c contrib/adapters.ini contrib/$*/tests $(PYTEST_ARGS)

# A link in a chain of pattern rules, which make would delete again.
.PRECIOUS: .venv-adapters/%/.stamp
.venv-adapters/%/.stamp: contrib/%/pyproject.toml $(PYPROJECTS)
	$(call make_adapter_venv,$*,contrib/$*[test])
	@touch $@

# The harness pins an older pydantic-ai than conversations need.
adapter-pydantic-harness: .venv-adapters/pydantic-harness/.stamp
	.venv-adapters/pydantic-harness/bin/python -m pytest -c contrib/adapters.ini contrib/pydantic/harness/tests $(PYTEST_ARGS)

.venv-adapters/pydantic-harness/.stamp: contrib/pydantic/pyproject.toml $(PYPROJECTS)
	$(call make_adapter_venv,pydantic-harness,contrib/pydantic[harness])
	@touch $@

# $(call make_adapter_venv,NAME,DISTRIBUTION): an environment with an adapter and what its tests need.
define make_adapter_venv
$(call make_venv,.venv-adapters/$(1))
.venv-adapters/$(1)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
.venv-adapters/$(1)/bin/python -m pip install --quiet --group adapters \
    $(addprefix --editable ,$(DISTRIBUTIONS)) --editable '$(2)'
endef

coverage: setup ## Run the quick tests and fail if they reach too few lines
	$(PY) -m pytest -m "not soak and not slow" $(WORKERS) --cov --cov-report=term $(PYTEST_ARGS)

lint: setup ## Check style, format, spelling and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m codespell_lib
	$(PY) -m mypy
	$(PY) -m mypy --config-file tests/mypy.ini

format: setup ## Fix style and format
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

stubs: setup ## Make what type checkers see of the async facade
	$(PY) -m tests.support.async_stubs

tables: setup ## Rewrite the tables of the documentation that tests compare with the code
	$(PY) -m tests.support.doc_tables servers

links: setup ## Update the lines of links from the documentation to the source
	$(PY) -m tests.support.line_links

bench: $(BENCH_VENV)/.stamp ## Compare the speed with the raw drivers, in an environment of its own
	$(BENCH_VENV)/bin/python -m benchmarks $(BENCH_ARGS)

$(BENCH_VENV)/.stamp: $(PYPROJECTS)
	$(call make_venv,$(BENCH_VENV))
	$(BENCH_VENV)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BENCH_VENV)/bin/python -m pip install --quiet --group bench $(addprefix --editable ,$(DISTRIBUTIONS))
	@touch $@

faults: setup ## Show that the conformance suite catches every planted fault
	$(PY) -m tests.mutants --runs $(FAULT_RUNS) --workers $(FAULT_WORKERS)

mutants: setup $(MUTANTS_VENV)/.stamp ## Mutate changed lines of the product, and see whether tests fail
	$(MUTANTS_VENV)/bin/python tests/mutations --python $(abspath $(PY)) $(MUTANTS_ARGS)

$(MUTANTS_VENV)/.stamp: pyproject.toml
	$(call make_venv,$(MUTANTS_VENV))
	$(MUTANTS_VENV)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(MUTANTS_VENV)/bin/python -m pip install --quiet --group mutants
	@touch $@

soak: setup ## Run the long tests
	$(PY) -m tests.reliability $(SOAK_ARGS)

docs: setup ## Check the documentation against the code
	$(PY) -m pytest tests/test_docs.py $(PYTEST_ARGS)

# The packages are read, not imported, so that this environment needs none of them.
site: $(SITE_VENV)/.stamp ## Build the documentation site in site/, with warnings as errors
	NO_MKDOCS_2_WARNING=1 $(SITE_VENV)/bin/mkdocs build --quiet

$(SITE_VENV)/.stamp: pyproject.toml
	$(call make_venv,$(SITE_VENV))
	$(SITE_VENV)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(SITE_VENV)/bin/python -m pip install --quiet --group docs
	@touch $@

build: setup ## Make wheels and source distributions in dist/
	rm -rf dist
	for folder in $(DISTRIBUTIONS); do $(PY) -m build --outdir dist $$folder || exit 1; done

clean: ## Remove the environments, caches and everything built
	rm -rf $(VENV) $(DEMO_VENV) $(BENCH_VENV) $(SITE_VENV) $(MUTANTS_VENV) .venv-adapters .venv-ci dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find ciris_store_core backends contrib tests -name __pycache__ -prune -exec rm -rf {} +
