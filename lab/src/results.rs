//! What came of a run, in numbers: for `results.json`, and as the table that a person is shown (`text`).
//! Field names carry their units. A percentile with `is_at_least` is a lower bound, printed as `>= x`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::faults::{FaultRecord, Injected};
use crate::load::{Errors, Latency, Outcome, Reading};
use crate::plan::{Action, Plan, Request};

mod text;

/// A run, summed up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Results {
    /// Names the run, as in its history.
    pub run: String,
    /// How it was paced, in words.
    pub pace: String,
    /// How each request was made.
    pub request: Request,
    /// Seed of the plan.
    pub seed: u64,
    /// Nodes it was sent to.
    pub targets: usize,
    /// From the first operation to the end of the last.
    pub elapsed_s: f64,
    /// Somebody ended it before its time.
    pub is_stopped: bool,
    /// Operations answered and done.
    pub ok: u64,
    /// Operations certainly not applied, and reads that brought nothing.
    pub fail: u64,
    /// Writes that may be, or become, visible.
    pub info: u64,
    /// `ok` a second.
    pub ok_per_s: f64,
    /// Failures by their names.
    pub errors: BTreeMap<String, ErrorCount>,
    /// Operations that were tried again, whatever came of them, by the name of their first failure.
    pub retried: BTreeMap<String, ErrorCount>,
    /// What went wrong on purpose.
    pub faults: Vec<Injected>,
    /// Of an open loop.
    pub open_loop: Option<OpenLoop>,
    /// Each kind of operation, then all together; the response before the service.
    pub latencies: Vec<Row>,
    /// Lines of the history after its header, if one was kept.
    pub history_records: Option<u64>,
}

/// The failures of one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorCount {
    /// How many.
    pub count: u64,
    /// What was said of the first of them; empty if nobody said anything.
    pub first: String,
}

/// What an open loop asked for, and whether the loader kept to it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OpenLoop {
    /// Operations that were due.
    pub due: u64,
    /// Operations due a second.
    pub offered_per_s: f64,
    /// Operations a second, sent while the schedule lasted and answered well.
    pub achieved_per_s: f64,
    /// 99th percentile of how late the loader itself was; null if it sent nothing.
    pub lag_p99_us: Option<u64>,
    /// Operations that were not sent while the schedule lasted, or not answered in time.
    pub late: u64,
    /// More than 1 % of those due were late.
    pub is_saturated: bool,
    /// The loader was late by more than 1 ms, or by more than 5 % of the median response.
    pub is_loader_limited: bool,
}

/// A distribution of latencies.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The kind of operation, or `all`.
    pub op: String,
    /// `response` (from the time it was due) or `service` (from the time it was sent).
    pub kind: &'static str,
    /// How many.
    pub count: u64,
    /// How many of them got no answer.
    pub censored: u64,
    /// Their mean; a lower bound if any is censored. Null, as all that follows, if there are none.
    pub mean_us: Option<f64>,
    /// Half of all take no longer.
    pub p50: Option<Quantile>,
    /// 90 % of all take no longer.
    pub p90: Option<Quantile>,
    /// 99 %.
    pub p99: Option<Quantile>,
    /// 99.9 %.
    pub p999: Option<Quantile>,
    /// The longest.
    pub max: Option<Quantile>,
}

/// A percentile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Quantile {
    /// In microseconds.
    pub us: u64,
    /// Operations without an answer lie at or below it.
    pub is_at_least: bool,
}

impl Results {
    /// Sums up the `outcome` of `plan`, which went to `targets` nodes, and met `faults`.
    pub fn new(plan: &Plan, targets: usize, outcome: &Outcome, faults: &[FaultRecord]) -> Self {
        let stats = &outcome.stats;
        Self {
            run: format!("{:016x}", outcome.run),
            pace: plan.pace.to_string(),
            request: plan.request.clone(),
            seed: plan.seed,
            targets,
            elapsed_s: outcome.elapsed.as_secs_f64(),
            is_stopped: outcome.is_stopped,
            ok: stats.ok(),
            fail: stats.fail(),
            info: stats.info(),
            ok_per_s: outcome.ok_rate(),
            errors: counts(stats.errors()),
            retried: counts(stats.retried()),
            faults: Injected::of(faults),
            open_loop: outcome.health.map(|health| OpenLoop {
                due: health.due,
                offered_per_s: health.offered_rate,
                achieved_per_s: health.achieved_rate,
                lag_p99_us: health.lag_p99.map(|lag| lag.us),
                late: health.late,
                is_saturated: health.is_saturated,
                is_loader_limited: health.is_loader_limited,
            }),
            latencies: rows(outcome),
            history_records: outcome.history.map(|history| history.records),
        }
    }

    /// The row of one kind of operation, or of `all`.
    pub fn row(&self, op: &str, kind: &str) -> Option<&Row> {
        self.latencies.iter().find(|row| row.op == op && row.kind == kind)
    }
}

fn counts(errors: &BTreeMap<&'static str, Errors>) -> BTreeMap<String, ErrorCount> {
    errors.iter().map(|(name, errors)| ((*name).to_owned(), errors.into())).collect()
}

fn rows(outcome: &Outcome) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |op: &str, response: &Latency, service: &Latency| {
        let response = outcome.is_open.then(|| Row::new(op, "response", response));
        rows.extend(response.into_iter().chain([Row::new(op, "service", service)]));
    };
    for action in Action::ALL {
        let op = outcome.stats.op(action);
        if op.ok + op.fail + op.info > 0 {
            add(action.name(), &op.response, &op.service);
        }
    }
    let (response, service) = outcome.stats.all();
    add("all", &response, &service);
    rows
}

impl Row {
    fn new(op: &str, kind: &'static str, latency: &Latency) -> Self {
        let quantile = |quantile| latency.quantile(quantile).map(Quantile::from);
        Self {
            op: op.to_owned(),
            kind,
            count: latency.count(),
            censored: latency.censored(),
            mean_us: latency.mean_us(),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: latency.max().map(Quantile::from),
        }
    }
}

impl From<&Errors> for ErrorCount {
    fn from(errors: &Errors) -> Self {
        Self { count: errors.count, first: errors.first.clone() }
    }
}

impl From<Reading> for Quantile {
    fn from(reading: Reading) -> Self {
        Self { us: reading.us, is_at_least: reading.is_at_least }
    }
}

impl From<Quantile> for Reading {
    fn from(quantile: Quantile) -> Self {
        Self { us: quantile.us, is_at_least: quantile.is_at_least }
    }
}
