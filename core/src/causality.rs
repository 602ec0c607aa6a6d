//! What one key holds: `actor -> (floor, {counter: payload})`, and the contexts clients hand back.
//! Dotted version vector sets (Preguiça et al. 2012) with explicit discard floors, so that gaps are allowed.
//! Invariant: a state that knows an event (a, n) shows, or has covered, every event of `a` up to n on this key;
//! so states travel whole, and a context `actor -> top` is exact.
//! Not here: who may mint which dot (`record`), merging into the store (`replica`). Nothing here reads a clock.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use twox_hash::XxHash3_64;

use crate::codec::{Malformed, Reader};
use crate::id::{ClusterId, Incarnation, Key, RequestId};
use crate::planted::{Bug, planted};

const STATE_VERSION: u8 = 1;
const CONTEXT_VERSION: u8 = 1;

/// Part of an actor: the boot that made it and a counter in that boot's memory. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// The boot count when it was made.
    pub boot: u32,
    /// Its number in that boot; one for each absent key that is written, so 32 bits would not last.
    pub number: u64,
}

/// Who mints dots: a data directory in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor {
    /// The data directory.
    pub incarnation: Incarnation,
    /// The epoch in which its local history of the key is complete.
    pub epoch: Epoch,
}

/// One write event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Who minted it.
    pub actor: Actor,
    /// 1, 2, 3 … for each actor and key.
    pub counter: u64,
}

/// What one write event wrote.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Payload {
    /// The client put that asked for it.
    pub request: RequestId,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Entry {
    floor: u64,
    dots: BTreeMap<u64, BTreeSet<Payload>>,
}

impl Entry {
    fn top(&self) -> u64 {
        self.dots.last_key_value().map_or(self.floor, |(n, _)| (*n).max(self.floor))
    }

    fn raise_floor(&mut self, floor: u64) {
        if floor > self.floor {
            self.floor = floor;
            self.dots = floor.checked_add(1).map(|next| self.dots.split_off(&next)).unwrap_or_default();
        }
    }
}

/// Everything one replica knows of one key.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct State {
    actors: BTreeMap<Actor, Entry>,
}

/// The causal history a client has seen: per actor, every event up to a counter.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Context(pub BTreeMap<Actor, u64>);

impl State {
    /// Knows nothing: the key was never written here.
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    /// The newest counter known of `actor`; 0 if none.
    pub fn top(&self, actor: Actor) -> u64 {
        self.actors.get(&actor).map_or(0, Entry::top)
    }

    /// Joins what `other` knows: maximum of floors, union of the dots above them.
    /// Commutative, associative, idempotent. Two payloads under one dot are corruption: both are kept.
    /// Returns whether that brought anything new.
    pub fn merge(&mut self, other: &State) -> bool {
        let mut is_changed = false;
        for (actor, theirs) in &other.actors {
            is_changed |= !self.actors.contains_key(actor);
            let ours = self.actors.entry(*actor).or_default();
            if !planted(Bug::MergeForgetsFloor) {
                is_changed |= theirs.floor > ours.floor;
                ours.raise_floor(theirs.floor);
            }
            for (counter, payloads) in theirs.dots.iter().filter(|(counter, _)| **counter > ours.floor) {
                let kept = ours.dots.entry(*counter).or_default();
                for payload in payloads {
                    is_changed |= kept.insert(payload.clone());
                }
            }
        }
        is_changed
    }

    /// Drops what `context` covers and remembers that it was covered.
    pub fn cover(&mut self, context: &Context) {
        for (actor, top) in &context.0 {
            self.actors.entry(*actor).or_default().raise_floor(*top);
        }
    }

    /// Adds one event.
    pub fn add(&mut self, dot: Dot, payload: Payload) {
        let entry = self.actors.entry(dot.actor).or_default();
        if dot.counter > entry.floor {
            entry.dots.entry(dot.counter).or_default().insert(payload);
        }
    }

    /// Every event not covered, with its dot.
    pub fn dots(&self) -> impl Iterator<Item = (Dot, &Payload)> {
        self.actors.iter().flat_map(|(actor, entry)| {
            entry.dots.iter().flat_map(move |(counter, payloads)| {
                payloads.iter().map(move |p| (Dot { actor: *actor, counter: *counter }, p))
            })
        })
    }

    /// The live siblings: values, one for each distinct (request id, value).
    pub fn live(&self) -> Vec<Payload> {
        let distinct: BTreeSet<&Payload> = self.dots().map(|(_, p)| p).filter(|p| p.value.is_some()).collect();
        distinct.into_iter().cloned().collect()
    }

    /// How many distinct live siblings there are.
    pub fn live_count(&self) -> usize {
        let distinct: BTreeSet<&Payload> = self.dots().map(|(_, p)| p).filter(|p| p.value.is_some()).collect();
        distinct.len()
    }

    /// How many dots carry more than one payload: 0 unless a dot was minted twice.
    pub fn corrupt_dots(&self) -> usize {
        self.actors.values().flat_map(|e| e.dots.values()).filter(|p| p.len() > 1).count()
    }

    /// A context that covers all of this state.
    pub fn context(&self) -> Context {
        Context(self.actors.iter().map(|(a, e)| (*a, e.top())).filter(|(_, top)| *top > 0).collect())
    }

    /// Whether `dot` is known: shown or covered.
    pub fn knows(&self, dot: Dot) -> bool {
        self.top(dot.actor) >= dot.counter
    }

    /// Hash of the canonical encoding; 0 only for a state that knows nothing.
    pub fn hash(&self) -> u64 {
        if self.is_empty() { 0 } else { XxHash3_64::oneshot(&self.encode()).max(1) }
    }

