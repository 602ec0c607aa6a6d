//! What a failed request says, with its numbers, and how it travels.
//! In a `Session` it is a `v1::Error`; a unary call adds it as the trailer `driftkv-error-bin` beside the gRPC code, so that any
//! client sees a plain gRPC error and ours sees everything.
//! Invariant: `maybe_applied` is never false for a put that could still become visible.
//! Not here: deciding what failed (`core`), retrying (`client`).

use bytes::Bytes;
use prost::Message;
use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};

use crate::v1::{self, ErrorCode};

#[cfg(test)]
mod tests;

/// The trailer of a unary call that carries the encoded `v1::Error`.
pub const ERROR_TRAILER: &str = "driftkv-error-bin";

/// Why a request failed. The state of the store changed only where `maybe_applied` says that it may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct KvError {
    /// What the node said; `Unspecified` when no node answered, and then `grpc` and `message` tell why.
    pub code: ErrorCode,
    /// The gRPC code it travels under.
    pub grpc: Code,
    /// Words for a human; may be empty.
    pub message: String,
    /// Replicas the operation needed; 0 where no quorum was involved.
    pub needed: u32,
    /// Replicas that took part.
    pub got: u32,
    /// The put may be, or become, visible all the same.
    pub maybe_applied: bool,
    /// Primaries among `got`.
    pub primaries: u32,
    /// Fallbacks among `got`.
    pub fallbacks: u32,
}

impl KvError {
    /// No node answered: a broken or absent connection, or a deadline on this side.
    pub fn no_answer(grpc: Code, message: impl Into<String>, maybe_applied: bool) -> Self {
        let error = v1::Error { message: message.into(), maybe_applied, ..v1::Error::default() };
        Self { grpc, ..Self::from(error) }
    }

    /// The request was refused on this side and never left.
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        let code = ErrorCode::InvalidArgument.into();
        Self::from(v1::Error { code, message: message.into(), ..v1::Error::default() })
    }

    /// Whether the same request may succeed elsewhere or later.
    ///
    /// A refusal that depends on the request or on the data alone is final.
    pub fn is_retriable(&self) -> bool {
        match self.code {
            ErrorCode::InvalidArgument
            | ErrorCode::TooLarge
            | ErrorCode::BadContext
            | ErrorCode::TooManySiblings
            | ErrorCode::AlreadyExists => false,
            ErrorCode::Unspecified => matches!(
                self.grpc,
                Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
            ),
            ErrorCode::QuorumNotReached
            | ErrorCode::DeadlineExceeded
            | ErrorCode::Overloaded
            | ErrorCode::NotReady
            | ErrorCode::NotResponsible
            | ErrorCode::ShuttingDown => true,
        }
    }

    fn sentence(&self) -> String {
        let mut sentence = match self.code {
            ErrorCode::Unspecified => format!("no answer ({:?})", self.grpc),
            code => phrase(code).to_owned(),
        };
        if self.needed > 0 {
            sentence += &format!(": needed {}, got {}", self.needed, self.got);
            if !self.message.is_empty() {
                sentence += &format!(" ({})", self.message);
            }
        } else if !self.message.is_empty() {
            sentence += &format!(": {}", self.message);
        }
        if self.maybe_applied {
            sentence += "; the write may become visible later";
        }
        sentence
    }
}

impl From<v1::Error> for KvError {
    fn from(error: v1::Error) -> Self {
        Self {
            code: error.code(),
            grpc: grpc_code(error.code()),
            needed: error.needed,
            got: error.got,
            maybe_applied: error.maybe_applied,
            primaries: error.primaries,
            fallbacks: error.fallbacks,
            message: error.message,
        }
    }
}

impl From<KvError> for v1::Error {
    fn from(error: KvError) -> Self {
        Self {
            code: error.code.into(),
            message: error.message,
            needed: error.needed,
            got: error.got,
            maybe_applied: error.maybe_applied,
            primaries: error.primaries,
            fallbacks: error.fallbacks,
        }
    }
}

/// The answer of a unary call: the gRPC code, the sentence, and the whole error in the trailer.
pub fn to_status(error: &v1::Error) -> Status {
    let mut trailers = MetadataMap::new();
    trailers.insert_bin(ERROR_TRAILER, MetadataValue::from_bytes(&error.encode_to_vec()));
    let sentence = KvError::from(error.clone()).to_string();
    Status::with_metadata(grpc_code(error.code()), sentence, trailers)
}

/// The error inside a failed unary call.
///
/// `put_sent`: bytes of a put may have reached a node; false for a get. It matters only without the trailer, when something other
/// than a node's decision ended the call: unless the code rules it out, the put may then have been applied.
pub fn from_status(status: &Status, put_sent: bool) -> KvError {
    if let Some(error) = trailer(status) {
        return KvError { grpc: status.code(), ..KvError::from(error) };
    }
    let is_refused = matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::Unimplemented
    );
    // Only the transport says this: a message beyond what the other side reads, and it read none of it.
    if status.code() == Code::OutOfRange {
        let error = v1::Error {
            code: ErrorCode::TooLarge.into(),
            message: status.message().to_owned(),
            ..v1::Error::default()
        };
        return KvError { grpc: Code::OutOfRange, ..KvError::from(error) };
    }
    KvError::no_answer(status.code(), status.message(), put_sent && !is_refused)
}

fn trailer(status: &Status) -> Option<v1::Error> {
    let bytes: Bytes = status.metadata().get_bin(ERROR_TRAILER)?.to_bytes().ok()?;
    v1::Error::decode(bytes).ok()
}

fn grpc_code(code: ErrorCode) -> Code {
    match code {
        ErrorCode::Unspecified => Code::Unknown,
        ErrorCode::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorCode::Overloaded => Code::ResourceExhausted,
        ErrorCode::InvalidArgument | ErrorCode::TooLarge | ErrorCode::BadContext => Code::InvalidArgument,
        ErrorCode::TooManySiblings => Code::FailedPrecondition,
        ErrorCode::AlreadyExists => Code::AlreadyExists,
        ErrorCode::QuorumNotReached | ErrorCode::NotReady | ErrorCode::NotResponsible | ErrorCode::ShuttingDown => {
            Code::Unavailable
        }
    }
}

fn phrase(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Unspecified => "no answer",
        ErrorCode::QuorumNotReached => "quorum not reached",
        ErrorCode::DeadlineExceeded => "deadline exceeded",
        ErrorCode::Overloaded => "overloaded",
        ErrorCode::InvalidArgument => "invalid argument",
        ErrorCode::TooLarge => "too large",
        ErrorCode::BadContext => "bad context",
        ErrorCode::TooManySiblings => "too many siblings",
        ErrorCode::AlreadyExists => "already exists",
        ErrorCode::NotReady => "not ready",
        ErrorCode::NotResponsible => "not on the preference list",
        ErrorCode::ShuttingDown => "shutting down",
    }
}
