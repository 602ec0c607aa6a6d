//! The client against a node that answers as it is told, over real loopback connections.
#![allow(clippy::unwrap_used)]

mod fake;

use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tonic::{Code, Status};

use super::{Client, GetOptions, PutOptions, Session};
use crate::error::to_status;
use crate::v1::{self, ErrorCode, GetReply, PutReply};
use fake::{Fake, Seen};

fn refusal(code: ErrorCode, maybe_applied: bool) -> Status {
    to_status(&v1::Error { code: code.into(), maybe_applied, ..v1::Error::default() })
}

async fn put(client: &Client) -> Result<PutReply, crate::error::KvError> {
    client.put("default", "key", "value", PutOptions::default()).await
}

/// An address where nobody listens.
async fn dead_address() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

fn retries(fake: &Fake) -> Vec<bool> {
    fake.seen().into_iter().map(|seen| seen.is_retry).collect()
}

#[tokio::test]
async fn a_put_of_unknown_outcome_is_repeated_as_a_retry_with_the_same_id() {
    let fake = Fake::start(vec![Err(Status::unavailable("cut"))]).await;
    let client = Client::connect(vec![fake.address()]).unwrap();
    put(&client).await.unwrap();
    let seen = fake.seen();
    assert_eq!(retries(&fake), [false, true]);
    let ids: Vec<&Bytes> = seen.iter().map(|seen| &seen.request_id).collect();
    assert_eq!(ids.first(), ids.last());
    assert!(ids.iter().all(|id| id.len() == crate::REQUEST_ID_BYTES));
    assert!(seen.iter().all(|seen| seen.timeout_ms > 0 && seen.timeout_ms <= 5_000));
}

#[tokio::test]
async fn every_put_has_its_own_id() {
    let fake = Fake::start(vec![]).await;
    let client = Client::connect(vec![fake.address()]).unwrap();
    put(&client).await.unwrap();
    put(&client).await.unwrap();
    let ids: std::collections::BTreeSet<Bytes> = fake.seen().into_iter().map(|seen| seen.request_id).collect();
    assert_eq!(ids.len(), 2);
}

#[tokio::test]
async fn a_put_that_was_surely_not_applied_is_repeated_without_saying_retry() {
    let refusals = vec![Err(refusal(ErrorCode::NotReady, false)), Err(refusal(ErrorCode::Overloaded, false))];
    let fake = Fake::start(refusals).await;
    let client = Client::connect(vec![fake.address()]).unwrap();
    put(&client).await.unwrap();
    assert_eq!(retries(&fake), [false, false, false]);
}

#[tokio::test]
async fn refusals_that_depend_on_the_request_are_not_repeated() {
    let codes = [
        ErrorCode::InvalidArgument,
        ErrorCode::BadContext,
        ErrorCode::AlreadyExists,
        ErrorCode::TooManySiblings,
        ErrorCode::TooLarge,
    ];
    for code in codes {
        let fake = Fake::start(vec![Err(refusal(code, false))]).await;
        let error = put(&Client::connect(vec![fake.address()]).unwrap()).await.unwrap_err();
        assert_eq!((error.code, error.maybe_applied, fake.seen().len()), (code, false, 1));
    }
    let fake = Fake::start(vec![Err(Status::invalid_argument("no trailer"))]).await;
    let error = put(&Client::connect(vec![fake.address()]).unwrap()).await.unwrap_err();
    assert_eq!((error.grpc, error.maybe_applied, fake.seen().len()), (Code::InvalidArgument, false, 1));
}

#[tokio::test]
async fn the_doubt_of_an_earlier_attempt_stays_in_the_error() {
    let answers = vec![Err(refusal(ErrorCode::QuorumNotReached, true)), Err(refusal(ErrorCode::AlreadyExists, false))];
    let fake = Fake::start(answers).await;
    let error = put(&Client::connect(vec![fake.address()]).unwrap()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::AlreadyExists);
    assert!(error.maybe_applied, "{error}");
    assert_eq!(retries(&fake), [false, true]);
}

#[tokio::test]
async fn the_second_failure_moves_on_to_the_next_node_which_is_preferred_from_then_on() {
    let down = || Err(refusal(ErrorCode::ShuttingDown, false));
    let (first, second) = (Fake::start(vec![down(), down()]).await, Fake::start(vec![]).await);
    let client = Client::connect(vec![first.address(), second.address()]).unwrap();
    put(&client).await.unwrap();
    put(&client).await.unwrap();
    assert_eq!((first.seen().len(), second.seen().len()), (2, 2));
}

#[tokio::test]
async fn a_node_nobody_listens_on_leaves_no_doubt() {
    let fake = Fake::start(vec![]).await;
    let client = Client::connect(vec![dead_address().await, fake.address()]).unwrap();
    put(&client).await.unwrap();
    assert_eq!(retries(&fake), [false]);

    let options = PutOptions { timeout: Some(Duration::from_millis(40)), ..PutOptions::default() };
    let client = Client::connect(vec![dead_address().await]).unwrap();
    let error = client.put("default", "key", "value", options).await.unwrap_err();
    assert_eq!(
        (error.code, error.grpc, error.maybe_applied),
        (ErrorCode::Unspecified, Code::Unavailable, false),
        "{error}"
    );
}

