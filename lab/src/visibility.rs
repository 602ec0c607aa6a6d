//! How soon a write is seen: the chance that a read brings it, by the time from the write's acknowledgement to the read's start (t-visibility;
//! Bailis et al., VLDB 2012; research/lab.md 3.4). Measured by probes, and predicted by WARS.
//! Reading order: `plan` (what is probed, from a seed), `probe` (probing), `curve` (the measured curve), `wars` (the model of the paper),
//! `store` (the same of this store, with what differs), `ordered`
//! (the same over links that keep their order), `figure`. `Visibility` is kept as `visibility.json` in the directory of a run.
//! Invariants: one read for each write, else repair by the first would help the second; a probe that failed is counted and left out.
//! Not here: injecting the delays, and measuring what messages take without them (who runs a probe gives both).

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::history::ReadError;
use crate::metrics::{Metric, Metrics};
use crate::report::Figure;
use crate::run_dir::{self, FileError};

mod curve;
mod figure;
mod law;
mod ordered;
mod plan;
mod probe;
mod store;
#[cfg(test)]
mod tests;
pub mod wars;

pub use curve::{Bin, Curve};
pub use law::Delay;
pub use ordered::Chances;
pub use probe::{ProbeError, probe};
pub(crate) use probe::{TWO_NODES, check_plan};
pub use store::{Legs, Store};

const FILE: &str = "visibility.json";

/// What is probed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VisibilitySpec {
    /// Writes, each with one read.
    pub samples: usize,
    /// The times from the acknowledgement to the read, in milliseconds; each gets its share of the samples.
    pub grid_ms: Vec<f64>,
    /// Clients that write and read keys of their own, side by side; each has one request under way.
    pub writers: u32,
    /// Replicas to read; 0: the cluster's default.
    pub r: u32,
    /// Replicas to write; 0: the cluster's default.
    pub w: u32,
    /// Of each request.
    pub timeout: Duration,
    /// Where the keys are.
    pub bucket: String,
    /// Of the plan: which nodes, which times.
    pub seed: u64,
    /// Begins every key.
    pub key_prefix: String,
}

impl Default for VisibilitySpec {
    fn default() -> Self {
        Self {
            samples: 4_000,
            grid_ms: vec![0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0],
            writers: 8,
            r: 0,
            w: 0,
            timeout: Duration::from_secs(2),
            bucket: "visibility".to_owned(),
            seed: 1,
            key_prefix: "probe-".to_owned(),
        }
    }
}

/// One write and its read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// From the acknowledgement of the write to the start of the read, in milliseconds.
    pub t_ms: f64,
    /// What that should have been.
    pub planned_ms: f64,
    /// The read brought the write.
    pub is_fresh: bool,
    /// What the write took.
    pub write_ms: f64,
    /// What the read took.
    pub read_ms: f64,
    /// Who was asked to write, by its place among the endpoints.
    pub writer: usize,
    /// Who was asked to read: another one.
    pub reader: usize,
}

/// What was seen, and what it is compared with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Visibility {
    /// As it was asked.
    pub spec: VisibilitySpec,
    /// In the order of the writers.
    pub samples: Vec<Sample>,
    /// Writes that were not acknowledged: nothing was read.
    pub failed_writes: u64,
    /// Reads without an answer: left out.
    pub failed_reads: u64,
    /// What the curve is compared with, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Store>,
}

/// What was measured of it.
#[derive(Clone, Debug)]
pub struct Visible {
    /// `visibility.*`.
    pub metrics: Metrics,
    /// The curve, and the prediction; `None`: there were no samples.
    pub figure: Option<Figure>,
    /// The curve itself.
    pub curve: Curve,
    /// What makes the numbers doubtful, in sentences.
    pub warnings: Vec<String>,
}

/// What a model says.
struct Prediction {
    name: &'static str,
    metric: &'static str,
    /// The chance that a read is fresh, by its time.
    fresh_at: Box<dyn Fn(f64) -> f64>,
}

