# Everything a contributor, or a newcomer, or CI runs. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help

help: ## show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/installed ## make .venv with mlq and what its tests and checks need

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install --editable . --group test --group check
	@touch $@

demo: .demo/installed ## install mlq apart, then run real machine learning through it on its embedded server
	@.demo/venv/bin/python docs/examples/digits/demo.py

.demo/installed: pyproject.toml $(shell find src -name '*.py' -o -name '*.lua' 2>/dev/null)
	@echo 'installing mlq and scikit-learn into .demo/venv …'
	@$(PYTHON) -m venv .demo/venv
	@.demo/venv/bin/python -m pip --disable-pip-version-check --quiet install --upgrade 'pip>=25.1'
	@.demo/venv/bin/python -m pip --disable-pip-version-check --quiet install --upgrade . --group demo
	@touch $@

# Most tests wait: for a lease to end, a process to start. Two at a time keep two cores busy.
test: setup ## run the tests on the embedded server (minutes)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

faults: setup ## break everything around mlq and see that nothing is lost (minutes)
	$(BIN)/python -m pytest tests/faults tests/store/test_model.py -m ''
	$(BIN)/python -m pytest -m minutes --ignore tests/faults --ignore tests/store/test_model.py --ignore tests/http/api/test_openapi.py

fuzz: setup ## let schemathesis try the HTTP API as each role and as nobody (a quarter of an hour; EXAMPLES=60: some minutes)
	$(BIN)/python -m pytest -m minutes tests/http/api/test_openapi.py

mutants: setup ## take the guards away one by one and see that a test notices each (minutes)
	$(BIN)/python tests/faults/mutants.py

chaos: setup ## kill workers and servers under 100 000 jobs and judge what became of them (minutes; ARGS='--seed 7')
	PYTHONPATH=tests/faults:tests/support $(BIN)/python -m harness.chaos $(ARGS)

test-demo: .demo/installed ## run the demo twice in a row
	.demo/venv/bin/python docs/examples/digits/demo.py
	.demo/venv/bin/python docs/examples/digits/demo.py

test-servers: setup ## run the store's tests on Valkey 9.1, Redis 8.2, 6.2 and an installed 7.0: alone, with sentinels, as a cluster
	$(BIN)/python tests/servers.py

bench: setup ## measure mlq beside what Redis allows and beside its own history (two minutes)
	$(BIN)/python tests/bench/ours.py

bench-profile: setup ## show where the processor time of a job goes (ARGS='--against ../main/src': beside another source)
	$(BIN)/python tests/bench/ours.py --profile $(ARGS)

bench-promise: setup ## show what each part of the promise costs, by taking it out of a copy (eight minutes)
	$(BIN)/python tests/bench/promise.py $(ARGS)

bench-tuning: setup ## show what settings are worth: executors, append-only file, socket, retention (three minutes)
	$(BIN)/python tests/bench/tuning.py $(ARGS)

bench-http: setup ## measure posts over HTTP beside what the web framework reaches by itself (a minute)
	$(BIN)/python tests/bench/http_posts.py $(ARGS)

bench-peers: setup ## measure mlq beside other queues in one run and write docs/benchmarks.md (half an hour)
	$(BIN)/python tests/bench/against.py

check: setup ## look at style, types, the floors of the house, and whether generated pages are fresh
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/internals/make_pages.py --check

fmt: setup ## put the code into its style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup ## write the pages that are made from code
	$(BIN)/python docs/internals/make_pages.py

build: setup ## build the wheel and the source distribution into dist/
	$(PIP) install build
	$(BIN)/python -m build

clean: ## remove what was made
	rm -rf $(VENV) .demo dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

.PHONY: help setup demo test faults fuzz chaos mutants test-demo test-servers bench bench-profile bench-promise bench-tuning bench-http bench-peers check fmt docs build clean
