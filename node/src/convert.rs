//! Between core's values and the wire contract: messages between nodes here, clients' and operators' in the submodules.
//! Invariants: outside input never panics; whatever core sent comes back equal; what is missing or cannot be what it claims
//! is refused whole (`convert/tests.rs`).
//! Not here: sockets (`peers`, `api`), and rules that need the layout or the limits (core checks those).

pub mod admin;
pub mod answer;
pub mod client;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use driftkv_core::config::KEY_BYTES_CEILING;
use driftkv_core::fence::BootMark;
use driftkv_core::id::{CommitNo, Incarnation, Key, PartitionId, RequestId};
use driftkv_core::message::{Envelope, Fetch, FetchReply, Message, Purpose, Refusal, Replicate};
use driftkv_proto::v1;
use v1::envelope::Message as Wire;

use crate::traces;

/// Why a peer's message cannot be used; it is dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// An envelope as the contract carries it.
pub fn to_wire(envelope: Envelope) -> v1::Envelope {
    v1::Envelope {
        layout_version: envelope.layout_version,
        boot: envelope.boot.into(),
        synced_commit: envelope.synced.0,
        traceparent: envelope.trace.map(|trace| traces::format(&trace)).unwrap_or_default(),
        message: Some(message_to_wire(envelope.message)),
    }
}

/// Reads an envelope. Errors: a field is missing or cannot be what it claims; nothing of it may be used.
pub fn from_wire(envelope: v1::Envelope) -> Result<Envelope, Malformed> {
    let message = envelope.message.ok_or(Malformed("envelope without a known message"))?;
    Ok(Envelope {
        layout_version: envelope.layout_version,
        boot: boot(envelope.boot)?,
        synced: CommitNo(envelope.synced_commit),
        trace: traces::parse(&envelope.traceparent).map(Box::new),
        message: message_from_wire(message)?,
    })
}

/// A boot count from the wire.
pub fn boot(boot: u64) -> Result<u32, Malformed> {
    u32::try_from(boot).map_err(|_| Malformed("boot count out of range"))
}

fn message_to_wire(message: Message) -> Wire {
    match message {
        Message::FenceAsk { boots } => {
            let mark = |m: BootMark| v1::BootMark { boot: m.boot.into(), nonce: m.nonce, end: m.end.0 };
            Wire::FenceAsk(v1::FenceAsk { boots: boots.into_iter().map(mark).collect() })
        }
        Message::FenceAnswer { asked_boot, is_behind, seen_boot, seen_commit } => Wire::FenceAnswer(v1::FenceAnswer {
            is_behind,
            asked_boot: asked_boot.into(),
            seen_boot: seen_boot.into(),
            seen_commit: seen_commit.0,
        }),
        Message::Swim(data) => Wire::Swim(data),
        Message::LayoutAsk => Wire::LayoutAsk(v1::LayoutAsk {}),
        Message::LayoutGive(layout) => Wire::LayoutGive(v1::LayoutGive { layout }),
        Message::Forward { op, put, remaining_ms } => Wire::Forward(v1::Forward { op, put, remaining_ms }),
        Message::ForwardReply { op, outcome } => Wire::ForwardReply(v1::ForwardReply { op, outcome }),
        Message::Replicate(replicate) => Wire::Replicate(replicate_to_wire(replicate)),
        Message::ReplicateAck { op, state_hash } => Wire::ReplicateAck(v1::ReplicateAck { op, state_hash }),
        Message::ReplicateRefused { op, reason } => {
            Wire::ReplicateRefused(v1::ReplicateRefused { op, reason: refusal_number(reason) })
        }
        Message::Fetch(fetch) => Wire::Fetch(fetch_to_wire(fetch)),
        Message::FetchReply(reply) => Wire::FetchReply(v1::FetchReply {
            op: reply.op,
            is_same: reply.state.is_none(),
            state: reply.state.unwrap_or_default(),
            was_applied: reply.was_applied,
            as_fallback: reply.as_fallback,
        }),
        Message::FetchRefused { op, reason } => {
            Wire::FetchRefused(v1::FetchRefused { op, reason: refusal_number(reason) })
        }
        Message::TreeRoot { partition, round, root } => {
            Wire::TreeRoot(v1::TreeRoot { partition: partition.0, round, root })
        }
        Message::TreeSame { partition, round } => Wire::TreeSame(v1::TreeSame { partition: partition.0, round }),
        Message::TreeBranches { partition, round, branches } => {
            Wire::TreeBranches(v1::TreeBranches { partition: partition.0, round, branches })
        }
        Message::TreeLeaves { partition, round, leaves } => {
            let (index, leaf) = leaves.into_iter().unzip();
            Wire::TreeLeaves(v1::TreeLeaves { partition: partition.0, round, index, leaf })
        }
        Message::TreeKeys { partition, round, leaves: leaf, keys } => {
            let keys = keys.into_iter().map(|(storage_key, state_hash)| v1::KeyHash { storage_key, state_hash });
            Wire::TreeKeys(v1::TreeKeys { partition: partition.0, round, leaf, keys: keys.collect() })
        }
        Message::TreeWant { partition, round, keys: storage_key } => {
            Wire::TreeWant(v1::TreeWant { partition: partition.0, round, storage_key })
        }
    }
}

