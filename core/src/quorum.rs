//! Counts who answered: primaries and fallbacks apart, each node once (Dynamo 4.5, 4.6).
//! Invariant: in strict mode a fallback never counts; one node never counts twice, however often it answers.

use std::collections::BTreeSet;

use crate::effect::{Achieved, Failure};
use crate::id::Incarnation;
use crate::planted::{Bug, planted};

/// Answers towards one decision.
#[derive(Clone, Debug)]
pub struct Quorum {
    needed: u32,
    is_sloppy: bool,
    primaries: BTreeSet<Incarnation>,
    fallbacks: BTreeSet<Incarnation>,
    repeats: u32,
}

impl Quorum {
    /// Nobody has answered yet. `is_sloppy`: fallbacks count.
    pub fn new(needed: u32, is_sloppy: bool) -> Self {
        Quorum { needed, is_sloppy, primaries: BTreeSet::new(), fallbacks: BTreeSet::new(), repeats: 0 }
    }

    /// Counts an answer; a second one of the same node changes nothing.
    pub fn add(&mut self, node: Incarnation, is_primary: bool) {
        let set =
            if is_primary || planted(Bug::FallbackCountsAsPrimary) { &mut self.primaries } else { &mut self.fallbacks };
        if !set.insert(node) && planted(Bug::AnswersCountedTwice) {
            self.repeats += 1;
        }
    }

    /// Enough have answered.
    pub fn is_reached(&self) -> bool {
        self.counted() >= self.needed
    }

    fn counted(&self) -> u32 {
        let fallbacks = if self.is_sloppy { self.fallbacks.len() as u32 } else { 0 };
        self.primaries.len() as u32 + self.repeats + fallbacks
    }

    /// The counts for the client.
    pub fn achieved(&self) -> Achieved {
        let primaries = self.primaries.len() as u32 + self.repeats;
        Achieved { primaries, fallbacks: self.fallbacks.len() as u32, is_strict: primaries >= self.needed }
    }

    /// The failure that says these counts.
    pub fn failure(&self, is_late: bool, maybe_applied: bool) -> Failure {
        let Achieved { primaries, fallbacks, .. } = self.achieved();
        let needed = self.needed;
        if is_late {
            Failure::DeadlineExceeded { needed, primaries, fallbacks, maybe_applied }
        } else {
            Failure::QuorumNotReached { needed, primaries, fallbacks, maybe_applied }
        }
    }
}
