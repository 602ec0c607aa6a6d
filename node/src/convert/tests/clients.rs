//! Clients' requests and answers.

use bytes::Bytes;
use driftkv_core::causality::Payload;
use driftkv_core::effect::{Achieved, Failure, Get, Intent, Reply, Request};
use driftkv_core::id::{Key, RequestId};
use driftkv_proto::error::KvError;
use driftkv_proto::v1::{self, ErrorCode};
use v1::session_request::Request as Wire;

use crate::convert::{answer, client, request_id_bytes};

fn put() -> v1::PutRequest {
    v1::PutRequest {
        key: "k".into(),
        value: "v".into(),
        context: "c".into(),
        request_id: vec![1; 16].into(),
        options: Some(v1::Options { r: 1, w: 3, timeout_ms: 250 }),
        ..Default::default()
    }
}

#[test]
fn an_empty_bucket_is_the_one_named_default() {
    let empty = client::get(v1::GetRequest { key: "k".into(), ..Default::default() }).unwrap();
    let named = v1::GetRequest { bucket: "default".to_owned(), key: "k".into(), ..Default::default() };
    assert_eq!(empty, client::get(named).unwrap());
    assert_eq!(empty.key, Key::new("default", "k"));
}

#[test]
fn a_get_keeps_its_mode_and_options() {
    let request = v1::GetRequest {
        bucket: "b".to_owned(),
        key: "k".into(),
        mode: v1::ReadMode::Monotonic.into(),
        options: Some(v1::Options { r: 2, w: 9, timeout_ms: 70 }),
    };
    let expected = Get { key: Key::new("b", "k"), is_monotonic: true, r: 2, timeout_ms: 70 };
    assert_eq!(client::get(request), Ok(expected));
}

#[test]
fn a_put_keeps_all_its_fields() {
    let read = client::put(v1::PutRequest { is_retry: true, intent: 3, ..put() }).unwrap();
    assert_eq!((read.r, read.w, read.timeout_ms, read.is_retry), (1, 3, 250, true));
    assert_eq!((read.value, read.context), (Some(Bytes::from("v")), Bytes::from("c")));
    assert_eq!((read.intent, read.request), (Intent::OverwriteAll, RequestId(u128::from_be_bytes([1; 16]))));
}

#[test]
fn an_empty_value_is_a_value_and_a_delete_a_tombstone() {
    let empty = client::put(v1::PutRequest { value: Bytes::new(), ..put() }).unwrap();
    assert_eq!(empty.value, Some(Bytes::new()));
    let delete = v1::DeleteRequest { key: "k".into(), ..Default::default() };
    assert_eq!(client::delete(delete).unwrap().value, None);
}

#[test]
fn a_put_without_a_request_id_gets_a_fresh_one() {
    let unnamed = || client::put(v1::PutRequest { request_id: Bytes::new(), ..put() }).unwrap().request;
    assert_ne!(unnamed(), unnamed());
}

#[test]
fn what_cannot_be_used_is_refused_and_named() {
    let field = |request: Wire| client::session(Some(request)).unwrap_err().field;
    assert_eq!(field(Wire::Get(v1::GetRequest { mode: 2, ..Default::default() })), "mode");
    assert_eq!(field(Wire::Put(v1::PutRequest { intent: 4, ..put() })), "intent");
    assert_eq!(field(Wire::Put(v1::PutRequest { intent: -1, ..put() })), "intent");
    for length in [1, 15, 17] {
        assert_eq!(field(Wire::Put(v1::PutRequest { request_id: vec![0; length].into(), ..put() })), "request_id");
    }
    let nameless = v1::PutRequest { request_id: Bytes::new(), is_retry: true, ..put() };
    assert_eq!(field(Wire::Put(nameless)), "request_id");
    for intent in [v1::Intent::AddSibling, v1::Intent::CreateOnly] {
        assert_eq!(field(Wire::Delete(v1::DeleteRequest { intent: intent.into(), ..Default::default() })), "intent");
    }
    assert_eq!(client::session(None).unwrap_err().field, "request");
    let sentence = Failure::from(client::put(v1::PutRequest { intent: 9, ..put() }).unwrap_err()).to_string();
    assert!(sentence.starts_with("intent: 9 is not known to this version; allowed is"), "{sentence}");
}

