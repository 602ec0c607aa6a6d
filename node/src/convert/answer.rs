//! What core answered, as a client reads it.
//! Invariants: `maybe_applied` and the counts are core's own; the sentence of an error repeats none of them, since
//! `driftkv_proto::error` says them before it; an answer that no frame takes is an error, not a broken stream.

use driftkv_core::effect::{Achieved, Failure, Reply};
use driftkv_core::id::RequestId;
use driftkv_proto::REPLY_BYTES_MAX;
use driftkv_proto::v1::{self, ErrorCode};
use prost::Message;
use v1::session_reply::Reply as Wire;

use super::request_id_bytes;

/// What a frame of a session takes beside the answer: its id and the answer's length.
const SESSION_BYTES: usize = 32;

/// A successful answer, or the error that it is too large to send. `request`: of the put it answers.
pub fn reply(reply: Reply, request: Option<RequestId>) -> Wire {
    match reply {
        Reply::Get { siblings, context, achieved } => {
            let sibling = |p: driftkv_core::causality::Payload| v1::Sibling {
                value: p.value.unwrap_or_default(),
                request_id: request_id_bytes(p.request),
            };
            let siblings = siblings.into_iter().map(sibling).collect();
            sendable(v1::GetReply { siblings, context, achieved: Some(achieved_to_wire(achieved)) })
        }
        Reply::Put { context, siblings, achieved, was_applied } => Wire::Put(v1::PutReply {
            context,
            siblings,
            achieved: Some(achieved_to_wire(achieved)),
            was_applied,
            request_id: request.map(request_id_bytes).unwrap_or_default(),
        }),
    }
}

/// A failure with its numbers.
pub fn error(failure: &Failure) -> v1::Error {
    let base = v1::Error { code: code(failure).into(), message: message(failure), ..v1::Error::default() };
    match *failure {
        Failure::QuorumNotReached { needed, primaries, fallbacks, maybe_applied }
        | Failure::DeadlineExceeded { needed, primaries, fallbacks, maybe_applied } => {
            let got = primaries.saturating_add(fallbacks);
            v1::Error { needed, got, primaries, fallbacks, maybe_applied, ..base }
        }
        Failure::ShuttingDown { maybe_applied } => v1::Error { maybe_applied, ..base },
        _ => base,
    }
}

fn sendable(reply: v1::GetReply) -> Wire {
    let bytes = reply.encoded_len();
    if bytes <= REPLY_BYTES_MAX - SESSION_BYTES {
        return Wire::Get(reply);
    }
    let message = format!(
        "the {} siblings of the key have {bytes} bytes together, an answer at most {}; an overwrite_all replaces them",
        reply.siblings.len(),
        REPLY_BYTES_MAX - SESSION_BYTES
    );
    Wire::Error(v1::Error { code: ErrorCode::TooLarge.into(), message, ..v1::Error::default() })
}

fn achieved_to_wire(achieved: Achieved) -> v1::Achieved {
    v1::Achieved { primaries: achieved.primaries, fallbacks: achieved.fallbacks, strict: achieved.is_strict }
}

fn code(failure: &Failure) -> ErrorCode {
    match failure {
        Failure::QuorumNotReached { .. } => ErrorCode::QuorumNotReached,
        Failure::DeadlineExceeded { .. } => ErrorCode::DeadlineExceeded,
        Failure::Overloaded { .. } => ErrorCode::Overloaded,
        Failure::InvalidArgument(_) => ErrorCode::InvalidArgument,
        Failure::TooLarge { .. } => ErrorCode::TooLarge,
        Failure::BadContext(_) => ErrorCode::BadContext,
        Failure::TooManySiblings { .. } => ErrorCode::TooManySiblings,
        Failure::AlreadyExists { .. } => ErrorCode::AlreadyExists,
        Failure::NotReady(_) => ErrorCode::NotReady,
        Failure::NotResponsible => ErrorCode::NotResponsible,
        Failure::ShuttingDown { .. } => ErrorCode::ShuttingDown,
    }
}

/// Core's sentence without what the code and the counts say already.
fn message(failure: &Failure) -> String {
    match failure {
        Failure::QuorumNotReached { primaries, fallbacks, .. }
        | Failure::DeadlineExceeded { primaries, fallbacks, .. } => {
            format!("primaries: {primaries}, fallbacks: {fallbacks}")
        }
        Failure::NotReady(why) => why.clone(),
        Failure::NotResponsible => "the request was forwarded here, and a request is forwarded once".to_owned(),
        Failure::ShuttingDown { .. } => "this node is stopping; ask another one".to_owned(),
        other => {
            let sentence = other.to_string();
            let said = ["overloaded: ", "bad context: "].iter().find_map(|phrase| sentence.strip_prefix(phrase));
            said.map(str::to_owned).unwrap_or(sentence)
        }
    }
}
