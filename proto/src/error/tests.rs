//! The error's way through a `Status` and back, and what it says to a human.
#![allow(clippy::unwrap_used)]

use super::{from_status, to_status};
use crate::v1::{self, ErrorCode};
use tonic::{Code, Status};

fn quorum_error() -> v1::Error {
    v1::Error {
        code: ErrorCode::QuorumNotReached.into(),
        message: String::new(),
        needed: 2,
        got: 1,
        maybe_applied: true,
        primaries: 1,
        fallbacks: 0,
    }
}

#[test]
fn every_code_survives_the_way_through_a_status() {
    for code in 1..=11 {
        let error = v1::Error { code, message: "why".to_owned(), fallbacks: 3, ..quorum_error() };
        let back = from_status(&to_status(&error), false);
        assert_eq!(v1::Error::from(back), error);
    }
}

#[test]
fn the_grpc_codes_are_those_of_the_contract() {
    let grpc = |code: ErrorCode| to_status(&v1::Error { code: code.into(), ..v1::Error::default() }).code();
    assert_eq!(grpc(ErrorCode::QuorumNotReached), Code::Unavailable);
    assert_eq!(grpc(ErrorCode::DeadlineExceeded), Code::DeadlineExceeded);
    assert_eq!(grpc(ErrorCode::Overloaded), Code::ResourceExhausted);
    assert_eq!(grpc(ErrorCode::BadContext), Code::InvalidArgument);
    assert_eq!(grpc(ErrorCode::TooManySiblings), Code::FailedPrecondition);
    assert_eq!(grpc(ErrorCode::AlreadyExists), Code::AlreadyExists);
    assert_eq!(grpc(ErrorCode::ShuttingDown), Code::Unavailable);
}

#[test]
fn the_sentence_carries_the_numbers_and_the_doubt() {
    let error = from_status(&to_status(&quorum_error()), false);
    assert_eq!(error.to_string(), "quorum not reached: needed 2, got 1; the write may become visible later");
}

#[test]
fn without_the_trailer_a_sent_put_is_in_doubt_unless_the_code_rules_it_out() {
    for code in [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::DeadlineExceeded] {
        assert!(from_status(&Status::new(code, "cut"), true).maybe_applied);
        assert!(!from_status(&Status::new(code, "cut"), false).maybe_applied);
    }
    assert!(!from_status(&Status::invalid_argument("no"), true).maybe_applied);
    assert_eq!(from_status(&Status::unavailable("cut"), false).to_string(), "no answer (Unavailable): cut");
}

#[test]
fn what_depends_on_the_request_alone_is_not_retriable() {
    let is_retriable = |code: ErrorCode| {
        from_status(&to_status(&v1::Error { code: code.into(), ..v1::Error::default() }), true).is_retriable()
    };
    for code in [
        ErrorCode::InvalidArgument,
        ErrorCode::TooLarge,
        ErrorCode::BadContext,
        ErrorCode::AlreadyExists,
        ErrorCode::TooManySiblings,
    ] {
        assert!(!is_retriable(code), "{code:?}");
    }
    for code in [ErrorCode::NotReady, ErrorCode::Overloaded, ErrorCode::ShuttingDown, ErrorCode::QuorumNotReached] {
        assert!(is_retriable(code), "{code:?}");
    }
}
