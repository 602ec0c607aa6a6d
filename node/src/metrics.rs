//! What a node measures of itself as it works: counters and histograms for `/metrics`. Each is described in `docs/metrics.md`.
//! Names follow Prometheus: prefix `driftkv_`, base units, `_total`; every label has a bounded set of values.
//! Invariants: recording never waits for a reader and never fails; the labels of the hot path are looked up once, at the start.
//! Not here: what is only true when asked, such as hints owed (`metrics/scrape`), and serving it (`api/web`).

use std::sync::Arc;
use std::time::Duration;

use driftkv_core::effect::{Event, Failure, Reply, Request};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::driver::Outcome;
use crate::store::disk::Written;

pub mod scrape;
#[cfg(test)]
mod tests;

/// From 50 microseconds to 10 seconds.
const SECONDS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// To the default cap on siblings.
const SIBLINGS: [f64; 9] = [0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0];
/// To more than one sync ever takes under load.
const RECORDS: [f64; 13] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 4_096.0, 16_384.0];

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Where the time of a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From arrival until the engine takes it up.
    Queue,
    /// From asking another node for a client's sake until it answers.
    Peers,
    /// One batch stepped against the store and committed in memory.
    Store,
    /// One sync of the disk.
    Sync,
}

impl Stage {
    const ALL: [Stage; 4] = [Stage::Queue, Stage::Peers, Stage::Store, Stage::Sync];

    fn name(self) -> &'static str {
        match self {
            Stage::Queue => "queue",
            Stage::Peers => "peers",
            Stage::Store => "store",
            Stage::Sync => "sync",
        }
    }
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A read.
    Get,
    /// A write of a value.
    Put,
    /// A write of a tombstone.
    Delete,
}

impl Operation {
    const ALL: [Operation; 3] = [Operation::Get, Operation::Put, Operation::Delete];

    /// What `request` asks for.
    pub fn of(request: &Request) -> Operation {
        match request {
            Request::Get(_) => Operation::Get,
            Request::Put(put) if put.value.is_some() => Operation::Put,
            Request::Put(_) => Operation::Delete,
        }
    }

    /// As in labels.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Get => "get",
            Operation::Put => "put",
            Operation::Delete => "delete",
        }
    }
}

/// All that is measured. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    stages: [Histogram; 4],
    operations: [OperationMetrics; 3],
    outcomes: Family<Labels<3>, Counter>,
    siblings: Histogram,
    lag: Histogram,
    repairs: Family<Labels<1>, Counter>,
    stale_reads: Counter,
    hints: Family<Labels<1>, Counter>,
    events: Family<Labels<1>, Counter>,
    syncs: Counter,
    records: Counter,
    bytes: Counter,
    batch: Histogram,
    spans_dropped: Counter,
}

/// Of one kind of operation.
#[derive(Debug)]
struct OperationMetrics {
    took: Histogram,
    strict: Counter,
    sloppy: Counter,
}

impl Default for Inner {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("driftkv");
        let seconds = || Histogram::new(SECONDS);
        let stages = Family::<Labels<1>, Histogram, _>::new_with_constructor(seconds);
        let durations = Family::<Labels<1>, Histogram, _>::new_with_constructor(seconds);
        let outcomes = Family::<Labels<3>, Counter>::default();
        let operation = |operation: Operation| {
            let reached = |quorum| outcomes.get_or_create_owned(&outcome(operation, quorum, "ok"));
            let took = durations.get_or_create_owned(&[("operation", operation.name())]);
            OperationMetrics { took, strict: reached("strict"), sloppy: reached("sloppy") }
        };
        let inner = Inner {
            stages: Stage::ALL.map(|stage| stages.get_or_create_owned(&[("stage", stage.name())])),
            operations: Operation::ALL.map(operation),
            siblings: Histogram::new(SIBLINGS),
            lag: seconds(),
            repairs: at_zero("kind", &["read_repair", "anti_entropy", "handoff"]),
            stale_reads: Counter::default(),
            hints: at_zero("result", &["stored", "delivered", "refused", "dropped"]),
            events: Family::default(),
            syncs: Counter::default(),
            records: Counter::default(),
            bytes: Counter::default(),
            batch: Histogram::new(RECORDS),
            spans_dropped: Counter::default(),
            registry: Registry::default(),
            outcomes: outcomes.clone(),
        };
        let words = "Time of one stage of the work";
        registry.register_with_unit("stage_duration", words, Unit::Seconds, stages);
        let words = "Time from a client's request to its answer";
        registry.register_with_unit("operation_duration", words, Unit::Seconds, durations);
        registry.register("operations", "Client requests answered, by the quorum reached and the result", outcomes);
        registry.register("siblings", "Live siblings in the answer to a get", inner.siblings.clone());
        let words = "Time from sending a fresh put to a replica until it has acknowledged it";
        registry.register_with_unit("replication_lag", words, Unit::Seconds, inner.lag.clone());
        registry.register("repairs", "States sent to a node that lacked them", inner.repairs.clone());
        let words = "Gets that found a replica behind and repaired it";
        registry.register("stale_reads_repaired", words, inner.stale_reads.clone());
        registry.register("hints", "What became of hints", inner.hints.clone());
        registry.register("events", "Other things that happened in the protocols", inner.events.clone());
        registry.register("syncs", "Syncs of the disk that had something to write", inner.syncs.clone());
        registry.register("synced_records", "Keys written or deleted by syncs", inner.records.clone());
        let words = "Keys and values written by syncs";
        registry.register_with_unit("synced", words, Unit::Bytes, inner.bytes.clone());
        registry.register("sync_batch_records", "Records made durable by one sync", inner.batch.clone());
        let words = "Spans that did not reach the collector";
        registry.register("trace_spans_dropped", words, inner.spans_dropped.clone());
        Inner { registry, ..inner }
    }
}

