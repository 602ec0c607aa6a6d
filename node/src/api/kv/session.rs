//! One session: many requests in flight on one stream, answered as they come, each under the client's number for it.
//! It is the stream of replies itself and reads requests only when polled for more, so there is no task and no queue of its
//! own: a client that does not read its replies is not read from, and one that goes away takes everything with it.
//! Invariants: at most [`IN_FLIGHT_MAX`] requests are with the engine, and fewer while their replies are large, and beyond that
//! no more are read: replies wait here for a client that does not read them. Each request gets exactly one reply, also when it cannot be read or the engine ends; replies wait for no timer.
//! Numbers used twice at a time are the client's business: each such request is answered, under that number.

use std::pin::Pin;
use std::task::{Context, Poll};

use driftkv_core::effect::{Failure, Request};
use driftkv_core::id::RequestId;
use driftkv_proto::v1::session_reply::Reply as Wire;
use driftkv_proto::v1::{SessionReply, SessionRequest};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::{Status, Streaming};

use crate::convert::{answer, client};
use crate::driver::{Handle, Outcome, ReplyTo};
use crate::traces;

/// Requests of one session that the engine has at a time.
pub const IN_FLIGHT_MAX: usize = 1_024;
/// Bytes of replies that the requests in flight may come to, judged by the values that came before. Refusals, and replies to puts, are small
/// whatever the values are: while a busy node refused some gets the others would pass for small ones.
const REPLY_BYTES_MAX: usize = 32 << 20;
/// What a reply is taken for while none was seen.
const REPLY_BYTES_FIRST: usize = 256 << 10;

/// The replies of one session.
pub struct Session {
    /// `None`: the client has said its last, or cannot be understood any more.
    requests: Option<Streaming<SessionRequest>>,
    /// Why it cannot be understood; told when all that came before is answered.
    end: Option<Status>,
    handle: Handle,
    waiting: Waiting,
    /// Has room for every request in flight, so the engine never waits for a session.
    outcomes: mpsc::Receiver<(u64, Outcome)>,
    to: mpsc::Sender<(u64, Outcome)>,
    /// Ends with the engine; `None`: it has.
    engine: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Session {
    /// A session that asks the engine behind `handle`.
    pub fn new(requests: Streaming<SessionRequest>, handle: Handle) -> Session {
        let (to, outcomes) = mpsc::channel(IN_FLIGHT_MAX);
        let mut serving = handle.serving();
        let engine = Box::pin(async move { while serving.changed().await.is_ok() {} });
        let waiting = Waiting::default();
        Session { requests: Some(requests), end: None, handle, waiting, outcomes, to, engine: Some(engine) }
    }

    /// Reads requests while there is room for them. Ready: one is answered at once.
    fn poll_requests(&mut self, cx: &mut Context<'_>) -> Poll<SessionReply> {
        while self.waiting.has_room()
            && let Some(requests) = &mut self.requests
        {
            match Pin::new(requests).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(request))) => {
                    if let Some(reply) = self.ask(request) {
                        return Poll::Ready(reply);
                    }
                }
                Poll::Ready(Some(Err(status))) => {
                    self.end = Some(status);
                    self.requests = None;
                }
                Poll::Ready(None) => self.requests = None,
            }
        }
        Poll::Pending
    }

    /// Hands one request to the engine. Returns the reply if it is refused here.
    fn ask(&mut self, SessionRequest { id, request, traceparent }: SessionRequest) -> Option<SessionReply> {
        let request = match client::session(request) {
            Ok(request) => request,
            Err(invalid) => return Some(failed(id, &Failure::from(invalid))),
        };
        let put = match &request {
            Request::Get(_) => None,
            Request::Put(put) => Some(put.request),
        };
        let slot = self.waiting.enter(Caller { id, put });
        let to = ReplyTo::Session { id: slot, to: self.to.clone() };
        let refused = self.handle.ask(request, traces::parse(&traceparent), to).err()?;
        self.waiting.leave(slot);
        Some(failed(id, &refused))
    }

    fn answer(&mut self, slot: u64, outcome: Outcome) -> Option<SessionReply> {
        let Caller { id, put } = self.waiting.leave(slot)?;
        let reply = match outcome {
            Ok(reply) => SessionReply { id, reply: Some(answer::reply(reply, put)) },
            Err(failure) => return Some(failed(id, &failure)),
        };
        if put.is_none() {
            self.waiting.saw(reply.encoded_len());
        }
        Some(reply)
    }

    /// Answers for an engine that ended without doing so. Pending: it lives, or all is answered.
    fn poll_engine(&mut self, cx: &mut Context<'_>) -> Poll<SessionReply> {
        if let Some(engine) = &mut self.engine {
            if engine.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.engine = None;
        }
        // Order: first what it said before it ended, else a finished request would be called lost.
        while let Ok((slot, outcome)) = self.outcomes.try_recv() {
            if let Some(reply) = self.answer(slot, outcome) {
                return Poll::Ready(reply);
            }
        }
        match self.waiting.leave_any() {
            Some(Caller { id, put }) => {
                Poll::Ready(failed(id, &Failure::ShuttingDown { maybe_applied: put.is_some() }))
            }
            None => Poll::Pending,
        }
    }
}

