//! The operator's API against a real API server and controller-manager, without kubelets.
//! Run it by `make e2e`, or `cargo test --workspace --features driftkv-tests/e2e --test control_plane`.
//! Reading order: `plane` (the programs), `refusals`, `chart` (what Helm renders), `selftest`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::ExitCode;

mod chart;
mod plane;
mod refusals;
mod selftest;

fn main() -> ExitCode {
    let programs = match plane::programs() {
        Ok(programs) => programs,
        Err(why) => {
            eprintln!("control_plane: skipped: {why}");
            return if std::env::var_os("REQUIRE_ALL").is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let plane = plane::Plane::start(programs).await;
        plane.install();
        println!("{}", refusals::all(&plane));
        println!("{}", chart::all(&plane));
        println!("{}", selftest::all(&plane).await);
    });
    ExitCode::SUCCESS
}
