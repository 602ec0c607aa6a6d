//! `make sim SEEDS=20000 [FIRST=N]` runs many seeds on all cores; `make sim SEED=7 TRACE=1` replays one with its trace.
use std::env;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use driftkv_tests::run::{Counts, Watch, check, run};

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().filter(|v| !v.is_empty()).map(|v| match v.parse() {
        Ok(number) => number,
        Err(_) => {
            eprintln!("{name}={v} is not a number");
            std::process::exit(2);
        }
    })
}

/// Runs seeds until `until`, taking the next from `next`. How many failed, and what happened.
fn hunt(next: &AtomicU64, until: u64) -> (u64, Counts) {
    let (mut failed, mut counts) = (0, Counts::default());
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= until {
            return (failed, counts);
        }
        match check(seed) {
            Ok(of_one) => counts.add(of_one),
            Err(why) => {
                failed += 1;
                println!("{why}");
            }
        }
    }
}

fn show(counts: Counts) -> String {
    let Counts { puts, acknowledged, gets, returned_by_retry } = counts;
    format!(
        "{puts} puts, {acknowledged} acknowledged; {gets} gets answered; {returned_by_retry} covered values written again by retries"
    )
}

fn replay(seed: u64) -> ExitCode {
    let outcome = run(seed, Watch { is_traced: number("TRACE").unwrap_or(0) > 0, only: None });
    outcome.trace.iter().for_each(|line| println!("{line}"));
    println!("seed {seed}: {}", show(outcome.counts));
    outcome.breaches.iter().for_each(|breach| println!("BROKEN {breach}"));
    if outcome.breaches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn main() -> ExitCode {
    if let Some(seed) = number("SEED") {
        return replay(seed);
    }
    let (first, seeds) = (number("FIRST").unwrap_or(0), number("SEEDS").unwrap_or(1_000));
    let (next, began) = (AtomicU64::new(first), Instant::now());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut failed, mut counts) = (0, Counts::default());
    std::thread::scope(|scope| {
        let hunters: Vec<_> = (0..threads).map(|_| scope.spawn(|| hunt(&next, first + seeds))).collect();
        for hunter in hunters {
            let (of_one, what) = hunter.join().unwrap_or((1, Counts::default()));
            failed += of_one;
            counts.add(what);
        }
    });
    let rate = seeds as f64 / began.elapsed().as_secs_f64();
    println!("{}", show(counts));
    println!("{seeds} seeds from {first}: {failed} failed ({rate:.0} seeds/s)");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
