//! The fields of an experiment's file. Every field is strict: an unknown one is an error that names it, with line and column.
//! Durations are written as everywhere (`5s`, `20ms`), distributions, mixes and arrivals as the flags of `driftkv lab load`.
//! Not here: reading (`read`), what follows from them (`grid`, `schedule`).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use super::expression::Expression;
use crate::offline::Property;
use crate::plan::{Distribution, Mix, Reads, Routing, Shape, Writes};

/// An experiment.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// Lower case letters, digits and `-`.
    pub name: String,
    /// What is asked, in words: page one of the report.
    pub question: String,
    /// Everything random follows from it; repetition i has this and i.
    #[serde(default = "one")]
    pub seed: u64,
    /// Runs of each cell.
    #[serde(default = "one_run")]
    pub repetitions: u32,
    /// The cluster under test: `spec` of a KVCluster and `manifest`, a file that gives what is not said here, with `kubernetes` on one and else as
    /// processes of this machine; or `endpoints`.
    pub cluster: Map<String, Value>,
    /// What is asked of it.
    #[serde(default)]
    pub workload: WorkloadSpec,
    /// When it is asked.
    #[serde(default)]
    pub load: LoadSpec,
    /// How each request is made.
    #[serde(default)]
    pub request: RequestSpec,
    /// One after the other; the load runs through all of them.
    pub phases: Vec<PhaseSpec>,
    /// What is measured beside what always is.
    #[serde(default)]
    pub measure: MeasureSpec,
    /// What must hold of every cell.
    #[serde(default)]
    pub expect: Vec<ExpectSpec>,
    /// Slices of the space of settings; none: one cell.
    #[serde(default)]
    pub grid: Vec<SliceSpec>,
    /// What `--quick` changes.
    pub quick: Option<QuickSpec>,
    /// Which histories are kept.
    #[serde(default)]
    pub histories: Keep,
}

/// What is asked of the cluster.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WorkloadSpec {
    /// Number of keys.
    pub keys: u64,
    /// Which of them.
    #[serde(deserialize_with = "word")]
    pub distribution: Distribution,
    /// Shares of get, put, delete, rmw.
    #[serde(deserialize_with = "word")]
    pub mix: Mix,
    /// What puts do with what is there.
    pub writes: Writes,
    /// Size of a value.
    pub value_bytes: usize,
    /// Every key belongs to one worker.
    pub own_keys: bool,
    /// Independent streams of operations.
    pub workers: u32,
    /// Client sessions; as many as workers if absent.
    pub sessions: Option<u32>,
    /// Which node an operation goes to.
    pub routing: Routing,
}

/// When operations are sent.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LoadSpec {
    /// Operations a second: an open loop; without it each worker sends its next operation when the last one ended.
    pub rate: Option<f64>,
    /// Of an open loop.
    #[serde(deserialize_with = "word")]
    pub arrivals: Shape,
    /// Of an open loop: operations on their way at a time.
    pub in_flight: Option<usize>,
}

/// How each request is made.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RequestSpec {
    /// What gets promise.
    pub read_mode: Reads,
    /// Replicas to read; the cluster's if absent.
    pub r: Option<u32>,
    /// Replicas that must have a write on disk; the cluster's if absent.
    pub w: Option<u32>,
    /// Of each attempt.
    #[serde(deserialize_with = "time")]
    pub timeout: Duration,
    /// For how long what failed is tried again; never if absent.
    #[serde(deserialize_with = "some_time")]
    pub retry: Option<Duration>,
    /// Streams to each node.
    pub connections: usize,
}

/// A part of a run.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PhaseSpec {
    /// Lower case letters, digits and `-`.
    pub name: String,
    /// How long.
    #[serde(rename = "for", deserialize_with = "time")]
    pub length: Duration,
    /// What goes wrong in it, all of it, in the vocabulary of docs/faults.md.
    #[serde(default)]
    pub faults: Vec<Map<String, Value>>,
    /// More nodes than a quorum survives may be disturbed.
    #[serde(default)]
    pub allow_quorum_loss: bool,
}

/// What is measured beside what always is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MeasureSpec {
    /// How long replicas take to agree, once nothing is written and all faults are healed.
    pub convergence: Option<ConvergenceSpec>,
    /// How long they take, after the last fault, to hold what was acknowledged before, while clients go on.
    pub live_convergence: Option<LiveSpec>,
    /// How likely a read is fresh, the time after a write that it begins.
    pub visibility: Option<VisibilitySpec>,
    /// Whether every acknowledged write is there at the end: how long it may take to show; not asked if absent.
    #[serde(deserialize_with = "some_time")]
    pub lost_writes: Option<Duration>,
    /// What must hold of the history in place of what its quorums promise; only measured if empty and given.
    pub promise: Option<Vec<Property>>,
    /// Of the search for an order of each key that is no plain register.
    #[serde(deserialize_with = "some_time")]
    pub budget: Option<Duration>,
}

/// How long replicas take to agree.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConvergenceSpec {
    /// When they should.
    #[serde(deserialize_with = "time")]
    pub deadline: Duration,
    /// Reads of every key at R = N before it, so that read repair has its occasion.
    #[serde(default)]
    pub read_all: bool,
}