#[tokio::test]
async fn a_silent_node_costs_no_more_than_the_deadline_and_leaves_a_put_in_doubt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::connect(vec![format!("http://{}", listener.local_addr().unwrap())]).unwrap();
    let timeout = Some(Duration::from_millis(50));
    let error = client.delete("default", "key", PutOptions { timeout, ..PutOptions::default() }).await.unwrap_err();
    assert_eq!((error.grpc, error.maybe_applied), (Code::DeadlineExceeded, true), "{error}");
    let error = client.get("default", "key", GetOptions { timeout, ..GetOptions::default() }).await.unwrap_err();
    assert_eq!((error.grpc, error.maybe_applied), (Code::DeadlineExceeded, false), "{error}");
}

#[tokio::test]
async fn what_is_no_address_or_too_large_never_leaves() {
    for wrong in ["", "demo-0", "https://demo-0:7400", "demo 0:7400"] {
        let error = Client::connect(vec![wrong.to_owned()]).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument, "{wrong}: {error}");
    }
    assert!(Client::connect(vec![]).is_err());
    let client = Client::connect(vec![dead_address().await]).unwrap();
    let value = Bytes::from(vec![0; crate::FRAME_BYTES_MAX]);
    let error = client.put("default", "key", value, PutOptions::default()).await.unwrap_err();
    assert_eq!((error.code, error.maybe_applied), (ErrorCode::TooLarge, false));
}

#[tokio::test]
async fn a_session_matches_replies_that_come_out_of_order() {
    // The fake answers a session's gets in pairs, the later first, each with its key as the context.
    let fake = Fake::start(vec![]).await;
    let session = Session::connect(&fake.address(), 8).await.unwrap();
    let calls: Vec<_> = (0..8)
        .map(|index| {
            let session = session.clone();
            tokio::spawn(async move { session.get("default", format!("key-{index}"), GetOptions::default()).await })
        })
        .collect();
    for (index, call) in calls.into_iter().enumerate() {
        let reply: GetReply = call.await.unwrap().unwrap();
        assert_eq!(reply.context, Bytes::from(format!("key-{index}")));
    }
    assert!(!session.is_closed());
}

#[tokio::test]
async fn a_session_carries_errors_and_passes_retries_on() {
    let fake = Fake::start(vec![]).await;
    let session = Session::connect(&fake.address(), 2).await.unwrap();
    let options = PutOptions { is_retry: true, request_id: Some(Bytes::from(vec![7; 16])), ..PutOptions::default() };
    session.put("default", "key", "value", options).await.unwrap();
    let error = session.delete("default", "refuse", PutOptions::default()).await.unwrap_err();
    assert_eq!((error.code, error.maybe_applied), (ErrorCode::TooManySiblings, false));
    let first: Option<Seen> = fake.seen().into_iter().next();
    assert!(first.is_some_and(|seen| seen.is_retry && seen.request_id == vec![7; 16]));
}

#[tokio::test]
async fn when_the_stream_ends_puts_are_in_doubt_gets_are_not_and_later_calls_fail_at_once() {
    let fake = Fake::start(vec![]).await;
    let session = Session::connect(&fake.address(), 8).await.unwrap();
    // A lone get waits for its pair; the put of `end` makes the fake end the stream.
    let get = tokio::spawn({
        let session = session.clone();
        async move { session.get("default", "lone", GetOptions::default()).await }
    });
    let error = session.put("default", "end", "value", PutOptions::default()).await.unwrap_err();
    assert!(error.maybe_applied && error.is_retriable(), "{error}");
    let error = get.await.unwrap().unwrap_err();
    assert!(!error.maybe_applied && error.is_retriable(), "{error}");
    assert!(session.is_closed());
    let error = session.put("default", "key", "value", PutOptions::default()).await.unwrap_err();
    assert!(!error.maybe_applied && error.grpc == Code::Unavailable, "{error}");
}

#[tokio::test]
async fn a_call_past_its_deadline_gives_its_turn_to_the_next() {
    let fake = Fake::start(vec![]).await;
    let session = Session::connect(&fake.address(), 1).await.unwrap();
    let options = GetOptions { timeout: Some(Duration::from_millis(20)), ..GetOptions::default() };
    let error = session.get("default", "lone", options).await.unwrap_err();
    assert_eq!(error.grpc, Code::DeadlineExceeded);
    session.put("default", "key", "value", PutOptions::default()).await.unwrap();
}

#[tokio::test]
async fn admin_connects_only_when_used() {
    let mut admin = super::admin(&dead_address().await).unwrap();
    assert_eq!(admin.status(v1::StatusRequest {}).await.unwrap_err().code(), Code::Unavailable);
    assert!(super::admin("nowhere").is_err());
}
