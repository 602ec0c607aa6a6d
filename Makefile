# Every command of the project; `make` lists them.
.DEFAULT_GOAL := help
export SEED SEEDS FIRST TRACE
.PHONY: help demo up check fix test test-long sim planted

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## builds, then tells the whole story on five nodes: write, cut, heal, resolve, kill, recover
	cargo build --quiet --locked -p driftkv -p driftkv-node --bins
	@"$${CARGO_TARGET_DIR:-target}/debug/driftkv" demo

up: ## builds, then runs FILE (default: examples/local.yaml) as processes until Ctrl-C
	cargo build --quiet --locked -p driftkv -p driftkv-node --bins
	@exec "$${CARGO_TARGET_DIR:-target}/debug/driftkv" up -f $(or $(FILE),examples/local.yaml)

check: ## format, clippy and docs with warnings denied; changes nothing
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

fix: ## format, and apply what clippy can
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged

test: ## all tests
	cargo test --workspace --locked

sim: ## the simulator: SEEDS=20000 [FIRST=N], or SEED=7 TRACE=1
	cargo run --quiet --locked -p driftkv-tests --bin sim

planted: ## plants bugs one by one and shows what catches each
	cargo run --quiet --locked -p driftkv-tests --features planted --bin planted

test-long: ## 20,000 seeds
	SEEDS=20000 cargo run --quiet --locked -p driftkv-tests --bin sim
