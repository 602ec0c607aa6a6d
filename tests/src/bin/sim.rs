//! `make sim SEEDS=20000 [FIRST=N]` runs many seeds; `make sim SEED=7 TRACE=1` replays one with its trace.
use std::env;
use std::process::ExitCode;

use driftkv_tests::run::run;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().filter(|v| !v.is_empty()).map(|v| match v.parse() {
        Ok(number) => number,
        Err(_) => {
            eprintln!("{name}={v} is not a number");
            std::process::exit(2);
        }
    })
}

/// Runs every `step`-th seed; returns how many failed.
fn hunt(seeds: impl Iterator<Item = u64>) -> u64 {
    let mut failed = 0;
    for seed in seeds {
        let outcome = run(seed);
        if !outcome.broken.is_empty() {
            failed += 1;
            println!("seed {seed} breaks: {}", outcome.broken.join("; "));
            println!("  replay it with: make sim SEED={seed} TRACE=1");
        }
    }
    failed
}

fn main() -> ExitCode {
    if let Some(seed) = number("SEED") {
        let outcome = run(seed);
        if number("TRACE").unwrap_or(0) > 0 {
            outcome.trace.iter().for_each(|line| println!("{line}"));
        }
        let [acknowledged, sent, read] = outcome.counts;
        println!("seed {seed}: {sent} puts sent, {acknowledged} acknowledged, {read} gets answered");
        outcome.broken.iter().for_each(|line| println!("BROKEN {line}"));
        return if outcome.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let (first, seeds) = (number("FIRST").unwrap_or(0), number("SEEDS").unwrap_or(1_000));
    let other = std::thread::spawn(move || hunt((first..first + seeds).filter(|s| s % 2 == 1)));
    let failed = hunt((first..first + seeds).filter(|s| s % 2 == 0)) + other.join().unwrap_or(1);
    println!("{seeds} seeds from {first}: {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
