//! No deleted value returns: what a put that took effect had covered is not among the final siblings.
//! Source: design.md, Causality (floors) and Put. The covered write event itself may never return. The same request may,
//! under another dot, if its client had sent it again: a retry through a second coordinator may write once more.
//! That is counted; one that was sent only once may not.

use driftkv_core::causality::{Dot, State};
use driftkv_core::effect::Intent;
use driftkv_core::id::{Key, RequestId};

use crate::facts::{Facts, Sent, covers, hides};
use crate::trace;

/// What returned wrongly, and how many values a retry wrote again.
pub fn check(key: &Key, last: &State, facts: &Facts) -> (Vec<String>, usize) {
    let (mut broken, mut by_retry) = (Vec::new(), 0);
    let took_effect = |request: &RequestId| facts.mints_of(key, *request).any(|(dot, _)| last.knows(dot));
    let puts =
        facts.sent.iter().filter(|(request, s)| s.put.key == *key && (s.is_acknowledged || took_effect(request)));
    for (request, sent) in puts {
        for (dot, payload) in last.dots().filter(|(_, p)| p.value.is_some() && p.request != *request) {
            if has_covered(facts, key, last, *request, sent, dot) {
                broken.push(format!("{:?} is back, covered by put {}", payload.value, request.0 >> 64));
            } else if sent.put.intent == Intent::WithContext && sent.seen.contains(&payload.request) {
                let is_retried = facts.sent.get(&payload.request).is_some_and(|s| s.attempts > 1);
                by_retry += usize::from(is_retried);
                if !is_retried {
                    broken.push(format!("{:?} is back as {}, though it was sent once", payload.value, trace::dot(dot)));
                }
            }
        }
    }
    (broken, by_retry)
}

/// Whether what is left of this put must have covered `dot`.
fn has_covered(facts: &Facts, key: &Key, last: &State, request: RequestId, sent: &Sent, dot: Dot) -> bool {
    let by_context = sent.put.intent == Intent::WithContext && covers(&sent.context, dot);
    by_context || facts.mints_of(key, request).any(|(own, mint)| last.knows(own) && hides(&mint.after, dot))
}
