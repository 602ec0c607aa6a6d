//! Whom an operation has asked and not heard from, and when it wants to look at the clock.
//! Invariant: an operation has at most one timer, and none after it ended.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::Incarnation;
use crate::time::Time;

/// A node that was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) since: Time,
    /// The owner it stands in for.
    pub(crate) stands_for: Option<Incarnation>,
    /// Someone else was asked in its place; its answer counts all the same.
    pub(crate) is_late: bool,
}

/// Who has not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Waiting(BTreeMap<Incarnation, Asked>);

impl Waiting {
    pub(crate) fn ask(&mut self, node: Incarnation, since: Time, stands_for: Option<Incarnation>) {
        self.0.insert(node, Asked { since, stands_for, is_late: false });
    }

    pub(crate) fn waits_for(&self, node: Incarnation) -> bool {
        self.0.contains_key(&node)
    }

    /// It answered, or never will.
    pub(crate) fn remove(&mut self, node: Incarnation) -> Option<Asked> {
        self.0.remove(&node)
    }

    /// Whose place someone else must take: that of `node`, which is late, or gone. `None`: it was not asked, or was late before.
    pub(crate) fn replace(&mut self, node: Incarnation, is_gone: bool) -> Option<Incarnation> {
        let asked = self.0.get_mut(&node)?;
        let owner = asked.stands_for.unwrap_or(node);
        let was_late = std::mem::replace(&mut asked.is_late, true);
        if is_gone {
            self.0.remove(&node);
        }
        (!was_late).then_some(owner)
    }

    /// Nobody can answer any more.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nobody is waited for: who has not answered is late.
    pub(crate) fn is_patient(&self) -> bool {
        self.0.values().all(|asked| asked.is_late)
    }

    /// Who was asked `patience_ms` ago or earlier and is not known to be late; and when each was asked.
    pub(crate) fn late(&self, now: Time, patience_ms: u64) -> Vec<(Incarnation, Time)> {
        let is_late = |asked: &Asked| !asked.is_late && asked.since.plus(patience_ms) <= now;
        self.0.iter().filter(|(_, asked)| is_late(asked)).map(|(node, asked)| (*node, asked.since)).collect()
    }

    /// When the next one is late.
    pub(crate) fn next_late(&self, patience_ms: u64) -> Option<Time> {
        self.0.values().filter(|asked| !asked.is_late).map(|asked| asked.since.plus(patience_ms)).min()
    }
}

/// When each operation wants to look at the clock.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Time, u64)>,
    of: BTreeMap<u64, Time>,
}

impl Timers {
    pub(crate) fn set(&mut self, op: u64, at: Time) {
        if let Some(old) = self.of.insert(op, at) {
            self.due.remove(&(old, op));
        }
        self.due.insert((at, op));
    }

    pub(crate) fn remove(&mut self, op: u64) {
        if let Some(old) = self.of.remove(&op) {
            self.due.remove(&(old, op));
        }
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes one that is due.
    pub(crate) fn pop(&mut self, now: Time) -> Option<u64> {
        let (_, op) = self.due.first().copied().filter(|(at, _)| *at <= now)?;
        self.remove(op);
        Some(op)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Incarnation = Incarnation(1);
    const B: Incarnation = Incarnation(2);

    #[test]
    fn who_is_late_is_replaced_once_and_may_still_answer() {
        let mut waiting = Waiting::default();
        waiting.ask(A, Time(10), None);
        waiting.ask(B, Time(20), Some(Incarnation(9)));
        assert_eq!((waiting.next_late(5), waiting.late(Time(15), 5)), (Some(Time(15)), vec![(A, Time(10))]));
        assert_eq!((waiting.replace(A, false), waiting.replace(A, false)), (Some(A), None));
        assert_eq!((waiting.next_late(5), waiting.is_patient()), (Some(Time(25)), false));
        assert_eq!(waiting.replace(B, true), Some(Incarnation(9)));
        assert!(waiting.is_patient() && !waiting.is_empty() && waiting.waits_for(A));
        assert!(waiting.remove(A).is_some() && waiting.is_empty());
    }

    #[test]
    fn an_operation_has_one_timer() {
        let mut timers = Timers::default();
        timers.set(1, Time(50));
        timers.set(1, Time(20));
        timers.set(2, Time(30));
        assert_eq!((timers.next(), timers.pop(Time(19))), (Some(Time(20)), None));
        assert_eq!(timers.pop(Time(99)), Some(1));
        timers.remove(2);
        assert_eq!((timers.next(), timers.pop(Time(99))), (None, None));
    }
}
