//! How long replicas take to hold the same again after a heal (research/lab.md 3.10), from polls of what each of them holds by itself.
//! Here the mode is frozen: nobody writes after the heal, so a difference is something that has not been mended; `live` is the mode in which
//! clients go on. A poll neither coordinates nor repairs. Reading order: `Convergence` (what was seen: `convergence.json` of a run), `spans` (when each partition converged), `measure`.
//! Invariants: a partition converged in (the last poll that saw a difference, or the heal; the first poll after it that saw agreement]; it agrees
//! only if all its owners told a finished digest and all are alike; what was not told is neither agreement nor a difference.
//! Not here: polling, and deciding when the heal was.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::history::ReadError;
use crate::metrics::{Metric, Metrics};
use crate::offline::Outcome;
use crate::report::Figure;
use crate::run_dir::{self, FileError};

mod figure;
mod live;
mod spans;
#[cfg(test)]
mod tests;

pub use live::{Live, Look};
pub(crate) use spans::agrees;
pub use spans::{Span, spans};

/// Counters by which nodes tell who mended what: their names, and as metrics tell them.
pub const BY: [&str; 3] = ["hints", "read_repair", "anti_entropy"];

const FILE: &str = "convergence.json";

/// What was seen of a heal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Convergence {
    /// When probes saw that the faults were over, in nanoseconds since the run began.
    pub heal_ns: u64,
    /// How long after the heal all must agree, in nanoseconds.
    pub deadline_ns: u64,
    /// Owners of each partition.
    pub replicas: usize,
    /// Partitions there are, from 0.
    pub partitions: u32,
    /// In the order of time.
    pub polls: Vec<Poll>,
    /// By node: counters of [`BY`] at the heal.
    pub before: Counters,
    /// By node: the same after the last poll.
    pub after: Counters,
}

/// Counters by their names, by node.
pub type Counters = BTreeMap<String, BTreeMap<String, u64>>;

/// What all replicas held at some time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    /// When the last of them had answered, in nanoseconds since the run began.
    pub at_ns: u64,
    /// By node; those that did not answer are not here.
    pub per_replica_digest: Vec<(String, Vec<PartitionDigest>)>,
}

/// What one replica holds of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionDigest {
    /// Which.
    pub partition: u32,
    /// Of its hash tree: equal where all is equal.
    pub root: u64,
    /// How many keys it has.
    pub keys: u64,
    /// The tree is finished; else it says nothing.
    pub is_built: bool,
}

/// What was measured of it.
#[derive(Clone, Debug)]
pub struct Converged {
    /// `convergence.*`.
    pub metrics: Metrics,
    /// The share of partitions that agree, over time; `None`: there were no polls.
    pub figure: Option<Figure>,
    /// `Violated`: some partitions differed at or after the deadline and never agreed after. `Unknown`: of some nobody knows.
    pub outcome: Outcome,
    /// Partitions that were seen to differ last.
    pub differing: Vec<u32>,
    /// Partitions of which not all owners told.
    pub unknown: Vec<u32>,
}

impl Convergence {
    /// What was kept in the run `directory`; `None`: nothing was. Errors: the file cannot be read, or is something else.
    pub fn read(directory: &Path) -> Result<Option<Self>, ReadError> {
        run_dir::read_json(&directory.join(FILE))
    }

    /// Keeps it in the run `directory`.
    pub fn write(&self, directory: &Path) -> Result<(), FileError> {
        run_dir::write_json(&directory.join(FILE), self)
    }

    /// Since the heal, in seconds.
    fn since_heal(&self, ns: u64) -> f64 {
        ns.saturating_sub(self.heal_ns) as f64 / 1e9
    }

    /// Polls that began to count.
    fn after_heal(&self) -> impl DoubleEndedIterator<Item = &Poll> {
        self.polls.iter().filter(|poll| poll.at_ns >= self.heal_ns)
    }
}

