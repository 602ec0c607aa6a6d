//! The clients: each does one thing at a time, keeps the contexts it was given, and tries again through any node what
//! may or may not have happened.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use driftkv_core::causality::Context;
use driftkv_core::effect::{Failure, Get, Intent, Put, Reply, Request};
use driftkv_core::id::{Key, RequestId};
use driftkv_core::time::Time;
use rand::RngExt;

use super::history::History;
use super::key;
use super::shape::Shape;
use crate::facts::Sent;
use crate::world::{CLUSTER, World};

/// Until then the cluster only starts.
const BEGIN_MS: u64 = 150;

/// What a client was last shown of a key: a context and the puts that it covers.
type Read = (Bytes, BTreeSet<RequestId>);

#[derive(Debug, Default)]
struct Client {
    doing: Option<(u64, Request, Time)>,
    read: BTreeMap<Key, Read>,
}

/// All clients of a run.
#[derive(Debug)]
pub struct Clients {
    /// Gets that were answered.
    pub gets_answered: usize,
    /// What all of them asked and heard.
    pub history: History,
    shape: Shape,
    clients: Vec<Client>,
    next: u64,
}

impl Clients {
    /// They have seen nothing yet.
    pub fn new(shape: Shape) -> Clients {
        let clients = (0..shape.clients).map(|_| Client::default()).collect();
        Clients { gets_answered: 0, history: History::new(&shape.config), shape, clients, next: 0 }
    }

    /// Takes answers; a put whose outcome is unknown is sent again, often through another node.
    pub fn hear(&mut self, world: &mut World) {
        for (token, outcome) in std::mem::take(&mut world.replies) {
            let Some((c, request)) = self.heard_by(token) else { continue };
            self.history.heard(token, &outcome, world.now);
            match (request, outcome) {
                (Request::Get(get), Ok(Reply::Get { siblings, context, .. })) => {
                    self.gets_answered += 1;
                    let shown = siblings.iter().map(|p| p.request).collect();
                    self.clients[c].read.insert(get.key, (context, shown));
                }
                (Request::Put(put), Ok(Reply::Put { context, .. })) if !context.is_empty() => {
                    self.clients[c].read.insert(put.key, (context, BTreeSet::from([put.request])));
                }
                (Request::Put(put), Err(failure)) if is_unknown(&failure) && chance(world, 60) => {
                    self.retry(world, c, put);
                }
                _ => {}
            }
        }
    }

    /// Takes answers and asks nothing more.
    pub fn only_hear(&mut self, world: &mut World) {
        for (token, outcome) in std::mem::take(&mut world.replies) {
            if self.heard_by(token).is_none() {
                continue;
            }
            self.history.heard(token, &outcome, world.now);
            self.gets_answered += usize::from(matches!(outcome, Ok(Reply::Get { .. })));
        }
    }

    /// Whose answer this is; `None`: its client has given up. The judge has heard it all the same.
    fn heard_by(&mut self, token: u64) -> Option<(usize, Request)> {
        let is_his = |client: &Client| client.doing.as_ref().is_some_and(|(t, ..)| *t == token);
        let c = self.clients.iter().position(is_his)?;
        self.clients[c].doing.take().map(|(_, request, _)| (c, request))
    }

    fn retry(&mut self, world: &mut World, c: usize, put: Put) {
        if let Some(sent) = world.judge.facts.sent.get_mut(&put.request) {
            sent.attempts += 1;
        }
        self.ask(world, c, Request::Put(Put { is_retry: true, ..put }));
    }

    fn ask(&mut self, world: &mut World, c: usize, request: Request) {
        self.next += 1;
        let seen = match &request {
            Request::Put(put) => world.judge.facts.sent.get(&put.request).map(|sent| sent.seen.clone()),
            Request::Get(_) => None,
        };
        self.history.asked(self.next, c, &request, &seen.unwrap_or_default(), world.now);
        let node = world.rng.random_range(0..world.count());
        let patience = if self.shape.is_impatient { world.rng.random_range(20..800) } else { 1_500 };
        self.clients[c].doing = Some((self.next, request.clone(), world.now.plus(patience)));
        world.ask(node, self.next, request);
    }

    /// Clients that are free do the next thing; those that waited too long give up or try again.
    pub fn act(&mut self, world: &mut World) {
        for c in 0..self.clients.len() {
            let now = world.now;
            let given_up = self.clients[c].doing.take_if(|(_, _, until)| *until <= now);
            if let Some((_, Request::Put(put), _)) = given_up
                && chance(world, 60)
            {
                self.retry(world, c, put);
            }
            if now < Time(BEGIN_MS) || self.clients[c].doing.is_some() || !chance(world, 6) {
                continue;
            }
            let key = self.key(world);
            if chance(world, 45) { self.get(world, c, key) } else { self.put(world, c, key) }
        }
    }

    /// One of the keys that all share; now and then one that is too long.
    fn key(&self, world: &mut World) -> Key {
        if world.rng.random_range(0..200) == 0 {
            return Key::new("b", "long".repeat(5));
        }
        key(world.rng.random_range(0..self.shape.keys))
    }

    /// The cluster's quorum, or one of the request's own.
    fn quorum(&self, world: &mut World) -> u32 {
        if self.shape.has_own_quorums { world.rng.random_range(0..4) } else { 0 }
    }

    fn get(&mut self, world: &mut World, c: usize, key: Key) {
        let is_monotonic = chance(world, 40);
        let r = self.quorum(world);
        self.ask(world, c, Request::Get(Get { key, is_monotonic, r, timeout_ms: 0 }));
    }

    fn put(&mut self, world: &mut World, c: usize, key: Key) {
        let request = RequestId(u128::from(self.next + 1) << 64 | u128::from(world.rng.random::<u64>()));
        let intent = match world.rng.random_range(0..20) {
            0 => Intent::OverwriteAll,
            1 => Intent::CreateOnly,
            2..5 => Intent::AddSibling,
            _ => Intent::WithContext,
        };
        let read = self.clients[c].read.get(&key).cloned().unwrap_or_default();
        let (token, seen) = if intent == Intent::WithContext { read } else { Read::default() };
        let context = Context::from_token(&token, CLUSTER, &key).expect("a token that was given for this key");
        let value = (!chance(world, 20)).then(|| self.value(world));
        let (r, w) = (self.quorum(world), self.quorum(world));
        let put = Put { key, value, context: token, intent, request, is_retry: false, r, w, timeout_ms: 0 };
        let sent = Sent { put: put.clone(), context, seen, attempts: 1, refusals: 0, is_acknowledged: false };
        world.judge.facts.sent.insert(request, sent);
        self.ask(world, c, Request::Put(put));
    }

    /// A value of its own; now and then one that is too large.
    fn value(&self, world: &mut World) -> Bytes {
        let value = format!("v{}", self.next + 1);
        let is_large = world.rng.random_range(0..100) == 0;
        Bytes::from(if is_large { value.repeat(33) } else { value })
    }
}

fn chance(world: &mut World, percent: u32) -> bool {
    world.rng.random_range(0..100) < percent
}

/// What a client may take as unknown, or as this node's trouble: it tries again.
fn is_unknown(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::QuorumNotReached { .. }
            | Failure::DeadlineExceeded { .. }
            | Failure::NotReady(_)
            | Failure::ShuttingDown { .. }
            | Failure::NotResponsible
    )
}
