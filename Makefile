# What developers and CI run; `make help` lists it. Needs a Rust toolchain, a C compiler, Python 3.11 and make.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run build check fmt deny advisories test test-rust test-client test-databases test-tools bench clean-tools

PYTHON ?= python3
CARGO_DENY_VERSION := 0.20.2

CACHE := $(CURDIR)/.cache
CLIENT := $(CACHE)/client-venv
# AWS as a program of this machine; the Rust tests look for it there.
MOTO := $(CACHE)/moto-venv
# A cargo-deny of one's own is taken where there is one.
DENY := PATH="$(CACHE)/tools/bin:$$PATH" cargo deny

help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | while IFS='|' read -r name text; do \
		printf '  make %-14s %s\n' "$$name" "$$text"; done

run: ## Start the server on its default address, with its data in ./data
	cargo run --locked

build: ## Build the server and its tests, unoptimised; all at once, so that no dependency is built twice
	cargo build --workspace --all-targets --locked

check: ## Formatting, clippy and documentation without a warning, and `deny` if it is installed
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	@if $(DENY) --version >/dev/null 2>&1; then $(MAKE) --no-print-directory deny; \
		else echo "Licences and sources of dependencies were not checked: 'make deny' installs what that needs."; fi

fmt: ## Format all Rust code
	cargo fmt --all

deny: ## Licences, bans and sources of all dependencies; installs cargo-deny if it is missing (minutes)
	@$(DENY) --version >/dev/null 2>&1 || \
		cargo install --locked --root "$(CACHE)/tools" "cargo-deny@$(CARGO_DENY_VERSION)"
	$(DENY) --all-features --log-level error check licenses bans sources

advisories: ## Known security holes in dependencies; reads RustSec's database from GitHub
	$(DENY) --all-features check advisories

test: test-rust test-client ## Everything: Rust tests, then the real client against real databases

test-rust: build test-databases ## The Rust tests alone
	cargo test --workspace --locked

test-client: build test-tools ## The tests with the real OpenMetadata client alone; ARGS goes to pytest
	cd tests/client && PYTHONWARNINGS=ignore "$(CLIENT)/bin/python" -m pytest $(ARGS)

test-databases: ## Install MariaDB, PostgreSQL and moto where they are missing; the tests run servers of their own
	PYTHON="$(PYTHON)" scripts/install-test-tools "$(MOTO)"

test-tools: ## Install what the tests need and is missing: the client, moto, MariaDB, PostgreSQL
	PYTHON="$(PYTHON)" scripts/install-test-tools "$(MOTO)" "$(CLIENT)"

bench: ## Measure the server against a bare one (minutes)
	scripts/bench

clean-tools: ## Remove what `test-tools` and `deny` installed in this folder
	rm -rf "$(CACHE)"
