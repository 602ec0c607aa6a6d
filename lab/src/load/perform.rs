//! One operation from its first byte to its records.
//! Order: `sent` is taken before the request is handed over, `ended` after the reply is decoded (research/lab.md 3.1).

use std::time::Instant;

use bytes::Bytes;
use driftkv_proto::client::{GetOptions, PutOptions, Session};
use driftkv_proto::error::KvError;
use driftkv_proto::v1::{Achieved, GetReply, Intent, PutReply, Sibling};

use super::meter::Sample;
use super::open::Due;
use super::sessions::Seen;
use super::verdict::{Failed, NOT_SENT, Status};
use super::{Link, Run};
use crate::history::Op;
use crate::plan::{Action, PlannedOp, Writes};

/// How one request ended, and when it was sent.
pub(super) struct Step {
    pub(super) op: Op,
    pub(super) sent: Option<Instant>,
    pub(super) ended: Instant,
    /// What a write said that it replaces.
    pub(super) basis: Option<Basis>,
    pub(super) result: Result<Answer, Failed>,
}

/// What a write replaces.
pub(super) struct Basis {
    pub(super) intent: Intent,
    pub(super) seen: Option<Seen>,
}

/// What an answer says.
pub(super) struct Answer {
    pub(super) context: Bytes,
    pub(super) achieved: Option<Achieved>,
    pub(super) siblings: Vec<Sibling>,
}

impl From<GetReply> for Answer {
    fn from(reply: GetReply) -> Self {
        Self { context: reply.context, achieved: reply.achieved, siblings: reply.siblings }
    }
}

impl From<PutReply> for Answer {
    fn from(reply: PutReply) -> Self {
        Self { context: reply.context, achieved: reply.achieved, siblings: Vec::new() }
    }
}

impl Run {
    /// Sends `op` and records how it went; `due`: when that should have been, if it was planned.
    pub(super) async fn perform(&self, op: &PlannedOp, due: Option<Due>) {
        let begun = Instant::now();
        let key = Bytes::from(self.plan.workload.key(op.key));
        let (mut sent, mut last) = match op.action {
            Action::Get => (None, self.read(op, Op::Get, &key).await),
            Action::Put => (None, self.write(op, Op::Put, &key).await),
            Action::Delete => (None, self.write(op, Op::Delete, &key).await),
            Action::Rmw => (None, self.read(op, Op::RmwGet, &key).await),
        };
        if op.action == Action::Rmw && last.result.is_ok() {
            self.note(op, due, &last).await;
            // Two requests, one operation: from the first one's start to the second one's end.
            sent = last.sent;
            last = self.write(op, Op::RmwPut, &key).await;
        }
        self.meter.record(op.id.worker, &sample(op, due, Some(begun), sent, &last), self.plan.request.timeout);
        self.note(op, due, &last).await;
    }

    /// Records that `op` was due but never sent.
    pub(super) fn give_up(&self, op: &PlannedOp, due: Due, ended: Instant) {
        let kind = match op.action {
            Action::Get => Op::Get,
            Action::Put => Op::Put,
            Action::Delete => Op::Delete,
            Action::Rmw => Op::RmwGet,
        };
        let step = Step { op: kind, sent: None, ended, basis: None, result: Err(NOT_SENT) };
        self.meter.record(op.id.worker, &sample(op, Some(due), None, None, &step), self.plan.request.timeout);
        if let Some(history) = &self.history {
            history.push_blocking(self.record(op, Some(due), &step));
        }
    }

    async fn note(&self, op: &PlannedOp, due: Option<Due>, step: &Step) {
        if let Some(history) = &self.history {
            history.push(self.record(op, due, step)).await;
        }
    }

    async fn read(&self, op: &PlannedOp, kind: Op, key: &Bytes) -> Step {
        let request = &self.plan.request;
        let options = GetOptions { mode: request.read_mode.into(), r: request.r, timeout: Some(request.timeout) };
        let bucket = &self.plan.workload.bucket;
        let step = self
            .request(op, kind, None, async |session| session.get(bucket, key.clone(), options).await.map(Answer::from));
        let step = step.await;
        if let Ok(answer) = &step.result {
            self.sessions.learn(op.session, op.key, &answer.context, (self.options.run, op.seq));
        }
        step
    }

