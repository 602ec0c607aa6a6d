//! What happened in a run, request by request: one line of JSON each, from which everything else is derived (research/lab.md 3.0).
//! The first line is the `Header`, with the plan as it was run; then a `Record` for each request, in the order in which they ended.
//! A read-modify-write is two records, `rmw_get` and `rmw_put`, with the same `seq`: a judge sees a read and a write with its context.
//! Invariants: a record is appended whole; times are nanoseconds of one monotonic clock since the run began.
//! Not here: judging (later), counting (`load`).

use serde::{Deserialize, Serialize};

use crate::load::Status;
use crate::plan::Plan;

mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use reader::{Line, next_line, parse};
pub use reader::{ReadError, Reader};
pub(crate) use writer::Writer;
pub use writer::Written;

/// The version of the format that is written today.
pub const VERSION: u32 = 1;

/// The file beside a history that came to its end.
pub(crate) const END: &str = "history.end";

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Of this format.
    pub driftkv_history: u32,
    /// Names the run, in sixteen hexadecimal digits.
    pub run: String,
    /// When it began, by the clock on the wall.
    pub started_unix_ms: u64,
    /// What was asked, defaults filled in.
    pub plan: Plan,
    /// Client ports of the nodes, in the plan's order.
    pub targets: Vec<String>,
    /// What gets asked for: `eventual` or `monotonic`.
    pub read_mode: String,
    /// How long a request might take from the moment it was sent.
    pub timeout_ms: u64,
}

/// What one request asked the store to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Read.
    Get,
    /// Write.
    Put,
    /// Write a tombstone.
    Delete,
    /// The read of a read-modify-write.
    RmwGet,
    /// Its write.
    RmwPut,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// As in the header.
    pub run: String,
    /// The stream of operations it comes from.
    pub worker: u32,
    /// The client session whose contexts it carries.
    pub session: u32,
    /// The operation's number in the plan.
    pub seq: u64,
    /// What it does.
    pub op: Op,
    /// The key, in the plan's bucket.
    pub key: String,
    /// The write, tombstones included: unique in the run.
    pub value_id: Option<String>,
    /// What the write replaces; `None` for reads, and for what was never sent.
    pub ctx_in: Option<ContextIn>,
    /// The node it was sent to, or should have been.
    pub target: String,
    /// Replicas of a key, if the loader was told.
    pub n: Option<u32>,
    /// Replicas to read, as asked or as the cluster's default, if the loader was told.
    pub r: Option<u32>,
    /// Replicas that must have a write on disk; as `r`.
    pub w: Option<u32>,
    /// When it was due; `None` in a closed loop.
    pub intended_ns: Option<u64>,
    /// Just before it was handed over; `None`: it never was.
    pub sent_ns: Option<u64>,
    /// Just after the answer was understood, or when it was given up.
    pub recv_ns: u64,
    /// How often it was sent, or should have been: more than once only where the plan allows it, always with the same request id.
    pub attempts: u32,
    /// What came of it: of the last attempt, and unknown if any attempt of a write is.
    pub status: Status,
    /// A word for the failure.
    pub error: Option<String>,
    /// The node that coordinated it, or as a leader acknowledged it. Always `None` of this store: any node may forward, and answers do not say
    /// who took over.
    pub coordinator: Option<String>,
    /// Of a store with leaders: the term of the one that answered it; only of what was answered (`ok`). Absent of this store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// How many replicas took part when it was decided.
    pub replicas: Option<Replicas>,
    /// The live siblings that a read brought.
    pub returned: Vec<Returned>,
    /// The context of the answer in base64url; empty: the store says that a client must read first. `None` without an answer.
    pub ctx_out: Option<String>,
    /// The quorum was sloppy: R + W > N promises nothing.
    pub degraded: Option<bool>,
    /// The answer leaves siblings out. Never, in this contract.
    pub truncated: bool,
}

/// What a write replaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextIn {
    /// What it does with what is there.
    pub intent: Intent,
    /// The operation of this run whose answer brought the context; its record has it as `ctx_out`.
    pub seq: Option<u64>,
    /// The context, in base64url; empty for the intents that have none.
    pub ctx: String,
}

/// What a write does with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// Replaces what its context has seen.
    WithContext,
    /// Replaces nothing.
    AddSibling,
    /// Replaces all that R replicas show its coordinator.
    OverwriteAll,
}

/// Replicas that took part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicas {
    /// Of the key's own.
    pub primaries: u32,
    /// That stood in for one.
    pub fallbacks: u32,
}

/// One value that a read brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returned {
    /// The write of this run that made it; `RUN/ID` of another run; `damaged ID` if its bytes are not those that were written;
    /// `unknown HASH` of a value that no laboratory wrote.
    pub value_id: String,
    /// The event that wrote it. Always `None`: clients see contexts, not dots.
    pub dot: Option<String>,
}
