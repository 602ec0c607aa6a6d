//! What a run came to, and how it is doing meanwhile.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::health::Health;
use super::latency::Reading;
use super::meter::Stats;
use super::sessions::Sessions;
use crate::history::Written;

/// Called with each look at a run that goes on.
pub type OnProgress = Box<dyn FnMut(&Progress) + Send>;

/// A run that is over.
#[derive(Debug)]
pub struct Outcome {
    /// As in the options.
    pub run: u64,
    /// From the first operation to the end of the last.
    pub elapsed: Duration,
    /// Counts and latencies.
    pub stats: Stats,
    /// Somebody ended it before its time.
    pub is_stopped: bool,
    /// Operations were sent when due; in a closed loop there is service time only.
    pub is_open: bool,
    /// How the loader itself did; `None` in a closed loop, where it has nothing to be late for.
    pub health: Option<Health>,
    /// The history, if there was a directory for it.
    pub history: Option<Written>,
    /// What the sessions have seen; a later run may go on with it.
    pub sessions: Sessions,
}

/// A look at a run that goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// Since the start.
    pub elapsed: Duration,
    /// Operations that ended since the start, whatever their outcome.
    pub ended: u64,
    /// Those that failed or are unknown.
    pub errors: u64,
    /// Operations answered a second, since the last look.
    pub rate: f64,
    /// 99th percentile of the response since the last look; `None` if nothing was answered.
    pub p99: Option<Reading>,
    /// Stale reads since the last look, and all that might have been: an estimate (`load/freshness.rs`).
    pub stale: (u64, u64),
    /// Faults that are open now, in words; of an experiment.
    pub faults: Vec<String>,
}

impl Outcome {
    /// Operations that were answered and done, a second.
    pub fn ok_rate(&self) -> f64 {
        self.stats.ok() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

impl Progress {
    /// The share of stale reads since the last look; `None`: there was no read that might have been.
    pub fn stale_share(&self) -> Option<f64> {
        let (stale, reads) = self.stale;
        (reads > 0).then(|| stale as f64 / reads as f64)
    }

    pub(super) fn new(elapsed: Duration, interval: Duration, since: &Stats, total: &Stats) -> Self {
        let rate = since.ok() as f64 / interval.as_secs_f64().max(1e-9);
        Self {
            elapsed,
            ended: total.ended(),
            errors: total.fail() + total.info(),
            rate,
            p99: since.all().0.quantile(0.99),
            stale: since.stale(),
            faults: Vec::new(),
        }
    }
}