/// How long replicas take to hold what was acknowledged before the heal, while clients go on.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LiveSpec {
    /// When they should, after the heal; the load's part without faults lasts as long.
    #[serde(deserialize_with = "time")]
    pub deadline: Duration,
}

/// Active probes of freshness.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VisibilitySpec {
    /// The phase in which probes are sent.
    pub phase: String,
    /// How many.
    pub samples: u64,
    /// Times after a write's end at which its one read begins.
    #[serde(deserialize_with = "times")]
    pub at: Vec<Duration>,
    /// Writers, each with keys of its own.
    #[serde(default = "writers")]
    pub writers: u32,
}

/// An expectation: its text, or with a condition on cells.
#[derive(Clone, Debug)]
pub struct ExpectSpec {
    /// What must hold.
    pub that: Expression,
    /// Of which cells; all if absent.
    pub when: Option<Expression>,
}

/// A slice of a grid: all combinations of its axes.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SliceSpec {
    /// Lower case letters, digits and `-`.
    pub name: String,
    /// Of its charts.
    pub title: String,
    /// What is the same in all its cells: dotted path, value.
    #[serde(default)]
    pub set: Map<String, Value>,
    /// One or two: the x axis, then the y axis.
    pub axes: Vec<AxisSpec>,
    /// Metrics to draw, a chart each: lines over one axis, a heat map over two.
    pub charts: Vec<String>,
    /// What must hold of its cells.
    #[serde(default)]
    pub expect: Vec<ExpectSpec>,
}

/// An axis of a slice.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AxisSpec {
    /// On charts, and in expectations.
    pub name: String,
    /// The field that it sets, as a dotted path.
    pub path: Option<String>,
    /// The field's values.
    #[serde(default)]
    pub values: Vec<Value>,
    /// In place of path and values: what each point sets.
    #[serde(default)]
    pub points: Vec<PointSpec>,
}

/// A point of an axis that sets more than one field.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PointSpec {
    /// On charts; a number if it is one.
    pub label: String,
    /// Dotted path, value.
    pub set: Map<String, Value>,
}

/// What `--quick` changes.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuickSpec {
    /// Runs of each cell.
    pub repetitions: Option<u32>,
    /// Dotted path, value.
    #[serde(default)]
    pub set: Map<String, Value>,
}

/// Which histories are kept when they are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// All.
    #[default]
    All,
    /// Those of runs that did not keep what they promise, or of which that is not known. What the file expects is judged over all runs, later.
    Violated,
}

impl Default for WorkloadSpec {
    fn default() -> Self {
        Self {
            keys: 100,
            distribution: Distribution::Uniform,
            mix: Mix::gets_and_puts(1, 1),
            writes: Writes::Context,
            value_bytes: 100,
            own_keys: false,
            workers: 16,
            sessions: None,
            routing: Routing::Random,
        }
    }
}

impl Default for LoadSpec {
    fn default() -> Self {
        Self { rate: None, arrivals: Shape::Constant, in_flight: None }
    }
}

impl Default for RequestSpec {
    fn default() -> Self {
        let usual = crate::plan::Request::default();
        Self { read_mode: usual.read_mode, r: None, w: None, timeout: usual.timeout, retry: None, connections: 1 }
    }
}

impl<'de> Deserialize<'de> for ExpectSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ReadExpect)
    }
}

/// The text of an expression, or a mapping.
struct ReadExpect;

impl<'de> de::Visitor<'de> for ReadExpect {
    type Value = ExpectSpec;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an expectation such as `staleness.rate < 0.001`, or {that: …, when: …}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ExpectSpec, E> {
        Ok(ExpectSpec { that: expression(text)?, when: None })
    }

    fn visit_map<A: de::MapAccess<'de>>(self, fields: A) -> Result<ExpectSpec, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Conditional {
            that: String,
            when: Option<String>,
        }
        let Conditional { that, when } = Conditional::deserialize(de::value::MapAccessDeserializer::new(fields))?;
        Ok(ExpectSpec { that: expression(&that)?, when: when.map(|when| expression(&when)).transpose()? })
    }
}

fn expression<E: de::Error>(text: &str) -> Result<Expression, E> {
    Expression::parse(text).map_err(|error| E::custom(format!("`{text}`: {error}")))
}

fn word<'de, D: Deserializer<'de>, T: std::str::FromStr<Err = String>>(from: D) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|why| de::Error::custom(format!("`{text}`: {why}")))
}

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    driftkv_proto::faults::duration_ms(&text).map(Duration::from_millis).map_err(de::Error::custom)
}

fn some_time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let read = |text: String| driftkv_proto::faults::duration_ms(&text).map(Duration::from_millis);
    text.map(read).transpose().map_err(de::Error::custom)
}

fn times<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Duration>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let read = |text: String| driftkv_proto::faults::duration_ms(&text).map(Duration::from_millis);
    texts.into_iter().map(read).collect::<Result<_, _>>().map_err(de::Error::custom)
}

fn one() -> u64 {
    1
}

fn one_run() -> u32 {
    1
}

fn writers() -> u32 {
    16
}