    /// The canonical encoding: equal states, equal bytes. Empty bytes for an empty state.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.size());
        self.encode_into(&mut out);
        out.freeze()
    }

    /// About as many bytes as the encoding has, and not fewer.
    pub(crate) fn size(&self) -> usize {
        let values: usize = self.dots().map(|(_, p)| 32 + p.value.as_ref().map_or(0, Bytes::len)).sum();
        8 + self.actors.len() * 36 + values
    }

    /// Appends the canonical encoding.
    pub(crate) fn encode_into(&self, out: &mut BytesMut) {
        if self.is_empty() {
            return;
        }
        out.put_u8(STATE_VERSION);
        out.put_u32(self.actors.len() as u32);
        for (actor, entry) in &self.actors {
            put_actor(out, *actor);
            out.put_u64(entry.floor);
            out.put_u32(entry.dots.values().map(BTreeSet::len).sum::<usize>() as u32);
            for (counter, payload) in entry.dots.iter().flat_map(|(n, ps)| ps.iter().map(move |p| (n, p))) {
                out.put_u64(*counter);
                put_payload(out, payload);
            }
        }
    }

    /// Reads an encoding; empty bytes are the empty state. Values share the buffer.
    pub fn decode(bytes: Bytes) -> Result<State, Malformed> {
        let mut state = State::default();
        if bytes.is_empty() {
            return Ok(state);
        }
        let mut r = Reader::new(bytes);
        if r.u8()? != STATE_VERSION {
            return Err(Malformed("unknown state version"));
        }
        for _ in 0..r.count(32)? {
            let actor = read_actor(&mut r)?;
            let mut entry = Entry { floor: r.u64()?, dots: BTreeMap::new() };
            for _ in 0..r.count(25)? {
                let counter = r.u64()?;
                let payload = read_payload(&mut r)?;
                if counter <= entry.floor {
                    return Err(Malformed("a dot at or below its floor"));
                }
                entry.dots.entry(counter).or_default().insert(payload);
            }
            state.actors.insert(actor, entry);
        }
        r.end()?;
        Ok(state)
    }
}

impl Context {
    /// Whether `dot` is covered.
    pub fn covers(&self, dot: Dot) -> bool {
        self.0.get(&dot.actor).is_some_and(|top| dot.counter <= *top)
    }

    /// Adds what `other` has seen.
    pub fn join(&mut self, other: &Context) {
        for (actor, top) in &other.0 {
            let mine = self.0.entry(*actor).or_default();
            *mine = (*mine).max(*top);
        }
    }

    /// The opaque token for a client: versioned, bound to cluster, bucket and key, checksummed (no defence against forgery).
    pub fn to_token(&self, cluster: ClusterId, key: &Key) -> Bytes {
        let mut out = BytesMut::with_capacity(21 + self.0.len() * 28);
        out.put_u8(CONTEXT_VERSION);
        out.put_u32(self.0.len() as u32);
        for (actor, top) in &self.0 {
            put_actor(&mut out, *actor);
            out.put_u64(*top);
        }
        let sum = binding(&out, cluster, key);
        out.put_u64(sum);
        out.freeze()
    }

    /// Reads a token back; empty bytes are the empty context.
    /// Errors: malformed, damaged, or made for another cluster, bucket or key. State is unchanged; the client should read again.
    pub fn from_token(token: &Bytes, cluster: ClusterId, key: &Key) -> Result<Context, Malformed> {
        if token.is_empty() {
            return Ok(Context::default());
        }
        let Some(body_len) = token.len().checked_sub(8) else {
            return Err(Malformed("context too short"));
        };
        let body = token.slice(..body_len);
        let mut tail = Reader::new(token.slice(body_len..));
        if tail.u64()? != binding(&body, cluster, key) {
            return Err(Malformed("context is damaged, or belongs to another cluster, bucket or key"));
        }
        let mut r = Reader::new(body);
        if r.u8()? != CONTEXT_VERSION {
            return Err(Malformed("unknown context version"));
        }
        let mut context = Context::default();
        for _ in 0..r.count(28)? {
            let actor = read_actor(&mut r)?;
            context.0.insert(actor, r.u64()?);
        }
        r.end()?;
        Ok(context)
    }
}

fn binding(body: &[u8], cluster: ClusterId, key: &Key) -> u64 {
    let mut bound = BytesMut::from(body);
    bound.put_u128(cluster.0);
    bound.put_slice(&key.storage_key());
    XxHash3_64::oneshot(&bound)
}

fn put_actor(out: &mut BytesMut, actor: Actor) {
    out.put_u64(actor.incarnation.0);
    out.put_u32(actor.epoch.boot);
    out.put_u64(actor.epoch.number);
}

fn read_actor(r: &mut Reader) -> Result<Actor, Malformed> {
    Ok(Actor { incarnation: Incarnation(r.u64()?), epoch: Epoch { boot: r.u32()?, number: r.u64()? } })
}

fn put_payload(out: &mut BytesMut, payload: &Payload) {
    out.put_u128(payload.request.0);
    match &payload.value {
        None => out.put_u8(0),
        Some(value) => {
            out.put_u8(1);
            out.put_u32(value.len() as u32);
            out.put_slice(value);
        }
    }
}

fn read_payload(r: &mut Reader) -> Result<Payload, Malformed> {
    let request = RequestId(r.u128()?);
    let value = match r.u8()? {
        0 => None,
        1 => Some(r.bytes()?),
        _ => return Err(Malformed("unknown payload kind")),
    };
    Ok(Payload { request, value })
}

#[cfg(test)]
mod tests;
