//! `driftkv status`: one line a node, then what deserves a look: hints that wait, peers that are away, faults.
//! Invariant: a node that does not answer has its line too; the command fails only if none answers.

use std::collections::BTreeMap;

use driftkv_proto::v1::{FaultStatus, Layout, StatusReply};
use serde_json::{Value, json};

use crate::admin::{self, Answer};
use crate::args::{Output, StatusArgs};
use crate::endpoints::{AdminEndpoint, Endpoints};
use crate::error::Failure;
use crate::style::{self, Paint, bytes, count, hex, one_line};

mod divergence;
pub mod watch;

use divergence::Divergence;

const HEADINGS: [&str; 9] = ["NODE", "ZONE", "STATE", "BOOT", "KEYS", "PARTITIONS", "PEERS", "HINTS", "FAULTS"];

/// Runs the command.
pub async fn run(args: &StatusArgs) -> Result<(), Failure> {
    let endpoints = Endpoints::find(&args.connection)?;
    if let Some(interval) = args.watch {
        return watch::watch(interval, async || picture(args.output, &Seen::look(&endpoints).await)).await;
    }
    let seen = Seen::look(&endpoints).await;
    match args.output {
        Output::Json | Output::Yaml => style::print_value(args.output, &seen.json())?,
        Output::Text => style::print(seen.text(Paint::stdout()))?,
    }
    if seen.answers.iter().any(|(_, answer)| answer.is_ok()) {
        return Ok(());
    }
    Err(admin::nobody(seen.answers.into_iter().filter_map(|(_, answer)| answer.err()).collect()))
}

/// One of many, with the time. A cluster that does not answer is a picture too.
fn picture(output: Output, seen: &Seen) -> Result<String, Failure> {
    match output {
        Output::Json | Output::Yaml => style::one_for_programs(output, &seen.json()),
        Output::Text => {
            let paint = Paint::stdout();
            Ok(format!("{}\n{}\n", paint.dim(&watch::time_of_day()), seen.text(paint)))
        }
    }
}

/// All that was found out at one moment.
pub struct Seen {
    /// What each node said.
    pub answers: Vec<Answer<StatusReply>>,
    /// Faults of nodes that said nothing else: one that stands still tells these.
    pub silent: Silent,
    /// `None`: there is no layout, or nobody tells it.
    #[cfg_attr(not(feature = "kubectl"), expect(dead_code, reason = "the plugin shows it"))]
    pub layout: Option<Layout>,
    /// The same.
    pub divergence: Option<Divergence>,
}

/// The faults of nodes, by their names.
pub type Silent = BTreeMap<String, FaultStatus>;

impl Seen {
    async fn look(endpoints: &Endpoints) -> Seen {
        Self::look_at(&admin::all_nodes(endpoints).await).await
    }

    /// Asks these nodes, which are all there are.
    pub async fn look_at(nodes: &[AdminEndpoint]) -> Seen {
        let (answers, faults) = tokio::join!(admin::statuses(nodes), admin::faults(nodes));
        let awake = admin::awake(&answers);
        let layout = admin::layout(&awake).await.ok();
        let divergence = match &layout {
            Some(layout) => Some(divergence::find(&awake, layout.partitions, layout.replication_factor).await),
            None => None,
        };
        let told = faults.into_iter().zip(&answers).filter(|(_, (_, answer))| answer.is_err());
        let silent = told.filter_map(|((node, faults), _)| Some((node.name, faults.ok()?))).collect();
        Seen { answers, silent, layout, divergence }
    }

    fn text(&self, paint: Paint) -> String {
        let table = table(paint, &self.answers, &self.silent);
        heading(&known(&self.answers)) + &table + &self.remarks(paint, "", usize::MAX)
    }

    /// What is to be said beside the table: who did not answer, what waits, whether the replicas agree, what is injected but the
    /// experiment `told`; in so many columns.
    pub fn remarks(&self, paint: Paint, told: &str, width: usize) -> String {
        let mut out = concerns(paint, &self.answers, width);
        out += &self.divergence.as_ref().map(|divergence| divergence.line(paint)).unwrap_or_default();
        for line in experiments(&self.faults(), told) {
            out += &format!("{}\n", paint.yellow(&wrapped(&line, width)));
        }
        out
    }

    /// Those of each node that tells them, with its name.
    fn faults(&self) -> Vec<(&str, &FaultStatus)> {
        let mut told = Vec::new();
        for (node, answer) in &self.answers {
            match answer {
                Ok(status) => told.extend(status.faults.as_ref().map(|faults| (status.name.as_str(), faults))),
                Err(_) => told.extend(self.silent.get(&node.name).map(|faults| (node.name.as_str(), faults))),
            }
        }
        told
    }

    /// All of it, for programs.
    pub fn json(&self) -> Value {
        let divergence = self.divergence.as_ref().map(Divergence::json);
        let node = |answer| answer_json(answer, &self.silent);
        json!({ "nodes": self.answers.iter().map(node).collect::<Vec<_>>(), "divergence": divergence })
    }
}

/// A remark in lines of so many columns.
fn wrapped(line: &str, width: usize) -> String {
    style::wrap(&one_line(line), width, 2).trim_end().to_owned()
}

