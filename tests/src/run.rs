//! One seeded run: clients and faults, then heal, converge and judge.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use driftkv_core::causality::Context;
use driftkv_core::effect::{Failure, Get, Intent, Put, Reply, Request};
use driftkv_core::id::{Key, RequestId};
use driftkv_core::time::Time;
use rand::RngExt;

use crate::judge::{Judge, Sent};
use crate::world::{CLUSTER, World};

const SAFETY_MS: u64 = 4_000;
const CONVERGE_MS: u64 = 60_000;
const KEYS: u32 = 4;
const CLIENTS: usize = 4;

/// What a run ended with.
pub struct Outcome {
    /// What was found wrong; empty: nothing.
    pub broken: Vec<String>,
    /// One line an event.
    pub trace: Vec<String>,
    /// Puts acknowledged, puts sent, gets answered.
    pub counts: [usize; 3],
}

#[derive(Clone)]
enum Doing {
    Get { key: Key, before: Option<Context> },
    Put { put: Put },
}

#[derive(Default)]
struct Client {
    doing: Option<(u64, Doing, Time)>,
    /// The last read of each key: its context and the requests it covers.
    read: BTreeMap<Key, (Bytes, BTreeSet<RequestId>)>,
}

struct Run {
    world: World,
    judge: Judge,
    clients: Vec<Client>,
    next: u64,
    counts: [usize; 3],
    faults_at: Time,
}

fn key(n: u32) -> Key {
    Key::new("b", format!("k{n}"))
}

/// Runs `seed` to its end.
pub fn run(seed: u64) -> Outcome {
    let (count, is_sloppy) = (3 + (seed % 3) as usize, !seed.is_multiple_of(5));
    let world = World::new(seed, count, is_sloppy);
    let clients = (0..CLIENTS).map(|_| Client::default()).collect();
    let mut run = Run { world, judge: Judge::default(), clients, next: 0, counts: [0; 3], faults_at: Time(400) };
    while run.world.now < Time(SAFETY_MS) && run.world.broken.is_empty() && run.world.advance() {
        run.hear();
        run.act();
        run.disturb();
    }
    run.recover();
    let converged = run.converge();
    let mut broken = std::mem::take(&mut run.world.broken);
    broken.extend(converged);
    for n in 0..KEYS {
        let stored = run.world.stored(&key(n));
        let shown = stored.iter().flat_map(|(_, s)| s.live()).map(|p| p.request).collect();
        broken.extend(run.judge.check(&key(n), &shown));
        if stored.iter().any(|(_, s)| s.corrupt_dots() > 0) {
            broken.push("no dot used for two values: in a store".to_owned());
        }
    }
    Outcome { broken, trace: run.world.trace, counts: run.counts }
}

impl Run {
    fn chance(&mut self, percent: u32) -> bool {
        self.world.rng.random_range(0..100) < percent
    }

    /// Takes answers; a put whose outcome is unknown is sent again through another node, sometimes.
    fn hear(&mut self) {
        for (token, outcome) in std::mem::take(&mut self.world.replies) {
            let Some(c) = self.clients.iter().position(|c| c.doing.as_ref().is_some_and(|d| d.0 == token)) else {
                self.hear_late(token, &outcome);
                continue;
            };
            let Some((_, doing, _)) = self.clients[c].doing.take() else { continue };
            match (doing, outcome) {
                (Doing::Get { key, before }, Ok(Reply::Get { siblings, context, .. })) => {
                    self.counts[2] += 1;
                    self.heard_get(c, key, before, siblings.iter().map(|p| p.request).collect(), context);
                }
                (Doing::Put { put }, Ok(_)) => self.acknowledge(put.request),
                (Doing::Put { put }, Err(failure)) if is_unknown(&failure) && self.chance(60) => self.retry(c, put),
                _ => {}
            }
        }
    }

    /// An answer to a put that its client has given up still counts: it was acknowledged.
    fn hear_late(&mut self, token: u64, outcome: &Result<Reply, Failure>) {
        if matches!(outcome, Ok(Reply::Put { .. }))
            && let Some(request) = self.judge.sent.keys().find(|r| r.0 >> 64 == u128::from(token)).copied()
        {
            self.acknowledge(request);
        }
    }

    fn acknowledge(&mut self, request: RequestId) {
        if let Some(sent) = self.judge.sent.get_mut(&request) {
            self.counts[0] += usize::from(!sent.is_acknowledged);
            sent.is_acknowledged = true;
        }
    }

    fn heard_get(&mut self, c: usize, key: Key, before: Option<Context>, shown: BTreeSet<RequestId>, token: Bytes) {
        if let Some(before) = before {
            let context = Context::from_token(&token, CLUSTER, &key).expect("our own token");
            self.world.broken.extend(self.judge.check_monotonic(&before, &context));
            self.judge.monotonic.entry(key.clone()).or_default().join(&context);
        }
        self.clients[c].read.insert(key, (token, shown));
    }

    fn retry(&mut self, c: usize, put: Put) {
        let put = Put { is_retry: true, ..put };
        if let Some(sent) = self.judge.sent.get_mut(&put.request) {
            sent.attempts += 1;
        }
        self.ask(c, Doing::Put { put: put.clone() }, Request::Put(put));
    }

    fn ask(&mut self, c: usize, doing: Doing, request: Request) {
        self.next += 1;
        let node = self.world.rng.random_range(0..self.world.count());
        let until = self.world.now.plus(1_500);
        self.clients[c].doing = Some((self.next, doing, until));
        self.world.ask(node, self.next, request);
    }

