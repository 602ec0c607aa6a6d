//! What a run will ask, all of it decided by a seed before it begins: operations, keys, value ids, sessions, targets, arrivals.
//! Follows YCSB (SoCC 2010) for its distributions and wrk2 for the schedule of arrivals.
//! Invariants: the same plan gives the same operations, byte for byte; a value id (worker, counter) names one write of a run.
//! A plan is a stream for each worker, so that no worker waits for another: operation `seq` is number `seq / workers` of worker
//! `seq % workers`, whichever loop runs it. Not here: sending any of it (`load`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

mod arrivals;
mod keys;
mod mix;
mod print;
mod random;
mod request;
mod stream;
mod value;
mod words;
mod zipf;

pub use arrivals::Arrivals;
pub use keys::Distribution;
pub use mix::{Action, Mix};
pub(crate) use print::in_order;
pub use print::{Fingerprint, lines};
pub(crate) use random::Random;
pub use request::{Reads, Request};
pub use stream::{PlannedOp, Stream};
pub use value::{Filler, ValueId};
pub use words::Shape;
pub use zipf::Zipf;

/// Beyond these a plan is a mistake, or an attack on whoever runs it.
const KEYS_MAX: u64 = 1_000_000_000_000;
const WORKERS_MAX: u64 = 100_000;
const SESSIONS_MAX: u64 = 1_000_000;
const IN_FLIGHT_MAX: usize = 1_000_000;
const VALUE_BYTES_MAX: u64 = 64 * 1024 * 1024;
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// A whole run, before it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Everything random follows from it.
    pub seed: u64,
    /// What is asked.
    pub workload: Workload,
    /// When it is asked.
    pub pace: Pace,
    /// How it is asked; the defaults if a plan does not say.
    #[serde(default)]
    pub request: Request,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Where the keys are.
    pub bucket: String,
    /// Number of keys; key i is `key_prefix` and i in ten digits.
    pub keys: u64,
    /// Begins every key.
    pub key_prefix: String,
    /// Which of them are asked for how often.
    pub distribution: Distribution,
    /// Moves each operation to the nearest key that belongs to its worker alone (key mod workers = worker).
    pub own_keys: bool,
    /// Shares of the operations.
    pub mix: Mix,
    /// What a put does with what is there.
    pub writes: Writes,
    /// Size of a value; at least the 56 bytes that its head may need, which names the write.
    pub value_bytes: usize,
    /// Independent streams of operations: clients that do not know of each other.
    pub workers: u32,
    /// Client sessions, which carry contexts. Worker w has the sessions s with s mod workers = w; with fewer sessions than
    /// workers, several workers share one.
    pub sessions: u32,
    /// Which node a request goes to.
    pub routing: Routing,
}

/// What a put does with what is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Writes {
    /// Replaces what its session has seen of the key; a session that has seen nothing replaces all that a read finds.
    #[default]
    Context,
    /// Always replaces all that a read finds.
    Overwrite,
    /// Replaces nothing: every put adds a sibling.
    Blind,
}

/// Which node a request goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Routing {
    /// A worker has one node, and the workers are spread over all of them.
    #[default]
    Sticky,
    /// Each operation goes to a node drawn by the plan.
    Random,
}

/// When operations are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Pace {
    /// Each worker sends its next operation when the last one has ended: finds the throughput, says nothing about waiting.
    Closed {
        /// When to stop.
        until: Until,
    },
    /// Operations are sent when they are due, whether or not the store keeps up.
    Open {
        /// When they are due.
        arrivals: Arrivals,
        /// Length of the schedule.
        #[serde(rename = "duration_ms", with = "whole_ms")]
        duration: Duration,
        /// Operations that may be on their way at a time; more wait, and their waiting counts.
        in_flight: usize,
    },
}

/// When a closed loop stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// After so many operations of all workers together.
    Ops(u64),
    /// After that long.
    #[serde(rename = "after_ms", with = "whole_ms")]
    After(Duration),
}

/// Why a plan cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct PlanError {
    /// The field of the plan.
    pub field: &'static str,
    /// What is wrong with it, and what would be right.
    pub why: String,
}

