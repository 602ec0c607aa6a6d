//! The spans of one node, as its engine lives them: requests of clients and questions of peers, and what each spends its time on.
//!
//! ```text
//! put | get | delete   a client's request, from arrival to answer; its parent is the client's span
//!   queue              until the engine takes it up
//!   store              the batch it was stepped in
//!   sync               until that batch, or what it saw, is on disk
//!   ask replicate …    from asking a peer to its answer; attribute `peer`. Also `ask fetch`, `ask forward`
//!     replicate …      at that peer, from arrival to answer, with queue, store and sync of its own. Also `fetch`, `forward`
//! ```
//! Invariants: only recorded traces cost anything; everything kept has a bound, and what is never answered is told as such or forgotten.
//! Core knows nothing of spans: it says which operation serves whom (`Effect::Runs`), and carries `Envelope::trace` unread.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant, SystemTime};

use driftkv_core::effect::Origin;
use driftkv_core::id::{CommitNo, Incarnation};
use driftkv_core::message::{Envelope, Message, Trace};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::Exporter;
use crate::driver::Outcome;
use crate::metrics::Operation;

/// Spans open at a time, of each kind; what would be more is not traced.
const OPEN_MAX: usize = 16_384;
/// After this a question counts as not answered, and an operation as over.
const OPEN_FOR: Duration = Duration::from_secs(60);
/// What the times of spans may be off by.
const WALL_OFF_MAX: Duration = Duration::from_millis(50);
/// Parts in a million.
const ALL: u32 = 1_000_000;

/// The wall clock, as it was at one moment: so that equal moments have equal times, and a part never begins before the whole.
#[derive(Clone, Copy, Debug)]
struct Wall {
    at: Instant,
    time: SystemTime,
}

impl Wall {
    /// Of several looks the one that took the shortest: between reading both clocks the thread may have to wait.
    fn look() -> Wall {
        let look = |_| {
            let (at, time) = (Instant::now(), SystemTime::now());
            (at.elapsed(), Wall { at, time })
        };
        let first = look(0);
        (0..4).map(look).fold(first, |best, next| if next.0 < best.0 { next } else { best }).1
    }

    fn time(self, at: Instant) -> SystemTime {
        let later = self.time.checked_add(at.saturating_duration_since(self.at));
        later.and_then(|time| time.checked_sub(self.at.saturating_duration_since(at))).unwrap_or(self.time)
    }

    /// Looks again if somebody has set the clock.
    fn follow(&mut self, now: Instant) {
        let (told, time) = (self.time(now), SystemTime::now());
        let off = told.duration_since(time).or_else(|_| time.duration_since(told)).unwrap_or_default();
        if off > WALL_OFF_MAX {
            *self = Wall::look();
        }
    }
}

/// A span that has begun.
#[derive(Debug)]
struct Open {
    name: &'static str,
    trace: Trace,
    parent: u64,
    kind: SpanKind,
    since: Instant,
    peer: Option<String>,
}

/// Of one node; its engine owns it.
#[derive(Debug)]
pub struct Spans {
    exporter: Exporter,
    wall: Wall,
    scope: InstrumentationScope,
    /// Of requests that come without a trace, how many in a million begin one.
    sampled: u32,
    /// Dropped spans that the last sweep knew of.
    dropped: u64,
    /// By the engine's token.
    clients: HashMap<u64, Open>,
    /// By who asked, and the asker's operation.
    asked: HashMap<(Incarnation, u64), Open>,
    /// Operations that serve a recorded request.
    running: BTreeMap<u64, (Trace, Instant)>,
    /// Questions to peers.
    asking: BTreeMap<(u64, Incarnation), Open>,
    /// Taken up for the batch that is about to be stepped.
    taken: Vec<Trace>,
    /// Whose batch is not on disk yet.
    syncing: Vec<(CommitNo, Open)>,
}

impl Spans {
    /// `sampled`: of requests without a trace, how many in a million begin one.
    pub fn new(exporter: Exporter, sampled: u32) -> Spans {
        Spans {
            exporter,
            wall: Wall::look(),
            scope: InstrumentationScope::builder("driftkv-node").with_version(env!("CARGO_PKG_VERSION")).build(),
            sampled,
            dropped: 0,
            clients: HashMap::new(),
            asked: HashMap::new(),
            running: BTreeMap::new(),
            asking: BTreeMap::new(),
            taken: Vec::new(),
            syncing: Vec::new(),
        }
    }