    async fn write(&self, op: &PlannedOp, kind: Op, key: &Bytes) -> Step {
        let basis = self.basis(op, self.sessions.of(op.session, op.key));
        let options = self.put_options(op, &basis);
        let bucket = &self.plan.workload.bucket;
        let value = (kind != Op::Delete).then(|| self.filler.value(op.id));
        let step = self.request(op, kind, Some(basis), async |session| {
            let reply = match value {
                Some(value) => session.put(bucket, key.clone(), value, options).await,
                None => session.delete(bucket, key.clone(), options).await,
            };
            reply.map(Answer::from)
        });
        let step = step.await;
        match &step.result {
            Ok(answer) => self.sessions.learn(op.session, op.key, &answer.context, (self.options.run, op.seq)),
            Err(failed) if failed.status == Status::Info => self.sessions.forget(op.session, op.key),
            Err(_) => {}
        }
        step
    }

    fn basis(&self, op: &PlannedOp, seen: Option<Seen>) -> Basis {
        match (self.plan.workload.writes, seen) {
            // A tombstone beside the values would delete nothing.
            (Writes::Blind, _) if op.action == Action::Put => Basis { intent: Intent::AddSibling, seen: None },
            (Writes::Context | Writes::Blind, Some(seen)) => Basis { intent: Intent::WithContext, seen: Some(seen) },
            _ => Basis { intent: Intent::OverwriteAll, seen: None },
        }
    }

    fn put_options(&self, op: &PlannedOp, basis: &Basis) -> PutOptions {
        PutOptions {
            context: basis.seen.as_ref().map(|seen| seen.context.clone()).unwrap_or_default(),
            intent: basis.intent,
            r: self.plan.request.r,
            w: self.plan.request.w,
            timeout: Some(self.plan.request.timeout),
            request_id: Some(self.request_id(op)),
            is_retry: false,
        }
    }

    /// Names the write on the wire as its value does: the run, and the operation's number.
    fn request_id(&self, op: &PlannedOp) -> Bytes {
        let id = (u128::from(self.options.run) << 64) | u128::from(op.seq);
        Bytes::copy_from_slice(&id.to_be_bytes())
    }

    /// Sends one request on the stream of its node, as soon as there is one.
    async fn request(
        &self,
        planned: &PlannedOp,
        op: Op,
        basis: Option<Basis>,
        call: impl AsyncFnOnce(Session) -> Result<Answer, KvError>,
    ) -> Step {
        let link = self.link(planned);
        let asked = Instant::now();
        let (link, session) = match connected(link, asked, self).await {
            Ok(both) => both,
            Err(error) => {
                let result = Err(Failed::not_connected(&error));
                return Step { op, sent: None, ended: Instant::now(), basis, result };
            }
        };
        let sent = Instant::now();
        let result = call(session.clone()).await;
        let ended = Instant::now();
        let is_write = basis.is_some();
        let result = result.map_err(|error| {
            link.look_after(&session);
            Failed::of(&error, is_write)
        });
        Step { op, sent: Some(sent), ended, basis, result }
    }

    fn link(&self, op: &PlannedOp) -> Option<&Link> {
        let connections = self.plan.request.connections;
        self.links.get(op.target * connections + op.id.worker as usize % connections)
    }
}

async fn connected<'a>(link: Option<&'a Link>, asked: Instant, run: &Run) -> Result<(&'a Link, Session), KvError> {
    let link = link.ok_or_else(|| KvError::invalid_argument("the plan names a node that the run does not have"))?;
    let session = link.session((asked + run.plan.request.timeout).into()).await?;
    Ok((link, session))
}

/// How an operation went whose last request was `last`, and whose first was sent at `sent` if it had another one.
fn sample(op: &PlannedOp, due: Option<Due>, begun: Option<Instant>, sent: Option<Instant>, last: &Step) -> Sample {
    let failed = last.result.as_ref().err().cloned();
    Sample { action: op.action, due, begun, sent: sent.or(last.sent), ended: last.ended, failed }
}
