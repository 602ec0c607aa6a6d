//! A put that arrived at a node off its preference list goes once to one that is on it.
//! Follows Dynamo (SOSP 2007) 5; a forwarded put is executed or refused, never forwarded again.
//! Not here: gets, which any node coordinates itself.

use std::collections::{BTreeSet, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};

use super::put::PutStart;
use super::{Role, Route};
use crate::codec::{Malformed, Reader};
use crate::effect::{Achieved, Event, Failure, Intent, Origin, Put, Reply};
use crate::id::{Incarnation, Key, RequestId};
use crate::message::Message;
use crate::node::{Hold, Node};
use crate::planted::{Bug, planted};
use crate::quorum::Quorum;
use crate::store::{Store, StoreError};
use crate::time::Time;

const VERSION: u8 = 1;
/// Forwards that are remembered so that a doubled one is known.
const FORWARDED_HERE_MAX: usize = 65_536;

/// A put that runs elsewhere.
#[derive(Debug)]
pub(crate) struct ForwardOp {
    origin: Origin,
    to: Incarnation,
    needed: u32,
    sent: Time,
    /// It was asked whether it hears us.
    is_probed: bool,
    deadline: Time,
}

/// A bounded memory of the forwards that arrived in this boot; the oldest are forgotten first.
#[derive(Debug, Default)]
pub(crate) struct ForwardedHere {
    known: BTreeSet<(Incarnation, u64)>,
    order: VecDeque<(Incarnation, u64)>,
}