    /// A client's request that came at `at` is taken up at `now`. `caller`: the span it is part of.
    pub fn client(&mut self, token: u64, operation: Operation, caller: Option<Trace>, at: Instant, now: Instant) {
        let (id, parent) = match caller {
            Some(caller) => (caller.id, caller.span),
            None if self.is_sampled() => (rand::random(), 0),
            None => return,
        };
        if self.clients.len() < OPEN_MAX {
            let open = Open::new(operation.name(), id, parent, SpanKind::Server, at);
            self.take_up(&open, now);
            self.clients.insert(token, open);
        }
    }

    fn is_sampled(&self) -> bool {
        self.sampled > 0 && rand::random_range(0..ALL) < self.sampled
    }

    fn take_up(&mut self, open: &Open, now: Instant) {
        self.tell(open.child("queue", SpanKind::Internal, open.since), now, Status::Unset, Vec::new());
        self.taken.push(open.trace);
    }

    /// A peer says something that came at `at` and is taken up at `now`: a question begins a span here, an answer ends one.
    pub fn heard(&mut self, from: Incarnation, envelope: &Envelope, at: Instant, now: Instant) {
        if let Some((op, is_refusal)) = answer_to(&envelope.message) {
            if let Some(open) = self.asking.remove(&(op, from)) {
                let status = if is_refusal { Status::error("refused") } else { Status::Unset };
                self.tell(open, at, status, Vec::new());
            }
            return;
        }
        let (Some(caller), Some((name, op))) = (envelope.trace.as_deref(), question(&envelope.message)) else { return };
        if self.asked.len() < OPEN_MAX {
            let open = Open::new(name, caller.id, caller.span, SpanKind::Server, at);
            self.take_up(&open, now);
            self.asked.insert((from, op), open);
        }
    }

    /// The batch with all that was taken up was stepped; it must wait for `commit`, if that is not `synced` yet.
    pub fn stepped(&mut self, began: Instant, ended: Instant, commit: CommitNo, synced: CommitNo) {
        for trace in std::mem::take(&mut self.taken) {
            let part = |name, since| Open::new(name, trace.id, trace.span, SpanKind::Internal, since);
            self.tell(part("store", began), ended, Status::Unset, Vec::new());
            if commit > synced && self.syncing.len() < OPEN_MAX {
                self.syncing.push((commit, part("sync", ended)));
            }
        }
    }

    /// All up to `commit` is on disk.
    pub fn synced(&mut self, commit: CommitNo) {
        if self.syncing.is_empty() {
            return;
        }
        let now = Instant::now();
        let done: Vec<_> = self.syncing.extract_if(.., |(waits_for, _)| *waits_for <= commit).collect();
        for (_, open) in done {
            self.tell(open, now, Status::Unset, Vec::new());
        }
    }

    /// Core works on `op` for `origin`.
    pub fn runs(&mut self, origin: Origin, op: u64) {
        let open = match origin {
            Origin::Client(token) => self.clients.get(&token),
            Origin::Forwarded { from, op } => self.asked.get(&(from, op)),
        };
        if let Some(open) = open {
            self.running.insert(op, (open.trace, Instant::now()));
            if self.running.len() > OPEN_MAX {
                self.running.pop_first();
            }
        }
    }

    /// `envelope` leaves for `to`, who is called `name`: a question begins a span and takes its trace along, an answer ends one.
    pub fn leaves(&mut self, to: Incarnation, envelope: &mut Envelope, now: Instant, name: impl FnOnce() -> String) {
        if let Some((op, is_refusal)) = answer_to(&envelope.message) {
            if let Some(open) = self.asked.remove(&(to, op)) {
                let status = if is_refusal { Status::error("refused") } else { Status::Unset };
                self.tell(open, now, status, Vec::new());
            }
            return;
        }
        let Some((question, op)) = question(&envelope.message) else { return };
        let Some((trace, _)) = self.running.get(&op) else { return };
        if self.asking.len() >= OPEN_MAX {
            return;
        }
        let mut open = Open::new(asking(question), trace.id, trace.span, SpanKind::Client, now);
        open.peer = Some(name());
        envelope.trace = Some(Box::new(open.trace));
        self.asking.insert((op, to), open);
    }

