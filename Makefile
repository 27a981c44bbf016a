# Everything works from a clean clone with Python 3.11+ and make; the environment is made when it is needed,
# and again when pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PROTOS := $(wildcard protos/matchbit/v1/*.proto)

.PHONY: demo test lint format protos bench bench-lists bench-recovery fuzz-sessions quality wheel clean

demo: $(INSTALLED)  ## a whole session with real nodes on this machine
	$(BIN)/matchbit demo

test: $(INSTALLED)  ## every test
	$(BIN)/python -m pytest

lint: $(INSTALLED)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)  ## rewrite the sources in the common style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

protos: $(INSTALLED)  ## regenerate the stubs; a test compares them
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. $(PROTOS)

bench: $(INSTALLED)  ## the table of docs/performance.md
	$(BIN)/python -m tests.bench

bench-lists: $(INSTALLED)  ## how long a million-row list takes from file to keys
	$(BIN)/python -m tests.bench_lists

bench-recovery: $(INSTALLED)  ## how long a session takes in which a daemon is killed
	$(BIN)/python -m tests.bench_recovery

HISTORIES ?= 20000

fuzz-sessions: $(INSTALLED)  ## new lives of a session, HISTORIES of them
	SESSION_HISTORIES=$(HISTORIES) $(BIN)/python -m pytest tests/parties/test_sessions_model.py -k survives

quality: $(INSTALLED)  ## docs/quality.md: precision and recall of rules, beside a probabilistic baseline
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[quality]'
	$(BIN)/python -m tests.quality

wheel: $(INSTALLED)  ## the distribution, in dist/
	$(BIN)/python -m build --wheel --outdir dist

clean:  ## remove all that was made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Matchbit needs Python 3.11 or newer.") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(INSTALLED)
