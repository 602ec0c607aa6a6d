//! A readable line for each event of a run: nodes by index, puts by number, states as their dots.
//! Costs nothing unless it is wanted.

use bytes::Bytes;
use driftkv_core::causality::{Actor, Context, Dot, Payload, State};
use driftkv_core::effect::{Failure, Reply, Request};
use driftkv_core::id::{Key, RequestId};
use driftkv_core::message::{Message, Replicate};
use driftkv_core::time::Time;
use driftkv_core::{decode_forwarded_outcome, decode_forwarded_put};

use crate::world::{CLUSTER, index};

/// The lines of a run, if they are wanted.
#[derive(Debug, Default)]
pub struct Trace(Option<Vec<String>>);

impl Trace {
    /// Keeps lines, or nothing.
    pub fn new(is_wanted: bool) -> Trace {
        Trace(is_wanted.then(Vec::new))
    }

    /// Adds a line.
    pub fn note(&mut self, now: Time, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.0 {
            lines.push(format!("{:>6} {}", now.0, line()));
        }
    }

    /// All lines.
    pub fn lines(self) -> Vec<String> {
        self.0.unwrap_or_default()
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn put_number(request: RequestId) -> String {
    format!("p{}", request.0 >> 64)
}

fn value(value: Option<&Bytes>) -> String {
    value.map_or_else(|| "tombstone".to_owned(), text)
}

fn payload(payload: &Payload) -> String {
    format!("{}={}", put_number(payload.request), value(payload.value.as_ref()))
}

/// A node, its boot, and the number of its epoch.
pub fn actor(actor: Actor) -> String {
    format!("n{}/{}.{}", index(actor.incarnation), actor.epoch.boot, actor.epoch.number)
}

/// A write event.
pub fn dot(dot: Dot) -> String {
    format!("{}:{}", actor(dot.actor), dot.counter)
}

/// Per actor its newest event, with the values that show: `n0/1.2:5 (4 p7=v7)`.
pub fn state(state: &State) -> String {
    let one = |(a, top): (&Actor, &u64)| {
        let own = state.dots().filter(|(dot, _)| dot.actor == *a);
        let shown: Vec<String> = own.map(|(dot, p)| format!("{} {}", dot.counter, payload(p))).collect();
        format!("{}:{top} ({})", actor(*a), shown.join(", "))
    };
    let actors: Vec<String> = state.context().0.iter().map(one).collect();
    format!("[{}]", actors.join(" "))
}

fn state_of(bytes: &Bytes) -> String {
    State::decode(bytes.clone()).map_or_else(|e| e.to_string(), |s| state(&s))
}

fn context(token: &Bytes, key: &Key) -> String {
    let tops = Context::from_token(token, CLUSTER, key).unwrap_or_default();
    let tops: Vec<String> = tops.0.iter().map(|(a, top)| format!("{}:{top}", actor(*a))).collect();
    format!("<{}>", tops.join(" "))
}

/// What a client asks.
pub fn request(request: &Request) -> String {
    match request {
        Request::Get(get) => {
            let how = if get.is_monotonic { "monotonic" } else { "eventual" };
            format!("get {} {how} r={}", text(get.key.key()), get.r)
        }
        Request::Put(put) => {
            let again = if put.is_retry { " again" } else { "" };
            let context = context(&put.context, &put.key);
            let (number, key, value) = (put_number(put.request), text(put.key.key()), value(put.value.as_ref()));
            format!("{number}{again}: {key}={value} {:?} {context} r={} w={}", put.intent, put.r, put.w)
        }
    }
}

/// What a client hears.
pub fn outcome(outcome: &Result<Reply, Failure>) -> String {
    match outcome {
        Ok(Reply::Get { siblings, achieved, .. }) => {
            let shown: Vec<String> = siblings.iter().map(payload).collect();
            format!("[{}] from {}+{}", shown.join(", "), achieved.primaries, achieved.fallbacks)
        }
        Ok(Reply::Put { achieved, was_applied, siblings, .. }) => {
            let again = if *was_applied { ", applied before" } else { "" };
            format!("done by {}+{}, {siblings} siblings{again}", achieved.primaries, achieved.fallbacks)
        }
        Err(failure) => format!("{failure}"),
    }
}

/// What a node says to another.
pub fn message(message: &Message) -> String {
    match message {
        Message::Replicate(r) => replicate(r),
        Message::Fetch(f) => {
            let request = f.request.map(put_number).unwrap_or_default();
            format!("Fetch {} {} known {:x} {request}", short(f.op), text(f.key.key()), f.known_hash)
        }
        Message::FetchReply(r) => {
            let shown = r.state.as_ref().map_or_else(|| "the same".to_owned(), state_of);
            format!("FetchReply {} {shown} applied {} fallback {}", short(r.op), r.was_applied, r.as_fallback)
        }
        Message::Forward { op, put, .. } => {
            let put = decode_forwarded_put(put.clone()).map(|put| request(&Request::Put(put)));
            format!("Forward {} {}", short(*op), put.unwrap_or_else(|e| e.to_string()))
        }
        Message::ForwardReply { op, outcome: bytes } => {
            let heard = decode_forwarded_outcome(bytes.clone()).map(|heard| outcome(&heard));
            format!("ForwardReply {} {}", short(*op), heard.unwrap_or_else(|e| e.to_string()))
        }
        Message::LayoutGive(_) => "LayoutGive".to_owned(),
        Message::TreeBranches { partition, .. } => format!("TreeBranches {}", partition.0),
        Message::TreeLeaves { partition, leaves, .. } => format!("TreeLeaves {} {}", partition.0, leaves.len()),
        Message::TreeKeys { partition, keys, .. } => format!("TreeKeys {} {}", partition.0, keys.len()),
        Message::TreeWant { partition, keys, .. } => format!("TreeWant {} {}", partition.0, keys.len()),
        other => format!("{other:?}"),
    }
}

fn replicate(r: &Replicate) -> String {
    let hint = r.hint_for.map(|owner| format!(" for n{}", index(owner))).unwrap_or_default();
    format!("Replicate {} {:?}{hint} {} {}", short(r.op), r.purpose, text(r.key.key()), state_of(&r.state))
}

/// An operation without the boot in its upper bits.
fn short(op: u64) -> u64 {
    op & ((1 << 40) - 1)
}
