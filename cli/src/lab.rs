//! `driftkv lab`: `load`, `run` (experiments, in `run`), and `check` (in its own file: what the store holds; `offline` judges runs without a cluster, `history` what another
//! tool recorded).
//! `load` finds the cluster, makes the plan, runs it, shows how it goes and what came of it.
//! Order: plan, endpoints, experiment and directory are checked before the first request, so that a mistake leaves nothing behind.
//! Ctrl-C ends the run in order, with what was measured so far; a second one ends it at once.
//! Not here: sending and measuring (`driftkv_lab`), the plan from flags (`plan`), progress (`progress`), faults (`injection`, `target`).

mod check;
mod compare;
mod history;
mod injection;
mod offline;
mod plan;
mod progress;
mod run;
mod target;

use std::io::{BufWriter, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use driftkv_lab::load::{self, LoadError, Options, Quorums};
use driftkv_lab::plan::{Fingerprint, Plan, lines};
use driftkv_lab::results::Results;
use driftkv_lab::run_dir::{FileError, RunDir};
use driftkv_lab::target::Target;
use tokio::sync::oneshot;

use crate::args::{LabCommand, LoadArgs, Output};
use crate::endpoints::Endpoints;
use crate::error::{Exit, Failure};
use crate::style::{self, Paint};
use crate::up::signals::Signals;
use injection::{Chaos, Injection, alongside};
use progress::Display;
use target::KnownCluster;

/// Where a plan is only printed there need not be a cluster.
const PRINT_NODES: usize = 3;
/// Lines of the summary begin so that make its numbers doubtful.
const DOUBTS: [&str; 3] = ["saturated", "failures", "loader-limited"];

/// Runs the command.
pub async fn run(command: &LabCommand) -> Result<(), Failure> {
    match command {
        LabCommand::Load(args) => load(args).await,
        LabCommand::Run(args) => run::run(args).await,
        LabCommand::Explain(args) => run::explain_file(args),
        LabCommand::Report(args) => run::draw(args),
        LabCommand::Compare(args) => compare::run(args),
        #[cfg(feature = "kubectl")]
        LabCommand::Job(args) => run::kubernetes::inside::job(args).await,
        #[cfg(feature = "kubectl")]
        LabCommand::Pack(args) => run::kubernetes::inside::pack(args),
        LabCommand::Check(args) if args.history.format.is_some() => history::run(args),
        LabCommand::Check(args) if offline::is_meant(args) => offline::run(args),
        LabCommand::Check(args) => check::run(args).await,
    }
}

async fn load(args: &LoadArgs) -> Result<(), Failure> {
    let plan = plan::of(args)?;
    if args.print_plan {
        return print_plan(&plan, nodes_of_print(args)?);
    }
    let endpoints = Endpoints::find(&args.connection)?;
    let clients = endpoints.clients()?.to_vec();
    let cluster = KnownCluster::find(&endpoints, args.chaos.is_some()).await;
    refuse_quorums(&plan, cluster.quorums())?;
    let chaos = match &args.chaos {
        Some(file) => Some(Chaos::read(file, args.chaos_at, &endpoints, &cluster).await?),
        None => None,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let mut signals = Signals::new()?;
    let out = args.out.as_ref().map(|path| RunDir::create(path)).transpose().map_err(|error| out_failure(&error))?;
    let display = Display::new(&plan, clients.len());
    let (on_start, started) = oneshot::channel();
    let options =
        Options { on_start: Some(on_start), ..options(cluster.quorums(), out.clone(), Arc::clone(&stop), &display) };
    let running = alongside(load::run(&plan, &clients, options), chaos, started, out.clone(), &cluster, &display);
    let (outcome, injection) = tokio::select! {
        both = running => both,
        () = twice(&mut signals, &stop, &display) => {
            display.clear();
            return Err(Failure::failed("stopped at once; nothing was summed up"));
        }
    };
    display.clear();
    let outcome = outcome.map_err(|error| {
        // A run that did not begin leaves no directory; one that did is not empty, and stays.
        let _ = out.as_ref().map(|out| std::fs::remove_dir(out.path()));
        load_failure(&error, args)
    })?;
    let results = Results::new(&plan, clients.len(), &outcome, &injection.records);
    report(&results, out.as_ref(), args.output)?;
    verdict(&results, injection)
}

fn options(cluster: Quorums, out: Option<RunDir>, stop: Arc<AtomicBool>, display: &Display) -> Options {
    Options { run: rand::random(), cluster, out, stop, on_progress: Some(display.watch()), ..Options::default() }
}

/// No node would take a quorum above N; said before anything is sent, where N is known.
fn refuse_quorums(plan: &Plan, cluster: Quorums) -> Result<(), Failure> {
    let quorums = [("-r", plan.request.r), ("-w", plan.request.w)];
    let too_many = quorums.into_iter().find(|(_, count)| cluster.n > 0 && *count > cluster.n);
    match too_many {
        Some((flag, count)) => {
            Err(Failure::usage(format!("{flag} {count}: a key has {} replicas in this cluster", cluster.n))
                .hint("Nothing was sent."))
        }
        None => Ok(()),
    }
}

/// Asks the run to stop at the first signal; ends at the second.
async fn twice(signals: &mut Signals, stop: &AtomicBool, display: &Display) {
    signals.next().await;
    stop.store(true, Ordering::Relaxed);
    display.say("stopping: what is on its way may still be answered; Ctrl-C again ends it at once");
    signals.next().await;
}

fn report(results: &Results, out: Option<&RunDir>, output: Output) -> Result<(), Failure> {
    let text = results.to_string();
    let kept = out.map(|out| out.write_results(results, &text)).transpose();
    match output {
        Output::Json | Output::Yaml => {
            let json = serde_json::to_value(results).map_err(|error| Failure::failed(error.to_string()))?;
            style::print_value(output, &json)?;
        }
        Output::Text => style::print(painted(&text, Paint::stdout()))?,
    }
    kept.map_err(|error| out_failure(&error))?;
    if let Some(out) = out {
        style::note(&format!("kept in {}", out.path().display()));
    }
    Ok(())
}

/// Fails if nothing succeeded, or what was to happen did not.
fn verdict(results: &Results, injection: Injection) -> Result<(), Failure> {
    if let Some(damage) = &injection.damage {
        return Err(out_failure(damage));
    }
    match results.ok {
        0 => Err(Failure::unavailable("no operation succeeded").hint("`driftkv status` shows who is reachable.")),
        _ => injection.failure.map_or(Ok(()), Err),
    }
}

fn painted(text: &str, paint: Paint) -> String {
    let paint_line = |line: &str| match line {
        _ if line.contains("COUNT") => paint.bold(line),
        _ if DOUBTS.iter().any(|doubt| line.starts_with(doubt)) => paint.yellow(line),
        _ if line.starts_with("no evidence") || line.contains(" did not begin: ") => paint.yellow(line),
        _ if line.starts_with("errors") => paint.red(line),
        _ => line.to_owned(),
    };
    text.lines().map(|line| paint_line(line) + "\n").collect()
}

/// How many nodes a printed plan is for: those of the cluster that was named or is here, else [`PRINT_NODES`].
fn nodes_of_print(args: &LoadArgs) -> Result<usize, Failure> {
    match Endpoints::find_any(&args.connection)? {
        Some(endpoints) => Ok(endpoints.clients()?.len()),
        None => Ok(PRINT_NODES),
    }
}

/// Writes the plan to stdout. A reader that went away is no failure.
fn print_plan(plan: &Plan, targets: usize) -> Result<(), Failure> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let written = lines(plan, targets).try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
        Err(error) => return Err(Failure::failed(format!("stdout: {error}"))),
        Ok(()) => {}
    }
    let (nodes, fingerprint) = (style::count(targets as u64, "node"), Fingerprint::of(plan, targets));
    style::note(&format!("seed {}, {nodes}, fingerprint {fingerprint}: nothing was sent", plan.seed));
    Ok(())
}

fn load_failure(error: &LoadError, args: &LoadArgs) -> Failure {
    match error {
        LoadError::Plan(error) => plan::failure(error, args),
        LoadError::Options(why) => Failure::usage(why),
        LoadError::Unreachable { .. } => Failure::unavailable(error.to_string())
            .hint("Is the cluster up? `driftkv status` shows who is. Nothing was sent."),
        LoadError::Out(error) => out_failure(error),
        LoadError::Broken(_) => Failure::failed(error.to_string()),
    }
}

fn out_failure(error: &FileError) -> Failure {
    match error.error.kind() {
        ErrorKind::AlreadyExists => Failure::usage(format!("{}: it is there already", error.path.display()))
            .hint("A run never overwrites another: give --out a new directory. Nothing was sent."),
        _ => Failure::new(Exit::Failed, error.to_string()),
    }
}
