//! `make planted`: plants each bug in turn and runs seeds until the simulator catches it.
use std::process::ExitCode;

use driftkv_core::planted::{Bug, plant};
use driftkv_tests::run::run;

const SEEDS: u64 = 3_000;

fn main() -> ExitCode {
    let mut caught = 0;
    for bug in Bug::ALL {
        plant(Some(bug));
        let found = (0..SEEDS).find_map(|seed| run(seed).broken.first().map(|why| (seed, why.clone())));
        match found {
            Some((seed, why)) => {
                caught += 1;
                println!("{bug:?}: seed {seed}: {}", why.chars().take(100).collect::<String>());
            }
            None => println!("{bug:?}: NOT caught in {SEEDS} seeds"),
        }
    }
    println!("caught {caught} of {}", Bug::ALL.len());
    if caught == Bug::ALL.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
