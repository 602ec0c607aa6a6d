//! A `monotonic` read that began after another of the same key had ended covers all that the other covered.
//! Source: design.md, Get (a majority of primaries holds the answer before it is given).

use std::collections::BTreeMap;

use driftkv_core::causality::Context;
use driftkv_core::effect::{Failure, Reply, Request};
use driftkv_core::id::Key;

use crate::facts::Facts;
use crate::trace;
use crate::world::CLUSTER;

/// What completed monotonic reads have covered.
#[derive(Debug, Default)]
pub struct Reads {
    ended: BTreeMap<Key, Context>,
    /// By token: what had been covered when it began.
    before: BTreeMap<u64, Context>,
}

impl Reads {
    /// A read begins.
    pub fn asked(&mut self, token: u64, request: &Request) {
        if let Request::Get(get) = request
            && get.is_monotonic
        {
            self.before.insert(token, self.ended.get(&get.key).cloned().unwrap_or_default());
        }
    }

    /// A read ends; says what it lacks.
    pub fn replies(&mut self, token: u64, outcome: &Result<Reply, Failure>, facts: &Facts) -> Option<String> {
        let before = self.before.remove(&token)?;
        let (get, Ok(Reply::Get { context, .. })) = (facts.get_of(token)?, outcome) else { return None };
        let now = Context::from_token(context, CLUSTER, &get.key).expect("a token of this cluster");
        self.ended.entry(get.key.clone()).or_default().join(&now);
        let missing = before.0.iter().find(|(actor, top)| now.0.get(*actor).is_none_or(|t| t < *top));
        missing.map(|(actor, top)| {
            format!("{} was read up to {top}, now up to {:?}", trace::actor(*actor), now.0.get(actor))
        })
    }
}
