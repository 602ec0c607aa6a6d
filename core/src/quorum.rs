//! Counts copies towards a quorum, one for each owner of the key: its own, or that of whoever stands in for it (Dynamo 4.5, 4.6).
//! Invariants: in strict mode a stand-in never counts; an owner and its stand-in are one copy, since the stand-in hands it
//! over; nobody counts twice, however often it answers.

use std::collections::BTreeMap;

use crate::effect::{Achieved, Failure};
use crate::id::Incarnation;
use crate::planted::{Bug, planted};

/// Answers towards one decision.
#[derive(Clone, Debug)]
pub struct Quorum {
    needed: u32,
    is_sloppy: bool,
    /// For which owners there is an answer, and whether it is the owner's own.
    owners: BTreeMap<Incarnation, bool>,
    repeats: u32,
}

impl Quorum {
    /// Nobody has answered yet. `is_sloppy`: stand-ins count.
    pub fn new(needed: u32, is_sloppy: bool) -> Self {
        Quorum { needed, is_sloppy, owners: BTreeMap::new(), repeats: 0 }
    }

    /// Counts an answer of `node`, for itself or for the owner it stands in for.
    pub fn add(&mut self, node: Incarnation, stands_for: Option<Incarnation>) {
        let is_owner = stands_for.is_none() || planted(Bug::FallbackCountsAsPrimary);
        let answers = self.owners.len();
        *self.owners.entry(stands_for.unwrap_or(node)).or_default() |= is_owner;
        if answers == self.owners.len() && planted(Bug::AnswersCountedTwice) {
            self.repeats += 1;
        }
    }

    /// Enough have answered.
    pub fn is_reached(&self) -> bool {
        let Achieved { primaries, fallbacks, .. } = self.achieved();
        primaries + if self.is_sloppy { fallbacks } else { 0 } >= self.needed
    }

    /// The counts for the client.
    pub fn achieved(&self) -> Achieved {
        let own = self.owners.values().filter(|is_own| **is_own).count() as u32;
        let (primaries, fallbacks) = (own + self.repeats, self.owners.len() as u32 - own);
        Achieved { primaries, fallbacks, is_strict: primaries >= self.needed }
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

#[cfg(test)]
mod tests {
    use super::*;

    const OWNERS: [Incarnation; 3] = [Incarnation(1), Incarnation(2), Incarnation(3)];
    const OTHER: Incarnation = Incarnation(9);

    #[test]
    fn an_owner_and_its_stand_in_are_one_copy() {
        let mut quorum = Quorum::new(3, true);
        quorum.add(OWNERS[0], None);
        quorum.add(OTHER, Some(OWNERS[1]));
        quorum.add(OWNERS[1], None);
        assert!(!quorum.is_reached());
        assert_eq!(quorum.achieved(), Achieved { primaries: 2, fallbacks: 0, is_strict: false });
        quorum.add(OTHER, Some(OWNERS[2]));
        assert!(quorum.is_reached());
        assert_eq!(quorum.achieved(), Achieved { primaries: 2, fallbacks: 1, is_strict: false });
    }

    #[test]
    fn a_second_answer_changes_nothing() {
        let mut quorum = Quorum::new(2, true);
        for _ in 0..3 {
            quorum.add(OWNERS[0], None);
            quorum.add(OTHER, Some(OWNERS[0]));
        }
        assert!(!quorum.is_reached());
    }

    #[test]
    fn in_strict_mode_a_stand_in_is_told_and_does_not_count() {
        let mut quorum = Quorum::new(2, false);
        quorum.add(OWNERS[0], None);
        quorum.add(OTHER, Some(OWNERS[1]));
        assert!(!quorum.is_reached());
        let failure = Failure::QuorumNotReached { needed: 2, primaries: 1, fallbacks: 1, maybe_applied: true };
        assert_eq!(quorum.failure(false, true), failure);
    }
}
