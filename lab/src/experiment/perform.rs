//! One run of one cell against a cluster that runs: load and faults side by side, then what only silence shows.
//! Order: load through all phases, each phase's faults in their time; then all faults are healed for certain, the replicas are watched until they
//! agree, and every key is read. Invariants: what happened is on disk before it is judged; whoever stops a run early gets what there was.
//! Not here: starting clusters (the command), measuring what came of it (`measure`).

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::schedule;
use super::spec::Spec;
use crate::check::{self, CheckError, Reading};
use crate::convergence::{Convergence, Live};
use crate::faults::{FaultRecord, nanos};
use crate::load::{self, LoadError, OnProgress, Options, Outcome, Progress};
use crate::plan::Plan;
use crate::run_dir::{FileError, RunDir};
use crate::target::Target;
use crate::visibility::{ProbeError, Visibility};

mod aftermath;
mod inject;
mod live;
mod visible;

/// How long a key may take to be read at the end, all attempts together.
const READ_MAX: Duration = Duration::from_secs(10);

/// Of one run.
pub struct Setting<'a> {
    /// Where its files go.
    pub dir: &'a RunDir,
    /// Of its plan and its faults.
    pub seed: u64,
    /// Names it, in its values and experiments.
    pub run: u64,
    /// Ends it early when set.
    pub stop: Arc<AtomicBool>,
    /// Called every second of the load.
    pub on_progress: Option<OnProgress>,
    /// Told what happens beside the load.
    pub say: &'a (dyn Fn(&str) + Sync),
}