impl ForwardedHere {
    /// False: this very forward arrived before.
    fn is_first(&mut self, from: Incarnation, op: u64) -> bool {
        if !self.known.insert((from, op)) {
            return false;
        }
        self.order.push_back((from, op));
        if self.order.len() > FORWARDED_HERE_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

impl Node {
    pub(crate) fn forward(&mut self, origin: Origin, put: Put, to: Incarnation, deadline: Time) {
        let op = self.new_op();
        self.runs(origin, op);
        let message = Message::Forward { op, put: encode_put(&put), remaining_ms: self.remaining(deadline) };
        self.observe(Event::Forwarded(to));
        self.send(Hold::Now, to, message);
        let (needed, sent) = (put.w, self.now);
        self.forwards.insert(op, ForwardOp { origin, to, needed, sent, is_probed: false, deadline });
        self.arm_forward(op, deadline);
    }

    fn arm_forward(&mut self, op: u64, deadline: Time) {
        self.timers.set(op, deadline.min(self.now.plus(self.settings.replica_timeout_ms)));
    }

    pub(crate) fn on_forward(
        &mut self,
        store: &mut dyn Store,
        from: Incarnation,
        at: Time,
        op: u64,
        put: Bytes,
        remaining_ms: u32,
    ) -> Result<(), StoreError> {
        // One that the network doubled is answered once. Run twice, it could mint twice, or after it was refused.
        if !self.forwarded_here.is_first(from, op) && !planted(Bug::DoubledForwardRunsTwice) {
            return Ok(());
        }
        let origin = Origin::Forwarded { from, op };
        let checked = self.check_forwarded(put, at, remaining_ms);
        let (put, context) = match checked {
            Ok(checked) => checked,
            Err(failure) => {
                self.respond(origin, Hold::Now, Err(failure));
                return Ok(());
            }
        };
        let deadline = at.plus(u64::from(remaining_ms));
        let partition = self.partition_of(&put.key);
        let role = match self.route(partition) {
            Route::Here(role) => role,
            Route::Forward(to) if planted(Bug::ForwardsTwice) => {
                self.forward(origin, put, to, deadline);
                return Ok(());
            }
            _ if self.is_sloppy() && self.fallbacks(partition).contains(&self.me()) => Role::Fallback,
            _ => {
                self.respond(origin, Hold::Now, Err(Failure::NotResponsible));
                return Ok(());
            }
        };
        self.coordinate(store, PutStart { origin, put, context, role, deadline })
    }

    fn check_forwarded(
        &self,
        put: Bytes,
        at: Time,
        remaining_ms: u32,
    ) -> Result<(Put, crate::causality::Context), Failure> {
        let mut put =
            decode_forwarded_put(put).map_err(|e| Failure::InvalidArgument(format!("forwarded put: {}", e.0)))?;
        if let Some(why) = self.not_ready() {
            return Err(Failure::NotReady(why.to_owned()));
        }
        if self.is_stopping {
            return Err(Failure::ShuttingDown { maybe_applied: false });
        }
        if self.is_overloaded() {
            return Err(Failure::Overloaded { in_flight: self.settings.in_flight_max });
        }
        if self.is_expired(at, remaining_ms) {
            let needed = put.w;
            return Err(Failure::DeadlineExceeded { needed, primaries: 0, fallbacks: 0, maybe_applied: false });
        }
        let context = self.check_put(&mut put)?;
        Ok((put, context))
    }

    pub(crate) fn on_forward_reply(&mut self, from: Incarnation, op: u64, outcome: Bytes) {
        if self.forwards.get(&op).is_none_or(|f| f.to != from) {
            return;
        }
        let Some(forward) = self.forwards.remove(&op) else { return };
        self.timers.remove(op);
        let outcome = decode_forwarded_outcome(outcome).unwrap_or_else(|_| {
            self.observe(Event::MalformedMessage(from));
            Err(lost(forward.needed, false))
        });
        self.respond(forward.origin, Hold::Now, outcome);
    }

    /// A coordinator may need long, but it answers a probe: one that does not is suspected, and the client told.
    pub(crate) fn on_forward_timer(&mut self, op: u64) {
        let Some(forward) = self.forwards.get_mut(&op) else { return };
        let (needed, to, deadline) = (forward.needed, forward.to, forward.deadline);
        let is_alive = self.peers.answered_at(to) > forward.sent;
        let was_probed = std::mem::replace(&mut forward.is_probed, !is_alive);
        if is_alive {
            forward.sent = self.now;
        }
        if self.now >= deadline {
            return self.fail_forward(op, lost(needed, true));
        }
        if !is_alive && was_probed {
            self.suspect(to);
        }
        if !self.is_reachable(to) {
            return self.fail_forward(op, lost(needed, false));
        }
        if !is_alive {
            self.ask_fence(to);
        }
        self.arm_forward(op, deadline);
    }

    pub(crate) fn fail_forwards_to(&mut self, peer: Incarnation) {
        let lost_ops: Vec<(u64, u32)> =
            self.forwards.iter().filter(|(_, f)| f.to == peer).map(|(op, f)| (*op, f.needed)).collect();
        for (op, needed) in lost_ops {
            self.fail_forward(op, lost(needed, false));
        }
    }

    fn fail_forward(&mut self, op: u64, failure: Failure) {
        if let Some(forward) = self.forwards.remove(&op) {
            self.timers.remove(op);
            self.respond(forward.origin, Hold::Now, Err(failure));
        }
    }
}

/// The coordinator is gone or late; what it did is unknown.
fn lost(needed: u32, is_late: bool) -> Failure {
    Quorum::new(needed, true).failure(is_late, true)
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(bytes.len() as u32);
    out.put_slice(bytes);
}

fn encode_put(put: &Put) -> Bytes {
    let mut out = BytesMut::with_capacity(64 + put.value.as_ref().map_or(0, Bytes::len));
    out.put_u8(VERSION);
    put_bytes(&mut out, put.key.bucket());
    put_bytes(&mut out, put.key.key());
    out.put_u8(u8::from(put.value.is_some()));
    put_bytes(&mut out, put.value.as_deref().unwrap_or_default());
    put_bytes(&mut out, &put.context);
    out.put_u8(put.intent as u8);
    out.put_u128(put.request.0);
    out.put_u8(u8::from(put.is_retry));
    out.put_u32(put.r);
    out.put_u32(put.w);
    out.freeze()
}

/// Reads the put out of a `Forward`. Errors: it holds none; nothing was changed.
pub fn decode_forwarded_put(bytes: Bytes) -> Result<Put, Malformed> {
    let mut r = Reader::new(bytes);
    if r.u8()? != VERSION {
        return Err(Malformed("unknown version of a forwarded put"));
    }
    let key = Key::new(r.bytes()?, r.bytes()?);
    let has_value = r.u8()? == 1;
    let value = r.bytes()?;
    let put = Put {
        key,
        value: has_value.then_some(value),
        context: r.bytes()?,
        intent: match r.u8()? {
            0 => Intent::WithContext,
            1 => Intent::AddSibling,
            2 => Intent::CreateOnly,
            3 => Intent::OverwriteAll,
            _ => return Err(Malformed("unknown intent")),
        },
        request: RequestId(r.u128()?),
        is_retry: r.u8()? == 1,
        r: r.u32()?,
        w: r.u32()?,
        timeout_ms: 0,
    };
    r.end()?;
    Ok(put)
}

/// `version | kind | fields`; gets are never forwarded.
pub(super) fn encode_outcome(outcome: &Result<Reply, Failure>) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(VERSION);
    let mut counts = |kind: u8, numbers: [u64; 3], flag: bool, text: &str| {
        out.put_u8(kind);
        numbers.iter().for_each(|n| out.put_u64(*n));
        out.put_u8(u8::from(flag));
        put_bytes(&mut out, text.as_bytes());
    };
    match outcome {
        Ok(Reply::Put { context, siblings, achieved, was_applied }) => {
            let numbers = [u64::from(*siblings), u64::from(achieved.primaries), u64::from(achieved.fallbacks)];
            counts(0, numbers, *was_applied, "");
            out.put_u8(u8::from(achieved.is_strict));
            put_bytes(&mut out, context);
        }
        Ok(Reply::Get { .. }) => counts(4, [0; 3], true, "a get was forwarded"),
        Err(Failure::QuorumNotReached { needed, primaries, fallbacks, maybe_applied }) => {
            counts(1, [u64::from(*needed), u64::from(*primaries), u64::from(*fallbacks)], *maybe_applied, "");
        }
        Err(Failure::DeadlineExceeded { needed, primaries, fallbacks, maybe_applied }) => {
            counts(2, [u64::from(*needed), u64::from(*primaries), u64::from(*fallbacks)], *maybe_applied, "");
        }
        Err(Failure::Overloaded { in_flight }) => counts(3, [u64::from(*in_flight), 0, 0], false, ""),
        Err(Failure::InvalidArgument(text)) => counts(4, [0; 3], false, text),
        Err(Failure::TooLarge { what, bytes, bytes_max }) => counts(5, [*bytes, *bytes_max, 0], false, what),
        Err(Failure::BadContext(text)) => counts(6, [0; 3], false, text),
        Err(Failure::TooManySiblings { siblings, siblings_max }) => {
            counts(7, [u64::from(*siblings), u64::from(*siblings_max), 0], false, "");
        }
        Err(Failure::AlreadyExists { siblings }) => counts(8, [u64::from(*siblings), 0, 0], false, ""),
        Err(Failure::NotReady(text)) => counts(9, [0; 3], false, text),
        Err(Failure::NotResponsible) => counts(10, [0; 3], false, ""),
        Err(Failure::ShuttingDown { maybe_applied }) => counts(11, [0; 3], *maybe_applied, ""),
    }
    out.freeze()
}

/// Reads what became of a forwarded put out of a `ForwardReply`. Errors: it does not say; the put may have been applied.
pub fn decode_forwarded_outcome(bytes: Bytes) -> Result<Result<Reply, Failure>, Malformed> {
    let mut r = Reader::new(bytes);
    if r.u8()? != VERSION {
        return Err(Malformed("unknown version of an outcome"));
    }
    let kind = r.u8()?;
    let (x, y, z) = (r.u64()?, r.u64()?, r.u64()?);
    let (a, b, c) = (x as u32, y as u32, z as u32);
    let flag = r.u8()? == 1;
    let text = String::from_utf8_lossy(&r.bytes()?).into_owned();
    let failure = match kind {
        0 => {
            let is_strict = r.u8()? == 1;
            let achieved = Achieved { primaries: b, fallbacks: c, is_strict };
            return Ok(Ok(Reply::Put { siblings: a, achieved, was_applied: flag, context: r.bytes()? }));
        }
        1 => Failure::QuorumNotReached { needed: a, primaries: b, fallbacks: c, maybe_applied: flag },
        2 => Failure::DeadlineExceeded { needed: a, primaries: b, fallbacks: c, maybe_applied: flag },
        3 => Failure::Overloaded { in_flight: a },
        4 => Failure::InvalidArgument(text),
        5 => Failure::TooLarge { what: text, bytes: x, bytes_max: y },
        6 => Failure::BadContext(text),
        7 => Failure::TooManySiblings { siblings: a, siblings_max: b },
        8 => Failure::AlreadyExists { siblings: a },
        9 => Failure::NotReady(text),
        10 => Failure::NotResponsible,
        11 => Failure::ShuttingDown { maybe_applied: flag },
        _ => return Err(Malformed("unknown outcome")),
    };
    Ok(Err(failure))
}
