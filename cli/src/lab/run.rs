//! `driftkv lab run` and `lab explain`: an experiment's file as runs, judged, and a folder with a report.
//! Order: file, every cell and the folder are checked before anything starts. Cells that share a cluster are run on one, one after the other, in buckets of
//! their own. A run that is over leaves `run.json`: whoever goes on with the folder (`--resume`) leaves it out.
//! Ctrl-C ends the run under way, stops the nodes and keeps what there is; a second one ends it at once.
//! Not here: one run (`driftkv_lab::experiment::perform`), what the report says (`driftkv_lab::experiment::tell`).

mod folder;
#[cfg(feature = "kubectl")]
pub mod kubernetes;
mod local;
mod place;
mod progress;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use driftkv_lab::experiment::perform::{PerformError, Setting, perform};
use driftkv_lab::experiment::read::{Changes, Source};
use driftkv_lab::experiment::record::RunRecord;
use driftkv_lab::experiment::{Cell, Experiment, Host, explain, tell};
use driftkv_lab::offline::Outcome;
use driftkv_lab::report;
use driftkv_lab::report::model::Expectation;
use serde_json::{Map, Value};

use super::target::KnownCluster;
use crate::args::lab::{ExplainArgs, PlaceArgs, ReportArgs, RunArgs};
use crate::error::{Exit, Failure};
use crate::input;
use crate::style::{self, Paint};
use crate::up::signals::Signals;
use folder::Folder;
use local::{Clusters, Reached};
use progress::Progress;

/// `driftkv lab explain`.
pub fn explain_file(args: &ExplainArgs) -> Result<(), Failure> {
    let changes = Changes { is_quick: args.quick, ..Changes::default() };
    let experiment = read(&args.file, changes)?;
    local::check_all(&experiment)?;
    style::print(explain(&experiment))
}

/// `driftkv lab report`: draws a folder's report again.
pub fn draw(args: &ReportArgs) -> Result<(), Failure> {
    let bad = |error: String| Failure::new(Exit::BadInput, error);
    let report = report::read(&args.folder).map_err(|error| bad(error.to_string()))?;
    report::write(&args.folder, &report).map_err(|error| Failure::failed(error.to_string()))?;
    style::print(format!("{}\n", args.folder.join("report.html").display()))
}

/// `driftkv lab run`.
pub async fn run(args: &RunArgs) -> Result<(), Failure> {
    match outcome(args).await.map_err(Failure::without_verdict)? {
        Outcome::Holds => Ok(()),
        Outcome::Unknown => Err(Failure::new(Exit::Inconclusive, "inconclusive: see the report for why")),
        Outcome::Violated => Err(Failure::new(Exit::Failed, "an expectation does not hold")),
    }
}

async fn outcome(args: &RunArgs) -> Result<Outcome, Failure> {
    let (experiment, folder) = match (&args.resume, &args.file) {
        (Some(folder), _) => Folder::open(folder)?,
        (None, Some(file)) => {
            let changes = Changes {
                is_quick: args.quick,
                repetitions: args.repetitions,
                seed: args.seed,
                kubernetes: on_kubernetes(&args.place),
            };
            let experiment = read(file, changes)?;
            local::check_all(&experiment)?;
            #[cfg(feature = "kubectl")]
            kubernetes::check(&experiment).await?;
            let folder = Folder::create(args.out.as_deref(), file, &experiment)?;
            (experiment, folder)
        }
        (None, None) => return Err(bad("name the file of an experiment, or a folder to go on with: --resume DIR")),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let mut signals = Signals::new()?;
    let progress = Progress::new(&experiment);
    let mut clusters = Clusters::default();
    let outcome = tokio::select! {
        outcome = all(&experiment, &folder, &mut clusters, &progress, &stop) => outcome,
        () = twice(&mut signals, &stop, &progress) => Err(Failure::failed("stopped at once; what was over is kept")),
    };
    progress.clear();
    let stopped = clusters.stop().await;
    let again = resume(folder.path());
    let records = outcome.map_err(|failure| {
        let hint = format!("{}\nRuns that are over are kept; go on with: {again}", failure.hint);
        failure.hint(hint.trim_start().to_owned())
    })?;
    stopped?;
    conclude(&experiment, &folder, &records, stop.load(Ordering::Relaxed))
}

fn bad(message: impl Into<String>) -> Failure {
    Failure::new(Exit::BadInput, message)
}

/// What the flags say of `cluster.kubernetes`.
fn on_kubernetes(args: &PlaceArgs) -> Option<Map<String, Value>> {
    let fields = [("cluster", &args.cluster), ("namespace", &args.namespace), ("context", &args.context)];
    let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into())));
    args.kubernetes.then(|| given.collect())
}