impl Stream for Session {
    type Item = Result<SessionReply, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let session = self.get_mut();
        while let Poll::Ready(Some((slot, outcome))) = session.outcomes.poll_recv(cx) {
            if let Some(reply) = session.answer(slot, outcome) {
                return Poll::Ready(Some(Ok(reply)));
            }
        }
        if let Poll::Ready(reply) = session.poll_requests(cx) {
            return Poll::Ready(Some(Ok(reply)));
        }
        if let Poll::Ready(reply) = session.poll_engine(cx) {
            return Poll::Ready(Some(Ok(reply)));
        }
        match session.requests.is_none() && session.waiting.is_empty() {
            true => Poll::Ready(session.end.take().map(Err)),
            false => Poll::Pending,
        }
    }
}

fn failed(id: u64, failure: &Failure) -> SessionReply {
    SessionReply { id, reply: Some(Wire::Error(answer::error(failure))) }
}

/// Who waits for one reply.
#[derive(Clone, Copy)]
struct Caller {
    /// The client's number.
    id: u64,
    /// Of a put or delete.
    put: Option<RequestId>,
}

/// Requests with the engine, by a number of ours: the client's may be used twice.
#[derive(Default)]
struct Waiting {
    slots: Vec<Option<Caller>>,
    free: Vec<usize>,
    /// The largest of the last replies with values, slowly forgotten; `None`: there was none.
    reply_bytes: Option<usize>,
}

impl Waiting {
    fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn has_room(&self) -> bool {
        let likely = self.reply_bytes.unwrap_or(REPLY_BYTES_FIRST).max(1);
        self.count() < (REPLY_BYTES_MAX / likely).clamp(1, IN_FLIGHT_MAX)
    }

    fn saw(&mut self, bytes: usize) {
        let before = self.reply_bytes.unwrap_or_default();
        self.reply_bytes = Some(bytes.max(before - before / 8));
    }

    fn is_empty(&self) -> bool {
        self.count() == 0
    }

    fn enter(&mut self, caller: Caller) -> u64 {
        let slot = self.free.pop().unwrap_or(self.slots.len());
        match self.slots.get_mut(slot) {
            Some(place) => *place = Some(caller),
            None => self.slots.push(Some(caller)),
        }
        slot as u64
    }

    fn leave(&mut self, slot: u64) -> Option<Caller> {
        let slot = usize::try_from(slot).ok()?;
        let caller = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        Some(caller)
    }

    fn leave_any(&mut self) -> Option<Caller> {
        let slot = self.slots.iter().position(Option::is_some)?;
        self.leave(slot as u64)
    }
}
