# Apportion: every target does the set-up it needs. `make help` lists them.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PYTHON := $(BIN)/python
UV_VERSION := 0.13.9
READY := $(VENV)/.ready
PYTEST := $(BIN)/pytest --durations=20
# Tests of one file stay in one process; each process has its own databases and streams.
APART := -n 3 --dist loadfile
CODE := libs services scripts tests benchmarks conftest.py

.PHONY: help
help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -e 's/:.*## /|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/uv:
	@sh scripts/bootstrap.sh $(VENV) $(UV_VERSION)

$(READY): $(BIN)/uv pyproject.toml uv.lock proto/gen/pyproject.toml $(wildcard libs/*/pyproject.toml services/*/pyproject.toml)
	@$(BIN)/uv sync --frozen --quiet
	@touch $@

.PHONY: setup
setup: $(READY) ## make the virtual environment from the lock file

.PHONY: demo
demo: $(READY) ## a month of real usage to invoices and statements, shown as it goes
	@sh scripts/demo.sh

.PHONY: up
up: $(READY) ## start the local stack and leave it running
	@$(BIN)/apportion stack up

.PHONY: down
down: $(READY) ## end the local stack
	@$(BIN)/apportion stack down

.PHONY: test-fast
test-fast: $(READY) ## unit tests: no server, under a minute
	@$(PYTEST) -n 2 --dist loadfile -m "not servers and not stack and not soak" libs services tests

.PHONY: test
test: $(READY) ## every test: unit, integration, the demo's figures, kills
	@$(PYTHON) -m scripts.observe clear
	@$(PYTEST) $(APART) --ignore tests/e2e -m "not soak" libs services tests
	@sh scripts/test_matrix.sh oldest
	@$(PYTEST) -m "not soak" tests/e2e
	@$(PYTHON) -m scripts.observe check

.PHONY: observe
observe: $(READY) ## write what the last test runs have seen into the documentation
	@$(PYTHON) -m scripts.observe write
	@$(MAKE) --no-print-directory docs

.PHONY: check
check: $(READY) ## format, lint, types, import contracts, contracts, house rules
	@sh scripts/check.sh

.PHONY: format
format: $(READY) ## format code and contracts
	@$(BIN)/ruff check --quiet --fix --exit-zero $(CODE)
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/buf format --write --path proto/apportion

.PHONY: gen
gen: $(READY) ## generate the stubs from proto/
	@$(PYTHON) scripts/gen_protos.py
	@$(BIN)/uv sync --frozen --quiet

.PHONY: docs
docs: $(READY) ## write the generated parts of the documentation
	@$(PYTHON) -m scripts.error_reasons
	@$(PYTHON) -m scripts.status_table
	@$(PYTHON) scripts/import_graph.py
	@$(PYTHON) -m scripts.trees
	@$(PYTHON) -m scripts.limits_table
	@$(PYTHON) -m scripts.parties_table

.PHONY: migrate
migrate: $(READY) ## bring the databases that *_MIGRATION_DATABASE_URL name to the plan's end
	@$(BIN)/apportion-migrate up

.PHONY: new-revision
new-revision: $(READY) ## scaffold a revision: SERVICE=orgs NAME=what_it_does
	@$(PYTHON) scripts/new_revision.py --service "$(SERVICE)" --name "$(NAME)"

.PHONY: migration-checksums
migration-checksums: $(READY) ## write the checksums of new revisions; those that are there never change
	@$(PYTHON) scripts/migration_checksums.py

.PHONY: test-matrix
test-matrix: $(READY) ## the migrations on every PostgreSQL that is to be had, 15 to 18
	@sh scripts/test_matrix.sh

.PHONY: bench
bench: $(READY) ## measure the path beside COPY and plain SQL, some 25 minutes: ONLY= RUNS= TIMES= COMPARE=
	@$(PYTHON) -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(RUNS),--runs $(RUNS)) $(if $(TIMES),--times $(TIMES)) \
		$(if $(COMPARE),--compare $(COMPARE)) $(BENCH_OPTIONS)

.PHONY: bench-growth
bench-growth: $(READY) ## rate, sizes and memory while the tables grow to EVENTS=10000000
	@$(PYTHON) -m benchmarks --growth $(or $(EVENTS),10000000) $(if $(TIMES),--times $(TIMES)) \
		$(if $(COMPARE),--compare $(COMPARE)) $(BENCH_OPTIONS)

.PHONY: bench-mail
bench-mail: $(READY) ## proofs by mail beside bare DKIM verification
	@$(PYTHON) -m benchmarks.verification

.PHONY: soak
soak: $(READY) ## what takes longer than CI's budget
	@$(PYTEST) -m soak libs services tests

.PHONY: clean
clean: ## remove what was made here; a running stack must be down
	rm -rf $(VENV) .local .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
