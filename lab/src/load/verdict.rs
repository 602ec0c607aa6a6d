//! What one request came to: certainly done, certainly not done, or unknown (research/lab.md 3.0).
//! Invariant: a write is `fail` only if the store says, or the client knows, that it cannot become visible.

use driftkv_proto::error::KvError;
use driftkv_proto::v1::ErrorCode;
use serde::{Deserialize, Serialize};
use tonic::Code;

use crate::history::Replicas;

const MESSAGE_CHARS_MAX: usize = 300;

/// The outcome of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Answered and done.
    Ok,
    /// Certainly not applied; a read that brought nothing.
    Fail,
    /// A write that may be, or become, visible.
    Info,
}

/// A failure, as it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) status: Status,
    /// A word for the kind of failure.
    pub(super) name: &'static str,
    /// Nobody said in time how it ended: its latency is a lower bound. Otherwise it was refused, and took no time worth counting.
    pub(super) is_censored: bool,
    /// Another attempt, perhaps at another node, may do better.
    pub(super) is_retriable: bool,
    /// Its time was up, or it was refused since it would be: what is asked of the store is more than it does in that time.
    pub(super) is_overdue: bool,
    /// What the one who refused said; empty if nobody did.
    pub(super) message: String,
    /// Who took part, if a node said so.
    pub(super) replicas: Option<Replicas>,
}

/// An operation that was due but never sent.
pub(super) const NOT_SENT: Failed = Failed::unsent("not_sent");

impl Failed {
    /// An operation for which there was no connection.
    pub(super) fn not_connected(why: &KvError) -> Self {
        Self { message: words(why), is_retriable: true, ..Self::unsent("not_connected") }
    }

    const fn unsent(name: &'static str) -> Self {
        Self {
            status: Status::Fail,
            name,
            is_censored: true,
            is_retriable: false,
            is_overdue: false,
            message: String::new(),
            replicas: None,
        }
    }

    /// What `error` means for a request that was sent.
    pub(super) fn of(error: &KvError, is_write: bool) -> Self {
        let status = if is_write && error.maybe_applied { Status::Info } else { Status::Fail };
        let (name, is_refusal) = match error.code {
            ErrorCode::Unspecified => (silence(error.grpc), false),
            ErrorCode::QuorumNotReached => ("quorum_not_reached", false),
            ErrorCode::DeadlineExceeded => ("deadline_exceeded", false),
            ErrorCode::Overloaded => ("overloaded", true),
            ErrorCode::InvalidArgument => ("invalid_argument", true),
            ErrorCode::TooLarge => ("too_large", true),
            ErrorCode::BadContext => ("bad_context", true),
            ErrorCode::TooManySiblings => ("too_many_siblings", true),
            ErrorCode::AlreadyExists => ("already_exists", true),
            ErrorCode::NotReady => ("not_ready", true),
            ErrorCode::NotResponsible => ("not_responsible", true),
            ErrorCode::ShuttingDown => ("shutting_down", true),
        };
        let took_part = Replicas { primaries: error.primaries, fallbacks: error.fallbacks };
        let replicas = (error.code == ErrorCode::QuorumNotReached).then_some(took_part);
        Self {
            status,
            name,
            is_censored: !is_refusal || status == Status::Info,
            is_retriable: error.is_retriable(),
            is_overdue: matches!(name, "timeout" | "deadline_exceeded" | "overloaded"),
            message: words(error),
            replicas,
        }
    }
}

/// What `error` says, on one line that ends in time, whoever wrote it.
fn words(error: &KvError) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    error.to_string().chars().take(MESSAGE_CHARS_MAX).map(plain).collect()
}

fn silence(code: Code) -> &'static str {
    match code {
        Code::DeadlineExceeded => "timeout",
        Code::Internal => "wrong_answer",
        _ => "connection_lost",
    }
}
