# Tallystick: `make demo` runs one Universal Cart order end to end, `make test` runs all tests.
.DEFAULT_GOAL := help
SHELL := /bin/sh
TEST ?= tests

.PHONY: help demo serve test simulate bench bench-enclave bench-partners check format lock clean

help:
	@echo 'make demo    set everything up and play the story: money in, one cart, payouts, audited books'
	@echo 'make test    set everything up and run every test   (one part: make test TEST=tests/ledger)'
	@echo 'make simulate  play the book against its model, crowds and crashes, for an hour   (SEED=… STEPS=…)'
	@echo 'make serve   database, enclave, worker, API and sandbox bank, until Ctrl-C'
	@echo 'make bench   measure how fast the book posts, against pgbench on the same server (12 minutes)'
	@echo 'make bench-enclave  measure how fast the enclave signs, against its token alone (4 minutes)'
	@echo 'make bench-partners  measure how fast bank messages are read and written, and payouts sent (2 minutes)'
	@echo 'make check   format, lint, types, imports'
	@echo 'make format  let ruff mend what it can'
	@echo 'make lock    pin the dependencies anew (needs uv)'
	@echo 'make clean   remove the environment and every file that running left behind'

demo:
	@bin/setup softhsm2
	@.venv/bin/tallystick demo

serve:
	@bin/setup softhsm2
	@.venv/bin/tallystick serve

test:
	@bin/setup softhsm2 p11-kit p11-kit-modules hledger curl openssl
	@echo 'one part alone: make test TEST=tests/ledger   one test: make test TEST=tests/ledger/test_money.py'
	@.venv/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(TEST)

bench:
	@bin/setup
	@.venv/bin/tallystick bench

bench-enclave:
	@bin/setup softhsm2
	@.venv/bin/tallystick bench-enclave

bench-partners:
	@bin/setup
	@.venv/bin/tallystick bench-partners

simulate:
	@bin/setup
	@.venv/bin/python -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(STEPS),--steps $(STEPS))

check:
	@bin/setup
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

format:
	@bin/setup
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		pyproject.toml -o requirements/run.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		pyproject.toml --extra dev -c requirements/run.lock -o requirements/dev.lock

clean:
	@if [ -x .venv/bin/tallystick ]; then .venv/bin/tallystick stop || true; fi
	rm -rf .venv .tallystick build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
