//! One operation from its first byte to its record.
//! Order: `sent` is taken before the request is handed over, `ended` after the reply is decoded (research/lab.md 3.1).

use std::time::Instant;

use bytes::Bytes;
use driftkv_proto::client::{GetOptions, PutOptions, Session};
use driftkv_proto::error::KvError;
use driftkv_proto::v1::{GetReply, Intent, PutReply};

use super::meter::Sample;
use super::open::Due;
use super::sessions::Seen;
use super::verdict::{Failed, NOT_CONNECTED, NOT_SENT, Status};
use super::{Link, Run};
use crate::plan::{Action, PlannedOp, Writes};

/// How one request ended, and when it was sent.
struct Step<T> {
    sent: Option<Instant>,
    ended: Instant,
    result: Result<T, Failed>,
}

impl Run {
    /// Sends `op` and records how it went; `due`: when that should have been, if it was planned.
    pub(super) async fn perform(&self, op: &PlannedOp, due: Option<Due>) {
        let begun = Instant::now();
        let key = Bytes::from(self.plan.workload.key(op.key));
        let times = (due, Some(begun));
        let sample = match op.action {
            Action::Get => sample(op, times, &self.read(op, &key).await),
            Action::Put | Action::Delete => sample(op, times, &self.write(op, &key).await),
            Action::Rmw => {
                let read = self.read(op, &key).await;
                match read.result {
                    Ok(_) => {
                        let write = self.write(op, &key).await;
                        // Two requests, one operation: from the first one's start to the second one's end.
                        sample(op, times, &Step { sent: read.sent, ..write })
                    }
                    Err(_) => sample(op, times, &read),
                }
            }
        };
        self.meter.record(op.id.worker, &sample, &self.options);
    }

    /// Records that `op` was due but never sent.
    pub(super) fn give_up(&self, op: &PlannedOp, due: Due, end: Instant) {
        let step = Step::<()> { sent: None, ended: end, result: Err(NOT_SENT) };
        self.meter.record(op.id.worker, &sample(op, (Some(due), None), &step), &self.options);
    }

    async fn read(&self, op: &PlannedOp, key: &Bytes) -> Step<GetReply> {
        let options =
            GetOptions { mode: self.options.read_mode, r: self.options.r, timeout: Some(self.options.timeout) };
        let bucket = &self.plan.workload.bucket;
        let step = self.request(op, false, async |session| session.get(bucket, key.clone(), options).await).await;
        if let Ok(reply) = &step.result {
            self.sessions.learn(op.session, op.key, &reply.context, op.seq);
        }
        step
    }

    async fn write(&self, op: &PlannedOp, key: &Bytes) -> Step<PutReply> {
        let seen = self.sessions.of(op.session, op.key);
        let options = self.put_options(op, seen.as_ref());
        let bucket = &self.plan.workload.bucket;
        let step = match op.action {
            Action::Delete => {
                self.request(op, true, async |session| session.delete(bucket, key.clone(), options).await).await
            }
            _ => {
                let value = self.filler.value(op.id);
                self.request(op, true, async |session| session.put(bucket, key.clone(), value, options).await).await
            }
        };
        match &step.result {
            Ok(reply) => self.sessions.learn(op.session, op.key, &reply.context, op.seq),
            Err(failed) if failed.status == Status::Info => self.sessions.forget(op.session, op.key),
            Err(_) => {}
        }
        step
    }

    fn put_options(&self, op: &PlannedOp, seen: Option<&Seen>) -> PutOptions {
        let (intent, context) = match (self.plan.workload.writes, seen) {
            (Writes::Context, Some(seen)) => (Intent::WithContext, seen.context.clone()),
            // A tombstone beside the values would delete nothing.
            (Writes::Blind, _) if op.action == Action::Put => (Intent::AddSibling, Bytes::new()),
            (Writes::Blind, Some(seen)) => (Intent::WithContext, seen.context.clone()),
            _ => (Intent::OverwriteAll, Bytes::new()),
        };
        PutOptions {
            context,
            intent,
            r: self.options.r,
            w: self.options.w,
            timeout: Some(self.options.timeout),
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
    async fn request<T>(
        &self,
        op: &PlannedOp,
        is_write: bool,
        call: impl AsyncFnOnce(Session) -> Result<T, KvError>,
    ) -> Step<T> {
        let link = self.link(op);
        let asked = Instant::now();
        let Some((link, session)) = connected(link, asked, self).await else {
            return Step { sent: None, ended: Instant::now(), result: Err(NOT_CONNECTED) };
        };
        let sent = Instant::now();
        let result = call(session.clone()).await;
        let ended = Instant::now();
        let result = result.map_err(|error| {
            link.look_after(&session);
            Failed::of(&error, is_write)
        });
        Step { sent: Some(sent), ended, result }
    }

    fn link(&self, op: &PlannedOp) -> Option<&Link> {
        self.links.get(op.target * self.options.connections + op.id.worker as usize % self.options.connections)
    }
}

async fn connected<'a>(link: Option<&'a Link>, asked: Instant, run: &Run) -> Option<(&'a Link, Session)> {
    let link = link?;
    let session = link.session((asked + run.options.timeout).into()).await.ok()?;
    Some((link, session))
}

fn sample<T>(op: &PlannedOp, (due, begun): (Option<Due>, Option<Instant>), step: &Step<T>) -> Sample {
    let failed = step.result.as_ref().err().copied();
    Sample { action: op.action, due, begun, sent: step.sent, ended: step.ended, failed }
}
