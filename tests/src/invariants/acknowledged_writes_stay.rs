//! No acknowledged write is lost: at the end it is among the siblings, or was covered by a put that may cover it.
//! Source: design.md, What is promised. Crashes, cuts and loss of unsynced data are unlimited; no incarnation is wiped,
//! rolled back or banned in these runs, so the bound never excuses a loss, whatever W was.
//! A tombstone is lost only if nothing is left of it: no client is shown one, so any put may cover it.

use driftkv_core::causality::{Dot, State};
use driftkv_core::id::{Key, RequestId};

use crate::facts::{Facts, Sent, hides};
use crate::trace;

/// What is missing from the state in which all replicas ended.
pub fn check(key: &Key, last: &State, facts: &Facts) -> Vec<String> {
    let acknowledged = facts.sent.iter().filter(|(_, s)| s.is_acknowledged && s.put.key == *key);
    let lost = acknowledged.filter(|(request, sent)| {
        let is_shown = last.dots().any(|(_, payload)| payload.request == **request);
        !is_shown && !facts.mints_of(key, **request).any(|(dot, _)| is_covered(key, last, facts, dot, **request, sent))
    });
    lost.map(|(request, sent)| {
        let dots: Vec<String> = facts.dots_of.get(request).into_iter().flatten().map(|dot| trace::dot(*dot)).collect();
        let number = request.0 >> 64;
        format!(
            "put {number} of {:?}, acknowledged, is neither shown nor covered; its dots were {dots:?}",
            sent.put.value
        )
    })
    .collect()
}

fn is_covered(key: &Key, last: &State, facts: &Facts, dot: Dot, request: RequestId, sent: &Sent) -> bool {
    let is_allowed = || facts.sent.keys().any(|by| facts.may_cover(key, *by, dot, request));
    hides(last, dot) && (sent.put.value.is_none() || is_allowed())
}
