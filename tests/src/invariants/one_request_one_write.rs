//! All dots of one request id are one write: shown as one sibling, with the value that was sent; a primary mints it at
//! most once a boot; one that was refused for certain wrote nothing.
//! Source: design.md, Put (request ids); `core/src/effect.rs`, `Failure`.

use std::collections::BTreeSet;

use driftkv_core::causality::{Dot, State};
use driftkv_core::effect::{Failure, Reply};
use driftkv_core::id::{Key, RequestId};

use crate::facts::Facts;
use crate::trace;
use crate::world::index;

/// What an answer to a get shows wrongly.
pub fn shown(token: u64, outcome: &Result<Reply, Failure>, facts: &Facts) -> Vec<String> {
    let (Some(get), Ok(Reply::Get { siblings, .. })) = (facts.get_of(token), outcome) else { return Vec::new() };
    let mut requests = BTreeSet::new();
    let mut broken = Vec::new();
    for payload in siblings {
        if !requests.insert(payload.request) {
            broken.push(format!("put {} is shown twice", payload.request.0 >> 64));
        }
        let sent = facts.sent.get(&payload.request);
        if sent.is_none_or(|s| s.put.key != get.key || s.put.value != payload.value) {
            broken.push(format!("{:?} is shown as put {:?}, which did not write it", payload.value, payload.request));
        }
    }
    broken
}

/// What a state shows that was minted twice by one boot of a primary.
pub fn minted(key: &Key, state: &State, facts: &Facts) -> Vec<String> {
    let mint_of = |dot: Dot| facts.mints.get(&(key.clone(), dot));
    let twice = state.dots().filter(|(dot, _)| mint_of(*dot).is_none()).filter_map(|(dot, payload)| {
        let node = index(dot.actor.incarnation);
        let is_same_boot = |other: &&Dot| {
            other.actor.incarnation == dot.actor.incarnation
                && mint_of(**other).is_some_and(|mint| mint.boot == facts.boot_of(node))
        };
        let other = facts.dots_of.get(&payload.request)?.iter().find(is_same_boot)?;
        let what = || {
            format!(
                "one boot minted {} and {} for put {}",
                trace::dot(*other),
                trace::dot(dot),
                payload.request.0 >> 64
            )
        };
        facts.is_primary(node, key).then(what)
    });
    twice.collect()
}

/// What the final state shows that nobody sent, or that was refused.
pub fn check(key: &Key, last: &State, facts: &Facts) -> Vec<String> {
    let unsent = last.dots().filter(|(_, p)| !facts.sent.contains_key(&p.request));
    let mut broken: Vec<String> =
        unsent.map(|(dot, p)| format!("{} shows {:?}, which nobody sent", trace::dot(dot), p.request)).collect();
    let wrote = |request: &RequestId| facts.mints_of(key, *request).next().is_some();
    let refused =
        facts.sent.iter().filter(|(request, s)| s.put.key == *key && s.refusals == s.attempts && wrote(request));
    broken.extend(refused.map(|(request, _)| format!("put {} was refused each time, and wrote", request.0 >> 64)));
    broken
}
