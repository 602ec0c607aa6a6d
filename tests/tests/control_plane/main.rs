//! The whole controller against a real API server and controller-manager, without kubelets: what crashes, lost answers and a slow
//! or forgetful API server make of it.
//! Run it by `make e2e`, or `cargo test --workspace --features driftkv-tests/e2e --test control_plane`; words choose parts.
//! Reading order: `plane` (the programs), `machines` (pods that are said to run), `nodes` (what runs in them), `wire` (what happens to
//! calls), `site` (one cluster of a test), then the parts: `refusals`, `settled`, `crashes`, `rough`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::ExitCode;

mod plane;
mod refusals;

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
    });
    ExitCode::SUCCESS
}
