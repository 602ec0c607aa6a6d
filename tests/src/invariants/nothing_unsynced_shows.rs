//! Nothing is revealed before its commit: what a node shows is on its own synced disk, or came to it in an answer to
//! a fetch, whose sender had it synced by this same rule.
//! Source: design.md, The one loop. Exempt: the `Replicate` of a put by its coordinator, which may leave before its sync.
//! Looked at: pushed states, answers to fetches, acknowledgements, listed keys, contexts. Hashes of whole trees are not.

use std::collections::BTreeMap;

use driftkv_core::causality::{Context, Dot, State};
use driftkv_core::decode_forwarded_outcome;
use driftkv_core::effect::{Failure, Put, Reply};
use driftkv_core::id::Key;
use driftkv_core::message::{Message, Purpose};

use super::forwarded_once::Forwards;
use crate::facts::{Facts, covers};
use crate::trace;
use crate::world::CLUSTER;

/// What was sent to be kept, and what was asked, by coordinator and operation.
#[derive(Debug, Default)]
pub struct Shown {
    kept: BTreeMap<(usize, u64), (Key, Context)>,
    asked: BTreeMap<(usize, u64), Key>,
    forwarded: BTreeMap<(usize, u64), Put>,
}

/// Whether a node may show this event of this key.
fn may_show(facts: &Facts, node: usize, key: &Key, dot: Dot) -> bool {
    facts.has_on_disk(node, key, dot.actor, dot.counter) || facts.has_fetched(node, key, dot.actor, dot.counter)
}

fn tops(context: &Context) -> impl Iterator<Item = Dot> {
    context.0.iter().map(|(actor, top)| Dot { actor: *actor, counter: *top })
}

impl Shown {
    /// A message leaves; says what it reveals too early.
    pub fn sends(&mut self, from: usize, to: usize, message: &Message, facts: &Facts) -> Option<String> {
        let early = |key: &Key, dot: Dot, what: &str| {
            Some(format!("n{from} {what} {} of {:?} before its sync", trace::dot(dot), key.key()))
        };
        match message {
            Message::Replicate(r) => {
                let context = State::decode(r.state.clone()).ok()?.context();
                let shown = tops(&context).find(|dot| !may_show(facts, from, &r.key, *dot));
                self.kept.insert((from, r.op), (r.key.clone(), context));
                shown.filter(|_| r.purpose != Purpose::Put).and_then(|dot| early(&r.key, dot, "pushes"))
            }
            Message::Fetch(fetch) => {
                self.asked.insert((from, fetch.op), fetch.key.clone());
                None
            }
            Message::FetchReply(reply) => {
                let key = self.asked.get(&(to, reply.op))?;
                let context = State::decode(reply.state.clone()?).ok()?.context();
                let shown = tops(&context).find(|dot| !facts.has_on_disk(from, key, dot.actor, dot.counter));
                shown.and_then(|dot| early(key, dot, "shows"))
            }
            Message::ReplicateAck { op, .. } => {
                let (key, context) = self.kept.get(&(to, *op))?;
                let shown = tops(context).find(|dot| !facts.has_on_disk(from, key, dot.actor, dot.counter));
                shown.and_then(|dot| early(key, dot, "acknowledges"))
            }
            Message::TreeKeys { keys, .. } => {
                let shown = keys.iter().find(|(key, hash)| !facts.had_hash(from, key, *hash));
                shown.map(|(_, hash)| format!("n{from} lists a key with hash {hash:x}, which it never had synced"))
            }
            Message::Forward { op, put, .. } => {
                self.forwarded.insert((from, *op), driftkv_core::decode_forwarded_put(put.clone()).ok()?);
                None
            }
            Message::ForwardReply { op, outcome } => {
                let outcome = decode_forwarded_outcome(outcome.clone()).ok()?;
                let Reply::Put { context, .. } = outcome.ok()? else { return None };
                check_put(from, self.forwarded.get(&(to, *op))?, &context, facts)
            }
            _ => None,
        }
    }

    /// A client hears; says what that reveals too early.
    pub fn replies(
        &self,
        node: usize,
        token: u64,
        outcome: &Result<Reply, Failure>,
        facts: &Facts,
        forwards: &Forwards,
    ) -> Option<String> {
        match outcome.as_ref().ok()? {
            Reply::Get { context, .. } => {
                let key = &facts.get_of(token)?.key;
                let context = Context::from_token(context, CLUSTER, key).ok()?;
                let shown = tops(&context).find(|dot| !may_show(facts, node, key, *dot))?;
                Some(format!("n{node} answers a get with {} before its sync", trace::dot(shown)))
            }
            Reply::Put { context, .. } => {
                let put = facts.put_of(token).filter(|put| !forwards.has_forwarded(node, put.request))?;
                check_put(node, put, context, facts)
            }
        }
    }
}

/// The context of a put's answer. A fallback without room for its own hint shows the new event, which W others have,
/// and what its client's context named.
fn check_put(node: usize, put: &Put, context: &bytes::Bytes, facts: &Facts) -> Option<String> {
    let context = Context::from_token(context, CLUSTER, &put.key).ok()?;
    let asked = &facts.sent.get(&put.request)?.context;
    let is_held = |dot: Dot| {
        let is_own = facts.dots_of.get(&put.request).is_some_and(|dots| dots.contains(&dot));
        is_own && facts.holders(&put.key, put.request) != (0, 0) && !facts.is_primary(node, &put.key)
    };
    let may = |dot: &Dot| may_show(facts, node, &put.key, *dot) || covers(asked, *dot) || is_held(*dot);
    let shown = tops(&context).find(|dot| !may(dot))?;
    Some(format!("n{node} answers put {} with {} before its sync", put.request.0 >> 64, trace::dot(shown)))
}
