//! Unary calls over a real socket, with an engine that the test plays.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod sessions;

use std::time::Duration;

use bytes::Bytes;
use driftkv_core::causality::Payload;
use driftkv_core::config::Limits;
use driftkv_core::effect::{Achieved, Failure, Intent, Put, Reply, Request};
use driftkv_core::id::RequestId;
use driftkv_proto::client::{Client, GetOptions, PutOptions};
use driftkv_proto::error::from_status;
use driftkv_proto::v1::kv_client::KvClient;
use driftkv_proto::v1::{self, ErrorCode};
use driftkv_proto::{FRAME_BYTES_MAX, v1::GetRequest};
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt;

use super::KvApi;
use crate::api::loopback::{connect, next, serve, soon};
use crate::driver::{Handle, Inbox, Job, Outcome, ReplyTo};

const LIMITS: Limits = Limits { key_bytes_max: 100, value_bytes_max: 1_000, siblings_max: 10, hint_bytes_max: 1_000 };
const ACHIEVED: Achieved = Achieved { primaries: 2, fallbacks: 0, is_strict: true };

async fn start() -> (String, Inbox) {
    let (handle, inbox) = Handle::new();
    let address = serve(KvApi::new(handle, LIMITS).into_service()).await;
    (address, inbox)
}

async fn start_raw() -> (KvClient<Channel>, Inbox) {
    let (address, inbox) = start().await;
    let kv = KvClient::new(connect(&address).await).max_decoding_message_size(FRAME_BYTES_MAX);
    (kv, inbox)
}

/// The next request of a client, and who waits for it.
async fn asked(inbox: &mut Inbox) -> (Request, ReplyTo) {
    match next(inbox).await {
        Job::Client { request, to, .. } => (request, to),
        other => panic!("{other:?}"),
    }
}

async fn asked_put(inbox: &mut Inbox) -> (Put, ReplyTo) {
    match asked(inbox).await {
        (Request::Put(put), to) => (put, to),
        other => panic!("{other:?}"),
    }
}

fn got(values: &[Bytes]) -> Outcome {
    let sibling = |value: &Bytes| Payload { request: RequestId(5), value: Some(value.clone()) };
    let siblings = values.iter().map(sibling).collect();
    Ok(Reply::Get { siblings, context: "ctx".into(), achieved: ACHIEVED })
}

fn stored() -> Outcome {
    Ok(Reply::Put { context: "ctx".into(), siblings: 1, achieved: ACHIEVED, was_applied: false })
}

fn get(key: &'static str) -> GetRequest {
    GetRequest { key: key.into(), ..Default::default() }
}

#[tokio::test]
async fn a_get_a_put_and_a_delete_reach_the_engine_and_come_back() {
    let (address, mut inbox) = start().await;
    let engine = tokio::spawn(async move {
        let (request, to) = asked(&mut inbox).await;
        assert!(matches!(request, Request::Get(get) if get.key.key() == "k" && get.r == 2));
        to.send(got(&["v".into()]));
        let (put, to) = asked_put(&mut inbox).await;
        assert_eq!((put.value, put.context, put.w), (Some("v2".into()), "ctx".into(), 3));
        to.send(stored());
        let (delete, to) = asked_put(&mut inbox).await;
        assert_eq!((delete.value, delete.intent), (None, Intent::OverwriteAll));
        to.send(stored());
        put.request
    });
    let client = Client::connect(vec![address]).unwrap();
    let read = client.get("b", "k", GetOptions { r: 2, ..Default::default() }).await.unwrap();
    assert_eq!((read.siblings[0].value.clone(), read.context.clone()), (Bytes::from("v"), Bytes::from("ctx")));
    assert_eq!(read.achieved, Some(v1::Achieved { primaries: 2, fallbacks: 0, strict: true }));
    let options = PutOptions { context: read.context, w: 3, ..Default::default() };
    let written = client.put("b", "k", "v2", options).await.unwrap();
    let intent = v1::Intent::OverwriteAll;
    client.delete("b", "k", PutOptions { intent, ..Default::default() }).await.unwrap();
    let request = soon(engine).await.unwrap();
    assert_eq!(written.request_id, crate::convert::request_id_bytes(request), "the reply names the put it answers");
}

