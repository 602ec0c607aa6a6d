//! One fault as this node injects it: what it draws, and what it did.
//! Each link has its own generator, seeded by the experiment's seed, the place of the fault and the names of both ends: the same seed draws
//! the same for a link, whatever happens on the others.

use std::{collections::BTreeMap, time::Duration};

use driftkv_proto::{
    faults::{DropRule, Experiment, Fault},
    v1,
};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use tokio::time::Instant;
use twox_hash::XxHash3_64;

use super::{
    Copy,
    schedule::{self, Phase},
};

/// What faults of a disk have instead of another end: no node has this name.
const DISK: &str = "";

/// One fault of an active experiment.
#[derive(Debug)]
pub(super) struct Injected {
    pub(super) fault: Fault,
    pub(super) counters: v1::FaultCounters,
    /// What the generators of its links are seeded with, besides the other end.
    seed: u64,
    /// By the node at the other end.
    links: BTreeMap<String, Link>,
    /// The repetition in which this pause held last.
    last_pause: Option<u64>,
    /// When a crash may come at the earliest.
    crash_from: Duration,
}

/// A crash waits so long that the node can still say that it took the experiment, but no longer than half of it.
const CRASH_FROM: Duration = Duration::from_millis(200);

#[derive(Debug)]
struct Link {
    seen: u64,
    generator: Xoshiro256PlusPlus,
}

impl Link {
    /// Uniform in [0, 1).
    fn draw(&mut self) -> f64 {
        self.generator.random()
    }
}

impl Injected {
    /// The `index`-th fault of this `experiment`, on the node `here`.
    pub(super) fn new(fault: &Fault, here: &str, experiment: &Experiment, index: usize) -> Self {
        let applies_here = fault.touches(here);
        // A clock is moved once, when the experiment begins.
        let activations = u64::from(applies_here && matches!(fault, Fault::ClockSkew { .. }));
        let counters = v1::FaultCounters { fault: fault.to_flow(), applies_here, activations, ..Default::default() };
        let seed = XxHash3_64::oneshot_with_seed(experiment.seed, format!("{index}/{here}").as_bytes());
        let crash_from = CRASH_FROM.min(Duration::from_millis(experiment.for_ms) / 2);
        Self { fault: fault.clone(), counters, seed, links: BTreeMap::new(), last_pause: None, crash_from }
    }

    /// Whether some message from or to this node may meet it.
    pub(super) fn meets_messages(&self) -> bool {
        let is_of_links = matches!(
            self.fault,
            Fault::Delay { .. }
                | Fault::Drop { .. }
                | Fault::Duplicate { .. }
                | Fault::Reorder { .. }
                | Fault::Partition(_)
        );
        is_of_links && self.counters.applies_here
    }

    /// Whether a message to `to`, on one of its links, is lost.
    pub(super) fn loses(&mut self, to: &str) -> bool {
        let is_lost = match self.fault {
            Fault::Partition(_) => true,
            Fault::Drop { rule: DropRule::Rate(rate), .. } => self.meet(to).draw() < rate,
            Fault::Drop { rule: DropRule::EveryNth(every), .. } => self.meet(to).seen.is_multiple_of(every),
            _ => return false,
        };
        self.count_loss(is_lost);
        is_lost
    }

    /// Whether a message from `from` to `here` is lost on arrival.
    pub(super) fn loses_incoming(&mut self, from: &str, here: &str) -> bool {
        let is_lost = matches!(self.fault, Fault::Partition(_)) && self.fault.matches_link(from, here);
        if is_lost {
            self.count_loss(true);
        }
        is_lost
    }

    /// Whether a message to `to`, on one of its links, is delivered once more.
    pub(super) fn duplicates(&mut self, to: &str) -> bool {
        let Fault::Duplicate { rate, .. } = self.fault else { return false };
        let is_doubled = self.meet(to).draw() < rate;
        self.counters.seen += 1;
        self.counters.duplicated += u64::from(is_doubled);
        is_doubled
    }

