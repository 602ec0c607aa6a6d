//! How a run asked, as its history tells, and what that promises of the reads (docs/verdicts.md, What is promised).
//! Overlap: each read waits for R owners and each acknowledged write is on W, R + W > N: they share one, so a read brings every write that was
//! acknowledged before it began, or what covers it. A `monotonic` read waits for a majority, and leaves what it brings on a majority.
//! Invariant: what the loader was not told is not promised and not denied: `None`. One answer of a sloppy quorum ends all promises of overlap.

use serde::Serialize;

use super::Property;
use crate::history::{Op, Record};
use crate::load::Status;

/// What all requests of a run have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Conditions {
    /// `eventual` or `monotonic`.
    pub read_mode: String,
    /// Replicas of a key; the most that was told.
    pub n: Option<u32>,
    /// Replicas that a read waited for; the fewest that were asked for.
    pub r: Option<u32>,
    /// Replicas that had an acknowledged write on disk; the fewest that were asked for.
    pub w: Option<u32>,
    /// Answers of sloppy quorums, in which others stand in for owners.
    pub sloppy_answers: u64,
    /// Writes that were sent more than once: one may be applied again, after a delete that had seen it.
    pub retried_writes: u64,
    /// Requests of which the history does not say N, R or W.
    pub untold: u64,
}

impl Conditions {
    /// Takes note of one request.
    pub(super) fn add(&mut self, record: &Record) {
        if record.sent_ns.is_none() || record.status == Status::Fail {
            return;
        }
        self.sloppy_answers += u64::from(record.degraded == Some(true));
        let is_read = matches!(record.op, Op::Get | Op::RmwGet);
        let (quorum, asked) = if is_read { (&mut self.r, record.r) } else { (&mut self.w, record.w) };
        *quorum = quorum.iter().copied().chain(asked).min();
        self.retried_writes += u64::from(!is_read && record.attempts > 1);
        self.n = self.n.max(record.n);
        self.untold += u64::from(record.n.is_none() || asked.is_none());
    }

    /// Whether `property` is promised; `None`: the history does not say.
    pub fn promise(&self, property: Property) -> Option<bool> {
        match property {
            // Who tells terms promises what they are for.
            Property::Written | Property::OneLeader => Some(true),
            Property::Fresh | Property::ReadYourWrites => self.overlap(),
            Property::MonotonicReads => Some(self.is_monotonic() && self.sloppy_answers == 0),
            Property::MonotonicWrites | Property::WritesFollowReads | Property::Linearizable => Some(false),
        }
    }

    fn is_monotonic(&self) -> bool {
        self.read_mode == "monotonic"
    }

    /// Each read shares an owner with each acknowledged write.
    fn overlap(&self) -> Option<bool> {
        if self.sloppy_answers > 0 {
            return Some(false);
        }
        let (n, r, w) = (self.n?, self.r?, self.w?);
        let r = if self.is_monotonic() { r.max(n / 2 + 1) } else { r };
        (self.untold == 0).then_some(r.saturating_add(w) > n)
    }
}
