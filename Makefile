# Every command of the project; `make` lists them.
.DEFAULT_GOAL := help
CRD := crds/driftkv.io_kvclusters.yaml
# Helm reads no file outside of its chart.
CHART_CRD := charts/driftkv/files/kvclusters.yaml
RESULTS_SCHEMA := lab/schema/results-v1.json
.PHONY: help demo up check fix test test-long sim planted bench e2e e2e-kind

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## builds, then tells the whole story on five nodes: write, cut, heal, resolve, kill, recover
	cargo build --quiet --locked --no-default-features -p driftkv -p driftkv-node --bins
	@"$${CARGO_TARGET_DIR:-target}/debug/driftkv" demo

up: ## builds, then runs FILE (default: examples/local.yaml) as processes until Ctrl-C
	cargo build --quiet --locked --no-default-features -p driftkv -p driftkv-node --bins
	@exec "$${CARGO_TARGET_DIR:-target}/debug/driftkv" up -f $(or $(FILE),examples/local.yaml)

check: ## format, clippy, docs and the generated CRD, with warnings denied; changes nothing
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features driftkv-tests/e2e --locked -- -D warnings
	cargo clippy -p driftkv-tests --bin planted --features planted --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
	@cargo run --quiet --locked -p driftkv-operator --bin crdgen | diff -u $(CRD) - || { echo '$(CRD) is stale: make fix writes it anew'; exit 1; }
	@cmp $(CRD) $(CHART_CRD) || { echo '$(CHART_CRD) is stale: make fix writes it anew'; exit 1; }

fix: ## format, apply what clippy can, write the CRD and the schema of results.json anew
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo run --quiet --locked -p driftkv-operator --bin crdgen > $(CRD).new && mv $(CRD).new $(CRD)
	cp $(CRD) $(CHART_CRD)
	cargo run --quiet --locked -p driftkv-lab --example results_schema > $(RESULTS_SCHEMA).new && mv $(RESULTS_SCHEMA).new $(RESULTS_SCHEMA)

test: ## all tests
	cargo test --workspace --locked

sim: ## the simulator: SEEDS=20000 [FIRST=N], or SEED=7 TRACE=1
	cargo run --quiet --locked -p driftkv-tests --bin sim

planted: ## plants bugs one by one and shows what catches each
	cargo run --quiet --locked -p driftkv-tests --features planted --bin planted

bench: ## three durable nodes under load beside a calibration of this machine: BENCH_SECONDS=10 of each loop
	cargo build --quiet --release --locked -p driftkv-node -p driftkv-tests --bin driftkv-node --bin bench
	@"$${CARGO_TARGET_DIR:-target}/release/bench"

test-long: ## much more of what chance decides: 20,000 seeds, a storm of ten minutes, 500 damaged stores, mutated input, 100,000 histories a judge, 20 runs of an honest store, every fault at every call of the operator
	cargo build --quiet --locked --workspace --bins
	SEEDS=20000 cargo run --quiet --locked -p driftkv-tests --bin sim
	STORM_SECONDS=600 cargo test --locked -p driftkv-tests --test storm -- --nocapture
	DAMAGE_TRIALS=500 cargo test --locked -p driftkv-node --lib store::tests::damage -- --nocapture
	PROPTEST_CASES=20000 cargo test --locked -p driftkv-tests --test decoders
	JUDGE_HISTORIES=100000 cargo test --locked -p driftkv-lab judges
	JUDGED_RUNS=20 cargo test --locked -p driftkv-tests --test judged -- --nocapture
	CALLS=all cargo test --locked --workspace --features driftkv-tests/e2e --test control_plane

e2e: ## the operator and its clusters on a real Kubernetes: that of KUBECONFIG, else one of its own (Linux, root, Go); ONLY=words chooses
	tests/e2e/run $(ONLY)

e2e-kind: ## the same on a kind cluster (docker, kind, kubectl, helm)
	tests/e2e/run --kind $(ONLY)