fn message_from_wire(message: Wire) -> Result<Message, Malformed> {
    Ok(match message {
        Wire::FenceAsk(m) => {
            let mark = |m: v1::BootMark| Ok(BootMark { boot: boot(m.boot)?, nonce: m.nonce, end: CommitNo(m.end) });
            Message::FenceAsk { boots: m.boots.into_iter().map(mark).collect::<Result<_, _>>()? }
        }
        Wire::FenceAnswer(m) => Message::FenceAnswer {
            is_behind: m.is_behind,
            asked_boot: boot(m.asked_boot)?,
            seen_boot: boot(m.seen_boot)?,
            seen_commit: CommitNo(m.seen_commit),
        },
        Wire::Swim(data) => Message::Swim(data),
        Wire::LayoutAsk(_) => Message::LayoutAsk,
        Wire::LayoutGive(m) => Message::LayoutGive(m.layout),
        Wire::Forward(m) => Message::Forward { op: m.op, put: m.put, remaining_ms: m.remaining_ms },
        Wire::ForwardReply(m) => Message::ForwardReply { op: m.op, outcome: m.outcome },
        Wire::Replicate(m) => Message::Replicate(replicate_from_wire(m)?),
        Wire::ReplicateAck(m) => Message::ReplicateAck { op: m.op, state_hash: m.state_hash },
        Wire::ReplicateRefused(m) => Message::ReplicateRefused { op: m.op, reason: refusal(m.reason)? },
        Wire::Fetch(m) => Message::Fetch(fetch_from_wire(m)?),
        Wire::FetchReply(m) => Message::FetchReply(FetchReply {
            op: m.op,
            state: (!m.is_same).then_some(m.state),
            was_applied: m.was_applied,
            as_fallback: m.as_fallback,
        }),
        Wire::FetchRefused(m) => Message::FetchRefused { op: m.op, reason: refusal(m.reason)? },
        Wire::TreeRoot(m) => Message::TreeRoot { partition: PartitionId(m.partition), round: m.round, root: m.root },
        Wire::TreeSame(m) => Message::TreeSame { partition: PartitionId(m.partition), round: m.round },
        Wire::TreeBranches(m) => {
            Message::TreeBranches { partition: PartitionId(m.partition), round: m.round, branches: m.branches }
        }
        Wire::TreeLeaves(m) => tree_leaves(m)?,
        Wire::TreeKeys(m) => Message::TreeKeys {
            partition: PartitionId(m.partition),
            round: m.round,
            leaves: m.leaf,
            keys: m.keys.into_iter().map(|key| (key.storage_key, key.state_hash)).collect(),
        },
        Wire::TreeWant(m) => {
            Message::TreeWant { partition: PartitionId(m.partition), round: m.round, keys: m.storage_key }
        }
    })
}