#[test]
fn a_session_takes_all_three_kinds() {
    let delete = v1::DeleteRequest { key: "k".into(), intent: 3, ..Default::default() };
    assert!(matches!(client::session(Some(Wire::Get(Default::default()))), Ok(Request::Get(_))));
    assert!(matches!(client::session(Some(Wire::Put(put()))), Ok(Request::Put(p)) if p.value.is_some()));
    assert!(matches!(client::session(Some(Wire::Delete(delete))), Ok(Request::Put(p)) if p.value.is_none()));
}

#[test]
fn replies_keep_siblings_contexts_and_counts() {
    let achieved = Achieved { primaries: 1, fallbacks: 2, is_strict: false };
    let payload = Payload { request: RequestId(7), value: Some("v".into()) };
    let get = Reply::Get { siblings: vec![payload], context: "c".into(), achieved };
    let achieved_wire = Some(v1::Achieved { primaries: 1, fallbacks: 2, strict: false });
    let sibling = v1::Sibling { value: "v".into(), request_id: request_id_bytes(RequestId(7)) };
    assert_eq!(
        answer::reply(get, None),
        v1::session_reply::Reply::Get(v1::GetReply {
            siblings: vec![sibling],
            context: "c".into(),
            achieved: achieved_wire
        })
    );
    let put = Reply::Put { context: "d".into(), siblings: 4, achieved, was_applied: true };
    assert_eq!(
        answer::reply(put, Some(RequestId(9))),
        v1::session_reply::Reply::Put(v1::PutReply {
            context: "d".into(),
            siblings: 4,
            achieved: achieved_wire,
            was_applied: true,
            request_id: request_id_bytes(RequestId(9)),
        })
    );
}

#[test]
fn a_failed_quorum_keeps_every_number() {
    let failure = Failure::QuorumNotReached { needed: 3, primaries: 1, fallbacks: 1, maybe_applied: true };
    let error = answer::error(&failure);
    assert_eq!(error.code(), ErrorCode::QuorumNotReached);
    assert_eq!((error.needed, error.got, error.primaries, error.fallbacks), (3, 2, 1, 1));
    assert!(error.maybe_applied);
    assert!(answer::error(&Failure::ShuttingDown { maybe_applied: true }).maybe_applied);
}

#[test]
fn every_failure_has_its_code_and_one_clear_sentence() {
    let table = [
        (
            Failure::DeadlineExceeded { needed: 2, primaries: 1, fallbacks: 0, maybe_applied: false },
            "deadline exceeded: needed 2, got 1 (primaries: 1, fallbacks: 0)",
        ),
        (
            Failure::Overloaded { in_flight: 9 },
            "overloaded: 9 requests are in flight on this node, too many to take another; try again later or another node",
        ),
        (Failure::InvalidArgument("key: empty".to_owned()), "invalid argument: key: empty"),
        (
            Failure::TooLarge { what: "the key".to_owned(), bytes: 9, bytes_max: 8 },
            "too large: the key has 9 bytes; this cluster takes at most 8",
        ),
        (
            Failure::BadContext("damaged".to_owned()),
            "bad context: damaged; read the key again and use the context of that answer",
        ),
        (
            Failure::AlreadyExists { siblings: 2 },
            "already exists: the key already has a live value (2 siblings); create_only refuses",
        ),
        (Failure::NotReady("no layout yet".to_owned()), "not ready: no layout yet"),
        (
            Failure::NotResponsible,
            "not on the preference list: the request was forwarded here, and a request is forwarded once",
        ),
        (Failure::ShuttingDown { maybe_applied: false }, "shutting down: this node is stopping; ask another one"),
    ];
    for (failure, sentence) in table {
        assert_eq!(KvError::from(answer::error(&failure)).to_string(), sentence);
    }
}
