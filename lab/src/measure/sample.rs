//! What each operation of a history came to, in a few words of memory: all numbers but the judges' are made of these.
//! A read-modify-write is one operation, from the start of its read to the end of its write. Times are nanoseconds since the run began.
//! Invariant: an operation is in here once, whatever became of it; `due_ns` is when it was intended, in a closed loop when it was sent.

use std::collections::HashMap;

use crate::history::{Op, Record};
use crate::load::Status;
use crate::plan::Action;

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Ending {
    /// Answered and done.
    Ok,
    /// A node said at once that it would not, or that it had too few replicas.
    FastReject,
    /// Its time was up.
    Timeout,
    /// There was no connection, or it was lost.
    Connection,
    /// It was due, and never sent.
    NotSent,
}

/// One operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) kind: Action,
    pub(super) ending: Ending,
    pub(super) status: Status,
    /// A node refused it at once, before it did anything: it has no latency that counts. One that was tried again had its client wait.
    pub(super) is_refused: bool,
    /// The quorum was sloppy, if the answer said so.
    pub(super) is_degraded: Option<bool>,
    /// Its place among the targets.
    pub(super) target: u16,
    pub(super) due_ns: u64,
    pub(super) sent_ns: Option<u64>,
    pub(super) end_ns: u64,
}

impl Sample {
    /// From when it was due to its end.
    pub(super) fn response_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.due_ns)
    }

    /// From when it was sent to its end; `None`: it never was.
    pub(super) fn service_ns(&self) -> Option<u64> {
        Some(self.end_ns.saturating_sub(self.sent_ns?))
    }

    pub(super) fn is_ok(&self) -> bool {
        self.ending == Ending::Ok
    }
}

/// The operations of a run.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) all: Vec<Sample>,
    /// Whom requests went to, as written.
    pub(super) targets: Vec<String>,
    /// Of each answered read: when it ended, how many values it brought.
    pub(super) brought: Vec<(u64, u16)>,
    /// Some operation had a time at which it was due.
    pub(super) is_open: bool,
    /// The end of the last one.
    pub(super) end_ns: u64,
    /// Reads whose write has not come yet.
    half: HashMap<u64, Sample>,
}

impl Samples {
    pub(super) fn add(&mut self, record: &Record) {
        let sample = self.sample(record);
        self.is_open |= record.intended_ns.is_some();
        self.end_ns = self.end_ns.max(record.recv_ns);
        let is_read = matches!(record.op, Op::Get | Op::RmwGet);
        if is_read && sample.is_ok() {
            let count = u16::try_from(record.returned.len()).unwrap_or(u16::MAX);
            self.brought.push((record.recv_ns, count));
        }
        match record.op {
            Op::RmwGet if sample.is_ok() => {
                self.half.insert(record.seq, sample);
            }
            Op::RmwPut => {
                let first = self.half.remove(&record.seq).unwrap_or(sample);
                self.all.push(Sample { due_ns: first.due_ns, sent_ns: first.sent_ns, ..sample });
            }
            _ => self.all.push(sample),
        }
    }

    fn sample(&mut self, record: &Record) -> Sample {
        let kind = match record.op {
            Op::Get => Action::Get,
            Op::Put => Action::Put,
            Op::Delete => Action::Delete,
            Op::RmwGet | Op::RmwPut => Action::Rmw,
        };
        let error = record.error.as_deref().unwrap_or_default();
        Sample {
            kind,
            ending: ending(record, error),
            status: record.status,
            is_refused: record.status == Status::Fail && REFUSALS.contains(&error) && record.attempts <= 1,
            is_degraded: record.degraded,
            target: self.target(&record.target),
            due_ns: record.intended_ns.or(record.sent_ns).unwrap_or(record.recv_ns),
            sent_ns: record.sent_ns,
            end_ns: record.recv_ns,
        }
    }

    fn target(&mut self, name: &str) -> u16 {
        let place = self.targets.iter().position(|target| target == name).unwrap_or_else(|| {
            self.targets.push(name.to_owned());
            self.targets.len() - 1
        });
        u16::try_from(place).unwrap_or(u16::MAX)
    }
}

/// Errors by which a node says that it did not begin (`load/verdict.rs`).
const REFUSALS: [&str; 9] = [
    "overloaded",
    "invalid_argument",
    "too_large",
    "bad_context",
    "too_many_siblings",
    "already_exists",
    "not_ready",
    "not_responsible",
    "shutting_down",
];

fn ending(record: &Record, error: &str) -> Ending {
    match error {
        _ if record.status == Status::Ok => Ending::Ok,
        "not_sent" => Ending::NotSent,
        "timeout" | "deadline_exceeded" => Ending::Timeout,
        "quorum_not_reached" => Ending::FastReject,
        _ if REFUSALS.contains(&error) => Ending::FastReject,
        _ => Ending::Connection,
    }
}
