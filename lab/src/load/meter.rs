//! Counts and latencies while a run goes on: a few shards that workers add to, drained every second.
//! Invariant: what was recorded is drained exactly once; intervals are merged by adding, never by averaging.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::Run;
use super::latency::Latency;
use super::open::Due;
use super::outcome::{OnProgress, Progress};
use super::verdict::{Failed, Status};
use crate::plan::Action;
use crate::run_dir::{FileError, HdrLogs};

const SHARDS: usize = 4;
const INTERVAL: Duration = Duration::from_secs(1);

/// What happened in a run, or in a part of it.
#[derive(Clone, Debug)]
pub struct Stats {
    ops: [OpStats; 4],
    errors: BTreeMap<&'static str, Errors>,
    retried: BTreeMap<&'static str, Errors>,
    lag: Latency,
    punctual: u64,
    late: u64,
    reads: u64,
    stale: u64,
}

/// The failures of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// How many.
    pub count: u64,
    /// What was said of the first of them; empty if nobody said anything.
    pub first: String,
}

/// The operations of one kind.
#[derive(Clone, Debug)]
pub struct OpStats {
    /// From the time it was due to its end; in a closed loop the same as `service`.
    pub response: Latency,
    /// From the time it was sent to its end.
    pub service: Latency,
    /// Answered and done.
    pub ok: u64,
    /// Certainly not applied.
    pub fail: u64,
    /// Unknown.
    pub info: u64,
}

/// How one operation went.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) action: Action,
    /// When it was due, if that was planned.
    pub(super) due: Option<Due>,
    /// When the loader turned to it; `None` if it never did.
    pub(super) begun: Option<Instant>,
    /// When it was sent, if it was.
    pub(super) sent: Option<Instant>,
    pub(super) ended: Instant,
    pub(super) failed: Option<Failed>,
    /// How its first attempt failed, if it was tried again.
    pub(super) retried: Option<Failed>,
    /// Of a read that may be stale, whether it is.
    pub(super) is_stale: Option<bool>,
}

impl Stats {
    /// Nothing yet.
    pub fn new(longest: Duration) -> Self {
        let op =
            || OpStats { response: Latency::new(longest), service: Latency::new(longest), ok: 0, fail: 0, info: 0 };
        Self {
            ops: [op(), op(), op(), op()],
            errors: BTreeMap::new(),
            retried: BTreeMap::new(),
            lag: Latency::new(Duration::from_secs(1)),
            punctual: 0,
            late: 0,
            reads: 0,
            stale: 0,
        }
    }

    /// The operations of one kind.
    pub fn op(&self, action: Action) -> &OpStats {
        let [get, put, delete, rmw] = &self.ops;
        match action {
            Action::Get => get,
            Action::Put => put,
            Action::Delete => delete,
            Action::Rmw => rmw,
        }
    }

    /// Failures by their names.
    pub fn errors(&self) -> &BTreeMap<&'static str, Errors> {
        &self.errors
    }

    /// Operations that were tried again, by the name of their first failure.
    pub fn retried(&self) -> &BTreeMap<&'static str, Errors> {
        &self.retried
    }

    /// How late the loader itself sent operations for which a slot was free.
    pub fn lag(&self) -> &Latency {
        &self.lag
    }

    /// Operations that were answered and done, and sent before the end of the schedule; 0 without one.
    pub fn punctual(&self) -> u64 {
        self.punctual
    }

    /// Operations that were not sent before the end of the schedule, not answered in time, or refused as too much; 0 without a schedule.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// An estimate while the run went on: stale reads, and all that might have been (`load/freshness.rs`). None of both unless somebody
    /// watched. What is judged afterwards is `staleness.rate`.
    pub fn stale(&self) -> (u64, u64) {
        (self.stale, self.reads)
    }

    /// Operations that were answered and done.
    pub fn ok(&self) -> u64 {
        self.ops.iter().map(|op| op.ok).sum()
    }

    /// Operations that failed for certain.
    pub fn fail(&self) -> u64 {
        self.ops.iter().map(|op| op.fail).sum()
    }

    /// Operations with an unknown outcome.
    pub fn info(&self) -> u64 {
        self.ops.iter().map(|op| op.info).sum()
    }

    /// Operations that are over, whatever their outcome.
    pub fn ended(&self) -> u64 {
        self.ok() + self.fail() + self.info()
    }

    /// The latencies of all kinds of operations together: response, service.
    pub fn all(&self) -> (Latency, Latency) {
        let longest = Duration::from_secs(1);
        let mut both = (Latency::new(longest), Latency::new(longest));
        for op in &self.ops {
            both.0.add(&op.response);
            both.1.add(&op.service);
        }
        both
    }

    fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.ops.iter_mut().zip(&other.ops).filter(|(_, theirs)| !theirs.is_empty()) {
            mine.response.add(&theirs.response);
            mine.service.add(&theirs.service);
            mine.ok += theirs.ok;
            mine.fail += theirs.fail;
            mine.info += theirs.info;
        }
        for (mine, theirs) in [(&mut self.errors, &other.errors), (&mut self.retried, &other.retried)] {
            for (name, theirs) in theirs {
                mine.entry(name).or_default().add(theirs.count, &theirs.first);
            }
        }
        self.lag.add(&other.lag);
        self.punctual += other.punctual;
        self.late += other.late;
        self.reads += other.reads;
        self.stale += other.stale;
    }

    fn reset(&mut self) {
        for op in self.ops.iter_mut().filter(|op| !op.is_empty()) {
            op.response.reset();
            op.service.reset();
            (op.ok, op.fail, op.info) = (0, 0, 0);
        }
        self.errors.clear();
        self.retried.clear();
        self.lag.reset();
        (self.punctual, self.late, self.reads, self.stale) = (0, 0, 0, 0);
    }

    fn record(&mut self, sample: &Sample, timeout: Duration) {
        let [get, put, delete, rmw] = &mut self.ops;
        let op = match sample.action {
            Action::Get => get,
            Action::Put => put,
            Action::Delete => delete,
            Action::Rmw => rmw,
        };
        op.record(sample, timeout);
        self.reads += u64::from(sample.is_stale.is_some());
        self.stale += u64::from(sample.is_stale == Some(true));
        if let Some(failed) = &sample.failed {
            self.errors.entry(failed.name).or_default().add(1, &failed.message);
        }
        if let Some(failed) = &sample.retried {
            self.retried.entry(failed.name).or_default().add(1, &failed.message);
        }
        let Some(due) = sample.due else { return };
        if let Some(begun) = sample.begun {
            self.lag.record(due.lag(begun));
        }
        let is_overdue = sample.failed.as_ref().is_some_and(|failed| failed.is_overdue);
        self.late += u64::from(is_overdue || sample.begun.is_none_or(|begun| begun > due.schedule_end));
        self.punctual += u64::from(sample.failed.is_none() && sample.sent.is_some_and(|sent| sent <= due.schedule_end));
    }
}