/// The experiment in `file`; manifests are beside it.
fn read(file: &Path, changes: Changes) -> Result<Experiment, Failure> {
    let bad_input = |failure: Failure| Failure { exit: Exit::BadInput, ..failure };
    let text = input::text(file, driftkv_lab::experiment::read::TEXT_BYTES_MAX).map_err(bad_input)?;
    let given = |source: Source<'_>| match source {
        Source::Manifest(name) => local::manifest_fields(&file.parent().unwrap_or(Path::new(".")).join(name)),
        Source::Kubernetes(place) => fields_there(place),
    };
    Experiment::read(&text, &file.display().to_string(), changes, Host { given: &given, check: &local::check })
        .map_err(|error| bad(error.to_string()).hint("Nothing was started."))
}

/// Of a KVCluster on Kubernetes.
#[cfg(feature = "kubectl")]
fn fields_there(place: &Value) -> Result<Map<String, Value>, String> {
    let asked = kubernetes::fields(place);
    let found = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(asked));
    found.map_err(|failure| format!("cluster.kubernetes: {failure}"))
}

/// `check_all` says why there are none.
#[cfg(not(feature = "kubectl"))]
fn fields_there(_: &Value) -> Result<Map<String, Value>, String> {
    Ok(Map::new())
}

/// Every run that is not over yet; gives the records of all.
async fn all(
    experiment: &Experiment,
    folder: &Folder,
    clusters: &mut Clusters,
    progress: &Progress,
    stop: &Arc<AtomicBool>,
) -> Result<Vec<RunRecord>, Failure> {
    let mut records = Vec::new();
    for cell in in_order(experiment) {
        for repetition in 0..cell.spec.repetitions {
            let seed = cell.spec.seed + u64::from(repetition);
            if let Some(record) = folder.finished(&cell.name, seed)? {
                progress.skip(cell);
                records.push(record);
                continue;
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(records);
            }
            progress.begin(cell, repetition);
            let record = one(experiment, cell, seed, folder, clusters, progress, stop).await?;
            progress.end(cell, &record);
            records.extend(record);
        }
    }
    Ok(records)
}

/// Those of one cluster together, else as in the file.
fn in_order(experiment: &Experiment) -> Vec<&Cell> {
    let mut clusters: Vec<&Map<String, Value>> = Vec::new();
    for cell in &experiment.grid.cells {
        if !clusters.contains(&&cell.spec.cluster) {
            clusters.push(&cell.spec.cluster);
        }
    }
    let of = |cluster: &Map<String, Value>| {
        experiment.grid.cells.iter().filter(|cell| cell.spec.cluster == *cluster).collect::<Vec<_>>()
    };
    clusters.into_iter().flat_map(of).collect()
}

/// `None`: it was stopped.
async fn one(
    experiment: &Experiment,
    cell: &Cell,
    seed: u64,
    folder: &Folder,
    clusters: &mut Clusters,
    progress: &Progress,
    stop: &Arc<AtomicBool>,
) -> Result<Option<RunRecord>, Failure> {
    let dir = folder.begin(&cell.name, seed)?;
    let say = |sentence: &str| progress.say(sentence);
    let record = match clusters.of(&cell.spec).await? {
        Reached::Here(target) => {
            let setting = Setting {
                dir: &dir,
                seed,
                run: rand::random(),
                stop: Arc::clone(stop),
                on_progress: Some(progress.watch()),
                say: &say,
            };
            here(experiment, cell, target, setting).await?
        }
        #[cfg(feature = "kubectl")]
        Reached::Kubernetes(running) => {
            let on_progress = progress.watch();
            let asked = kubernetes::Asked { cell, seed, folder, dir: &dir, stop, say: &say, on_progress };
            running.run(asked).await?
        }
    };
    if let Some(record) = &record {
        folder.finish(record, &dir, &cell.spec)?;
    }
    Ok(record)
}