/// A family whose members are there from the start, so that a rate of them is known before the first happens.
fn at_zero(label: &'static str, values: &[&'static str]) -> Family<Labels<1>, Counter> {
    let family = Family::default();
    for value in values {
        drop(family.get_or_create(&[(label, *value)]));
    }
    family
}

fn outcome(operation: Operation, quorum: &'static str, result: &'static str) -> Labels<3> {
    [("operation", operation.name()), ("quorum", quorum), ("result", result)]
}

impl Metrics {
    /// One stage took so long.
    pub fn stage(&self, stage: Stage, took: Duration) {
        if let Some(histogram) = self.0.stages.get(stage as usize) {
            histogram.observe(took.as_secs_f64());
        }
    }

    /// A client's request was answered `took` after it arrived.
    pub fn answered(&self, operation: Operation, took: Duration, outcome: &Outcome) {
        let Some(metrics) = self.0.operations.get(operation as usize) else { return };
        metrics.took.observe(took.as_secs_f64());
        match outcome {
            Ok(reply) => {
                if reply.achieved().is_strict {
                    metrics.strict.inc()
                } else {
                    metrics.sloppy.inc()
                };
                if let Reply::Get { siblings, .. } = reply {
                    self.0.siblings.observe(siblings.len() as f64);
                }
            }
            Err(failure) => self.refused(operation, failure),
        }
    }

    /// A client's request failed, or was refused before the engine saw it.
    pub fn refused(&self, operation: Operation, failure: &Failure) {
        self.0.outcomes.get_or_create(&outcome(operation, "none", result(failure))).inc();
    }

    /// So many more spans did not reach the collector.
    pub fn spans_dropped(&self, count: u64) {
        self.0.spans_dropped.inc_by(count);
    }

    /// A replica acknowledged a fresh put.
    pub fn replicated(&self, lag: Duration) {
        self.0.lag.observe(lag.as_secs_f64());
    }

    /// Core observed something.
    pub fn event(&self, event: &Event) {
        let count = |family: &Family<Labels<1>, Counter>, label, value| {
            family.get_or_create(&[(label, value)]).inc();
        };
        match event {
            Event::ReadRepair(_) => count(&self.0.repairs, "kind", "read_repair"),
            Event::AntiEntropyPush(_) => count(&self.0.repairs, "kind", "anti_entropy"),
            Event::HintDelivered(_) => {
                count(&self.0.repairs, "kind", "handoff");
                count(&self.0.hints, "result", "delivered");
            }
            Event::HintStored(_) => count(&self.0.hints, "result", "stored"),
            Event::HintRefused(_) => count(&self.0.hints, "result", "refused"),
            Event::HintDropped(_) => count(&self.0.hints, "result", "dropped"),
            Event::StaleRead => drop(self.0.stale_reads.inc()),
            other => count(&self.0.events, "event", other.counter()),
        }
    }

    /// A sync ended that took so long. One with nothing to write is not counted.
    pub fn synced(&self, written: Written, took: Duration) {
        if written.records > 0 {
            self.stage(Stage::Sync, took);
            self.0.syncs.inc();
            self.0.records.inc_by(written.records);
            self.0.bytes.inc_by(written.bytes);
            self.0.batch.observe(written.records as f64);
        }
    }

    /// How many syncs there were, and what they made durable.
    pub fn syncs(&self) -> (u64, Written) {
        (self.0.syncs.get(), Written { records: self.0.records.get(), bytes: self.0.bytes.get() })
    }
}

fn result(failure: &Failure) -> &'static str {
    match failure {
        Failure::QuorumNotReached { .. } => "quorum_not_reached",
        Failure::DeadlineExceeded { .. } => "deadline_exceeded",
        Failure::Overloaded { .. } => "overloaded",
        Failure::InvalidArgument(_) => "invalid_argument",
        Failure::TooLarge { .. } => "too_large",
        Failure::BadContext(_) => "bad_context",
        Failure::TooManySiblings { .. } => "too_many_siblings",
        Failure::AlreadyExists { .. } => "already_exists",
        Failure::NotReady(_) => "not_ready",
        Failure::NotResponsible => "not_responsible",
        Failure::ShuttingDown { .. } => "shutting_down",
    }
}
