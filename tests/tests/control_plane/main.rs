//! The operator's API against a real API server and controller-manager, without kubelets.
//! Run it by `make e2e`, or `cargo test --workspace --features driftkv-tests/e2e --test control_plane`.
//! Reading order: `plane` (the programs), `refusals` (bad manifests), `chart` (what Helm renders), `selftest`, then the operator
//! itself: `trials`, `site`, `wire` (where faults happen), `nodes` and `machines` (what is played), `verdict` (what must hold).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::ExitCode;

mod chart;
mod machines;
mod nodes;
mod plane;
mod refusals;
mod selftest;
mod site;
mod trials;
mod verdict;
mod whole;
mod wire;

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
        let mut plane = plane::Plane::start(programs).await;
        plane.install();
        // Order: the garbage collector looks for new kinds at its start, and then every half minute.
        plane.start_controllers();
        println!("{}", refusals::all(&plane));
        println!("{}", chart::all(&plane));
        println!("{}", selftest::all(&plane).await);
        let client = plane.client().await;
        machines::make(&client).await;
        machines::collector_knows_monitors(&client).await;
        let (trials, whole) = tokio::join!(trials::all(&client), whole::all(&client));
        for outcome in [&trials, &whole] {
            let (Ok(words) | Err(words)) = outcome;
            println!("{words}");
        }
        if trials.is_ok() && whole.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    })
}
