//! No acknowledged write is lost: at the end it is among the siblings, or was covered.
//! Source: design.md, What is promised. Crashes, cuts and loss of unsynced data are unlimited; no incarnation is wiped,
//! rolled back or banned in these runs, so the bound never excuses a loss, whatever W was.
//! Not here: whether what covered it was allowed to (`unseen_siblings_stay`).

use driftkv_core::causality::State;
use driftkv_core::id::Key;

use crate::facts::Facts;

/// What is missing from the state in which all replicas ended.
pub fn check(key: &Key, last: &State, facts: &Facts) -> Vec<String> {
    let acknowledged = facts.sent.iter().filter(|(_, s)| s.is_acknowledged && s.put.key == *key);
    let lost = acknowledged.filter(|(request, _)| !facts.mints_of(key, **request).any(|(dot, _)| last.knows(dot)));
    lost.map(|(request, sent)| {
        let dots = facts.dots_of.get(request);
        format!(
            "put {} of {:?}, acknowledged, is neither shown nor covered; its dots were {dots:?}",
            request.0 >> 64,
            sent.put.value
        )
    })
    .collect()
}
