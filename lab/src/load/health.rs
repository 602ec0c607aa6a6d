//! Whether the loader itself can be trusted: how late it was on its own account, and whether it got through with what was due.
//! Follows research/lab.md 3.2.5. Not here: how the store did.

use std::time::Duration;

use super::LoadError;
use super::latency::Reading;
use super::meter::Stats;

/// Lag beyond this makes a run doubtful.
const LAG_US_MAX: u64 = 1_000;
/// And beyond this share of the median response.
const LAG_SHARE_MAX: f64 = 0.05;
/// The largest share of what was due that may be late.
const LATE_SHARE_MAX: f64 = 0.01;

/// How the loader did in an open loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Health {
    /// Operations that were due.
    pub due: u64,
    /// Operations due a second while the schedule lasted.
    pub offered_rate: f64,
    /// Operations a second that were sent while the schedule lasted and answered well.
    pub achieved_rate: f64,
    /// 99th percentile of the time that operations waited for the loader although a slot was free; `None` if none was sent.
    pub lag_p99: Option<Reading>,
    /// The lag is more than 1 ms, or more than 5 % of the median response: latencies are partly the loader's own.
    pub is_loader_limited: bool,
    /// Operations that were not sent while the schedule lasted, not answered in time, or refused as too much.
    pub late: u64,
    /// More than 1 % were late: more is offered than the store takes. Other failures that came in time are none of that.
    pub is_saturated: bool,
}

/// What an open loop asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offered {
    pub(super) due: u64,
    /// How long the schedule lasted; shorter than planned if the run was stopped.
    pub(super) lasted: Duration,
}

impl Offered {
    /// Errors: operations are missing from `stats`, because the load client lost them.
    pub(super) fn health(&self, stats: &Stats) -> Result<Health, LoadError> {
        if stats.ended() != self.due {
            let why = format!("of {} operations that were due, {} ended", self.due, stats.ended());
            return Err(LoadError::Broken(why));
        }
        let a_second = |ops: u64| ops as f64 / self.lasted.as_secs_f64().max(1e-9);
        let lag_p99 = stats.lag().quantile(0.99);
        let median = stats.all().0.quantile(0.5);
        let is_too_late = |lag: Reading| {
            lag.us > LAG_US_MAX || median.is_some_and(|median| lag.us as f64 > median.us as f64 * LAG_SHARE_MAX)
        };
        let (offered_rate, achieved_rate) = (a_second(self.due), a_second(stats.punctual()));
        Ok(Health {
            due: self.due,
            offered_rate,
            achieved_rate,
            lag_p99,
            is_loader_limited: lag_p99.is_some_and(is_too_late),
            late: stats.late(),
            is_saturated: stats.late() as f64 > self.due as f64 * LATE_SHARE_MAX,
        })
    }
}
