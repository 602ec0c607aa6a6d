//! One request from its first attempt to its last: which node, when again, and what all attempts together mean.
//! Invariants: every attempt has the same request id; no attempt begins after the plan's `retry` is over; a later refusal does not undo what
//! an earlier attempt may have done.

use std::time::{Duration, Instant};

use bytes::Bytes;
use driftkv_proto::client::{GetOptions, PutOptions, Session};
use driftkv_proto::error::KvError;

use super::perform::{Answer, Basis, Step};
use super::verdict::{Failed, Status};
use super::{Link, Run};
use crate::history::Op;
use crate::plan::PlannedOp;

/// Between two rounds of attempts.
const PAUSE_FIRST: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(200);

impl Run {
    /// Sends one request to its node; if that fails and the plan allows it, again to the others in turn.
    pub(super) async fn request(&self, planned: &PlannedOp, op: Op, basis: Option<Basis>, call: &Call<'_>) -> Step {
        let asked = Instant::now();
        let (mut sent, mut retried, mut attempts) = (None, None, 0);
        let mut is_in_doubt = false;
        loop {
            let one = self.attempt(planned, attempts, is_in_doubt, call).await;
            attempts += 1;
            sent = sent.or(one.sent);
            is_in_doubt |= one.result.as_ref().is_err_and(|failed| failed.status == Status::Info);
            let wait = pause(attempts, self.targets.len());
            let (result, ended) = (one.result.map_err(|failed| doubted(failed, is_in_doubt)), Instant::now());
            match result {
                Err(failed) if failed.is_retriable && ended + wait < asked + self.plan.request.retry => {
                    retried.get_or_insert(failed);
                    tokio::time::sleep(wait).await;
                }
                result => return Step { op, sent, ended, attempts, retried, basis, is_stale: None, result },
            }
        }
    }

    /// The attempt after `earlier` ones.
    async fn attempt(&self, planned: &PlannedOp, earlier: u32, is_in_doubt: bool, call: &Call<'_>) -> Attempt {
        let request = &self.plan.request;
        // Who may ask elsewhere does not wait for a connection.
        let patience = if request.retry.is_zero() { request.timeout } else { Duration::ZERO };
        let (link, session) = match connected(self.link(planned, earlier as usize), patience).await {
            Ok(both) => both,
            Err(error) => return Attempt { sent: None, result: Err(Failed::not_connected(&error)) },
        };
        let sent = Instant::now();
        let result = call.send(&session, is_in_doubt).await;
        let result = result.map_err(|error| {
            link.look_after(&session);
            Failed::of(&error, matches!(call, Call::Write { .. }))
        });
        Attempt { sent: Some(sent), result }
    }

    /// A stream to the node that is asked after `earlier` ones.
    fn link(&self, op: &PlannedOp, earlier: usize) -> Option<&Link> {
        let connections = self.plan.request.connections;
        let target = (op.target + earlier) % self.targets.len().max(1);
        self.links.get(target * connections + op.id.worker as usize % connections)
    }
}

/// What is asked of the store.
pub(super) enum Call<'a> {
    Get {
        bucket: &'a str,
        key: &'a Bytes,
        options: GetOptions,
    },
    /// Without a value: a delete.
    Write {
        bucket: &'a str,
        key: &'a Bytes,
        value: Option<Bytes>,
        options: PutOptions,
    },
}

impl Call<'_> {
    /// `is_retry`: an earlier attempt may have been applied.
    async fn send(&self, session: &Session, is_retry: bool) -> Result<Answer, KvError> {
        match self {
            Call::Get { bucket, key, options } => {
                session.get(bucket, (*key).clone(), options.clone()).await.map(Answer::from)
            }
            Call::Write { bucket, key, value, options } => {
                let options = PutOptions { is_retry, ..options.clone() };
                match value {
                    Some(value) => session.put(bucket, (*key).clone(), value.clone(), options).await,
                    None => session.delete(bucket, (*key).clone(), options).await,
                }
                .map(Answer::from)
            }
        }
    }
}

/// One sending of a request.
struct Attempt {
    sent: Option<Instant>,
    result: Result<Answer, Failed>,
}

/// Before the attempt after `attempts`: at once while there are nodes that were not asked, then longer and longer.
fn pause(attempts: u32, nodes: usize) -> Duration {
    let rounds = attempts as usize / nodes.max(1);
    if rounds == 0 { Duration::ZERO } else { (PAUSE_FIRST * (1 << rounds.min(6))).min(PAUSE_MAX) }
}

/// A failure of all attempts together: a later refusal does not undo what an earlier one may have done, and is no answer to it.
fn doubted(failed: Failed, is_in_doubt: bool) -> Failed {
    if is_in_doubt { Failed { status: Status::Info, is_censored: true, ..failed } } else { failed }
}

async fn connected(link: Option<&Link>, patience: Duration) -> Result<(&Link, Session), KvError> {
    let link = link.ok_or_else(|| KvError::invalid_argument("the plan names a node that the run does not have"))?;
    let session = link.session((Instant::now() + patience).into()).await?;
    Ok((link, session))
}