/// Measures what was seen.
pub fn measure(convergence: &Convergence) -> Converged {
    let spans = spans(convergence);
    let of = |is_wanted: fn(&Span) -> bool| -> Vec<u32> {
        spans.iter().filter(|(_, span)| is_wanted(span)).map(|(partition, _)| *partition).collect()
    };
    let differing = of(|span| matches!(span, Span::Differs));
    let unknown = of(|span| matches!(span, Span::Unknown));
    let outcome = match (differing.is_empty(), unknown.is_empty()) {
        (true, true) if !spans.is_empty() && !is_late(convergence, &spans) => Outcome::Holds,
        (true, true) if !spans.is_empty() => Outcome::Violated,
        (false, _) if was_waited_for(convergence) => Outcome::Violated,
        _ => Outcome::Unknown,
    };
    let mut metrics = Metrics::new();
    times(convergence, &spans, &mut metrics);
    shares(convergence, &mut metrics);
    Converged { metrics, figure: figure::curve(convergence), outcome, differing, unknown }
}

/// The polls went on until the deadline: the last was at it, or the next one would have been after it.
fn was_waited_for(convergence: &Convergence) -> bool {
    let mut last = convergence.after_heal().rev().map(|poll| poll.at_ns.saturating_sub(convergence.heal_ns));
    let Some(end) = last.next() else { return false };
    let gap = end.saturating_sub(last.next().unwrap_or_default());
    end.saturating_add(gap) >= convergence.deadline_ns
}

/// Some partition was seen to differ at the deadline or later.
fn is_late(convergence: &Convergence, spans: &BTreeMap<u32, Span>) -> bool {
    let deadline = convergence.heal_ns.saturating_add(convergence.deadline_ns);
    spans.values().any(|span| matches!(span, Span::Converged { after_ns, .. } if *after_ns >= deadline))
}

/// When half, 99 % and all of the partitions agreed: by the poll that saw it, with the time in which it must have been as interval.
fn times(convergence: &Convergence, spans: &BTreeMap<u32, Span>, metrics: &mut Metrics) {
    let ended = |span: &Span| match span {
        Span::Converged { after_ns, by_ns } => {
            Some((convergence.since_heal(*after_ns), convergence.since_heal(*by_ns)))
        }
        _ => None,
    };
    let (mut after, mut by): (Vec<f64>, Vec<f64>) = spans.values().filter_map(ended).unzip();
    after.sort_by(f64::total_cmp);
    by.sort_by(f64::total_cmp);
    let all = spans.len();
    metrics.extend(
        Metric::share(by.len() as u64, all as u64).map(|share| ("convergence.converged.share".to_owned(), share)),
    );
    let last = convergence.after_heal().last().map(|poll| convergence.since_heal(poll.at_ns));
    for (quantile, word) in [(0.5, "p50"), (0.99, "p99"), (1.0, "all")] {
        let place = ((all as f64 * quantile).ceil() as usize).saturating_sub(1);
        let metric = match (after.get(place), by.get(place)) {
            (Some(after), Some(by)) => Some(Metric { interval: Some((*after, *by)), ..Metric::of(*by) }),
            // Not yet at the last poll.
            _ => last.filter(|_| all > 0).map(|last| Metric { is_at_least: true, ..Metric::of(last) }),
        };
        metrics.extend(metric.map(|metric| (format!("convergence.{word}_s"), metric)));
    }
}

/// Who mended: of all that the counters of [`BY`] counted meanwhile.
fn shares(convergence: &Convergence, metrics: &mut Metrics) {
    let counted = |name: &str| -> u64 {
        let before = |node: &str| convergence.before.get(node).and_then(|counters| counters.get(name)).copied();
        let of_node = |(node, counters): (&String, &BTreeMap<String, u64>)| {
            let after = counters.get(name).copied().unwrap_or_default();
            // A node that was started anew counts from 0 again.
            after.checked_sub(before(node).unwrap_or_default()).unwrap_or(after)
        };
        convergence.after.iter().map(of_node).sum()
    };
    let counts = BY.map(counted);
    for (name, count) in BY.into_iter().zip(counts) {
        let share = Metric::share(count, counts.iter().sum());
        metrics.extend(share.map(|share| (format!("convergence.by.{name}.share"), share)));
    }
}
