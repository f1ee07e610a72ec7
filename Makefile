# Bare `make` lists the targets.  Everything lives in .venv; nothing is installed outside it.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast lint format broker browser crash crash-embedded endurance soak faults bench-readiness requirements simulate mutants clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(STAMP) ## create .venv, install, build the spelling index

$(STAMP): requirements/dev.txt pyproject.toml hatch_build.py
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	$(BIN)/python -m huleedu.spellcheck.index
	touch $@

run: setup ## start everything in one process on http://127.0.0.1:5000
	$(BIN)/huleedu serve all-in-one

test: setup lint broker browser ## everything
	$(BIN)/python -m pytest tests

test-fast: setup ## the inner loop: no whole processes, no broker, no browser, no long runs
	$(BIN)/python -m pytest tests -n 2 --dist worksteal -m "not slow and not kafka and not browser"

lint: setup ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

broker: setup ## fetch Apache Kafka, once, into the user's cache: the tests start one of their own
	$(BIN)/python -m tests.support.kafka_jars

browser: setup ## install Chromium where it is missing (Debian, as root): some tests drive it
	$(BIN)/python -m tests.support.browser

format: setup ## let ruff put the code in form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

crash: setup broker ## 200 submissions over a broker, a random role killed in each (RUNS=200 SEED=…)
	$(BIN)/python -m tests.crash.kafka --runs $(or $(RUNS),200) $(if $(SEED),--seed $(SEED))

crash-embedded: setup ## 50 submissions under kill -9 with restarts (RUNS=50 SEED=…)
	$(BIN)/python -m tests.crash.embedded --runs $(or $(RUNS),50) $(if $(SEED),--seed $(SEED))

faults: setup broker ## what a deployment over a broker withstands, in full (ROWS=2,4 SEED=…)
	$(BIN)/python -m tests.faults $(if $(ROWS),--rows $(ROWS)) $(if $(SEED),--seed $(SEED))

endurance: setup ## faults of the one process in full: kills at every commit point, stops, disks, deadlines (ONLY=…)
	$(BIN)/python -m tests.endurance $(if $(ONLY),--only $(ONLY)) $(if $(SEED),--seed $(SEED))

soak: setup ## mixed load under kills and pauses; memory and descriptors stay flat (MINUTES=60 SEED=…)
	$(BIN)/python -m tests.endurance.soak --minutes $(or $(MINUTES),60) $(if $(SEED),--seed $(SEED))

bench-readiness: broker ## els-worker beside a bare loop, over a broker (BATCHES=10000 PAIRS=3)
	$(BIN)/python -m bench.readiness --batches $(or $(BATCHES),10000) --pairs $(or $(PAIRS),3)

requirements: setup ## pin anew from requirements/*.in
	$(PYTHON) -m venv .venv/pinning && .venv/pinning/bin/pip install --quiet uv
	cd requirements && for part in build runtime dev mutation; do \
	  ../.venv/pinning/bin/uv pip compile --quiet --upgrade --generate-hashes --universal \
	    --python-version 3.11 --no-emit-index-url --custom-compile-command "make requirements" \
	    $$part.in -o $$part.txt || exit 1; done

simulate: setup ## the whole program under faults, everything from a seed (RUNS=20000 SEED=0)
	$(BIN)/python -m tests.simulation --runs $(or $(RUNS),20000) --seed $(or $(SEED),0) --jobs 2

mutants: setup ## whether the tests notice a changed decision; survivors are judged in docs/mutants.md
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/mutation.txt
	$(BIN)/python -m tests.mutants --jobs $(or $(JOBS),2)

clean: ## remove .venv and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
