//! Sessions over a real socket: order, refusals, bounds and ends.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use driftkv_core::effect::{Failure, Request};
use driftkv_proto::client::{GetOptions, Session};
use driftkv_proto::v1::kv_client::KvClient;
use driftkv_proto::v1::session_reply::Reply as WireReply;
use driftkv_proto::v1::session_request::Request as Wire;
use driftkv_proto::v1::{self, ErrorCode, SessionReply, SessionRequest};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use super::super::session::IN_FLIGHT_MAX;
use super::{asked, got, start, start_raw, stored};
use crate::api::loopback::soon;
use crate::driver::{Inbox, Outcome, ReplyTo};

/// A session without the comforts of our client.
struct Raw {
    requests: mpsc::Sender<SessionRequest>,
    replies: Streaming<SessionReply>,
}

impl Raw {
    async fn open(mut kv: KvClient<Channel>) -> Raw {
        let (requests, queue) = mpsc::channel(8);
        let replies = soon(kv.session(ReceiverStream::new(queue))).await.unwrap().into_inner();
        Raw { requests, replies }
    }

    async fn say(&self, id: u64, request: Option<Wire>) {
        soon(self.requests.send(SessionRequest { id, request, ..Default::default() })).await.unwrap();
    }

    async fn hear(&mut self) -> Result<Option<SessionReply>, Status> {
        soon(self.replies.message()).await
    }

    async fn hear_reply(&mut self) -> SessionReply {
        self.hear().await.unwrap().unwrap()
    }
}

fn get(key: &'static str) -> Option<Wire> {
    Some(Wire::Get(super::get(key)))
}

fn put(key: &'static str) -> Option<Wire> {
    Some(Wire::Put(v1::PutRequest { key: key.into(), ..Default::default() }))
}

fn error(reply: SessionReply) -> (u64, v1::Error) {
    match reply.reply {
        Some(WireReply::Error(error)) => (reply.id, error),
        other => panic!("{other:?}"),
    }
}

async fn take(inbox: &mut Inbox, count: usize) -> Vec<(Request, ReplyTo)> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(asked(inbox).await);
    }
    taken
}

#[tokio::test]
async fn replies_find_their_callers_whatever_their_order() {
    let (address, mut inbox) = start().await;
    let session = Session::connect(&address, 100).await.unwrap();
    let mut calls = Vec::new();
    for number in 0..100 {
        let session = session.clone();
        calls.push(tokio::spawn(async move {
            let reply = session.get("", format!("key-{number}"), GetOptions::default()).await.unwrap();
            assert_eq!(reply.siblings[0].value, format!("key-{number}"));
        }));
    }
    for (request, to) in take(&mut inbox, 100).await.into_iter().rev() {
        match request {
            Request::Get(get) => to.send(got(&[get.key.key().clone()])),
            Request::Put(put) => panic!("{put:?}"),
        }
    }
    for call in calls {
        soon(call).await.unwrap();
    }
}

