//! All numbers and figures of one run, from the files in its directory alone (research/lab.md 3): the history is read once, by the judges
//! and by everything here together.
//! Reading order: `sample` (what each operation came to), `quantile`, `latency`, `availability`, `consistency` (the judges' findings as
//! metrics), `sides` (who was parted), `figures`. Names of metrics: docs/experiments.md.
//! Invariants: a metric that was not measured is absent; bands are from evidence and never from a plan; the same files give the same numbers.
//! Not here: lost writes of last-writer-wins (`discarded`, `inverted`): this store keeps siblings, so no write wins over a concurrent one;
//! convergence and visibility, which a history does not show (`convergence`, `visibility`).

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::faults::{self, FaultRecord, Period};
use crate::history::ReadError;
use crate::judges::Budget;
use crate::judges::linearizable::Choice;
use crate::metrics::Metrics;
use crate::offline::{Findings, Property, RunVerdict, judge_with};
use crate::report::{Band, Figure};

mod availability;
mod consistency;
mod figures;
mod latency;
mod quantile;
mod sample;
mod sides;
#[cfg(test)]
mod tests;
mod warnings;

use sample::Samples;
use sides::Sides;

/// How a run is measured.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Parts of the run that are told by themselves; they may overlap.
    pub phases: Vec<Phase>,
    /// The nodes: name, and the address that clients use, as in the history.
    pub nodes: Vec<(String, String)>,
    /// An operation that took longer is not available; `None`: any answer counts.
    pub deadline: Option<Duration>,
    /// A window of a second is unavailable below this share.
    pub unavailable_below: f64,
    /// What must hold, in place of what the run's quorums promise.
    pub expected: Option<Vec<Property>>,
    /// Of the judges.
    pub budget: Budget,
    /// Of the judges.
    pub choice: Choice,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            phases: Vec::new(),
            nodes: Vec::new(),
            deadline: None,
            unavailable_below: 0.99,
            expected: None,
            budget: Budget::default(),
            choice: Choice::default(),
        }
    }
}

/// A part of a run, by when operations were due.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// In names of metrics.
    pub name: String,
    /// In seconds since the run began.
    pub from_s: f64,
    /// Not itself part of it.
    pub to_s: f64,
}

/// What was measured of one run.
#[derive(Clone, Debug)]
pub struct Measured {
    /// By their names.
    pub metrics: Metrics,
    /// Those that have data.
    pub figures: Vec<Figure>,
    /// What the judges say.
    pub verdict: RunVerdict,
    /// Faults that nobody saw take effect, in sentences.
    pub unverified: Vec<String>,
    /// What makes the numbers doubtful, in sentences.
    pub warnings: Vec<String>,
    /// What went wrong on purpose, by evidence, in seconds.
    pub bands: Vec<Band>,
}

/// What all parts look at.
struct Run<'a> {
    setting: &'a Setting,
    samples: Samples,
    verdict: RunVerdict,
    findings: Findings,
    faults: Vec<FaultRecord>,
    periods: Vec<Period>,
    sides: Sides,
    bands: Vec<Band>,
}

/// Measures the run in `directory`.
///
/// Cost: of a million operations about two thirds of the time is the judges' (`lab/examples/measure_bench.rs`).
/// Errors: its history or its faults cannot be read.
pub fn measure(directory: &Path, setting: &Setting) -> Result<Measured, ReadError> {
    let faults = faults::read(directory)?;
    let mut samples = Samples::default();
    let look = |_, record: &_| samples.add(record);
    let expected = setting.expected.as_deref();
    let (verdict, findings) = judge_with(directory, expected, &setting.budget, setting.choice, look)?;
    let nodes: Vec<String> = setting.nodes.iter().map(|(name, _)| name.clone()).collect();
    let periods = faults::periods(&faults, &nodes);
    let sides = Sides::of(&periods, &setting.nodes, &samples);
    let bands = bands(&periods, samples.end_ns);
    let run = Run { setting, samples, verdict, findings, faults, periods, sides, bands };
    let (metrics, figures, warnings) = (run.metrics(), figures::of(&run), warnings::of(&run));
    let unverified = faults::verify(&run.faults).into_iter().filter(|fault| !fault.is_verified);
    let unverified = unverified.map(|fault| fault.to_string()).collect();
    Ok(Measured { metrics, figures, unverified, warnings, verdict: run.verdict, bands: run.bands })
}

impl Run<'_> {
    fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::new();
        self.throughput(&mut metrics);
        latency::metrics(&self.samples, self.setting, &mut metrics);
        availability::metrics(&self.samples, self.setting, &self.periods, &self.sides, &mut metrics);
        consistency::metrics(self, &mut metrics);
        metrics
    }

    /// How long operations were due: of an open loop its schedule, else until the last of them ended. In seconds.
    fn schedule_s(&self) -> f64 {
        let planned = self.findings.header.plan.duration().filter(|_| self.samples.is_open);
        let last_due = self.samples.all.iter().map(|sample| sample.due_ns).max().unwrap_or_default();
        match planned {
            // A run that was stopped was due until then.
            Some(planned) => planned.as_secs_f64().min(seconds(self.samples.end_ns.max(last_due))),
            None => seconds(self.samples.end_ns),
        }
    }
}

/// A period without an end lasted until the end of the run, as far as anybody knows.
fn bands(periods: &[Period], end_ns: u64) -> Vec<Band> {
    let band = |period: &Period| Band {
        label: period.label(),
        from: seconds(period.from_ns),
        to: seconds(period.to_ns.unwrap_or(end_ns.max(period.from_ns))),
        is_verified: period.is_verified && period.to_ns.is_some(),
    };
    periods.iter().map(band).collect()
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
