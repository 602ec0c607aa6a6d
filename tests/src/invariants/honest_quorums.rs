//! Quorum counts are honest, primaries and fallbacks apart: a successful put names no more replicas than have it on
//! their synced disks, a get no more than answered, each node once; and no success with fewer than were asked for.
//! Source: design.md, Get (replies carry primaries and fallbacks) and Sloppy quorum (strict mode counts no fallback).

use std::collections::{BTreeMap, BTreeSet};

use driftkv_core::causality::State;
use driftkv_core::decode_forwarded_outcome;
use driftkv_core::effect::{Achieved, Failure, Get, Input, Put, Reply, Request};
use driftkv_core::id::Key;
use driftkv_core::message::Message;

use super::forwarded_once::Forwards;
use crate::facts::Facts;
use crate::world::index;

/// A node and one of its operations.
type Op = (usize, u64);

/// Which fetches belong to which get, and who answered each.
#[derive(Debug, Default)]
pub struct Quorums {
    /// The node that steps now, and the gets it took in.
    stepping: Option<(usize, Vec<(u64, Key)>)>,
    /// The fetches that may be a get's: sent in the step that took it in.
    fetches: BTreeMap<u64, BTreeSet<Op>>,
    keys: BTreeMap<Op, Key>,
    answered: BTreeMap<Op, BTreeSet<usize>>,
}

impl Quorums {
    /// A node takes these in.
    pub fn steps(&mut self, node: usize, inputs: &[Input], facts: &mut Facts) {
        let mut gets = Vec::new();
        for input in inputs {
            match input {
                Input::Client { token, request: Request::Get(get), .. } => gets.push((*token, get.key.clone())),
                Input::Peer { from, envelope, .. } => {
                    let Message::FetchReply(reply) = &envelope.message else { continue };
                    self.answered.entry((node, reply.op)).or_default().insert(index(*from));
                    let state = reply.state.clone().map(State::decode);
                    if let (Some(key), Some(Ok(state))) = (self.keys.get(&(node, reply.op)), state) {
                        facts.note_fetched(node, key, &state);
                    }
                }
                _ => {}
            }
        }
        self.stepping = Some((node, gets));
    }

    /// The step is over.
    pub fn stepped(&mut self) {
        self.stepping = None;
    }

    /// A message leaves.
    pub fn sends(&mut self, from: usize, message: &Message) {
        let Message::Fetch(fetch) = message else { return };
        let op = (from, fetch.op);
        self.keys.insert(op, fetch.key.clone());
        if let Some((node, gets)) = &self.stepping
            && *node == from
        {
            for (token, _) in gets.iter().filter(|(_, key)| *key == fetch.key) {
                self.fetches.entry(*token).or_default().insert(op);
            }
        }
    }

    /// A coordinator answers who forwarded to it; says what is wrong with the counts.
    pub fn forward_reply(
        &self,
        from: usize,
        to: usize,
        message: &Message,
        facts: &Facts,
        forwards: &Forwards,
    ) -> Option<String> {
        let Message::ForwardReply { op, outcome } = message else { return None };
        let put = forwards.put(to, *op)?;
        match decode_forwarded_outcome(outcome.clone()) {
            Ok(Ok(Reply::Put { achieved, .. })) => check_put(from, put, achieved, facts),
            Ok(_) => None,
            Err(e) => Some(format!("n{from} answers n{to} with what is no outcome: {e}")),
        }
    }

    /// A client hears; says what is wrong with the counts.
    pub fn replies(
        &self,
        node: usize,
        token: u64,
        outcome: &Result<Reply, Failure>,
        facts: &Facts,
        forwards: &Forwards,
    ) -> Option<String> {
        match outcome.as_ref().ok()? {
            Reply::Put { achieved, .. } => {
                let put = facts.put_of(token).filter(|put| !forwards.has_forwarded(node, put.request))?;
                check_put(node, put, *achieved, facts)
            }
            Reply::Get { achieved, .. } => self.check_get(node, token, facts.get_of(token)?, *achieved, facts),
        }
    }

    fn check_get(&self, node: usize, token: u64, get: &Get, achieved: Achieved, facts: &Facts) -> Option<String> {
        let majority = facts.config.replication_factor / 2 + 1;
        let r = if get.r == 0 { facts.config.read_quorum } else { get.r };
        let needed = if get.is_monotonic { r.max(majority) } else { r };
        let none = BTreeSet::new();
        let ops = self.fetches.get(&token).into_iter().flatten().map(|op| self.answered.get(op).unwrap_or(&none));
        let is_backed = |peers: &BTreeSet<usize>| {
            let nodes = peers.iter().chain([&node]).collect::<BTreeSet<_>>();
            let primaries = nodes.iter().filter(|n| facts.is_primary(***n, &get.key)).count();
            achieved.primaries as usize <= primaries && achieved.fallbacks as usize <= nodes.len() - primaries
        };
        let is_honest = ops.chain([&none]).any(is_backed);
        let counted = if get.is_monotonic { achieved.primaries } else { counted(achieved, facts) };
        (!is_honest || counted < needed || achieved.is_strict != (achieved.primaries >= needed))
            .then(|| format!("n{node} answers a get of {:?} with R={needed}: {achieved:?}, not so", get.key.key()))
    }
}

fn counted(achieved: Achieved, facts: &Facts) -> u32 {
    achieved.primaries + if facts.config.sloppy { achieved.fallbacks } else { 0 }
}

fn check_put(node: usize, put: &Put, achieved: Achieved, facts: &Facts) -> Option<String> {
    let w = if put.w == 0 { facts.config.write_quorum } else { put.w };
    let (primaries, fallbacks) = facts.holders(&put.key, put.request);
    let is_backed = achieved.primaries <= primaries && achieved.fallbacks <= fallbacks;
    (!is_backed || counted(achieved, facts) < w || achieved.is_strict != (achieved.primaries >= w)).then(|| {
        let number = put.request.0 >> 64;
        format!("n{node} says put {number} with W={w}: {achieved:?}; on disk are {primaries} primaries, {fallbacks} fallbacks")
    })
}