#[tokio::test]
async fn a_put_in_a_session_is_answered_with_its_request_id() {
    let (kv, mut inbox) = start_raw().await;
    let mut raw = Raw::open(kv).await;
    let request_id = Bytes::from(vec![3; 16]);
    let request = v1::PutRequest { key: "k".into(), request_id: request_id.clone(), ..Default::default() };
    raw.say(7, Some(Wire::Put(request))).await;
    let (_, to) = asked(&mut inbox).await;
    to.send(stored());
    match raw.hear_reply().await {
        SessionReply { id: 7, reply: Some(WireReply::Put(reply)) } => assert_eq!(reply.request_id, request_id),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_malformed_request_is_answered_under_its_number_and_the_session_goes_on() {
    let (kv, mut inbox) = start_raw().await;
    let mut raw = Raw::open(kv).await;
    raw.say(1, None).await;
    let wrong = v1::PutRequest { intent: 77, ..Default::default() };
    raw.say(2, Some(Wire::Put(wrong))).await;
    raw.say(3, get("k")).await;
    for expected in [(1, "request: neither"), (2, "intent: 77 is not known")] {
        let (id, error) = error(raw.hear_reply().await);
        assert_eq!((id, error.code()), (expected.0, ErrorCode::InvalidArgument));
        assert!(error.message.starts_with(expected.1), "{}", error.message);
    }
    let (_, to) = asked(&mut inbox).await;
    to.send(Err(Failure::QuorumNotReached { needed: 2, primaries: 1, fallbacks: 0, maybe_applied: false }));
    let (id, error) = error(raw.hear_reply().await);
    assert_eq!((id, error.code(), error.needed, error.got), (3, ErrorCode::QuorumNotReached, 2, 1));
}

#[tokio::test]
async fn a_number_used_twice_gets_two_replies() {
    let (kv, mut inbox) = start_raw().await;
    let mut raw = Raw::open(kv).await;
    raw.say(5, get("a")).await;
    raw.say(5, put("b")).await;
    for (request, to) in take(&mut inbox, 2).await {
        to.send(if matches!(request, Request::Get(_)) { got(&[]) } else { stored() });
    }
    let (first, second) = (raw.hear_reply().await, raw.hear_reply().await);
    assert_eq!((first.id, second.id), (5, 5));
    assert!(matches!(first.reply, Some(WireReply::Get(_))) && matches!(second.reply, Some(WireReply::Put(_))));
}

/// Everything the engine has been asked so far, and how much that is.
fn hold(mut inbox: Inbox) -> (watch::Receiver<usize>, mpsc::UnboundedReceiver<ReplyTo>) {
    let (count, counted) = watch::channel(0);
    let (held, holding) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (_, to) = asked(&mut inbox).await;
            held.send(to).unwrap();
            count.send_modify(|count| *count += 1);
        }
    });
    (counted, holding)
}

/// Asks once and lets the engine answer.
async fn answer_one(raw: &Raw, held: &mut mpsc::UnboundedReceiver<ReplyTo>, outcome: Outcome) {
    raw.say(u64::MAX, get("k")).await;
    soon(held.recv()).await.unwrap().send(outcome);
}

#[tokio::test]
async fn a_session_that_is_full_is_not_read_until_a_reply_has_left() {
    const MORE: usize = 300;
    let (kv, inbox) = start_raw().await;
    let mut raw = Raw::open(kv).await;
    let (mut asked, mut held) = hold(inbox);
    answer_one(&raw, &mut held, got(&[])).await;
    raw.hear_reply().await;
    let small = 1;
    let requests = raw.requests.clone();
    let sender = tokio::spawn(async move {
        for id in 0..(IN_FLIGHT_MAX + MORE) as u64 {
            requests.send(SessionRequest { id, request: get("k"), ..Default::default() }).await.unwrap();
        }
    });
    soon(asked.wait_for(|count| *count == small + IN_FLIGHT_MAX)).await.unwrap();
    let brief = std::time::Duration::from_millis(100);
    let more = tokio::time::timeout(brief, asked.wait_for(|count| *count > small + IN_FLIGHT_MAX)).await.is_ok();
    assert!(!more, "the engine has as much of this session as it may have");
    let mut ids = HashSet::new();
    for answered in 0..IN_FLIGHT_MAX + MORE {
        soon(held.recv()).await.unwrap().send(got(&[]));
        ids.insert(raw.hear_reply().await.id);
        assert!(*asked.borrow() <= small + IN_FLIGHT_MAX + answered + 1);
    }
    assert_eq!(ids.len(), IN_FLIGHT_MAX + MORE, "each got its reply");
    soon(sender).await.unwrap();
}

#[tokio::test]
async fn a_session_whose_replies_are_large_has_few_requests_with_the_engine() {
    let (kv, inbox) = start_raw().await;
    let mut raw = Raw::open(kv).await;
    let (mut asked, mut held) = hold(inbox);
    answer_one(&raw, &mut held, got(&[Bytes::from(vec![7; 4 << 20])])).await;
    raw.hear_reply().await;
    // A busy node refuses some, in a few bytes: that does not make values small.
    const REFUSED: usize = 40;
    for _ in 0..REFUSED {
        answer_one(&raw, &mut held, Err(Failure::NotResponsible)).await;
        raw.hear_reply().await;
    }
    let before = 1 + REFUSED;
    let requests = raw.requests.clone();
    let sender = tokio::spawn(async move {
        for id in 0..100 {
            requests.send(SessionRequest { id, request: get("k"), ..SessionRequest::default() }).await.unwrap();
        }
    });
    // Replies of 4 MiB: seven of them stay below 32 MiB.
    soon(asked.wait_for(|count| *count == before + 7)).await.unwrap();
    let brief = std::time::Duration::from_millis(100);
    assert!(tokio::time::timeout(brief, asked.wait_for(|count| *count > before + 7)).await.is_err());
    for _ in 0..100 {
        soon(held.recv()).await.unwrap().send(got(&[]));
        raw.hear_reply().await;
    }
    soon(sender).await.unwrap();
}