impl PlanError {
    pub(crate) fn new(field: &'static str, why: impl Into<String>) -> Self {
        Self { field, why: why.into() }
    }
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            bucket: "lab".to_owned(),
            keys: 100_000,
            key_prefix: "key-".to_owned(),
            distribution: Distribution::Uniform,
            own_keys: false,
            mix: Mix::gets_and_puts(1, 1),
            writes: Writes::Context,
            value_bytes: 1024,
            workers: 64,
            sessions: 64,
            routing: Routing::Sticky,
        }
    }
}

impl Plan {
    /// Whether it can be run; the first thing that stands against it otherwise.
    pub fn check(&self) -> Result<(), PlanError> {
        self.workload.check()?;
        self.request.check()?;
        match &self.pace {
            Pace::Closed { until: Until::Ops(0) } => Err(PlanError::new("until", "there must be 1 operation or more")),
            Pace::Closed { until: Until::After(Duration::ZERO) } | Pace::Open { duration: Duration::ZERO, .. } => {
                Err(PlanError::new("duration", "it must be longer than nothing"))
            }
            Pace::Closed { until: Until::After(duration) } | Pace::Open { duration, .. }
                if *duration > DURATION_MAX =>
            {
                Err(PlanError::new("duration", "it must be a year or less"))
            }
            Pace::Open { in_flight: 0 | IN_FLIGHT_MAX.., .. } => {
                Err(PlanError::new("in_flight", format!("it must be 1 or more, and less than {IN_FLIGHT_MAX}")))
            }
            Pace::Open { arrivals, duration, .. } => arrivals.check(*duration),
            Pace::Closed { .. } => Ok(()),
        }
    }

    /// The operations of one worker, without end; `targets` is the number of nodes they may go to.
    pub fn stream(&self, worker: u32, targets: usize) -> Stream {
        Stream::new(self.seed, &self.workload, worker, targets)
    }

    /// How long it lasts; `None` if the number of operations decides.
    pub fn duration(&self) -> Option<Duration> {
        match self.pace {
            Pace::Closed { until: Until::Ops(_) } => None,
            Pace::Closed { until: Until::After(duration) } | Pace::Open { duration, .. } => Some(duration),
        }
    }

    /// How many operations there will be; `None` if time decides.
    pub fn ops(&self) -> Option<u64> {
        match &self.pace {
            Pace::Closed { until: Until::Ops(ops) } => Some(*ops),
            Pace::Closed { until: Until::After(_) } => None,
            Pace::Open { arrivals, duration, .. } => Some(arrivals.times(self.seed, *duration).count() as u64),
        }
    }
}

impl Workload {
    fn check(&self) -> Result<(), PlanError> {
        let at_least = |field, value: u64, least: u64| match value >= least {
            true => Ok(()),
            false => Err(PlanError::new(field, format!("{value} is too few; {least} or more"))),
        };
        let at_most = |field, value: u64, most: u64| match value <= most {
            true => Ok(()),
            false => Err(PlanError::new(field, format!("{value} is too many; at most {most}"))),
        };
        at_most("keys", self.keys, KEYS_MAX)?;
        at_most("workers", u64::from(self.workers), WORKERS_MAX)?;
        at_most("sessions", u64::from(self.sessions), SESSIONS_MAX)?;
        at_most("value_bytes", self.value_bytes as u64, VALUE_BYTES_MAX)?;
        at_least("value_bytes", self.value_bytes as u64, value::HEAD_BYTES_MAX as u64)?;
        at_least("keys", self.keys, 1)?;
        at_least("workers", u64::from(self.workers), 1)?;
        at_least("sessions", u64::from(self.sessions), 1)?;
        if self.own_keys {
            at_least("keys", self.keys, u64::from(self.workers))?;
        }
        if self.bucket.is_empty() {
            return Err(PlanError::new("bucket", "it needs a name"));
        }
        self.mix.check()?;
        self.distribution.check(self.keys)
    }

    /// The bytes of a key.
    pub fn key(&self, index: u64) -> String {
        format!("{}{index:010}", self.key_prefix)
    }
}

/// Durations as whole milliseconds, so that a plan on disk is read by eye.
mod whole_ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests;
