//! Sends a plan to a cluster and measures what comes of it: the one load client there is.
//! Follows research/lab.md 3.2: operations keep the time at which they were due, and all they waited counts.
//! Invariants: no request is sent twice, unless the plan says so (`ask`); an operation that got no answer never makes a latency look better (`latency`);
//! without that a worker stays with the node its plan names, however slow that is.
//! Not here: what is asked (`plan`), judging what was answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use driftkv_proto::error::KvError;
use tokio::sync::oneshot;

use crate::history;
use crate::plan::{Filler, Pace, Plan, PlanError};
use crate::run_dir::{FileError, HdrLogs, RunDir};

mod ask;
mod closed;
mod freshness;
mod health;
mod latency;
mod link;
mod meter;
mod open;
mod outcome;
mod perform;
mod record;
mod sessions;
#[cfg(test)]
mod tests;
mod verdict;

pub use health::Health;
pub use latency::{Latency, Reading};
pub use meter::{Errors, OpStats, Stats};
pub use outcome::{OnProgress, Outcome, Progress};
pub use sessions::Sessions;
pub use verdict::Status;

use freshness::Freshness;
pub(crate) use link::Link;
use meter::Meter;

/// How long the nodes have to accept the first connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How a plan is run; all that does not change what is asked, or how.
#[derive(Default)]
pub struct Options {
    /// Names the run in its values; different for each run against the same data.
    pub run: u64,
    /// What the loader was told of the cluster, for the history.
    pub cluster: Quorums,
    /// Where the plan, the history and the histograms are kept.
    pub out: Option<RunDir>,
    /// Contexts of an earlier run to begin with; `None`: sessions that have seen nothing.
    pub sessions: Option<Sessions>,
    /// Ends the run early when set.
    pub stop: Arc<AtomicBool>,
    /// Called every second; with it, stale reads are estimated as they come.
    pub on_progress: Option<OnProgress>,
    /// Told when the run begins: the moment from which its times count.
    pub on_start: Option<oneshot::Sender<Instant>>,
}

/// The quorums of a cluster; 0: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quorums {
    /// Replicas of a key.
    pub n: u32,
    /// Read, unless a request says otherwise.
    pub r: u32,
    /// Written, unless a request says otherwise.
    pub w: u32,
}

/// Why a run did not take place.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan cannot be run; nothing was sent.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// No node was named, or an option is out of range; nothing was sent.
    #[error("{0}")]
    Options(String),
    /// No node took a connection in time; nothing was sent.
    #[error("none of {endpoints} took a connection: {last}")]
    Unreachable {
        /// Those that were tried.
        endpoints: String,
        /// What the last of them said.
        last: KvError,
    },
    /// What happened cannot be kept; the run was stopped.
    #[error(transparent)]
    Out(#[from] FileError),
    /// A task of the load client panicked; the run is worthless.
    #[error("the load client failed: {0}")]
    Broken(String),
}

/// What the parts of a run share.
struct Run {
    plan: Plan,
    options: RunOptions,
    started: Instant,
    targets: Vec<String>,
    links: Vec<Link>,
    history: Option<history::Writer>,
    sessions: Sessions,
    filler: Filler,
    meter: Meter,
    /// `None`: nobody watches.
    freshness: Option<Freshness>,
    stop: Arc<AtomicBool>,
}

/// Of [`Options`], what every operation looks at.
struct RunOptions {
    run: u64,
    cluster: Quorums,
    targets: usize,
}

/// Runs `plan` against the nodes at `endpoints` (client ports) and reports what came of it.
///
/// Needs a multi-threaded tokio runtime with time and I/O. Errors: only before the first operation, or when the load client
/// itself breaks; whatever the store does is in the outcome.
pub async fn run(plan: &Plan, endpoints: &[String], mut options: Options) -> Result<Outcome, LoadError> {
    plan.check()?;
    let mut run = Run::new(plan, endpoints, &mut options)?;
    run.wait_for_a_link(endpoints).await?;
    let logs = options.out.as_ref().map(|out| run.keep(out)).transpose()?;
    run.started = Instant::now();
    // Whoever does not listen any more does not need to know.
    let _ = options.on_start.take().map(|on_start| on_start.send(run.started));
    let run = Arc::new(run);
    let (finished, report) = tokio::sync::watch::channel(false);
    let ticker = tokio::spawn(meter::tick(Arc::clone(&run), logs, options.on_progress.take(), report));
    let offered = match &plan.pace {
        Pace::Closed { until } => closed::drive(&run, *until).await.map(|()| None)?,
        Pace::Open { arrivals, duration, in_flight } => {
            let times = arrivals.times(plan.seed, *duration);
            Some(open::drive(&run, times, *duration, *in_flight).await?)
        }
    };
    let elapsed = run.started.elapsed();
    let _ = finished.send(true);
    let stats = ticker.await.map_err(|error| LoadError::Broken(error.to_string()))??;
    let health = offered.map(|offered| offered.health(&stats)).transpose()?;
    Ok(Outcome {
        elapsed,
        stats,
        is_open: health.is_some(),
        health,
        run: run.options.run,
        history: run.end_history(options.out.as_ref()).await?,
        is_stopped: run.is_stopped(),
        sessions: run.sessions.clone(),
    })
}