    /// The request has its answer.
    pub fn answered(&mut self, token: u64, outcome: &Outcome, now: Instant) {
        let Some(open) = self.clients.remove(&token) else { return };
        let (status, attributes) = match outcome {
            Ok(reply) => {
                let achieved = reply.achieved();
                let count = |name, count: u32| KeyValue::new(name, i64::from(count));
                let attributes = vec![
                    count("driftkv.primaries", achieved.primaries),
                    count("driftkv.fallbacks", achieved.fallbacks),
                    KeyValue::new("driftkv.is_strict", achieved.is_strict),
                ];
                (Status::Unset, attributes)
            }
            Err(failure) => (Status::error(failure.to_string()), Vec::new()),
        };
        self.tell(open, now, status, attributes);
    }

    /// The link to `peer` is gone: it answers nothing any more.
    pub fn lost(&mut self, peer: Incarnation) {
        let now = Instant::now();
        let lost: Vec<_> = self.asking.extract_if(.., |(_, to), _| *to == peer).collect();
        for (_, open) in lost {
            self.tell(open, now, Status::error("the link to the peer was lost"), Vec::new());
        }
        self.asked.retain(|(from, _), _| *from != peer);
    }

    /// Tells of questions that nobody answered, and forgets what is over. Gives how many spans were dropped since the last time.
    pub fn sweep(&mut self, now: Instant) -> u64 {
        self.wall.follow(now);
        let is_old = |since: Instant| now.saturating_duration_since(since) > OPEN_FOR;
        let old: Vec<_> = self.asking.extract_if(.., |_, open| is_old(open.since)).collect();
        for (_, open) in old {
            self.tell(open, now, Status::error("no answer"), Vec::new());
        }
        self.asked.retain(|_, open| !is_old(open.since));
        self.running.retain(|_, (_, since)| !is_old(*since));
        let before = std::mem::replace(&mut self.dropped, self.exporter.dropped());
        self.dropped - before
    }

    fn tell(&self, open: Open, ended: Instant, status: Status, mut attributes: Vec<KeyValue>) {
        attributes.extend(open.peer.map(|peer| KeyValue::new("driftkv.peer", peer)));
        let span = SpanId::from_bytes(open.trace.span.to_be_bytes());
        let id = TraceId::from_bytes(open.trace.id.to_be_bytes());
        self.exporter.send(SpanData {
            span_context: SpanContext::new(id, span, TraceFlags::SAMPLED, false, TraceState::default()),
            parent_span_id: SpanId::from_bytes(open.parent.to_be_bytes()),
            parent_span_is_remote: open.kind == SpanKind::Server && open.parent != 0,
            span_kind: open.kind,
            name: open.name.into(),
            start_time: self.wall.time(open.since),
            end_time: self.wall.time(ended),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: self.scope.clone(),
        });
    }
}

impl Open {
    fn new(name: &'static str, id: u128, parent: u64, kind: SpanKind, since: Instant) -> Open {
        let trace = Trace { id, span: rand::random_range(1..=u64::MAX) };
        Open { name, trace, parent, kind, since, peer: None }
    }

    fn child(&self, name: &'static str, kind: SpanKind, since: Instant) -> Open {
        Open::new(name, self.trace.id, self.trace.span, kind, since)
    }
}

/// What a question is called, and its operation.
fn question(message: &Message) -> Option<(&'static str, u64)> {
    match message {
        Message::Replicate(replicate) if replicate.op != 0 => Some(("replicate", replicate.op)),
        Message::Fetch(fetch) => Some(("fetch", fetch.op)),
        Message::Forward { op, .. } => Some(("forward", *op)),
        _ => None,
    }
}

fn asking(question: &'static str) -> &'static str {
    match question {
        "replicate" => "ask replicate",
        "fetch" => "ask fetch",
        _ => "ask forward",
    }
}

/// The operation that a message answers, and whether it refuses.
fn answer_to(message: &Message) -> Option<(u64, bool)> {
    match message {
        Message::ReplicateAck { op, .. } | Message::ForwardReply { op, .. } => Some((*op, false)),
        Message::FetchReply(reply) => Some((reply.op, false)),
        Message::ReplicateRefused { op, .. } | Message::FetchRefused { op, .. } => Some((*op, true)),
        _ => None,
    }
}