fn tree_leaves(m: v1::TreeLeaves) -> Result<Message, Malformed> {
    if m.index.len() != m.leaf.len() {
        return Err(Malformed("tree leaves: as many indices as leaves are needed"));
    }
    let leaves = m.index.into_iter().zip(m.leaf).collect();
    Ok(Message::TreeLeaves { partition: PartitionId(m.partition), round: m.round, leaves })
}

fn replicate_to_wire(m: Replicate) -> v1::Replicate {
    v1::Replicate {
        op: m.op,
        bucket: m.key.bucket().clone(),
        key: m.key.key().clone(),
        state: m.state,
        hint_for: m.hint_for.map_or(0, |target| target.0),
        remaining_ms: m.remaining_ms,
        purpose: match m.purpose {
            Purpose::Put => 0,
            Purpose::Repair => 1,
            Purpose::Handoff => 2,
            Purpose::AntiEntropy => 3,
        },
    }
}

fn replicate_from_wire(m: v1::Replicate) -> Result<Replicate, Malformed> {
    Ok(Replicate {
        op: m.op,
        key: key(m.bucket, m.key)?,
        state: m.state,
        hint_for: (m.hint_for != 0).then_some(Incarnation(m.hint_for)),
        remaining_ms: m.remaining_ms,
        purpose: match m.purpose {
            0 => Purpose::Put,
            1 => Purpose::Repair,
            2 => Purpose::Handoff,
            3 => Purpose::AntiEntropy,
            _ => return Err(Malformed("replicate: unknown purpose")),
        },
    })
}

fn fetch_to_wire(m: Fetch) -> v1::Fetch {
    v1::Fetch {
        op: m.op,
        bucket: m.key.bucket().clone(),
        key: m.key.key().clone(),
        known_hash: m.known_hash,
        request_id: m.request.map(request_id_bytes).unwrap_or_default(),
        remaining_ms: m.remaining_ms,
        as_fallback: m.as_fallback,
    }
}

fn fetch_from_wire(m: v1::Fetch) -> Result<Fetch, Malformed> {
    let request = match m.request_id.is_empty() {
        true => None,
        false => Some(request_id(&m.request_id).ok_or(Malformed("fetch: a request id has 16 bytes"))?),
    };
    Ok(Fetch {
        op: m.op,
        key: key(m.bucket, m.key)?,
        known_hash: m.known_hash,
        request,
        remaining_ms: m.remaining_ms,
        as_fallback: m.as_fallback,
    })
}

/// A key that the store can hold: no client of any node may write a longer one.
fn key(bucket: Bytes, key: Bytes) -> Result<Key, Malformed> {
    let bytes_max = KEY_BYTES_CEILING as usize;
    if bucket.len() > bytes_max || key.len() > bytes_max {
        return Err(Malformed("a bucket or a key is longer than any may be"));
    }
    Ok(Key::new(bucket, key))
}

/// 16 bytes, big endian.
pub fn request_id_bytes(request: RequestId) -> Bytes {
    Bytes::copy_from_slice(&request.0.to_be_bytes())
}

/// `None`: not 16 bytes.
pub fn request_id(bytes: &[u8]) -> Option<RequestId> {
    bytes.try_into().ok().map(|bytes| RequestId(u128::from_be_bytes(bytes)))
}

fn refusal_number(reason: Refusal) -> u32 {
    match reason {
        Refusal::NotReady => 1,
        Refusal::NotOwner => 2,
        Refusal::HintsFull => 3,
        Refusal::Expired => 4,
        Refusal::Malformed => 5,
    }
}

fn refusal(number: u32) -> Result<Refusal, Malformed> {
    Ok(match number {
        1 => Refusal::NotReady,
        2 => Refusal::NotOwner,
        3 => Refusal::HintsFull,
        4 => Refusal::Expired,
        5 => Refusal::Malformed,
        _ => return Err(Malformed("unknown reason of a refusal")),
    })
}
