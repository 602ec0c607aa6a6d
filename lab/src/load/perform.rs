//! One operation from its first byte to its records.
//! Order: `sent` is taken before the request is handed over, `ended` after the reply is decoded (research/lab.md 3.1).

use std::time::Instant;

use bytes::Bytes;
use driftkv_proto::client::{GetOptions, PutOptions};
use driftkv_proto::v1::{Achieved, GetReply, Intent, PutReply, Sibling};

use super::Run;
use super::ask::Call;
use super::freshness::Before;
use super::meter::Sample;
use super::open::Due;
use super::sessions::Seen;
use super::verdict::{Failed, NOT_SENT, Status};
use crate::history::Op;
use crate::plan::{Action, PlannedOp, ValueId, Writes};

/// How one request ended, and when it was sent.
pub(super) struct Step {
    pub(super) op: Op,
    pub(super) sent: Option<Instant>,
    pub(super) ended: Instant,
    /// How often it was sent, or should have been.
    pub(super) attempts: u32,
    /// How the first attempt failed, if there was another.
    pub(super) retried: Option<Failed>,
    /// What a write said that it replaces.
    pub(super) basis: Option<Basis>,
    /// Of a read that may be stale, whether it is.
    pub(super) is_stale: Option<bool>,
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
        let mut last = match op.action {
            Action::Get => self.read(op, Op::Get, &key).await,
            Action::Put => self.write(op, Op::Put, &key).await,
            Action::Delete => self.write(op, Op::Delete, &key).await,
            Action::Rmw => self.read(op, Op::RmwGet, &key).await,
        };
        let mut sample = sample(op, due, Some(begun), &last);
        if op.action == Action::Rmw && last.result.is_ok() {
            self.note(op, due, &last).await;
            let first = sample;
            last = self.write(op, Op::RmwPut, &key).await;
            // Two requests, one operation: from the first one's start to the second one's end.
            sample = Sample {
                sent: first.sent,
                is_stale: first.is_stale,
                retried: first.retried.or(last.retried.clone()),
                ..self::sample(op, due, Some(begun), &last)
            };
        }
        self.meter.record(op.id.worker, &sample, self.plan.request.timeout);
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
        let (sent, retried, basis, is_stale) = (None, None, None, None);
        let step = Step { op: kind, sent, ended, attempts: 0, retried, basis, is_stale, result: Err(NOT_SENT) };
        self.meter.record(op.id.worker, &sample(op, Some(due), None, &step), self.plan.request.timeout);
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
        let call = Call::Get { bucket: &self.plan.workload.bucket, key, options };
        let before = self.freshness.as_ref().and_then(|freshness| freshness.reading(op.key));
        let mut step = self.request(op, kind, None, &call).await;
        if let Ok(answer) = &step.result {
            step.is_stale = before.and_then(|before| self.is_stale(op, before, answer, step.ended));
            self.sessions.learn(op.session, op.key, &answer.context, (self.options.run, op.seq));
        }
        step
    }

    async fn write(&self, op: &PlannedOp, kind: Op, key: &Bytes) -> Step {
        let basis = self.basis(op, self.sessions.of(op.session, op.key));
        let options = self.put_options(op, &basis);
        let value = (kind != Op::Delete).then(|| self.filler.value(op.id));
        let call = Call::Write { bucket: &self.plan.workload.bucket, key, value, options };
        let freshness = self.freshness.as_ref();
        freshness.inspect(|all| all.writing(op.key, op.id, kind == Op::Delete, self.ns(Instant::now())));
        let step = self.request(op, kind, Some(basis), &call).await;
        let status = step.result.as_ref().err().map_or(Status::Ok, |failed| failed.status);
        let sent_ns = step.sent.map(|sent| self.ns(sent));
        freshness.inspect(|all| all.wrote(op.key, op.id, sent_ns, self.ns(step.ended), status));
        match &step.result {
            Ok(answer) => self.sessions.learn(op.session, op.key, &answer.context, (self.options.run, op.seq)),
            Err(failed) if failed.status == Status::Info => self.sessions.forget(op.session, op.key),
            Err(_) => {}
        }
        step
    }

    /// `None`: it brought what this run did not write.
    fn is_stale(&self, op: &PlannedOp, before: Before, answer: &Answer, ended: Instant) -> Option<bool> {
        let own = |value: &Sibling| ValueId::of(&value.value).filter(|(run, _)| *run == self.options.run);
        let values: Option<Vec<ValueId>> = answer.siblings.iter().map(|value| own(value).map(|(_, id)| id)).collect();
        self.freshness.as_ref()?.is_stale(op.key, before, &values?, self.ns(ended))
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
}

/// How an operation went whose only request came to `step`.
fn sample(op: &PlannedOp, due: Option<Due>, begun: Option<Instant>, step: &Step) -> Sample {
    let failed = step.result.as_ref().err().cloned();
    let (sent, ended, retried) = (step.sent, step.ended, step.retried.clone());
    Sample { action: op.action, due, begun, sent, ended, failed, retried, is_stale: step.is_stale }
}
