# `make demo` and `make test` work on a fresh clone; both install into $(VENV) first, once.
PYTHON ?= python3
VENV ?= .venv
CLIP ?= tests/fixtures/park_ccby20_640x480_17f.mp4
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
INSTALL_INPUTS := setup.py constraints.txt pyproject.toml

.PHONY: help install demo test lint format docs clean

help:
	@echo "make demo     reconstruct a clip that the bundled model has not seen; look into demo/"
	@echo "make test     the whole test suite"
	@echo "make lint     ruff check and ruff format --check"
	@echo "make format   let ruff format and fix"
	@echo "make docs     build the documentation into docs/_build/html"
	@echo "make install  only the environment, in $(VENV)"
	@echo "make clean    remove $(VENV), demo/ and docs/_build/"

# setuptools comes from the pins as well, so that the build fetches nothing of its own choice.
$(VENV)/.environment: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) setuptools wheel
	@touch $@

$(VENV)/.installed: $(VENV)/.environment $(INSTALL_INPUTS)
	$(PIP_INSTALL) --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.environment $(INSTALL_INPUTS)
	$(PIP_INSTALL) --no-build-isolation --editable ".[test]"
	@touch $@

install: $(VENV)/.installed

demo: $(VENV)/.installed
	HF_HUB_OFFLINE=1 $(BIN)/pyratok reconstruct "$(CLIP)" --output demo/

test: $(VENV)/.installed-test
	$(BIN)/python tests/common/fetch_transformers_tests.py
	$(BIN)/python -m pytest -c tests/pytest.ini tests

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-test
	$(BIN)/sphinx-build --nitpicky --fail-on-warning --keep-going docs docs/_build/html

clean:
	rm -rf $(VENV) demo docs/_build