    /// Clients that are free do the next thing; those that waited too long give up or try again.
    fn act(&mut self) {
        for c in 0..self.clients.len() {
            let now = self.world.now;
            let given_up = self.clients[c].doing.take_if(|(_, _, until)| *until <= now);
            if let Some((_, Doing::Put { put }, _)) = given_up
                && self.chance(60)
            {
                self.retry(c, put);
            }
            if now < Time(150) || self.clients[c].doing.is_some() || !self.chance(4) {
                continue;
            }
            let key = key(self.world.rng.random_range(0..KEYS));
            if self.chance(45) { self.get(c, key) } else { self.put(c, key) }
        }
    }

    fn get(&mut self, c: usize, key: Key) {
        let is_monotonic = self.chance(40);
        let before = is_monotonic.then(|| self.judge.monotonic.get(&key).cloned().unwrap_or_default());
        let get = Get { key: key.clone(), is_monotonic, r: 0, timeout_ms: 0 };
        self.ask(c, Doing::Get { key, before }, Request::Get(get));
    }

    fn put(&mut self, c: usize, key: Key) {
        let request = RequestId(u128::from(self.next + 1) << 64 | u128::from(self.world.rng.random::<u64>()));
        let intent = match self.world.rng.random_range(0..20) {
            0 => Intent::OverwriteAll,
            1 => Intent::CreateOnly,
            2..5 => Intent::AddSibling,
            _ => Intent::WithContext,
        };
        let read = self.clients[c].read.get(&key).cloned().unwrap_or_default();
        let (context, seen) = if intent == Intent::WithContext { read } else { Default::default() };
        let is_delete = self.chance(20);
        let value = (!is_delete).then(|| Bytes::from(format!("v{}", self.next)));
        let is_overwrite = intent == Intent::OverwriteAll;
        let sent = Sent { key: key.clone(), seen, is_overwrite, is_delete, attempts: 1, is_acknowledged: false };
        self.judge.sent.insert(request, sent);
        self.counts[1] += 1;
        let put = Put { key, value, context, intent, request, is_retry: false, r: 0, w: 0, timeout_ms: 0 };
        self.ask(c, Doing::Put { put: put.clone() }, Request::Put(put));
    }

    fn disturb(&mut self) {
        if self.world.now < self.faults_at {
            return;
        }
        let wait = self.world.rng.random_range(20..300);
        self.faults_at = self.world.now.plus(wait);
        let count = self.world.count();
        let (a, b) = (self.world.rng.random_range(0..count), self.world.rng.random_range(0..count));
        match self.world.rng.random_range(0..12u32) {
            0 | 1 if self.world.is_up(a) => self.world.crash(a),
            2 if self.world.is_up(a) => self.world.stop(a),
            0..=4 if !self.world.is_up(a) => self.world.start(a),
            5 if a != b => self.world.cut(a, b),
            6 if a != b => {
                self.world.cut(a, b);
                self.world.cut(b, a);
            }
            7 => self.split(a),
            8 => self.world.heal(),
            9 if self.world.is_up(a) => self.world.pause(a, true),
            10 => (0..count).for_each(|n| self.world.pause(n, false)),
            11 => self.world.loss = self.world.rng.random_range(0..15),
            _ => {}
        }
    }

    /// Cuts the cluster in two sides.
    fn split(&mut self, at: usize) {
        for from in 0..self.world.count() {
            for to in (0..self.world.count()).filter(|to| (from <= at) != (*to <= at)) {
                self.world.cut(from, to);
            }
        }
    }

    fn recover(&mut self) {
        self.world.heal();
        self.world.loss = 0;
        for node in 0..self.world.count() {
            self.world.pause(node, false);
            if !self.world.is_up(node) {
                self.world.start(node);
            }
        }
    }

    /// Runs on until all replicas are identical, no hint is left and no client waits. What is wrong if that never comes.
    fn converge(&mut self) -> Option<String> {
        let until = self.world.now.plus(CONVERGE_MS);
        let mut look_at = self.world.now;
        let mut wrong = None;
        while self.world.now < until && self.world.broken.is_empty() && self.world.advance() {
            self.hear_only();
            if self.world.now >= look_at {
                look_at = self.world.now.plus(100);
                wrong = self.unconverged();
                wrong.as_ref()?;
            }
        }
        wrong
    }

    /// Answers still count; nothing new is asked.
    fn hear_only(&mut self) {
        for (token, outcome) in std::mem::take(&mut self.world.replies) {
            if let Some(client) = self.clients.iter_mut().find(|c| c.doing.as_ref().is_some_and(|d| d.0 == token))
                && let Some((_, Doing::Put { put }, _)) = client.doing.take()
                && outcome.is_ok()
            {
                self.acknowledge(put.request);
            } else {
                self.hear_late(token, &outcome);
            }
        }
    }

    fn unconverged(&self) -> Option<String> {
        let now = self.world.now;
        if self.clients.iter().any(|c| c.doing.as_ref().is_some_and(|(_, _, until)| *until > now)) {
            return Some("a client waits".to_owned());
        }
        for n in 0..KEYS {
            let stored = self.world.stored(&key(n));
            if stored.windows(2).any(|pair| pair[0].1 != pair[1].1) {
                return Some(format!("replicas identical after convergence: {:?} differs: {stored:?}", key(n)));
            }
        }
        let hints = self.world.hints();
        (!hints.is_empty())
            .then(|| format!("hints to live targets drained: left are (holder, target, bytes) {hints:?}"))
    }
}

/// What a client may take as unknown: it tries again.
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