#[tokio::test]
async fn a_client_that_hangs_up_takes_its_session_with_it() {
    let (kv, mut inbox) = start_raw().await;
    let raw = Raw::open(kv).await;
    raw.say(1, put("k")).await;
    let (_, to) = asked(&mut inbox).await;
    drop(raw);
    match to {
        ReplyTo::Session { to, .. } => soon(to.closed()).await,
        other @ ReplyTo::Once(_) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_client_that_has_said_its_last_still_gets_its_replies_and_then_the_end() {
    let (kv, mut inbox) = start_raw().await;
    let Raw { requests, mut replies } = Raw::open(kv).await;
    requests.send(SessionRequest { id: 1, request: get("k"), ..Default::default() }).await.unwrap();
    drop(requests);
    let (_, to) = asked(&mut inbox).await;
    to.send(got(&[]));
    assert_eq!(soon(replies.message()).await.unwrap().unwrap().id, 1);
    assert_eq!(soon(replies.message()).await.unwrap(), None);
}

#[tokio::test]
async fn a_frame_that_cannot_be_read_ends_the_session_after_what_came_before_it() {
    let (kv, mut inbox) = start_raw().await;
    let mut raw = Raw::open(kv).await;
    raw.say(1, get("k")).await;
    let (_, to) = asked(&mut inbox).await;
    let huge = v1::PutRequest { key: "k".into(), value: vec![0; 5 << 20].into(), ..Default::default() };
    raw.say(2, Some(Wire::Put(huge))).await;
    to.send(got(&[]));
    assert_eq!(raw.hear_reply().await.id, 1);
    let status = raw.hear().await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
}

#[tokio::test]
async fn an_engine_that_ends_leaves_no_call_waiting() {
    let (kv, mut inbox) = start_raw().await;
    let mut raw = Raw::open(kv).await;
    for (id, request) in [(1, get("a")), (2, put("b")), (3, get("c"))] {
        raw.say(id, request).await;
    }
    let mut held = take(&mut inbox, 3).await;
    let (_, answered) = held.remove(0);
    answered.send(got(&[]));
    drop((held, inbox));
    let mut lost = Vec::new();
    for _ in 0..3 {
        match raw.hear_reply().await {
            SessionReply { id: 1, reply } => assert!(matches!(reply, Some(WireReply::Get(_))), "{reply:?}"),
            other => lost.push(error(other)),
        }
    }
    let lost: HashSet<_> = lost.into_iter().map(|(id, e)| (id, e.code(), e.maybe_applied)).collect();
    let expected = [(2, ErrorCode::ShuttingDown, true), (3, ErrorCode::ShuttingDown, false)];
    assert_eq!(lost, HashSet::from(expected));
}

#[tokio::test]
async fn refusals_of_the_engine_are_answered_and_give_their_place_back() {
    let (kv, inbox) = start_raw().await;
    let mut raw = Raw::open(kv).await;
    drop(inbox);
    let requests = Arc::new(raw.requests.clone());
    let sender = tokio::spawn(async move {
        for id in 0..2 * IN_FLIGHT_MAX as u64 {
            requests.send(SessionRequest { id, request: put("k"), ..Default::default() }).await.unwrap();
        }
    });
    for _ in 0..2 * IN_FLIGHT_MAX {
        let (_, error) = error(raw.hear_reply().await);
        assert_eq!((error.code(), error.maybe_applied), (ErrorCode::ShuttingDown, false));
    }
    soon(sender).await.unwrap();
}
