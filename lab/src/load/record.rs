//! One request as a line of the history.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use driftkv_proto::v1;

use super::Run;
use super::open::Due;
use super::perform::{Basis, Step};
use super::verdict::Status;
use crate::history::{ContextIn, Intent, Op, Record, Replicas, Returned};
use crate::plan::PlannedOp;

impl Run {
    /// What `step` of `op` came to.
    pub(super) fn record(&self, op: &PlannedOp, due: Option<Due>, step: &Step) -> Record {
        let is_write = matches!(step.op, Op::Put | Op::Delete | Op::RmwPut);
        let (answer, failed) = (step.result.as_ref().ok(), step.result.as_ref().err());
        let achieved = answer.and_then(|answer| answer.achieved);
        let replicas = achieved.map(|got| Replicas { primaries: got.primaries, fallbacks: got.fallbacks });
        let returned = answer.into_iter().flat_map(|answer| &answer.siblings);
        Record {
            run: format!("{:016x}", self.options.run),
            worker: op.id.worker,
            session: op.session,
            seq: op.seq,
            op: step.op,
            key: self.plan.workload.key(op.key),
            value_id: is_write.then(|| op.id.to_string()),
            ctx_in: step.basis.as_ref().map(|basis| self.context_in(basis)),
            target: self.targets.get(op.target).cloned().unwrap_or_default(),
            n: known(self.options.cluster.n),
            r: known(self.plan.request.r).or(known(self.options.cluster.r)),
            w: known(self.plan.request.w).or(known(self.options.cluster.w)),
            intended_ns: due.map(|due| self.ns(due.intended)),
            sent_ns: step.sent.map(|sent| self.ns(sent)),
            recv_ns: self.ns(step.ended),
            attempts: step.attempts,
            status: failed.map_or(Status::Ok, |failed| failed.status),
            error: failed.map(|failed| failed.name.to_owned()),
            coordinator: None,
            term: None,
            replicas: replicas.or(failed.and_then(|failed| failed.replicas)),
            returned: returned
                .map(|sibling| Returned { value_id: self.filler.name(&sibling.value), dot: None })
                .collect(),
            ctx_out: answer.map(|answer| URL_SAFE_NO_PAD.encode(&answer.context)),
            degraded: achieved.map(|got| !got.strict),
            truncated: false,
        }
    }

    fn context_in(&self, basis: &Basis) -> ContextIn {
        let intent = match basis.intent {
            v1::Intent::WithContext => Intent::WithContext,
            v1::Intent::AddSibling => Intent::AddSibling,
            v1::Intent::OverwriteAll | v1::Intent::CreateOnly => Intent::OverwriteAll,
        };
        let seen = basis.seen.as_ref();
        ContextIn {
            intent,
            // A context that was handed over by an earlier run has no record in this one.
            seq: seen.filter(|seen| seen.run == self.options.run).map(|seen| seen.seq),
            ctx: seen.map(|seen| URL_SAFE_NO_PAD.encode(&seen.context)).unwrap_or_default(),
        }
    }

    /// As histories tell times.
    pub(super) fn ns(&self, when: Instant) -> u64 {
        u64::try_from(when.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX)
    }
}

fn known(count: u32) -> Option<u32> {
    (count > 0).then_some(count)
}
