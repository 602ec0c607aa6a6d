//! A plan as lines of JSON, and its fingerprint: what two runs compare to know that they asked the same.
//! Where time decides how many operations a run has, the first thousand of each worker stand for all.

use serde_json::json;

use super::value::{FNV_START, fnv};
use super::{Action, Pace, Plan, PlannedOp, Stream};

const OPS_OF_A_WORKER: u64 = 1_000;

/// The plan itself, then each operation in the order of `seq`, one JSON object a line.
pub fn lines(plan: &Plan, targets: usize) -> impl Iterator<Item = String> {
    let workload = plan.workload.clone();
    let times: Box<dyn Iterator<Item = Option<u64>>> = match &plan.pace {
        Pace::Open { arrivals, duration, .. } => Box::new(arrivals.times(plan.seed, *duration).map(Some)),
        Pace::Closed { .. } => {
            let ops = plan.ops().unwrap_or(OPS_OF_A_WORKER * u64::from(workload.workers));
            Box::new((0..ops).map(|_| None))
        }
    };
    let line = move |(intended_ns, op): (Option<u64>, PlannedOp)| {
        let writes = matches!(op.action, Action::Put | Action::Rmw);
        json!({
            "seq": op.seq, "intended_ns": intended_ns, "worker": op.id.worker, "session": op.session, "op": op.action.name(),
            "key": workload.key(op.key), "value_id": writes.then(|| op.id.to_string()), "target": op.target,
        })
        .to_string()
    };
    std::iter::once(json!(plan).to_string()).chain(times.zip(in_order(plan, targets)).map(line))
}

/// The operations of all workers in the order of `seq`.
pub(crate) fn in_order(plan: &Plan, targets: usize) -> impl Iterator<Item = PlannedOp> + Send + use<> {
    let mut streams: Vec<Stream> = (0..plan.workload.workers).map(|worker| plan.stream(worker, targets)).collect();
    let mut turn = 0;
    std::iter::from_fn(move || {
        let op = streams.get_mut(turn).map(Stream::next_op);
        turn = (turn + 1) % streams.len().max(1);
        op
    })
}

/// FNV-1a over the lines of a plan: equal plans have equal ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// Of `plan` for so many nodes.
    pub fn of(plan: &Plan, targets: usize) -> Self {
        Self(lines(plan, targets).fold(FNV_START, |hash, line| fnv(hash, line.bytes().chain([b'\n']))))
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}
