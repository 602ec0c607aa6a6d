//! `make planted`: plants each bug in turn and runs seeds until the invariant that guards against it says so.
//! That invariant is judged alone, so the catch is its own; and the same seed without the bug must be clean.
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use driftkv_core::planted::{Bug, plant};
use driftkv_tests::invariants::Invariant;
use driftkv_tests::run::{Watch, check, run};

const SEEDS: u64 = 5_000;

/// Which invariant catches which bug.
const PLANTED: [(Bug, Invariant); 21] = [
    (Bug::EffectBeforeSync, Invariant::NothingUnsyncedShows),
    (Bug::CoversUnseen, Invariant::AcknowledgedWritesStay),
    (Bug::LoneValue, Invariant::UnseenSiblingsStay),
    (Bug::NoFreshEpochOnAbsentKey, Invariant::OneDotOneValue),
    (Bug::EpochSurvivesCrash, Invariant::OneDotOneValue),
    (Bug::HintDeletedUnchecked, Invariant::HintsGoHome),
    (Bug::AnswersCountedTwice, Invariant::HonestQuorums),
    (Bug::RepairOverwrites, Invariant::StatesOnlyGrow),
    (Bug::ForwardsTwice, Invariant::ForwardedOnce),
    (Bug::FallbackCountsAsPrimary, Invariant::HonestQuorums),
    (Bug::MonotonicSkipsRepair, Invariant::MonotonicReads),
    (Bug::CoversUnseen, Invariant::UnseenSiblingsStay),
    (Bug::MergeForgetsFloor, Invariant::DeletedValuesStayAway),
    (Bug::HintsNeverDrain, Invariant::HintsGoHome),
    (Bug::AntiEntropySendsNothing, Invariant::ReplicasConverge),
    (Bug::RequestIdLost, Invariant::OneRequestOneWrite),
    (Bug::DoubledForwardRunsTwice, Invariant::OneRequestOneWrite),
    (Bug::DeadlinesIgnored, Invariant::EveryRequestEnds),
    (Bug::AnnouncesUnsynced, Invariant::NoFalseFence),
    (Bug::AnswersCountedTwice, Invariant::PromisesAreKept),
    (Bug::CoversUnseen, Invariant::PromisesAreKept),
];

/// Plants `bug` and looks for a seed in which `invariant` says so; `Err`: why there is none.
fn hunt(bug: Bug, invariant: Invariant) -> Result<(u64, String), String> {
    plant(Some(bug));
    let watch = Watch { is_traced: false, only: Some(invariant) };
    let found = (0..SEEDS).find_map(|seed| run(seed, watch).breaches.first().map(|breach| (seed, breach.what.clone())));
    plant(None);
    let (seed, what) = found.ok_or_else(|| format!("NOT caught in {SEEDS} seeds"))?;
    check(seed).map(|_| (seed, what)).map_err(|why| format!("seed {seed} fails without the bug: {why}"))
}

/// Takes bugs from the list until none is left; returns how many were caught.
fn hunt_all(next: &AtomicUsize) -> usize {
    let mut caught = 0;
    while let Some((bug, invariant)) = PLANTED.get(next.fetch_add(1, Ordering::Relaxed)) {
        let began = Instant::now();
        let found = hunt(*bug, *invariant);
        let (bug, invariant, seconds) = (format!("{bug:?}"), format!("{invariant:?}"), began.elapsed().as_secs_f64());
        caught += usize::from(found.is_ok());
        let line = match found {
            Ok((seed, what)) => format!("seed {seed:<4} {}", what.chars().take(90).collect::<String>()),
            Err(why) => why,
        };
        println!("{bug:<24} {invariant:<24} {seconds:>5.1} s  {line}");
    }
    caught
}

fn main() -> ExitCode {
    let unproven: Vec<Invariant> =
        Invariant::ALL.into_iter().filter(|i| !PLANTED.iter().any(|(_, by)| by == i)).collect();
    let unplanted: Vec<Bug> = Bug::ALL.into_iter().filter(|b| !PLANTED.iter().any(|(bug, _)| bug == b)).collect();
    if !unproven.is_empty() || !unplanted.is_empty() {
        eprintln!("no bug is planted for {unproven:?}, and nothing is said to catch {unplanted:?}");
    }
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let caught: usize = std::thread::scope(|scope| {
        let hunters: Vec<_> = (0..threads).map(|_| scope.spawn(|| hunt_all(&next))).collect();
        hunters.into_iter().map(|hunter| hunter.join().unwrap_or(0)).sum()
    });
    println!("caught {caught} of {}", PLANTED.len());
    let is_proven = caught == PLANTED.len() && unproven.is_empty() && unplanted.is_empty();
    if is_proven { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
