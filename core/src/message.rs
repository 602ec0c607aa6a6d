//! What nodes say to each other. Each protocol, with arrows (C coordinator, P replica, F fallback, O owner):
//!
//! ```text
//! fence       node -> all FenceAsk           all -> node FenceAnswer         (after every boot; a majority lets it serve)
//! membership  Swim, opaque to us (`membership`)
//! layout      LayoutAsk -> LayoutGive        (a node that missed the bootstrap)
//! put         node -> C Forward -> ForwardReply; C -> P,F Replicate -> ReplicateAck | ReplicateRefused
//! get         C -> P,F Fetch -> FetchReply | FetchRefused; then C -> P Replicate(Repair)
//! handoff     F -> P Replicate(Handoff) -> ReplicateAck, then F deletes its hint
//! anti-entropy a -> b TreeRoot, b -> a TreeSame | TreeBranches, a -> b TreeLeaves, b -> a TreeKeys,
//!             a -> b Replicate(AntiEntropy) and TreeWant, b -> a Replicate(AntiEntropy)
//! ```
//! Invariant: a state always travels whole. The wire form is `node/src/convert.rs`.

use bytes::Bytes;

use crate::fence::BootMark;
use crate::id::{CommitNo, Incarnation, Key, PartitionId, RequestId};

/// Where a request is followed across nodes (W3C Trace Context). Core neither reads nor sets it: the driver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Of the whole request.
    pub id: u128,
    /// Of the step this message is part of.
    pub span: u64,
}

/// One message with what every message carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The sender's layout; 0: none yet.
    pub layout_version: u64,
    /// The sender's boot count.
    pub boot: u32,
    /// The sender's last synced commit.
    pub synced: CommitNo,
    /// The trace it belongs to, if that is recorded.
    pub trace: Option<Box<Trace>>,
    /// What it says.
    pub message: Message,
}

/// Why a replica wants this state kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// A client waits for it.
    Put,
    /// A read found the receiver behind.
    Repair,
    /// A hint goes back to its owner.
    Handoff,
    /// A hash tree exchange found a difference.
    AntiEntropy,
}

/// Why a node will not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// No layout, or the rollback fence is not passed.
    NotReady,
    /// Not an owner of this partition under its layout.
    NotOwner,
    /// The byte budget of hints for that target is used up.
    HintsFull,
    /// The remaining time had passed before the disk was reached.
    Expired,
    /// The bytes were not a state.
    Malformed,
}

/// Keep this whole per-key state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicate {
    /// The sender's operation; 0: no acknowledgement wanted.
    pub op: u64,
    /// Which key.
    pub key: Key,
    /// Canonical encoding of the state.
    pub state: Bytes,
    /// The primary it is held for; `None`: for the receiver itself.
    pub hint_for: Option<Incarnation>,
    /// Time left, in milliseconds; 0: no limit.
    pub remaining_ms: u32,
    /// Why.
    pub purpose: Purpose,
}

/// Show me your state of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The sender's operation.
    pub op: u64,
    /// Which key.
    pub key: Key,
    /// Hash of the state the asker holds; 0: none. The same state is not sent again.
    pub known_hash: u64,
    /// Asks whether this put was applied here.
    pub request: Option<RequestId>,
    /// Time left, in milliseconds; 0: no limit.
    pub remaining_ms: u32,
    /// Answer from the hints held for this key.
    pub as_fallback: bool,
}

/// The answer to a [`Fetch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchReply {
    /// Of the question.
    pub op: u64,
    /// `None`: the state has the known hash. Empty bytes: absent.
    pub state: Option<Bytes>,
    /// The put asked about was applied here.
    pub was_applied: bool,
    /// Answered from hints.
    pub as_fallback: bool,
}

/// Everything one node can say to another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Message {
    /// The marks of its last boots, the running one last.
    FenceAsk {
        boots: Vec<BootMark>,
    },
    FenceAnswer {
        asked_boot: u32,
        is_behind: bool,
        seen_boot: u32,
        seen_commit: CommitNo,
    },
    Swim(Bytes),
    LayoutAsk,
    LayoutGive(Bytes),
    Forward {
        op: u64,
        put: Bytes,
        remaining_ms: u32,
    },
    ForwardReply {
        op: u64,
        outcome: Bytes,
    },
    Replicate(Replicate),
    ReplicateAck {
        op: u64,
        state_hash: u64,
    },
    ReplicateRefused {
        op: u64,
        reason: Refusal,
    },
    Fetch(Fetch),
    FetchReply(FetchReply),
    FetchRefused {
        op: u64,
        reason: Refusal,
    },
    TreeRoot {
        partition: PartitionId,
        round: u64,
        root: u64,
    },
    TreeSame {
        partition: PartitionId,
        round: u64,
    },
    TreeBranches {
        partition: PartitionId,
        round: u64,
        branches: Vec<u64>,
    },
    TreeLeaves {
        partition: PartitionId,
        round: u64,
        leaves: Vec<(u32, u64)>,
    },
    TreeKeys {
        partition: PartitionId,
        round: u64,
        leaves: Vec<u32>,
        keys: Vec<(Bytes, u64)>,
    },
    TreeWant {
        partition: PartitionId,
        round: u64,
        keys: Vec<Bytes>,
    },
}

/// The priority class of a message: each has its own stream between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A client waits, or membership depends on it.
    Foreground,
    /// Hints, repair, anti-entropy.
    Background,
}

impl Message {
    /// Which stream it takes.
    pub fn class(&self) -> Class {
        match self {
            // A monotonic read waits for its repair.
            Message::Replicate(r) if r.purpose == Purpose::Repair && r.op != 0 => Class::Foreground,
            Message::Replicate(r) if r.purpose != Purpose::Put => Class::Background,
            Message::TreeRoot { .. }
            | Message::TreeSame { .. }
            | Message::TreeBranches { .. }
            | Message::TreeLeaves { .. }
            | Message::TreeKeys { .. }
            | Message::TreeWant { .. } => Class::Background,
            _ => Class::Foreground,
        }
    }
}