impl Errors {
    fn add(&mut self, count: u64, message: &str) {
        self.count += count;
        if self.first.is_empty() {
            self.first.push_str(message);
        }
    }
}

impl OpStats {
    fn is_empty(&self) -> bool {
        self.ok + self.fail + self.info == 0
    }

    fn record(&mut self, sample: &Sample, timeout: Duration) {
        match sample.failed.as_ref().map_or(Status::Ok, |failed| failed.status) {
            Status::Ok => self.ok += 1,
            Status::Fail => self.fail += 1,
            Status::Info => self.info += 1,
        }
        let service = sample.sent.map(|sent| sample.ended.saturating_duration_since(sent));
        let response = sample.due.map(|due| sample.ended.saturating_duration_since(due.intended)).or(service);
        match &sample.failed {
            None => {
                service.into_iter().for_each(|service| self.service.record(service));
                response.into_iter().for_each(|response| self.response.record(response));
            }
            Some(failed) if failed.is_censored => {
                // An answer that is no answer, however fast, must not look faster than waiting for one.
                let missing = service.map_or(Duration::ZERO, |service| timeout.saturating_sub(service));
                service.into_iter().for_each(|service| self.service.record_censored(service.max(timeout)));
                response.into_iter().for_each(|response| self.response.record_censored(response + missing));
            }
            Some(_) => {}
        }
    }
}

/// The shards.
pub(super) struct Meter {
    shards: Vec<Mutex<Stats>>,
    longest: Duration,
}

impl Meter {
    pub(super) fn new(longest: Duration) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::new(Stats::new(longest))).collect(), longest }
    }

    pub(super) fn record(&self, worker: u32, sample: &Sample, timeout: Duration) {
        if let Some(mut shard) = self.shard(worker) {
            shard.record(sample, timeout);
        }
    }

    fn shard(&self, worker: u32) -> Option<MutexGuard<'_, Stats>> {
        let shard = self.shards.get(worker as usize % SHARDS)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was recorded since the last call.
    fn drain(&self) -> Stats {
        let mut drained = Stats::new(self.longest);
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            drained.add(&shard);
            shard.reset();
        }
        drained
    }
}

/// Drains the meter every second until the run has finished, and keeps each second in `logs`; gives the whole.
///
/// Errors: a log cannot be written; the run is stopped.
pub(super) async fn tick(
    run: Arc<Run>,
    mut logs: Option<HdrLogs>,
    mut on_progress: Option<OnProgress>,
    mut finished: watch::Receiver<bool>,
) -> Result<Stats, FileError> {
    let mut ticks = tokio::time::interval_at((run.started + INTERVAL).into(), INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut total = Stats::new(run.meter.longest);
    let mut since = run.started;
    loop {
        let is_over = tokio::select! {
            _ = ticks.tick() => false,
            _ = finished.wait_for(|is_finished| *is_finished) => true,
        };
        let (stats, now) = (run.meter.drain(), Instant::now());
        total.add(&stats);
        if let Some(logs) = &mut logs {
            logs.add(since - run.started, now - since, &stats).inspect_err(|_| run.halt())?;
        }
        if let Some(on_progress) = &mut on_progress {
            on_progress(&Progress::new(now - run.started, now - since, &stats, &total));
        }
        since = now;
        if is_over {
            return Ok(total);
        }
    }
}