impl Run {
    fn new(plan: &Plan, endpoints: &[String], options: &mut Options) -> Result<Self, LoadError> {
        let in_flight = match &plan.pace {
            Pace::Closed { .. } => plan.workload.workers as usize,
            Pace::Open { in_flight, .. } => *in_flight,
        };
        if endpoints.is_empty() {
            return Err(LoadError::Options("there must be one endpoint or more".to_owned()));
        }
        let request = &plan.request;
        let sessions = options.sessions.take().unwrap_or_else(|| Sessions::new(plan.workload.sessions));
        if sessions.count() != plan.workload.sessions as usize {
            let (given, planned) = (sessions.count(), plan.workload.sessions);
            return Err(LoadError::Options(format!("{given} sessions were handed on, but the plan has {planned}")));
        }
        let links = endpoints.iter().flat_map(|endpoint| std::iter::repeat_n(endpoint, request.connections));
        let longest = match &plan.pace {
            Pace::Closed { .. } => request.timeout * 2 + request.retry * 2,
            Pace::Open { duration, .. } => *duration + request.timeout * 3 + request.retry * 2,
        };
        Ok(Self {
            plan: plan.clone(),
            started: Instant::now(),
            targets: endpoints.to_vec(),
            history: None,
            links: links.map(|endpoint| Link::open(endpoint.clone(), in_flight)).collect(),
            sessions,
            filler: Filler::new(options.run, plan.seed, plan.workload.value_bytes),
            meter: Meter::new(longest),
            freshness: options.on_progress.is_some().then(Freshness::new),
            stop: Arc::clone(&options.stop),
            options: RunOptions { run: options.run, cluster: options.cluster, targets: endpoints.len() },
        })
    }

    /// One connection is enough to begin: that a node is away may be what is measured.
    async fn wait_for_a_link(&self, endpoints: &[String]) -> Result<(), LoadError> {
        let deadline = tokio::time::Instant::now() + CONNECT_MAX;
        let mut last = None;
        for link in &self.links {
            match link.session(deadline).await {
                Ok(_) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        let last = last.unwrap_or_else(|| KvError::invalid_argument("no endpoint was given"));
        Err(LoadError::Unreachable { endpoints: endpoints.join(", "), last })
    }

    /// Begins the files of the run in `out`.
    fn keep(&mut self, out: &RunDir) -> Result<HdrLogs, FileError> {
        out.write_plan(&self.plan)?;
        let now = SystemTime::now();
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let header = history::Header {
            driftkv_history: history::VERSION,
            run: format!("{:016x}", self.options.run),
            started_unix_ms: millis(since_epoch),
            plan: self.plan.clone(),
            targets: self.targets.clone(),
            read_mode: self.plan.request.read_mode.to_string(),
            timeout_ms: millis(self.plan.request.timeout),
        };
        let path = out.history();
        let writer = history::Writer::create(&path, &header, Arc::clone(&self.stop));
        self.history = Some(writer.map_err(FileError::at(&path))?);
        HdrLogs::create(out, &self.plan, now)
    }

    async fn end_history(&self, out: Option<&RunDir>) -> Result<Option<history::Written>, FileError> {
        match (&self.history, out) {
            (Some(history), Some(out)) => {
                let written = history.end().await.map_err(FileError::at(&out.history()))?;
                // Order: after the last line is on disk, or a history with holes would pass for a whole one.
                out.write_json(history::END, &written)?;
                Ok(Some(written))
            }
            _ => Ok(None),
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn halt(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
