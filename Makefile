# Everything works from a clean clone with Python 3.11+ and make; the environments are made when they are needed,
# and again when their locks change. What is installed has the hashes of supply/*.txt, or is not installed; but for what
# `make fuzz`, `make quality`, `make profile` and `make bench-peers` install besides.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PACKAGES := $(VENV)/.packages
RELEASING := .venv-release
PEERS := .venv-peers
RELEASE_TOOLS := $(RELEASING)/.installed
INSTALL := -m pip install --quiet --disable-pip-version-check
PROTOS := $(wildcard protos/matchbit/v1/*.proto)

.PHONY: demo test lint format protos bench bench-hostile bench-kernels bench-lanes bench-lists bench-peers bench-recovery bench-transport profile plots fuzz fuzz-sessions quality wheel lock audit release clean

demo: $(INSTALLED)  ## a whole session with real nodes on this machine
	$(BIN)/matchbit demo

test: $(INSTALLED)  ## every test, in two processes; each file in one of them, in its order
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(INSTALLED)  ## style, types, insecure calls
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive mpc parties supply

format: $(INSTALLED)  ## rewrite the sources in the common style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

protos: $(INSTALLED)  ## regenerate the stubs; a test compares them
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. $(PROTOS)

SCENARIOS ?= small three million

bench: $(INSTALLED)  ## whole sessions, SCENARIOS of them: `matchbit bench --list`; docs/performance.md
	$(BIN)/matchbit bench $(SCENARIOS)

bench-peers: $(INSTALLED) $(PEERS)/.installed  ## our sessions beside pairwise runs of another program, in one run
	$(BIN)/python -m tests.benchmarks.peers $(PEERS)/bin/python

bench-kernels: $(INSTALLED)  ## local work against tests/benchmarks/baseline.json; UPDATE=1 writes that anew
	$(BIN)/python -m tests.benchmarks $(if $(UPDATE),--update)

bench-transport: $(INSTALLED)  ## what bulk messages cost over gRPC, in all ways to use it, and over plain TLS
	$(BIN)/python -m tests.benchmarks.transport

bench-lanes: $(INSTALLED)  ## how much faster two lanes are than one
	$(BIN)/python -m tests.benchmarks.lanes

PROFILE_ROWS ?= 1000000

profile: $(INSTALLED)  ## where a session's time goes, PROFILE_ROWS rows a member; flame graphs in .profile/; as root
	$(BIN)/python $(INSTALL) --editable '.[profile]'
	$(BIN)/python -m tests.benchmarks.profiling --rows $(PROFILE_ROWS)

plots: $(INSTALLED)  ## the plots of docs/performance.md, from docs/figures/*.json
	$(BIN)/python -m tests.benchmarks.plots

bench-lists: $(INSTALLED)  ## how long a million-row list takes from file to keys
	$(BIN)/python -m tests.bench_lists

bench-hostile: $(INSTALLED)  ## what floods, silent peers and lies do to a node and to honest sessions
	$(BIN)/python -m tests.bench_hostile

bench-recovery: $(INSTALLED)  ## how long a session takes in which a daemon is killed
	$(BIN)/python -m tests.bench_recovery

SECONDS_EACH ?= 60

fuzz: $(INSTALLED)  ## every decoder by coverage, SECONDS_EACH seconds each; what is found is in .fuzz/
	-$(BIN)/python $(INSTALL) --editable '.[fuzz]'
	SECONDS_EACH=$(SECONDS_EACH) $(BIN)/python -m tests.fuzz
	HOSTILE_CALLS=20000 $(BIN)/python -m pytest tests/fuzz/test_services.py tests/fuzz/test_answers.py

HISTORIES ?= 20000

fuzz-sessions: $(INSTALLED)  ## new lives of a session, HISTORIES of them
	SESSION_HISTORIES=$(HISTORIES) $(BIN)/python -m pytest tests/parties/test_sessions_model.py -k survives

quality: $(INSTALLED)  ## docs/quality.md: precision and recall of rules, beside a probabilistic baseline
	$(BIN)/python $(INSTALL) --editable '.[quality]'
	$(BIN)/python -m tests.quality

wheel: $(INSTALLED)  ## the distribution, in dist/
	$(BIN)/python -m build --wheel --no-isolation --outdir dist

LOCK = $(RELEASING)/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 \
	--fork-strategy fewest --upgrade --generate-hashes --default-index https://pypi.org/simple \
	--custom-compile-command "make lock"

lock: $(RELEASE_TOOLS)  ## newer versions into supply/*.txt; then docs/dependencies.md wants a review
	$(LOCK) --output-file supply/matchbit.txt pyproject.toml
	$(LOCK) --constraints supply/matchbit.txt --extra dev --output-file supply/dev.txt pyproject.toml
	$(LOCK) --group release --output-file supply/release.txt

audit: $(RELEASE_TOOLS)  ## known vulnerabilities of what a node runs
	$(RELEASING)/bin/python -m supply.audit supply/matchbit.txt

release: $(INSTALLED) $(RELEASE_TOOLS)  ## what is published of a commit, signed, in dist/: docs/releases.md
	@test -f "$(KEY)" || { echo 'Say which SSH key signs: make release KEY=path'; exit 1; }
	rm -rf dist
	PYTHON=$(BIN)/python supply/build dist
	PYTHON=$(BIN)/python CYCLONEDX=$(RELEASING)/bin/cyclonedx-py supply/sbom dist
	$(RELEASING)/bin/python -m supply.audit dist/matchbit-*-requirements.txt > dist/audit.txt || { cat dist/audit.txt; exit 1; }
	supply/sign dist "$(KEY)"

clean:  ## remove all that was made
	rm -rf $(VENV) $(RELEASING) $(PEERS) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz .profile

$(INSTALLED): $(PACKAGES) mpc/kernel.c build_kernel.py setup.py
	$(BIN)/python $(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $(INSTALLED)

$(PACKAGES): pyproject.toml supply/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Matchbit needs Python 3.11 or newer.") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python $(INSTALL) --require-hashes -r supply/dev.txt
	@touch $(PACKAGES)

$(RELEASE_TOOLS): supply/release.txt
	$(PYTHON) -m venv --clear $(RELEASING)
	$(RELEASING)/bin/python $(INSTALL) --require-hashes -r supply/release.txt
	@touch $(RELEASE_TOOLS)

$(PEERS)/.installed:
	$(PYTHON) -m venv --clear $(PEERS)
	$(PEERS)/bin/python $(INSTALL) spu==0.9.5
	@touch $(PEERS)/.installed