    /// Adds what it takes longer to one copy of a message to `to`, on one of its links.
    pub(super) fn hold(&mut self, to: &str, copy: &mut Copy) {
        match self.fault {
            Fault::Delay { law, .. } => {
                let delay = duration(law.sample_ms(self.meet(to).draw()));
                copy.delay += delay;
                self.counters.seen += 1;
                self.counters.delayed += u64::from(!delay.is_zero());
            }
            Fault::Reorder { rate, window_ms, .. } => {
                let link = self.meet(to);
                // Order: both are drawn whatever the first says, so that another rate leaves the windows as they were.
                let (chance, part) = (link.draw(), 1.0 - link.draw());
                self.counters.seen += 1;
                if chance < rate {
                    copy.held_back += duration(window_ms as f64 * part);
                    self.counters.reordered += 1;
                }
            }
            _ => {}
        }
    }

    /// Whether it is one of this node's disk.
    pub(super) fn meets_disk(&self) -> bool {
        matches!(self.fault, Fault::SlowDisk { .. } | Fault::DiskError { .. }) && self.counters.applies_here
    }

    /// By how much it holds back the next sync of this node, if it is of that kind.
    pub(super) fn hold_disk(&mut self) -> Option<Duration> {
        let Fault::SlowDisk { law, .. } = self.fault else { return None };
        if !self.counters.applies_here {
            return None;
        }
        let delay = duration(law.sample_ms(self.meet(DISK).draw()));
        self.counters.seen += 1;
        self.counters.delayed += u64::from(!delay.is_zero());
        Some(delay)
    }

    /// Whether it fails the next sync of this node.
    pub(super) fn fails_disk(&mut self) -> bool {
        let Fault::DiskError { rate, .. } = self.fault else { return false };
        let fails = self.counters.applies_here && self.meet(DISK).draw() < rate;
        self.counters.seen += u64::from(self.counters.applies_here);
        self.counters.activations += u64::from(fails);
        fails
    }

    /// How far it moves the clock of this node, in milliseconds.
    pub(super) fn skew_ms(&self) -> i64 {
        match self.fault {
            Fault::ClockSkew { by_ms, .. } if self.counters.applies_here => by_ms,
            _ => 0,
        }
    }

    /// Whether a crash of the node `here` is due `elapsed` after the experiment's start. True once.
    pub(super) fn take_crash(&mut self, here: &str, elapsed: Duration) -> bool {
        let is_due = self.crash_at(here).is_some_and(|at| at <= elapsed);
        self.counters.activations += u64::from(is_due);
        is_due
    }

    /// Whether it holds the node `here` now, `elapsed` after the experiment's start. Each pause is counted when first seen.
    pub(super) fn pauses(&mut self, here: &str, elapsed: Duration) -> bool {
        let Some(Phase { index, is_down: true, .. }) = self.phase(here, elapsed) else { return false };
        if self.last_pause.replace(index) != Some(index) {
            self.counters.activations += 1;
        }
        true
    }

    /// When a pause or crash of the node `here` begins or ends next, in an experiment that began at `started`.
    pub(super) fn next_turn(&self, here: &str, started: Instant, now: Instant) -> Option<Instant> {
        let elapsed = now.saturating_duration_since(started);
        let pause = self.phase(here, elapsed).and_then(|phase| phase.turns_in).map(|wait| now + wait);
        pause.or_else(|| self.crash_at(here).map(|at| started + at))
    }

    fn phase(&self, here: &str, elapsed: Duration) -> Option<Phase> {
        match self.fault {
            Fault::Pause { down_ms, every_ms, .. } if self.fault.matches_node(here) => {
                Some(schedule::phase(down_ms, every_ms, elapsed))
            }
            _ => None,
        }
    }

    fn crash_at(&self, here: &str) -> Option<Duration> {
        let Fault::Crash { after_ms, .. } = self.fault else { return None };
        let is_to_come = self.counters.activations == 0 && self.fault.matches_node(here);
        is_to_come.then(|| Duration::from_millis(after_ms).max(self.crash_from))
    }

    fn count_loss(&mut self, is_lost: bool) {
        self.counters.seen += 1;
        self.counters.dropped += u64::from(is_lost);
    }

    /// The link to `to`, with one message more.
    fn meet(&mut self, to: &str) -> &mut Link {
        let seed = self.seed;
        let link = self.links.entry(to.to_owned()).or_insert_with(|| Link {
            seen: 0,
            generator: Xoshiro256PlusPlus::seed_from_u64(XxHash3_64::oneshot_with_seed(seed, to.as_bytes())),
        });
        link.seen += 1;
        link
    }
}

/// The cast saturates, so no number, however wrong, panics.
fn duration(ms: f64) -> Duration {
    Duration::from_micros((ms * 1_000.0) as u64)
}
