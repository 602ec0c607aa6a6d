//! An experiment during a load: it begins at its moment, ends with the run at the latest, and leaves a record of both.
//! Invariants: what was not begun is not ended; an experiment that did not begin is told, once, and the command fails.
//! Not here: reaching the nodes (`target`), the format of the records (`driftkv_lab::faults`).

use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use driftkv_lab::faults::{Evidence, FaultRecord, State, nanos};
use driftkv_lab::load::{LoadError, Outcome};
use driftkv_lab::run_dir::{FileError, RunDir};
use driftkv_lab::target::Target;
use driftkv_proto::faults::Experiment;
use tokio::sync::oneshot;

use super::progress::Display;
use super::target::KnownCluster;
use crate::chaos;
use crate::endpoints::Endpoints;
use crate::error::Failure;
use crate::style::count;

/// An experiment that waits for its moment.
#[derive(Debug)]
pub struct Chaos {
    text: String,
    experiment: Experiment,
    at: Duration,
}

impl Chaos {
    /// The experiment in `file`. Errors: it is none, the cluster would not survive it, or its id was used.
    pub async fn read(file: &Path, at: Duration, from: &Endpoints, cluster: &KnownCluster) -> Result<Self, Failure> {
        let (text, experiment) = chaos::load(file, None)?;
        chaos::check(&experiment, from, &cluster.admin(), file)?;
        if chaos::is_begun(&cluster.admin(), &experiment).await? {
            return Err(Failure::usage(format!("experiment {} is active already", experiment.id))
                .hint("End it with `driftkv chaos clear`, and give the run one with an id of its own."));
        }
        Ok(Self { text, experiment, at })
    }
}

/// What became of an experiment.
#[derive(Debug, Default)]
pub struct Injection {
    /// In the order in which it happened; as in `faults.jsonl`.
    pub records: Vec<FaultRecord>,
    /// Why it did not begin.
    pub failure: Option<Failure>,
    /// A record could not be kept.
    pub damage: Option<FileError>,
    out: Option<RunDir>,
}

/// Runs `load`, and `chaos` in its time; what is still injected at the end of the load is ended.
///
/// `started` is told when the load begins; records are kept in `out`.
pub async fn alongside(
    load: impl Future<Output = Result<Outcome, LoadError>>,
    chaos: Option<Chaos>,
    started: oneshot::Receiver<Instant>,
    out: Option<RunDir>,
    target: &impl Target<Error = Failure>,
    display: &Display,
) -> (Result<Outcome, LoadError>, Injection) {
    let mut injection = Injection { out, ..Injection::default() };
    let Some(chaos) = chaos else {
        return (load.await, injection);
    };
    let mut load = pin!(load);
    let started = tokio::select! {
        outcome = &mut load => {
            injection.missed(&chaos, &outcome);
            return (outcome, injection);
        }
        started = chaos.moment(started) => started,
    };
    // Both to their ends: a load that ends meanwhile does not leave nodes that are just being told.
    let (outcome, ()) = tokio::join!(load, injection.strike(&chaos, started, target, display));
    if injection.failure.is_none() {
        injection.heal(&chaos, started, target, display).await;
    }
    (outcome, injection)
}

impl Chaos {
    /// Waits for the time to strike; gives when the run began.
    async fn moment(&self, started: oneshot::Receiver<Instant>) -> Instant {
        let Ok(started) = started.await else {
            // A run that ends before it begins says so itself.
            return std::future::pending().await;
        };
        tokio::time::sleep_until((started + self.at).into()).await;
        started
    }
}

impl Injection {
    fn add(&mut self, record: FaultRecord) {
        if let Some(Err(error)) = self.out.as_ref().map(|out| out.add_fault(&record)) {
            self.damage.get_or_insert(error);
        }
        self.records.push(record);
    }

    /// The run was over first. One that failed says so itself; of one that somebody stopped nothing more was to be expected.
    fn missed(&mut self, chaos: &Chaos, outcome: &Result<Outcome, LoadError>) {
        let Ok(outcome) = outcome else { return };
        let (id, after) = (chaos.experiment.id.clone(), outcome.elapsed.as_secs_f64());
        let why = match outcome.is_stopped {
            true => format!("the run was stopped after {after:.1} s"),
            false => format!("the run was over after {after:.1} s"),
        };
        let failure = || {
            Failure::failed(format!("experiment {id} did not begin: {why}"))
                .hint("A smaller --chaos-at begins it earlier, more --ops make the run longer.")
        };
        self.failure = (!outcome.is_stopped).then(failure);
        self.add(FaultRecord::Refused { id, requested_ns: None, why });
    }

    async fn strike(
        &mut self,
        chaos: &Chaos,
        started: Instant,
        target: &impl Target<Error = Failure>,
        display: &Display,
    ) {
        let requested_ns = nanos(started.elapsed());
        let id = chaos.experiment.id.clone();
        match target.apply(&chaos.text).await {
            Ok(_) => {
                let nodes = count(target.nodes().len() as u64, "node");
                display.say(&format!("experiment {id} began on {nodes}"));
                let now_ns = nanos(started.elapsed());
                self.add(FaultRecord::began(&chaos.experiment, &chaos.text, target.nodes(), requested_ns, now_ns));
            }
            Err(failure) => {
                display.say(&format!("experiment {id} did not begin: {failure}"));
                let told = format!("the load met no experiment: {id} did not begin, as told above");
                self.failure = Some(Failure::new(failure.exit, told).hint(failure.hint));
                self.add(FaultRecord::Refused { id, requested_ns: Some(requested_ns), why: failure.message });
            }
        }
    }

    async fn heal(
        &mut self,
        chaos: &Chaos,
        started: Instant,
        target: &impl Target<Error = Failure>,
        display: &Display,
    ) {
        let (requested_ns, id) = (nanos(started.elapsed()), chaos.experiment.id.clone());
        let evidence = target.clear(&id).await;
        for Evidence { node, state, .. } in &evidence {
            if let State::Unknown(why) = state {
                display.say(&format!("experiment {id} may go on at {node} until it ends by itself: {why}"));
            }
        }
        let now_ns = nanos(started.elapsed());
        self.add(FaultRecord::healed(&chaos.experiment, &self.records, requested_ns, now_ns, evidence));
    }
}