/// The best one first; none without a model.
fn predictions(visibility: &Visibility) -> Vec<Prediction> {
    let Some(store) = &visibility.model else { return Vec::new() };
    let (spec, seed) = (&visibility.spec, visibility.spec.seed);
    let ordered = ordered::simulate(store, spec);
    let mut all = vec![Prediction {
        name: "WARS, links in order",
        metric: "visibility.wars.rmse",
        fresh_at: Box::new(move |t| ordered.fresh_at(t)),
    }];
    if store.legs.messages_per_s > 0.0 {
        let poisson = store.simulate(seed);
        let (name, metric) = ("WARS, Poisson traffic ahead", "visibility.wars.poisson.rmse");
        all.push(Prediction { name, metric, fresh_at: Box::new(move |t| poisson.fresh_at(t)) });
    }
    let free = Store { legs: Legs { messages_per_s: 0.0, ..store.legs.clone() }, ..store.clone() };
    let independent = free.simulate(seed);
    let (name, metric) = ("WARS, each message by itself", "visibility.wars.independent.rmse");
    all.push(Prediction { name, metric, fresh_at: Box::new(move |t| independent.fresh_at(t)) });
    all
}

impl Visibility {
    /// What was kept in the run `directory`; `None`: nothing was. Errors: the file cannot be read, or is something else.
    pub fn read(directory: &Path) -> Result<Option<Self>, ReadError> {
        run_dir::read_json(&directory.join(FILE))
    }

    /// Keeps it in the run `directory`.
    pub fn write(&self, directory: &Path) -> Result<(), FileError> {
        run_dir::write_json(&directory.join(FILE), self)
    }
}

/// Measures what was seen. The prediction is drawn from the seed of the plan: the same file gives the same numbers.
pub fn measure(visibility: &Visibility) -> Visible {
    let curve = Curve::of(&visibility.spec.grid_ms, &visibility.samples);
    let predictions = predictions(visibility);
    let mut metrics = Metrics::new();
    for (share, word) in [(0.9, "t90"), (0.99, "t99"), (0.999, "t999")] {
        metrics.extend(curve.reaches(share).map(|metric| (format!("visibility.{word}_ms"), metric)));
    }
    let first = curve.bins.first().filter(|bin| bin.planned_ms == 0.0);
    metrics.extend(
        first.and_then(|bin| Metric::share(bin.fresh, bin.all)).map(|at| ("visibility.at_0.rate".to_owned(), at)),
    );
    for Prediction { metric, fresh_at, .. } in &predictions {
        let rmse = curve.rmse(fresh_at, &visibility.samples);
        metrics.extend(rmse.map(|rmse| ((*metric).to_owned(), Metric::of(rmse))));
    }
    let asked = visibility.samples.len() as u64 + visibility.failed_writes + visibility.failed_reads;
    if asked > 0 {
        metrics.insert("visibility.samples".to_owned(), Metric::count(visibility.samples.len() as u64));
        let failed = visibility.failed_writes + visibility.failed_reads;
        metrics.insert("visibility.failed.count".to_owned(), Metric::count(failed));
    }
    let figure = figure::draw(&curve, &predictions);
    Visible { metrics, figure, warnings: warnings(visibility, asked), curve }
}

/// More failures than this leave out what may not be like the rest.
const FAILED_SHARE_MAX: f64 = 0.01;

fn warnings(visibility: &Visibility, asked: u64) -> Vec<String> {
    let mut warnings = Vec::new();
    let failed = visibility.failed_writes + visibility.failed_reads;
    if failed as f64 > FAILED_SHARE_MAX * asked as f64 {
        warnings.push(format!(
            "{failed} of {asked} probes failed and are left out: those that worked may be the lucky ones"
        ));
    }
    if (asked as usize) < visibility.spec.samples {
        warnings.push(format!("the probes ended early: {asked} of {}", visibility.spec.samples));
    }
    warnings
}