/// One line for each active experiment but `told`, whichever nodes it is on.
fn experiments(known: &[(&str, &FaultStatus)], told: &str) -> Vec<String> {
    let mut active: BTreeMap<&str, (u64, BTreeMap<&str, Vec<&str>>)> = BTreeMap::new();
    for (name, faults) in known {
        for experiment in
            faults.experiments.iter().filter(|experiment| experiment.state == "active" && experiment.id != told)
        {
            let (left_ms, faults) = active.entry(&experiment.id).or_default();
            *left_ms = experiment.remaining_ms.max(*left_ms);
            for fault in &experiment.faults {
                let nodes = faults.entry(&fault.fault).or_default();
                nodes.extend(fault.applies_here.then_some(*name));
            }
        }
    }
    let fault = |(fault, nodes): (&str, Vec<&str>)| match nodes.len() {
        0 => format!("  {fault} at none that answers"),
        all if all == known.len() => format!("  {fault}"),
        _ => format!("  {fault} at {}", nodes.join(", ")),
    };
    let lines = |(id, (left_ms, faults)): (&str, (u64, BTreeMap<&str, Vec<&str>>))| {
        let title = format!("experiment {id}, {} left", style::duration(left_ms));
        [title].into_iter().chain(faults.into_iter().map(fault)).collect::<Vec<_>>()
    };
    active.into_iter().flat_map(lines).collect()
}

fn known(answers: &[Answer<StatusReply>]) -> Vec<&StatusReply> {
    answers.iter().filter_map(|(_, answer)| answer.as_ref().ok()).collect()
}

/// The table and what to look at.
pub fn text(paint: Paint, answers: &[Answer<StatusReply>]) -> String {
    heading(&known(answers)) + &table(paint, answers, &Silent::new()) + &concerns(paint, answers, usize::MAX)
}

/// A line for each failure, each node that is away, and each that hints wait for.
fn concerns(paint: Paint, answers: &[Answer<StatusReply>], width: usize) -> String {
    let (mut out, known) = (String::new(), known(answers));
    for failure in answers.iter().filter_map(|(_, answer)| answer.as_ref().err()) {
        out += &format!("{}\n", paint.red(&wrapped(&failure.message, width)));
    }
    for line in away(&known).into_iter().chain(hints(&known)) {
        out += &format!("{}\n", paint.yellow(&wrapped(&line, width)));
    }
    out
}

/// One line for each node that others do not reach.
fn away(known: &[&StatusReply]) -> Vec<String> {
    let mut seekers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for status in known {
        for peer in status.peers.iter().filter(|peer| !peer.is_reachable) {
            seekers.entry(&peer.name).or_default().push(&status.name);
        }
    }
    seekers.into_iter().map(|(name, seekers)| format!("{name} is not reached by {}", seekers.join(", "))).collect()
}

/// One line for each node that hints wait for.
fn hints(known: &[&StatusReply]) -> Vec<String> {
    let mut waiting: BTreeMap<&str, (u64, u64, Vec<String>)> = BTreeMap::new();
    for status in known {
        for hint in status.hints.iter().filter(|hint| hint.hints > 0) {
            let (hints, size, keepers) = waiting.entry(&hint.name).or_default();
            *hints += hint.hints;
            *size += hint.bytes;
            keepers.push(format!("{} at {}", hint.hints, status.name));
        }
    }
    let line = |(name, (hints, size, keepers)): (&str, (u64, u64, Vec<String>))| {
        let verb = if hints == 1 { "waits" } else { "wait" };
        format!("{} ({}) {verb} for {name}: {}", count(hints, "hint"), bytes(size), keepers.join(", "))
    };
    waiting.into_iter().map(line).collect()
}

/// One line a node.
fn table(paint: Paint, answers: &[Answer<StatusReply>], silent: &Silent) -> String {
    style::table(paint, &HEADINGS, &answers.iter().map(|answer| row(answer, silent)).collect::<Vec<_>>())
}

fn heading(known: &[&StatusReply]) -> String {
    let Some(first) = known.iter().find(|status| !status.cluster_id.is_empty()) else {
        return String::new();
    };
    let others = known.iter().filter(|status| !status.cluster_id.is_empty() && status.cluster_id != first.cluster_id);
    let mut out = format!("cluster {}, layout {}\n", hex(&first.cluster_id), first.layout_version);
    for other in others {
        out += &format!("{} belongs to another cluster, {}\n", one_line(&other.name), hex(&other.cluster_id));
    }
    out
}

fn row((node, answer): &Answer<StatusReply>, silent: &Silent) -> Vec<String> {
    let Ok(status) = answer else {
        let mut row = vec![one_line(&node.name), String::new(), "no answer".to_owned()];
        row.resize(HEADINGS.len() - 1, String::new());
        row.extend(silent.get(&node.name).map(|told| faults(Some(told))));
        return row;
    };
    let reachable = status.peers.iter().filter(|peer| peer.is_reachable).count();
    let hints: u64 = status.hints.iter().map(|hint| hint.hints).sum();
    vec![
        one_line(&status.name),
        one_line(&status.zone),
        one_line(&status.state),
        status.boot.to_string(),
        status.keys.to_string(),
        partitions(status),
        format!("{reachable}/{}", status.peers.len()),
        hints.to_string(),
        faults(status.faults.as_ref()),
    ]
}

