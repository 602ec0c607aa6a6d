//! What is kept of one run when it is over and judged: its numbers, its verdict and, of an experiment with one cell, its figures.
//! Invariant: everything that a report says of a run follows from this.

use serde::{Deserialize, Serialize};

use super::grid::Cell;
use super::perform::Performed;
use super::schedule;
use crate::check::Coverage;
use crate::convergence::{self, Converged};
use crate::history::ReadError;
use crate::judges::Budget;
use crate::measure::{self, Phase};
use crate::metrics::{Metric, Metrics};
use crate::offline::{Judged, Outcome};
use crate::report::Figure;
use crate::run_dir::RunDir;
use crate::visibility;

/// When, where and from what an experiment was run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// By the clock on the wall.
    pub started_unix_ms: u64,
    /// The experiment's file, as it was named.
    pub file: String,
    /// `--quick`.
    pub is_quick: bool,
    /// Name, value.
    pub environment: Vec<(String, String)>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its cell.
    pub cell: String,
    /// Of its plan and faults.
    pub seed: u64,
    /// Names it, in sixteen hexadecimal digits.
    pub run: String,
    /// The worst of what was promised, of lost writes and of convergence; `Unknown` where something could not be seen.
    pub outcome: Outcome,
    /// What its quorums promised, and how that came out; in words.
    pub promises: Vec<Promise>,
    /// By their names.
    pub metrics: Metrics,
    /// What could not be done or seen.
    pub trouble: Vec<String>,
    /// What makes the numbers doubtful.
    pub warnings: Vec<String>,
    /// Those that have data; none of an experiment with many cells.
    pub figures: Vec<Figure>,
}

/// Something a run must keep without anybody writing it down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// In a few words.
    pub what: String,
    /// What came of it.
    pub outcome: Outcome,
    /// How often it was broken.
    pub broken: u64,
    /// How often it could have been.
    pub of: u64,
    /// More, in words; may be empty.
    pub note: String,
}

impl RunRecord {
    /// Judges and measures the run in `dir`. `nodes`: name and client address. Errors: its files cannot be read.
    pub fn of(
        cell: &Cell,
        seed: u64,
        dir: &RunDir,
        nodes: &[(String, String)],
        performed: &Performed,
        with_figures: bool,
    ) -> Result<Self, ReadError> {
        let measured = measure::measure(dir.path(), &setting(cell, nodes))?;
        let (mut metrics, mut figures, mut warnings) = (measured.metrics, measured.figures, measured.warnings);
        let mut trouble = performed.trouble.clone();
        trouble.extend(measured.unverified);
        if performed.outcome.health.as_ref().is_some_and(|health| health.is_loader_limited) {
            warnings.push(
                "loader-limited: operations waited for the laboratory itself, so latencies are partly its own"
                    .to_owned(),
            );
        }
        let mut promises: Vec<Promise> = measured.verdict.properties.iter().filter_map(Promise::of).collect();
        if let Some(written) = &performed.written {
            promises.push(add_written(written, &mut metrics));
        }
        if let Some(convergence) = &performed.convergence {
            let found = convergence::measure(convergence);
            let what = "the replicas of each partition agree by the deadline";
            promises.push(Promise::converged(what, &found, u64::from(convergence.partitions), "partitions"));
            metrics.extend(found.metrics);
            figures.extend(found.figure);
        }
        if let Some(live) = &performed.live {
            let coverage = Coverage::of(dir.path(), live.heal_ns)?;
            let found = live.measure(|key, there| coverage.has(key, there));
            let what = "every replica holds what was acknowledged before the heal by the deadline, while clients go on";
            promises.push(Promise::converged(what, &found, live.keys.len() as u64, "keys"));
            metrics.extend(found.metrics);
            figures.extend(found.figure);
        }
        if let Some(probed) = &performed.probed {
            let found = visibility::measure(probed);
            metrics.extend(found.metrics);
            figures.extend(found.figure);
            warnings.extend(found.warnings);
        }
        let worst = promises.iter().map(|promise| promise.outcome).max().unwrap_or_default();
        let outcome = if trouble.is_empty() { worst } else { worst.max(Outcome::Unknown) };
        let figures = if with_figures { figures } else { Vec::new() };
        let run = format!("{:016x}", performed.outcome.run);
        Ok(Self { cell: cell.name.clone(), seed, run, outcome, promises, metrics, trouble, warnings, figures })
    }
}

impl Promise {
    fn converged(what: &str, found: &Converged, of: u64, noun: &str) -> Self {
        let note = match found.unknown.len() {
            0 => String::new(),
            unknown => format!("{unknown} {noun} could not be compared"),
        };
        let broken = found.differing.len() as u64;
        Self { what: what.to_owned(), outcome: found.outcome, broken, of, note }
    }

    /// `None`: it was not promised, only measured.
    fn of(judged: &Judged) -> Option<Self> {
        if judged.is_expected == Some(false) {
            return None;
        }
        Some(Self {
            what: format!("{}: {}", judged.property.name(), judged.property.says()),
            outcome: judged.verdict(),
            broken: judged.violations,
            of: judged.opportunities,
            note: if judged.unknown_keys == 0 {
                String::new()
            } else {
                format!("{} keys not judged", judged.unknown_keys)
            },
        })
    }
}

fn setting(cell: &Cell, nodes: &[(String, String)]) -> measure::Setting {
    let phases = schedule::phases(&cell.spec).into_iter().map(|(name, from, to)| Phase {
        name,
        from_s: from.as_secs_f64(),
        to_s: to.as_secs_f64(),
    });
    let usual = measure::Setting::default();
    let budget = match cell.spec.measure.budget {
        Some(time) => Budget { time, ..usual.budget },
        None => usual.budget,
    };
    measure::Setting {
        phases: phases.collect(),
        nodes: nodes.to_vec(),
        deadline: Some(cell.spec.request.timeout + cell.spec.request.retry.unwrap_or_default()),
        expected: cell.spec.measure.promise.clone(),
        budget,
        ..usual
    }
}

/// Lost writes as numbers, and as a promise that every run makes.
fn add_written(written: &crate::check::Verdict, metrics: &mut Metrics) -> Promise {
    let numbers = [
        ("written.acknowledged.count", written.acknowledged),
        ("written.unknown.count", written.unknown),
        ("lost.count", written.lost_count),
        ("late.count", written.late_count),
        ("wrong.count", written.wrong_count),
    ];
    for (name, number) in numbers {
        metrics.insert(name.to_owned(), Metric::count(number));
    }
    if written.late_count > 0 {
        metrics.insert("late.max_ms".to_owned(), Metric::count(written.late_ms));
    }
    if let Some(share) = Metric::share(written.lost_count, written.acknowledged) {
        metrics.insert("lost.rate".to_owned(), share);
    }
    let bad = written.lost_count + written.wrong_count;
    Promise {
        what: "every acknowledged write is there, or replaced by one that had seen it".to_owned(),
        outcome: match (bad, written.unjudged_count) {
            (0, 0) => Outcome::Holds,
            (0, _) => Outcome::Unknown,
            _ => Outcome::Violated,
        },
        broken: bad,
        of: written.acknowledged,
        note: match (written.unjudged_count, written.late_count) {
            (0, 0) => String::new(),
            (0, late) => format!("{late} were missing at first"),
            (unjudged, _) => format!("{unjudged} are missing where others wrote, and are not judged"),
        },
    }
}
