# `make run` needs only Python >= 3.11; `make test` sets up all that the tests need.
SHELL  := bash
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
unexport PYTHONDONTWRITEBYTECODE
export MM_SERVICESETTINGS_LISTENADDRESS ?= 127.0.0.1:8065

.PHONY: run demo setup check unit test prove flakes mutations bench lock clean

run: $(VENV)/.run
	@exec $(BIN)/mmnode --data-dir ./node-data

# Three nodes over a PostgreSQL master with two replicas, until Ctrl-C.
demo: $(VENV)/.run
	@exec $(BIN)/mmnode demo

# Only files whose hashes are in the lock; then the checkout itself, which takes nothing from any index.
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
OURS   := $(PIP) --no-deps --no-build-isolation -e .

$(VENV)/.run: pyproject.toml etc/lock/run.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r etc/lock/run.txt
	$(OURS)
	@touch $@

$(VENV)/.all: $(VENV)/.run etc/lock/dev.txt
	$(PIP) --require-hashes -r etc/lock/dev.txt
	@touch $@

setup: $(VENV)/.all
	$(BIN)/python -m tests.provision

check: $(VENV)/.all
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Two a core: stories wait while simulations compute. What is run by hand, `.venv/bin/pytest tests/…`, runs one by one.
WORKERS ?= $(shell n=$$((2 * $$(nproc))); echo $$((n < 16 ? n : 16)))
PYTEST  := $(BIN)/pytest -n $(WORKERS) --dist loadgroup

# The tests that start no server.
unit: $(VENV)/.all
	$(PYTEST) -m 'not (node or postgres or mariadb or browser or namespaces)'

test: setup
	$(PYTEST)

# The same tests at their full counts, all or a part: cluster ws db api stories faults attacks browser rig. See tests/prove.py.
PART ?=
prove: setup
	$(BIN)/python -m tests.prove $(PART) -n $(WORKERS) --dist loadgroup

# How often tests fail on a busy machine: make flakes T=tests/stories/test_kill.py N=20
N ?= 20
flakes:
	@test -n "$(T)" || { echo 'usage: make flakes T=tests/stories/test_kill.py [N=20]' >&2; exit 2; }
	$(MAKE) setup
	$(BIN)/python -m tests.flakes -n $(N) $(T)

# Whether the tests notice deliberate breaks.
mutations: setup
	$(BIN)/python -m tests.mutations

# With the servers that ours are measured beside.
$(VENV)/.bench: $(VENV)/.all etc/lock/bench.txt bench/peers/package-lock.json
	$(PIP) --require-hashes -r etc/lock/bench.txt
	cd bench/peers && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

bench: $(VENV)/.bench
	$(BIN)/python -m bench

# After a change of etc/constraints.txt or of pyproject.toml's dependencies: etc/lock/*.txt and etc/sbom.cdx.json anew.
lock:
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	PATH="$(CURDIR)/build/lock/bin:$$PATH" build/lock/bin/python etc/lock.py

clean:
	rm -rf $(VENV) build node-data tests/clients/js/node_modules bench/peers/node_modules