fn partitions(status: &StatusReply) -> String {
    let built = format!("{}/{}", status.partitions_built, status.partitions_owned);
    if status.partitions_dirty == 0 { built } else { format!("{built}, {} dirty", status.partitions_dirty) }
}

fn faults(told: Option<&FaultStatus>) -> String {
    match told {
        Some(faults) if faults.is_allowed => {
            let active = faults.experiments.iter().filter(|experiment| experiment.state == "active").count();
            if active == 0 { "allowed".to_owned() } else { format!("{active} active") }
        }
        _ => "off".to_owned(),
    }
}

fn answer_json((node, answer): &Answer<StatusReply>, silent: &Silent) -> Value {
    match answer {
        Ok(status) => node_json(status),
        Err(failure) => json!({
            "name": node.name, "admin": node.address, "error": failure.message,
            "faults": silent.get(&node.name).map(|told| faults(Some(told))),
        }),
    }
}

fn node_json(status: &StatusReply) -> Value {
    let peers = status.peers.iter().map(|peer| {
        json!({
            "name": peer.name, "isConnected": peer.is_connected, "isReachable": peer.is_reachable,
            "rumour": peer.rumour, "missedDeadlines": peer.missed_deadlines,
            "antiEntropyRounds": peer.anti_entropy_rounds,
        })
    });
    let hints = status.hints.iter().map(|h| json!({ "name": h.name, "hints": h.hints, "bytes": h.bytes }));
    json!({
        "name": status.name, "zone": status.zone, "version": status.version, "state": status.state,
        "incarnation": format!("{:016x}", status.incarnation), "clusterId": hex(&status.cluster_id),
        "layoutVersion": status.layout_version, "boot": status.boot, "syncedCommit": status.synced_commit,
        "keys": status.keys, "partitionsOwned": status.partitions_owned, "partitionsBuilt": status.partitions_built,
        "partitionsDirty": status.partitions_dirty, "syncs": status.syncs, "recordsSynced": status.records_synced,
        "bytesSynced": status.bytes_synced,
        "operationsInFlight": status.operations_in_flight, "faults": faults(status.faults.as_ref()),
        "peers": peers.collect::<Vec<_>>(), "hints": hints.collect::<Vec<_>>(), "counters": status.counters,
    })
}

#[cfg(test)]
mod tests {
    use super::{Paint, Seen, Silent, text};
    use crate::endpoints::AdminEndpoint;
    use crate::error::Failure;
    use driftkv_proto::v1::{ActiveExperiment, FaultCounters, FaultStatus, HintStatus, PeerStatus, StatusReply};

    #[test]
    fn a_silent_node_has_its_line_and_waiting_hints_are_told() {
        let node = |name: &str| AdminEndpoint { name: name.to_owned(), address: "a:1".to_owned() };
        let peer = PeerStatus { name: "demo-1".to_owned(), rumour: "down".to_owned(), ..PeerStatus::default() };
        let hint = HintStatus { name: "demo-1".to_owned(), hints: 3, bytes: 2048, ..HintStatus::default() };
        let status = StatusReply {
            name: "demo-0".to_owned(),
            state: "serving".to_owned(),
            peers: vec![peer],
            hints: vec![hint],
            ..StatusReply::default()
        };
        let answers = [(node("demo-0"), Ok(status)), (node("demo-1"), Err(Failure::unavailable("demo-1: refused")))];
        let text = text(Paint::off(), &answers);
        for line in [
            "demo-1  no answer",
            "demo-1: refused",
            "demo-1 is not reached by demo-0",
            "3 hints (2.0 KiB) wait for demo-1: 3 at demo-0",
        ] {
            assert!(text.lines().any(|found| found.starts_with(line)), "{line} in\n{text}");
        }
    }

    #[test]
    fn a_node_that_stands_still_shows_its_faults_and_nothing_else() {
        let fault = FaultCounters { fault: "{kind: pause}".to_owned(), applies_here: true, ..FaultCounters::default() };
        let experiment = ActiveExperiment {
            id: "nap".to_owned(),
            state: "active".to_owned(),
            faults: vec![fault],
            ..ActiveExperiment::default()
        };
        let faults = FaultStatus { is_allowed: true, experiments: vec![experiment] };
        let node = AdminEndpoint { name: "demo-1".to_owned(), address: "a:1".to_owned() };
        let seen = Seen {
            answers: vec![(node, Err(Failure::unavailable("demo-1: no answer")))],
            silent: Silent::from([("demo-1".to_owned(), faults)]),
            layout: None,
            divergence: None,
        };
        let text = seen.text(Paint::off());
        assert!(text.contains("demo-1  no answer  1 active\n"), "{text}");
        assert!(text.contains("experiment nap") && text.contains("{kind: pause}\n"), "{text}");
        assert_eq!(seen.json().pointer("/nodes/0/faults"), Some(&"1 active".into()));
    }
}
