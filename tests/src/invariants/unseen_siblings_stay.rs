//! No sibling is dropped that no client saw: what the final state has covered was covered by a put whose client had
//! been shown it, or by an `overwrite_all` that had it covered when it was minted.
//! Source: design.md, Put (the intents) and Causality (contexts are exact).
//! A tombstone is no sibling that a client is shown, so it may go unseen (`create_only` covers nothing else).

use driftkv_core::causality::State;
use driftkv_core::id::Key;

use crate::facts::{Facts, hides};
use crate::trace;

/// What was covered without a right.
pub fn check(key: &Key, last: &State, facts: &Facts) -> Vec<String> {
    let mut broken = Vec::new();
    let mints = facts.mints.iter().filter(|((of, _), mint)| of == key && mint.payload.value.is_some());
    for ((_, dot), mint) in mints.filter(|((_, dot), _)| hides(last, *dot)) {
        let written_by = mint.payload.request;
        if !facts.sent.keys().any(|request| facts.may_cover(key, *request, *dot, written_by)) {
            broken.push(format!("{:?} ({}) is covered, and no put had seen it", mint.payload.value, trace::dot(*dot)));
        }
    }
    broken
}
