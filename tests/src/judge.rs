//! What clients saw and did, and whether the end state honours it (design.md, What is promised).
//! A put is known by its request id; what a context has seen is the set of requests its read showed.

use std::collections::{BTreeMap, BTreeSet};

use driftkv_core::causality::Context;
use driftkv_core::id::{Key, RequestId};

/// One put that a client sent, perhaps several times.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Which key.
    pub key: Key,
    /// What its context had seen.
    pub seen: BTreeSet<RequestId>,
    /// It replaces what the replicas showed, seen by the client or not.
    pub is_overwrite: bool,
    /// A tombstone.
    pub is_delete: bool,
    /// How often it was sent.
    pub attempts: u32,
    /// A success was heard.
    pub is_acknowledged: bool,
}

/// All puts and monotonic reads of a run.
#[derive(Default)]
pub struct Judge {
    /// By request id.
    pub sent: BTreeMap<RequestId, Sent>,
    /// The joined contexts of completed monotonic reads.
    pub monotonic: BTreeMap<Key, Context>,
}

impl Judge {
    /// No acknowledged write lost, and no sibling dropped that no client saw: what is not among the final siblings
    /// was seen by a put that was sent (`overwrite_all` exempt). No deleted value returns: what an acknowledged put
    /// had seen is not there (unless a retry wrote it again).
    pub fn check(&self, key: &Key, shown: &BTreeSet<RequestId>) -> Vec<String> {
        let puts = || self.sent.iter().filter(|(_, s)| s.key == *key);
        let has_overwrite = puts().any(|(_, s)| s.is_overwrite);
        let mut broken = Vec::new();
        for (request, _) in puts().filter(|(_, s)| s.is_acknowledged && !s.is_delete) {
            let is_covered = puts().any(|(other, s)| other != request && s.seen.contains(request));
            if !shown.contains(request) && !is_covered && !has_overwrite {
                broken.push(format!("no acknowledged write lost: {request:?} of {key:?}"));
            }
        }
        for (request, sent) in puts().filter(|(_, s)| s.is_acknowledged) {
            for old in sent.seen.iter().filter(|old| *old != request && shown.contains(*old)) {
                if self.sent.get(old).is_some_and(|s| s.attempts == 1) {
                    broken.push(format!("no deleted value returns: {old:?}, covered by {request:?}"));
                }
            }
        }
        for request in shown.iter().filter(|request| !self.sent.contains_key(*request)) {
            broken.push(format!("all dots of one request id are one write: {request:?} was never sent"));
        }
        broken
    }

    /// Monotonic reads: one that began after another ended covers all that the other covered.
    pub fn check_monotonic(&self, before: &Context, now: &Context) -> Option<String> {
        let missing = before.0.iter().find(|(actor, top)| now.0.get(*actor).is_none_or(|t| t < *top));
        missing.map(|(actor, top)| {
            format!("monotonic reads: {actor:?} was read up to {top}, now up to {:?}", now.0.get(actor))
        })
    }
}
