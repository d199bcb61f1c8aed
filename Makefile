# `make demo` and `make test` set everything up themselves; see README.md.

PYTHON ?= python3
VENV ?= .venv
PORT ?=
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
SOURCES := setup.cfg pyproject.toml $(wildcard jupyterhub_config.d/*.py) \
    $(shell find hub_groups hub_quotas share_links -type f -not -name '*.pyc')

ifneq ($(UV),)
INSTALL := $(UV) pip install --quiet --python $(BIN)/python
else
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: help demo test lint format translations screenshots docs dist clean
help: ## what there is to make
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo $(VENV)/.package ## start a hub with a sample world on this machine (PORT=8000)
	@PORT=$(PORT) $(BIN)/python examples/demo/run.py

test: $(VENV)/.dev $(VENV)/.package ## run all tests (ARGS="-m pure" for the fast ones)
	$(BIN)/python tests/init.py $(BIN)/pytest -n 3 --dist loadfile $(ARGS)

lint: $(VENV)/.dev ## check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

translations: $(VENV)/.dev $(VENV)/.package ## bring the catalogues of texts up to date
	$(BIN)/python docs/translations.py

screenshots: $(VENV)/.dev $(VENV)/.package ## make the pictures in docs/images
	$(BIN)/python docs/screenshots.py

dist: $(VENV)/.dev ## build what is released into dist/, and check it
	$(BIN)/python .ci/release.py

docs: $(VENV)/.docs $(VENV)/.package ## build the book of the documentation, in docs/_build/html
	$(BIN)/share-links init docs
	$(BIN)/share-links build docs
	cd docs && $(abspath $(BIN))/jupyter-book build --html --strict

clean: ## remove what was set up, and the demo's data
	rm -rf $(VENV) .demo build dist docs/_build *.egg-info

$(BIN)/python:
	@echo "Making $(VENV) ..."
ifneq ($(UV),)
	@$(UV) venv --quiet --python $(PYTHON) $(VENV)
else
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
endif

# The packages are installed as a hub image installs them: their drop-ins are data files, which an
# editable install leaves out.
$(VENV)/.demo $(VENV)/.dev $(VENV)/.docs: $(VENV)/.%: setup.cfg | $(BIN)/python
	@echo "Installing what the $* needs (a minute or two, once) ..."
	@$(INSTALL) '.[$*]'
	@touch $@ $(VENV)/.package

$(VENV)/.package: $(SOURCES) | $(BIN)/python
	@echo "Installing the packages ..."
	@$(INSTALL) --no-deps --force-reinstall .
	@touch $@
