//! `kubectl driftkv logs`: what all nodes say, in the order of time, each line with its node.
//! Invariants: bounded memory (`logs/lines.rs`, `logs/merge.rs`); a node whose log cannot be read is told of and holds up no other for longer
//! than `CALL_MAX`; a reader that goes away ends it.
//! Not here: what a line is (`lines`), their order (`merge`), where a node's lines come from (`source`).

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::args::{LogsArgs, TAIL_DEFAULT, Which};
use super::cluster::{self, Cluster};
use super::site::Site;
use crate::args::Output;
use crate::error::{Exit, Failure};
use crate::style::{self, Paint};
use crate::up::signals::Signals;

pub mod lines;
pub mod merge;
mod readable;
pub mod source;

use lines::Line;
use merge::Merge;
use source::Source;
pub use source::{CONTAINER, open};

/// Troubles that wait to be told; who has another waits too.
const TROUBLES_MAX: usize = 16;

/// Runs the command.
pub async fn run(which: &Which, args: &LogsArgs) -> Result<(), Failure> {
    let site = Site::open(which).await?;
    let cluster = Cluster::find(&site, which.cluster.as_deref()).await?;
    let pods = cluster.pods(&site).await?;
    let names = chosen(&cluster, &pods, args)?;
    let mut signals = Signals::new()?;
    tokio::select! {
        shown = show(&site, &names, args) => shown,
        () = signals.next() => Ok(()),
    }
}

/// The nodes whose logs are wanted.
fn chosen(cluster: &Cluster, pods: &[Pod], args: &LogsArgs) -> Result<Vec<String>, Failure> {
    let (mut all, wanted): (Vec<String>, _) = (pods.iter().map(ResourceExt::name_any).collect(), &args.nodes);
    // A pod that is about to be made again.
    let absent: Vec<String> = cluster.members().into_iter().filter(|name| args.follow && !all.contains(name)).collect();
    all.extend(absent);
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        let hint = format!("There are: {}.", all.join(", "));
        return Err(Failure::new(Exit::NotFound, format!("{} has no pod {unknown}", cluster.name)).hint(hint));
    }
    if all.is_empty() {
        return cluster::ready(&cluster.name, pods).map(|_| all);
    }
    let wanted: BTreeSet<&String> = wanted.iter().collect();
    Ok(all.into_iter().filter(|name| wanted.is_empty() || wanted.contains(name)).collect())
}

/// Reads all of them at once and writes lines until the last has ended.
async fn show(site: &Site, names: &[String], args: &LogsArgs) -> Result<(), Failure> {
    let tail = args.tail.or_else(|| args.since.is_none().then_some(TAIL_DEFAULT));
    let mut tasks = JoinSet::new();
    let mut merge = Merge::new(args.follow);
    let (troubles, mut told) = mpsc::channel(TROUBLES_MAX);
    for name in names {
        let (lines, receiver) = mpsc::channel(merge::HELD_MAX);
        merge.add(name.clone(), receiver);
        let (since, previous, follow) = (args.since, args.previous, args.follow);
        let source = Source { pod: name.clone(), container: CONTAINER, tail, since, previous, follow };
        tasks.spawn(source.read(site.clone(), lines, troubles.clone()));
    }
    drop(troubles);
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    let (mut shown, mut failures) = (0_u64, Vec::new());
    loop {
        tokio::select! {
            biased;
            Some(trouble) = told.recv() => tell(trouble, &mut failures),
            line = merge.next() => match line {
                Some((node, line)) => {
                    shown += 1;
                    if !style::print_to_reader(written(args.output, &node, width, &line)?)? {
                        return Ok(());
                    }
                }
                None => break,
            },
        }
    }
    while let Ok(trouble) = told.try_recv() {
        tell(trouble, &mut failures);
    }
    // Nothing at all, and somebody knows why.
    match failures.into_iter().next() {
        Some(failure) if shown == 0 => Err(failure),
        _ => Ok(()),
    }
}

/// Why a node's lines do not come, or no longer.
fn tell(trouble: Failure, failures: &mut Vec<Failure>) {
    style::note(&Paint::stderr().yellow(&trouble.message));
    failures.truncate(1);
    failures.push(trouble);
}

fn written(output: Output, node: &str, width: usize, line: &Line) -> Result<String, Failure> {
    match output {
        Output::Text => Ok(readable::line(Paint::stdout(), node, width, line)),
        output => {
            let time = line.time.map(|time| time.to_string());
            style::one_for_programs(output, &json!({"node": node, "time": time, "line": line.text}))
        }
    }
}