#[tokio::test]
async fn a_failure_carries_code_numbers_and_standard_details_over_the_wire() {
    let (mut kv, mut inbox) = start_raw().await;
    let call = tokio::spawn(async move { kv.put(v1::PutRequest { key: "k".into(), ..Default::default() }).await });
    let (_, to) = asked_put(&mut inbox).await;
    to.send(Err(Failure::DeadlineExceeded { needed: 2, primaries: 1, fallbacks: 0, maybe_applied: true }));
    let status = soon(call).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let error = from_status(&status, true);
    assert_eq!((error.code, error.needed, error.got), (ErrorCode::DeadlineExceeded, 2, 1));
    assert!(error.maybe_applied);
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.metadata["needed"].as_str()), ("DEADLINE_EXCEEDED", "2"));
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused_without_the_engine() {
    let (mut kv, mut inbox) = start_raw().await;
    let wrong = v1::PutRequest { key: "k".into(), request_id: "short".into(), ..Default::default() };
    let status = soon(kv.put(wrong)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("request_id: it has 5 bytes; allowed is 16"), "{}", status.message());
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "request_id");
    assert_eq!(from_status(&status, true).code, ErrorCode::InvalidArgument);
    let call = tokio::spawn(async move { kv.get(get("next")).await });
    let (request, _to) = asked(&mut inbox).await;
    assert!(matches!(request, Request::Get(get) if get.key.key() == "next"), "the put never came");
    call.abort();
}

#[tokio::test]
async fn what_is_a_little_too_large_is_cores_to_refuse_and_what_is_far_too_large_grpcs() {
    let (mut kv, mut inbox) = start_raw().await;
    let put = |bytes| v1::PutRequest { key: "k".into(), value: vec![0; bytes].into(), ..Default::default() };
    let mut other = kv.clone();
    let call = tokio::spawn(async move { other.put(put(2 << 20)).await });
    let (large, to) = asked_put(&mut inbox).await;
    assert_eq!(large.value.map(|value| value.len()), Some(2 << 20));
    to.send(Err(Failure::TooLarge { what: "the value".to_owned(), bytes: 2 << 20, bytes_max: 1_000 }));
    let status = soon(call).await.unwrap().unwrap_err();
    assert_eq!(from_status(&status, true).code, ErrorCode::TooLarge);
    let status = soon(kv.put(put(5 << 20))).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    assert!(status.message().contains("limit"), "{}", status.message());
}

#[tokio::test]
async fn siblings_that_no_answer_takes_are_an_error_that_says_what_to_do() {
    let (mut kv, mut inbox) = start_raw().await;
    let call = tokio::spawn(async move { kv.get(get("k")).await });
    let (_, to) = asked(&mut inbox).await;
    let value = Bytes::from(vec![0; 16 << 20]);
    to.send(got(&vec![value; 66]));
    let error = from_status(&soon(call).await.unwrap().unwrap_err(), false);
    assert_eq!(error.code, ErrorCode::TooLarge);
    assert!(error.message.contains("the 66 siblings of the key have 1107"), "{}", error.message);
    assert!(error.message.ends_with("an overwrite_all replaces them"), "{}", error.message);
}

#[tokio::test]
async fn the_deadline_of_the_call_shortens_that_of_the_request() {
    let (mut kv, mut inbox) = start_raw().await;
    let mut request = tonic::Request::new(v1::GetRequest {
        options: Some(v1::Options { timeout_ms: 60_000, ..Default::default() }),
        ..get("k")
    });
    request.set_timeout(Duration::from_secs(10));
    let call = tokio::spawn(async move { kv.get(request).await });
    let (request, to) = asked(&mut inbox).await;
    assert!(matches!(&request, Request::Get(get) if (9_000..10_000).contains(&get.timeout_ms)), "{request:?}");
    to.send(got(&[]));
    assert!(soon(call).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nobody_waiting() {
    let (mut kv, mut inbox) = start_raw().await;
    let call = tokio::spawn(async move { kv.get(get("k")).await });
    let (_, to) = asked(&mut inbox).await;
    call.abort();
    match to {
        ReplyTo::Once(mut to) => soon(to.closed()).await,
        other @ ReplyTo::Session { .. } => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn when_the_engine_ends_a_put_it_had_may_have_been_applied() {
    let (mut kv, mut inbox) = start_raw().await;
    let mut other = kv.clone();
    let call = tokio::spawn(async move { other.put(v1::PutRequest { key: "k".into(), ..Default::default() }).await });
    drop(asked_put(&mut inbox).await);
    let error = from_status(&soon(call).await.unwrap().unwrap_err(), true);
    assert_eq!((error.code, error.maybe_applied), (ErrorCode::ShuttingDown, true));
    drop(inbox);
    let late = soon(kv.put(v1::PutRequest { key: "k".into(), ..Default::default() })).await.unwrap_err();
    let error = from_status(&late, true);
    assert_eq!((error.code, error.maybe_applied), (ErrorCode::ShuttingDown, false), "it was never taken");
}