/// A run by this process.
async fn here(
    experiment: &Experiment,
    cell: &Cell,
    target: &KnownCluster,
    setting: Setting<'_>,
) -> Result<Option<RunRecord>, Failure> {
    let (dir, seed, stop) = (setting.dir, setting.seed, Arc::clone(&setting.stop));
    let performed = perform(&cell.spec, target, setting).await.map_err(|error| failure(&error, cell))?;
    if stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let with_figures = experiment.grid.cells.len() == 1;
    let nodes = local::nodes(target);
    let record = tokio::task::block_in_place(|| RunRecord::of(cell, seed, dir, &nodes, &performed, with_figures));
    record.map(Some).map_err(|error| Failure::failed(error.to_string()))
}

fn failure(error: &PerformError, cell: &Cell) -> Failure {
    Failure::failed(format!("cell {}: {error}", cell.name))
}

/// Asks the run to stop at the first signal; ends at the second.
async fn twice(signals: &mut Signals, stop: &AtomicBool, progress: &Progress) {
    signals.next().await;
    stop.store(true, Ordering::Relaxed);
    progress.say("stopping: the run under way is given up, the nodes are stopped; Ctrl-C again ends it at once");
    signals.next().await;
}

/// The command that goes on with a folder.
fn resume(path: &Path) -> String {
    format!("driftkv lab run --resume {}", style::shell(&path.display().to_string()))
}

/// Writes the report and says what came of it.
fn conclude(
    experiment: &Experiment,
    folder: &Folder,
    records: &[RunRecord],
    is_stopped: bool,
) -> Result<Outcome, Failure> {
    let path = folder.path();
    let again = resume(path);
    if records.is_empty() {
        return Err(Failure::failed("stopped before the first run was over").hint(format!("Go on with: {again}")));
    }
    let told = tell::tell(experiment, records, &folder.about());
    let written = told.write(path);
    written.map_err(|error| Failure::failed(error.to_string()))?;
    style::print(summary(&told, path))?;
    if is_stopped {
        let left = driftkv_lab::experiment::runs(experiment) - records.len() as u64;
        let why = format!("stopped with {} left; the report tells of those that are over", style::count(left, "run"));
        return Err(Failure::failed(why).hint(format!("Go on with: {again}")));
    }
    Ok(told.report.outcome)
}

fn summary(told: &tell::Told, path: &Path) -> String {
    let paint = Paint::stdout();
    let report = &told.report;
    let mut out = format!("\n{}\n", paint.bold(&report.title));
    for answer in &report.answers {
        out += &format!("  {answer}\n");
    }
    out += "\n";
    let row = |row: &Expectation| {
        let Expectation { expression, measured, interval, cell, outcome, .. } = row.clone();
        vec![word(outcome).to_owned(), expression, measured, interval, cell]
    };
    let rows: Vec<Vec<String>> = report.expectations.iter().take(EXPECTATIONS_SHOWN).map(row).collect();
    if !rows.is_empty() {
        out += &style::table(paint, &["", "EXPECTED", "MEASURED", "95 %", "CELL"], &rows);
    }
    if report.expectations.len() > rows.len() {
        out += &format!("and {} more: see the report\n", report.expectations.len() - rows.len());
    }
    for warning in report.warnings.iter().take(EXPECTATIONS_SHOWN) {
        out += &format!("{}\n", paint.yellow(&format!("warning: {warning}")));
    }
    out + &format!("\nreport: {}\n", path.join("report.html").display())
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Holds => "holds",
        Outcome::Unknown => "unknown",
        Outcome::Violated => "VIOLATED",
    }
}

const EXPECTATIONS_SHOWN: usize = 20;
