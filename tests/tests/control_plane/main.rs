//! The operator's API against a real API server and controller-manager, without kubelets.
//! Run it by `make e2e`, or `cargo test --workspace --features driftkv-tests/e2e --test control_plane`;
//! words choose among selftest, succession and trials.
//! Reading order: `plane` (the programs), `refusals` (bad manifests), `chart` (what Helm renders), `selftest`, `succession` (processes
//! that take turns, by `link` and `audit`), then the operator itself: `trials`, `site`, `wire` (where faults happen), `nodes` and `machines` (what is played), `verdict` (what must hold).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::ExitCode;

mod audit;
mod chart;
mod link;
mod machines;
mod nodes;
mod plane;
mod refusals;
mod selftest;
mod site;
mod succession;
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
    // Cargo's own flags are of no use here.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(all(programs, &|part| words.is_empty() || words.iter().any(|word| word == part)))
}

async fn all(programs: std::path::PathBuf, is_chosen: &dyn Fn(&str) -> bool) -> ExitCode {
    let mut plane = plane::Plane::start(programs).await;
    plane.install();
    plane.start_controllers();
    println!("{}", refusals::all(&plane));
    println!("{}", chart::all(&plane));
    if is_chosen("selftest") {
        println!("{}", selftest::all(&plane).await);
    }
    if is_chosen("succession") {
        println!("{}", succession::all(&plane).await);
    }
    if !is_chosen("trials") {
        return ExitCode::SUCCESS;
    }
    let client = plane.client().await;
    machines::make(&client).await;
    machines::collector_knows_monitors(&client).await;
    let (references, calls) = match trials::references(&client).await {
        Ok(known) => known,
        Err(why) => {
            println!("{why}");
            return ExitCode::FAILURE;
        }
    };
    let references = std::sync::Arc::new(references);
    let trials = trials::all(&client, std::sync::Arc::clone(&references), &calls);
    let (trials, whole) = tokio::join!(trials, whole::all(&client, &references));
    for outcome in [&trials, &whole] {
        let (Ok(words) | Err(words)) = outcome;
        println!("{words}");
    }
    if trials.is_ok() && whole.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
