# Everything a person or CI runs. `make run` and `make test` need python3 (3.11 or newer) and make.
PYTHON ?= python3
# `make test PYTHON=python3.13` leaves .venv alone: each version is tried in a folder of its own.
VENV := .venv$(if $(filter test check tests,$(MAKECMDGOALS)),$(patsubst %,-%,$(filter-out python3,$(notdir $(PYTHON)))))
BIN := $(VENV)/bin
ARGS ?=
# What is compiled is kept: the tests start Python many hundred times.
export PYTHONDONTWRITEBYTECODE :=
# Run a part of `make test`, and say how long it took.
timed = @began=$$(date +%s); $(2) && echo "$(1): $$(($$(date +%s) - began)) s"

.PHONY: help run install test check tests bench fire lock clean

help: ## Show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

run: install ## Install what is needed, and run the server on 127.0.0.1:8888
	@exec $(BIN)/python manage.py runserver $(ARGS)

install: $(VENV)/installed

test: $(VENV)/installed-dev ## Everything that CI runs: lint, types, tests; PYTHON=python3.13 tries that one
	@$(MAKE) --no-print-directory --jobs=2 check tests

check: $(VENV)/installed-dev ## Lint and types
	$(call timed,lint,$(BIN)/ruff check && $(BIN)/ruff format --check)
	$(call timed,types,$(BIN)/mypy)

tests: $(VENV)/installed-dev
	$(call timed,tests,$(BIN)/python -m pytest -n 4 --dist loadfile $(ARGS))

bench: $(VENV)/installed ## Measure the server and the peers that are installed; ARGS=--help
	$(BIN)/python bench $(ARGS)

fire: $(VENV)/installed-dev ## What goes on for longer than a test; ARGS="chaos --minutes 20"
	@$(BIN)/python -m tests.fire $(ARGS)

lock: $(VENV)/installed-dev ## Write the requirements files anew from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-annotate \
		--custom-compile-command 'make lock' --extra e2ee pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-annotate --group dev \
		--custom-compile-command 'make lock' pyproject.toml -o requirements-dev.txt

	@{ echo "# What PostgreSQL needs besides, for the image: as in requirements-dev.txt. \`make lock\` writes it anew."; \
		awk '/^[^ ]/ {keep = /^psycopg(-binary)?==/} keep' requirements-dev.txt; } > requirements-postgresql.txt

clean: ## Remove what was installed and cached; data in var/ stays
	rm -rf .venv .venv-python3.* .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Greenroom needs Python 3.11 or newer; try: make PYTHON=python3.12 run"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
		|| { echo "Python's venv is missing; on Debian: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
