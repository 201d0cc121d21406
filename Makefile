# make reproduce [SCALE=quick] [DATA=folder] [SOURCE=hub] · make test · make ui · make lint · make docs
# · make bench [DATA=folder] · make rulegraph

SCALE ?= quick
PYTHON ?= python3
# An active environment is used as it is; otherwise .venv is made.
ifdef VIRTUAL_ENV
BIN := $(VIRTUAL_ENV)/bin
else ifdef CONDA_PREFIX
BIN := $(CONDA_PREFIX)/bin
else
BIN := .venv/bin
endif
ENV := $(BIN)/.gptbench-installed
CONFIGFILE := config/$(if $(filter quick,$(SCALE)),config,$(SCALE)).yaml
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: reproduce test ui lint docs rulegraph bench clean environment

reproduce: $(ENV)
	@snakemake --cores all --configfile $(CONFIGFILE) $(if $(DATA)$(SOURCE),--config) $(if $(DATA),data_root="$(abspath $(DATA))") $(if $(SOURCE),source=$(SOURCE))

test: $(ENV)
	@python -m pytest

ui: $(ENV)
	@gptbench track ui

lint: $(ENV)
	@ruff check . && ruff format --check . && mypy && snakefmt --check Snakefile workflow && snakemake --lint

docs: $(ENV)
	@NO_MKDOCS_2_WARNING=1 mkdocs build --strict
	@echo "Look at  site/index.html"

rulegraph: $(ENV)
	@python docs/_rulegraph.py

bench: $(ENV)
	@python benchmarks/run.py
	@$(if $(DATA),python -m benchmarks.tokenizer --data "$(abspath $(DATA))")
	@$(if $(DATA),python -m benchmarks.corpus --data "$(abspath $(DATA))")

clean:
	rm -rf results/$(SCALE)

environment: $(ENV)

$(ENV): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gptbench needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the pinned packages (some minutes, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
