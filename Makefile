# Every target that needs the environment depends on `setup`, which does nothing when nothing changed.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
# Cargo and the code generators use the project's own interpreter and tools, whatever is on PATH.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYO3_PYTHON := $(CURDIR)/.venv/bin/python
# In CI a Cargo.lock that lags behind is an error; on a desk cargo brings it up to date.
LOCKED := $(if $(CI),--locked)
BASELINE := protos/baseline.binpb
COMPILE := uv pip compile --quiet --no-config --universal --generate-hashes --python-version 3.12 \
	--no-emit-index-url --no-emit-find-links --no-header
PEERS := benches/python/shapley_peers/requirements.in

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: ## make .venv: locked packages and the native extension (PYTHON=... picks the interpreter)
	@scripts/setup.sh

.PHONY: demo
demo: setup ## set up, then analyse two real incidents from examples/
	$(BIN)/bayesrca analyze examples/search_delay
	$(BIN)/bayesrca analyze examples/search_errors

# A few tests start real Prometheus and Alertmanager servers. They fetch the two programs into
# target/servers with apt-get, unprivileged; elsewhere put them on PATH or name their folder with
# BAYESRCA_SERVERS. Without them these tests are skipped, and the summary says why.
.PHONY: test
test: setup ## set up, then run every test of Rust and Python but the slow statistical ones
	cargo test --workspace $(LOCKED)
	$(BIN)/python -m pytest -m "not slow"

.PHONY: slow
slow: setup ## the slow statistical tests: simulation-based calibration, coverage
	$(BIN)/python -m pytest -m slow

.PHONY: check
check: check-rust check-python check-protos check-generated check-tree ## everything that must hold before a commit, tests apart

.PHONY: check-rust
check-rust: setup
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || { \
		echo "make: rustfmt or clippy is missing: run 'rustup component add rustfmt clippy'," \
			"or install your system's packages of them" >&2; exit 1; }
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(LOCKED) -- -D warnings

.PHONY: check-python
check-python: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: check-protos
check-protos: setup
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	@if [ -f $(BASELINE) ]; then \
		echo "buf breaking --against $(BASELINE)"; $(BIN)/buf breaking --against $(BASELINE); \
	else \
		echo "buf breaking: skipped, $(BASELINE) does not exist before the first release"; \
	fi

.PHONY: check-generated
check-generated: setup
	$(BIN)/python scripts/gen_protos.py --check
	$(BIN)/python scripts/gen_api_docs.py --check
	$(BIN)/python scripts/gen_stubs.py --check
	$(BIN)/python -m mypy.stubtest bayesrca._core

.PHONY: check-tree
check-tree: setup
	$(BIN)/python scripts/check_tree.py

.PHONY: fmt
fmt: setup ## format Rust, Python and protos
	cargo fmt --all
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format
	$(BIN)/buf format --write

.PHONY: gen
gen: setup ## regenerate bayesrca/api and docs/api.md from protos/, bayesrca/_core.pyi from Rust
	$(BIN)/python scripts/gen_protos.py
	$(BIN)/python scripts/gen_api_docs.py
	$(BIN)/python scripts/gen_stubs.py

.PHONY: lock
lock: setup ## rewrite requirements/*.lock from pyproject.toml (UPGRADE=--upgrade takes newer versions)
	$(BIN)/$(COMPILE) $(UPGRADE) pyproject.toml --group dev --output-file requirements/dev.lock
	@# uv prefers the pins it finds in its output file: the runtime lock is a subset of the other
	cp requirements/dev.lock requirements/runtime.lock
	$(BIN)/$(COMPILE) pyproject.toml --output-file requirements/runtime.lock
	$(BIN)/$(COMPILE) $(UPGRADE) $(PEERS) --output-file requirements/bench.lock
	$(BIN)/$(COMPILE) $(UPGRADE) requirements/fuzz.in --output-file requirements/fuzz.lock

.PHONY: bench
bench: setup ## every benchmark: criterion, then pytest-benchmark
	cargo bench --workspace $(LOCKED)
	$(BIN)/python -m pytest benches/python --benchmark-only

.PHONY: bench-peers
bench-peers: setup .venv-bench/installed ## bayesrca beside other Shapley libraries (BENCH=--quick passes options on)
	rm -rf .venv-bench/dist
	$(BIN)/python -m pip wheel --disable-pip-version-check --quiet --no-build-isolation --no-deps \
		--wheel-dir .venv-bench/dist .
	.venv-bench/bin/python -m pip install --disable-pip-version-check --quiet --no-deps \
		--force-reinstall .venv-bench/dist/*.whl
	.venv-bench/bin/python benches/python/bench_shapley.py $(BENCH)

.venv-bench/installed: requirements/bench.lock | setup
	rm -rf .venv-bench
	$(BIN)/python -m venv .venv-bench
	.venv-bench/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes \
		-r requirements/bench.lock
	touch $@

.PHONY: bench-smoke
bench-smoke: setup ## build and run each benchmark once, without timing
	cargo bench --workspace --no-run $(LOCKED)
	$(BIN)/python -m pytest benches/python --benchmark-disable

.PHONY: wheel-smoke
wheel-smoke: setup ## build the wheel, install it in a new virtualenv, use it from an empty folder
	scripts/wheel_smoke.sh

# With coverage as the guide; needs a nightly compiler of Rust, and fetches cargo-fuzz and atheris
# into target/fuzz/tools. `make test` replays what was found without any of them.
SECONDS ?= 60
.PHONY: fuzz
fuzz: setup ## fuzz every parser for SECONDS=60 each (TARGETS="loki otlp_logs" for some)
	scripts/fuzz.sh $(SECONDS) $(TARGETS)

.PHONY: clean
clean: ## remove .venv, every build product and every cache
	rm -rf .venv .venv-bench target dist bayesrca/_core.*so .benchmarks .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache
	find bayesrca tests benches scripts -name __pycache__ -type d -prune -exec rm -rf {} +
