//! One seeded run: clients and faults (the safety phase), then the heal, the wait for convergence, and the judgement.
//! Everything follows from the seed: the shape of the cluster (`shape`), what clients do (`clients`), what fails (`faults`).

use driftkv_core::id::Key;
use driftkv_core::time::Time;

use crate::invariants::{Breach, Invariant, Judge};
use crate::trace::Trace;
use crate::world::{World, layout};

mod clients;
mod converge;
mod faults;
mod history;
mod shape;
use clients::Clients;
use faults::Faults;
use shape::Shape;

const SAFETY_MS: u64 = 4_000;

/// How a run is watched.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    /// Keeps a line for each event.
    pub is_traced: bool,
    /// Judges this invariant alone.
    pub only: Option<Invariant>,
}

/// What happened, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Puts sent, each once however often it was retried.
    pub puts: usize,
    /// Of these, acknowledged.
    pub acknowledged: usize,
    /// Gets answered.
    pub gets: usize,
    /// Covered values that a retry through another coordinator wrote again: tolerated.
    pub returned_by_retry: usize,
}

impl Counts {
    /// Adds another run's.
    pub fn add(&mut self, other: Counts) {
        self.puts += other.puts;
        self.acknowledged += other.acknowledged;
        self.gets += other.gets;
        self.returned_by_retry += other.returned_by_retry;
    }
}

/// What a run ended with.
pub struct Outcome {
    /// What did not hold; empty: everything held.
    pub breaches: Vec<Breach>,
    /// One line an event, if it was traced.
    pub trace: Vec<String>,
    /// What happened, in numbers.
    pub counts: Counts,
}

/// The `n`-th key of every run.
pub fn key(n: u32) -> Key {
    Key::new("b", format!("k{n}"))
}

/// Runs `seed` and says what is wrong, a panic included, and how to see it again; `Ok`: nothing is.
pub fn check(seed: u64) -> Result<Counts, String> {
    let outcome = std::panic::catch_unwind(|| run(seed, Watch::default()));
    let why = match outcome {
        Ok(outcome) => match outcome.breaches.first() {
            None => return Ok(outcome.counts),
            Some(breach) => format!("breaks {breach}"),
        },
        Err(_) => "panics".to_owned(),
    };
    Err(format!("seed {seed} {why}\n  replay it with: make sim SEED={seed} TRACE=1"))
}

/// Runs `seed` to its end.
pub fn run(seed: u64, watch: Watch) -> Outcome {
    let shape = Shape::of(seed);
    let judge = Judge::new(layout(shape.config), shape.config, watch.only);
    let mut world = World::new(seed, shape.config, shape.pace, judge, Trace::new(watch.is_traced));
    let mut clients = Clients::new(shape);
    let mut faults = Faults::new(shape);
    while world.now < Time(SAFETY_MS) && world.judge.breaches.is_empty() && world.advance() {
        clients.hear(&mut world);
        clients.act(&mut world);
        faults.disturb(&mut world);
    }
    if world.judge.breaches.is_empty() {
        faults.recover(&mut world);
        converge::converge(&mut world, &mut clients, shape.keys);
        for what in clients.history.broken() {
            world.judge.breach(Invariant::PromisesAreKept, what);
        }
    }
    let sent = &world.judge.facts.sent;
    let counts = Counts {
        puts: sent.len(),
        acknowledged: sent.values().filter(|s| s.is_acknowledged).count(),
        gets: clients.gets_answered,
        returned_by_retry: world.judge.facts.returned_by_retry,
    };
    Outcome { breaches: world.judge.breaches, trace: world.trace.lines(), counts }
}
