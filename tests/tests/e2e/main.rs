//! The whole product on a real Kubernetes, as a user would: helm, kubectl, a Job that loads, and what becomes of it.
//! Run it by `make e2e`; words on the command line choose scenarios. Reading order: `scenarios`, then `site` (one namespace of a test),
//! `load` (clients), `kube` (kubectl and waiting).
//! Every scenario has a namespace of its own, in which pod security `restricted` is enforced; it prints what it took, and fails only at
//! four times the wanted time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

mod kube;
mod load;
mod probe;
mod report;
mod scenarios;
mod site;

use report::Report;

fn main() -> ExitCode {
    // Cargo's own flags are of no use here.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let chosen = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    // Where a scenario failed; why is told at its end.
    std::panic::set_hook(Box::new(|panic| {
        println!("   at {}", panic.location().map(ToString::to_string).unwrap_or_default())
    }));
    println!("{}", kube::version());
    let operator = site::Operator::install();
    let mut report = Report::default();
    for (name, scenario) in scenarios::ALL.iter().filter(|(name, _)| chosen(name)) {
        println!("\n== {name}");
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| scenario(&operator)));
        let why = outcome.err().map(|panic| words_of(panic.as_ref()));
        let (took, has_failed) = (began.elapsed(), why.is_some());
        report.add(name, took, why);
        if has_failed {
            println!("{}", operator.log());
            site::look_back();
            operator.restore();
        }
    }
    site::close();
    print!("{}", report.text());
    report.keep();
    if report.is_green() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}

/// What something should take; a suite on a shared machine fails only at four times that.
fn wanted(what: &str, took: Duration, wanted: Duration) {
    report::note(what, took, wanted);
    assert!(took <= 4 * wanted, "{what} took {:.1} s, wanted {} s", took.as_secs_f64(), wanted.as_secs());
}
