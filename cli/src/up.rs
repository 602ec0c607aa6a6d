//! `driftkv up`: a manifest as processes on this machine, from the first check to the last goodbye.
//! Order: manifest, data directory and its lock, ports, node binary; all of it before anything starts, so that a
//! mistake leaves nothing behind. Then start, wait, bootstrap or adopt, and watch until a signal comes.
//! Not here: what each step does (`plan`, `data_dir`, `group`, `settle`).

pub mod data_dir;
pub mod group;
pub mod plan;
pub mod process;
pub mod settle;
pub mod signals;

use driftkv_operator::manifest::TEXT_BYTES_MAX;

use crate::args::UpArgs;
use crate::cluster_file::ClusterFile;
use crate::endpoints;
use crate::error::Failure;
use crate::input;
use crate::style::{self, Paint, duration};
use data_dir::DataDir;
use group::{Event, Group};
use plan::Plan;
use process::End;
use settle::Settled;
use signals::Signals;

const BASE_PORT_DEFAULT: u16 = driftkv_proto::CLIENT_PORT;

/// Runs the command until a signal comes.
pub async fn run(args: &UpArgs) -> Result<(), Failure> {
    let text = input::text(&args.file, TEXT_BYTES_MAX)?;
    let manifest = plan::manifest(&text, &args.file.display().to_string())?;
    let data = DataDir::open(&endpoints::data_dir(args.data.as_deref()))?;
    let before = ClusterFile::read(data.path())?;
    let base_port = args.base_port.or(before.as_ref().map(|file| file.base_port)).unwrap_or(BASE_PORT_DEFAULT);
    let plan = Plan::new(&manifest, data.path(), base_port)?;
    if let Some(before) = &before {
        plan.check_resumes(before)?;
    }
    plan.check_ports()?;
    let program = process::find_program()?;
    let mut signals = Signals::new()?;
    plan.make_dirs()?;
    plan.cluster_file().write(data.path())?;
    style::print(plan.headline(before.is_some()))?;
    let mut group = Group::start(&plan, &program);
    let outcome = tokio::select! {
        settled = settle_or_fail(&plan, &mut group) => settled.map(Some),
        () = signals.next() => Ok(None),
    };
    let outcome = match outcome {
        Ok(Some(settled)) => watch(&plan, &mut group, &mut signals, settled).await,
        Ok(None) => Ok(()),
        Err(failure) => Err(failure),
    };
    let killed = group.stop(&mut signals).await;
    let late = killed.iter().map(|name| format!("{name} did not stop in time and was killed\n"));
    style::print(late.collect::<String>() + "all nodes stopped\n")?;
    outcome
}

/// Waits until the cluster serves; a node that dies before that ends it all.
async fn settle_or_fail(plan: &Plan, group: &mut Group) -> Result<Settled, Failure> {
    tokio::select! {
        settled = settle::settle(&plan.nodes, plan.spec.partitions, plan.spec.replication_factor) => settled,
        failure = group.first_death(plan) => Err(failure),
    }
}

/// Says what happens until a signal comes.
async fn watch(plan: &Plan, group: &mut Group, signals: &mut Signals, settled: Settled) -> Result<(), Failure> {
    let paint = Paint::stdout();
    style::print(plan.table(paint, group.pids()))?;
    style::print(format!("{}\n{}", settled.sentence(), plan.next_steps()))?;
    loop {
        let event = tokio::select! {
            () = signals.next() => return style::print("\nstopping; once more kills\n"),
            event = group.next() => event,
        };
        style::print(told(paint, plan, &event) + "\n")?;
    }
}

/// An event in words. A node that ended by itself has said why in its log.
fn told(paint: Paint, plan: &Plan, event: &Event) -> String {
    let why = |name: &str, end: &End| match plan.log(name).filter(|_| !end.is_killed) {
        Some(log) => format!("\n  {}\n  see {}", process::last_line(log), log.display()),
        None => String::new(),
    };
    match event {
        Event::Started { name, pid } => paint.green(&format!("{name} runs again, process {pid}")),
        Event::Ended { name, end, wait: Some(wait) } => {
            let wait = duration(wait.as_millis() as u64);
            let line = format!("{name} ended ({}); starting it again on its data in {wait}", end.how);
            paint.yellow(&line) + &paint.dim(&why(name, end))
        }
        Event::Ended { name, end, wait: None } => {
            let line = format!("{name} ended ({}); it is not started again", end.how);
            paint.red(&line) + &paint.dim(&why(name, end))
        }
        Event::NotStarted { name, failure } => paint.red(&format!("{name} cannot be started: {failure}")),
    }
}