/// What a run came to, beside its files.
#[derive(Debug)]
pub struct Performed {
    /// What was asked.
    pub plan: Plan,
    /// Counts and latencies.
    pub outcome: Outcome,
    /// As in `faults.jsonl`.
    pub faults: Vec<FaultRecord>,
    /// Whether every acknowledged write is there.
    pub written: Option<check::Verdict>,
    /// How the replicas came to agree.
    pub convergence: Option<Convergence>,
    /// How they came to hold what was acknowledged before the heal, while clients went on.
    pub live: Option<Live>,
    /// Active probes of freshness.
    pub probed: Option<Visibility>,
    /// What could not be done or seen; any of it makes the run inconclusive.
    pub trouble: Vec<String>,
}

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
pub enum PerformError {
    /// The load did not take place.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The settings cannot be run.
    #[error("{0}")]
    Settings(String),
    /// Probes of freshness cannot be sent.
    #[error(transparent)]
    Visibility(#[from] ProbeError),
}

/// Runs `spec` on `target`. Errors: the run did not take place; what the store does is in the outcome.
pub async fn perform<T: Target>(spec: &Spec, target: &T, mut setting: Setting<'_>) -> Result<Performed, PerformError> {
    let name = format!("{:016x}", setting.run);
    let mut plan = schedule::plan(spec, setting.seed);
    // Cells share clusters: what one wrote another must not read.
    plan.workload.bucket = format!("lab-{name}");
    let windows =
        schedule::windows(spec, setting.seed, &name).map_err(|refused| PerformError::Settings(refused.why))?;
    let clients: Vec<String> = target.nodes().iter().filter_map(|node| node.client.clone()).collect();
    let probing = match &spec.measure.visibility {
        Some(wanted) => {
            (setting.say)("measuring what messages and disks take without faults");
            let calibrated = visible::calibrate(spec, &clients, setting.seed, setting.run, &setting.stop).await?;
            Some((wanted, calibrated))
        }
        None => None,
    };
    let open = inject::Open::default();
    let (on_start, started) = oneshot::channel();
    let options = Options {
        run: setting.run,
        cluster: schedule::quorums(spec),
        out: Some(setting.dir.clone()),
        stop: Arc::clone(&setting.stop),
        on_start: Some(on_start),
        on_progress: setting.on_progress.take().map(|on_progress| with_faults(on_progress, open.clone())),
        ..Options::default()
    };
    let shared = inject::Shared { dir: setting.dir, say: setting.say, stop: &setting.stop, open: &open };
    let (outcome, (injected, live), probed) = {
        let load = load::run(&plan, &clients, options);
        let beside = async {
            let Ok(started) = started.await else { return ((inject::Injected::default(), None), None) };
            let probes = async {
                let (wanted, calibrated) = probing?;
                Some(visible::during(spec, wanted, calibrated, &windows, &clients, &setting, started).await)
            };
            let faults = async {
                let injected = inject::all(target, started, &windows, &shared).await;
                (injected, watch_live(spec, target, &plan, &setting, started).await)
            };
            tokio::join!(faults, probes)
        };
        let (mut load, mut beside) = (pin!(load), pin!(beside));
        tokio::select! {
            // A load that did not begin never tells when: nothing else is to be waited for.
            outcome = &mut load => { let outcome = outcome?; let (injected, probed) = beside.await; (outcome, injected, probed) }
            (injected, probed) = &mut beside => (load.await?, injected, probed),
        }
    };
    let mut performed = Performed {
        plan,
        outcome,
        faults: injected.records,
        written: None,
        convergence: None,
        live: None,
        probed: probed.transpose()?,
        trouble: injected.trouble,
    };
    if let (Some(probed), Some(wanted)) = (&mut performed.probed, &spec.measure.visibility) {
        let id = format!("{}-{name}", wanted.phase);
        visible::count_messages(probed, &id, &performed.faults);
        probed.write(setting.dir.path())?;
    }
    performed.keep_live(live, &setting)?;
    let is_stopped = performed.outcome.is_stopped;
    if !is_stopped {
        afterwards(spec, target, &clients, &setting, &mut performed).await?;
    }
    Ok(performed)
}

/// `None`: nobody asked for it.
async fn watch_live<T: Target>(
    spec: &Spec,
    target: &T,
    plan: &Plan,
    setting: &Setting<'_>,
    started: Instant,
) -> Option<Result<Live, String>> {
    let wanted = spec.measure.live_convergence.as_ref()?;
    let watched = live::Watched {
        plan,
        run: setting.run,
        replicas: schedule::quorums(spec).n as usize,
        deadline: wanted.deadline,
        started,
        length: schedule::length(spec),
        stop: &setting.stop,
    };
    Some(live::watch(target, &watched).await)
}

impl Performed {
    fn keep_live(&mut self, live: Option<Result<Live, String>>, setting: &Setting<'_>) -> Result<(), FileError> {
        match live {
            Some(Ok(live)) => {
                live.write(setting.dir.path())?;
                self.live = Some(live);
            }
            Some(Err(why)) => self.trouble.push(why),
            None => {}
        }
        Ok(())
    }
}

/// Tells `on_progress` of the faults that are open too.
fn with_faults(mut on_progress: OnProgress, open: inject::Open) -> OnProgress {
    Box::new(move |progress| on_progress(&Progress { faults: open.now(), ..progress.clone() }))
}

/// What only silence shows.
async fn afterwards<T: Target>(
    spec: &Spec,
    target: &T,
    clients: &[String],
    setting: &Setting<'_>,
    performed: &mut Performed,
) -> Result<(), FileError> {
    let (measure, replicas) = (&spec.measure, schedule::quorums(spec).n);
    // The load began so long ago, and ended just now: close enough to put both on one time axis.
    let started = Instant::now() - performed.outcome.elapsed;
    performed.trouble.extend(aftermath::wait_until_healed(target).await);
    let (healed, before) = (Instant::now(), aftermath::counters(target).await);
    if let Some(wanted) = &measure.convergence {
        (setting.say)("nothing is written any more: watching the replicas agree");
        if wanted.read_all {
            performed.trouble.extend(aftermath::read_all(&performed.plan, clients, replicas).await);
        }
        let polls = aftermath::watch(target, replicas as usize, started, healed, wanted.deadline).await;
        let told = polls.iter().flat_map(|poll| &poll.per_replica_digest).flat_map(|(_, digests)| digests);
        let convergence = Convergence {
            heal_ns: nanos(healed - started),
            deadline_ns: nanos(wanted.deadline),
            replicas: replicas as usize,
            partitions: told.map(|digest| digest.partition + 1).max().unwrap_or_default(),
            polls,
            before,
            after: aftermath::counters(target).await,
        };
        convergence.write(setting.dir.path())?;
        performed.convergence = Some(convergence);
    }
    if let Some(settle) = measure.lost_writes {
        let reading = Reading { endpoints: clients.to_vec(), r: 0, timeout: READ_MAX, settle };
        match check::acknowledged(&[setting.dir.path().to_owned()], &reading).await {
            Ok(verdict) => {
                setting.dir.write_json("written.json", &verdict)?;
                performed.written = Some(verdict);
            }
            Err(CheckError::Unreadable { key, error }) => {
                performed
                    .trouble
                    .push(format!("key {key} cannot be read at the end, so nothing is known of it: {error}"));
            }
            Err(error) => performed.trouble.push(format!("what was written was not read again: {error}")),
        }
    }
    Ok(())
}
