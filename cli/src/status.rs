//! `driftkv status`: one line a node, then what deserves a look: hints that wait, peers that are away, faults.
//! Invariant: a node that does not answer has its line too; the command fails only if none answers.

use std::collections::BTreeMap;

use driftkv_proto::v1::{Layout, StatusReply};
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
    /// `None`: there is no layout, or nobody tells it.
    #[cfg_attr(not(feature = "kubectl"), expect(dead_code, reason = "the plugin shows it"))]
    pub layout: Option<Layout>,
    /// The same.
    pub divergence: Option<Divergence>,
}

impl Seen {
    async fn look(endpoints: &Endpoints) -> Seen {
        Self::look_at(&admin::all_nodes(endpoints).await).await
    }

    /// Asks these nodes, which are all there are.
    pub async fn look_at(nodes: &[AdminEndpoint]) -> Seen {
        let answers = admin::statuses(nodes).await;
        let layout = admin::layout(nodes).await.ok();
        let divergence = match &layout {
            Some(layout) => Some(divergence::find(nodes, layout.partitions, layout.replication_factor).await),
            None => None,
        };
        Seen { answers, layout, divergence }
    }

    fn text(&self, paint: Paint) -> String {
        heading(&known(&self.answers)) + &table(paint, &self.answers) + &self.remarks(paint, "", usize::MAX)
    }

    /// What is to be said beside the table: who did not answer, what waits, whether the replicas agree, what is injected but the
    /// experiment `told`; in so many columns.
    pub fn remarks(&self, paint: Paint, told: &str, width: usize) -> String {
        let known = known(&self.answers);
        let mut out = concerns(paint, &self.answers, width);
        out += &self.divergence.as_ref().map(|divergence| divergence.line(paint)).unwrap_or_default();
        for line in experiments(&known, told) {
            out += &format!("{}\n", paint.yellow(&wrapped(&line, width)));
        }
        out
    }

    /// All of it, for programs.
    pub fn json(&self) -> Value {
        let divergence = self.divergence.as_ref().map(Divergence::json);
        json!({ "nodes": self.answers.iter().map(answer_json).collect::<Vec<_>>(), "divergence": divergence })
    }
}

/// A remark in lines of so many columns.
fn wrapped(line: &str, width: usize) -> String {
    style::wrap(&one_line(line), width, 2).trim_end().to_owned()
}

/// One line for each active experiment but `told`, whichever nodes it is on.
fn experiments(known: &[&StatusReply], told: &str) -> Vec<String> {
    let mut active: BTreeMap<&str, (u64, BTreeMap<&str, Vec<&str>>)> = BTreeMap::new();
    for status in known {
        let experiments = status.faults.iter().flat_map(|faults| &faults.experiments);
        for experiment in experiments.filter(|experiment| experiment.state == "active" && experiment.id != told) {
            let (left_ms, faults) = active.entry(&experiment.id).or_default();
            *left_ms = experiment.remaining_ms.max(*left_ms);
            for fault in &experiment.faults {
                let nodes = faults.entry(&fault.fault).or_default();
                nodes.extend(fault.applies_here.then_some(status.name.as_str()));
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
    heading(&known(answers)) + &table(paint, answers) + &concerns(paint, answers, usize::MAX)
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
pub fn table(paint: Paint, answers: &[Answer<StatusReply>]) -> String {
    style::table(paint, &HEADINGS, &answers.iter().map(row).collect::<Vec<_>>())
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

fn row((node, answer): &Answer<StatusReply>) -> Vec<String> {
    let Ok(status) = answer else {
        return vec![one_line(&node.name), String::new(), "no answer".to_owned()];
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
        faults(status),
    ]
}

fn partitions(status: &StatusReply) -> String {
    let built = format!("{}/{}", status.partitions_built, status.partitions_owned);
    if status.partitions_dirty == 0 { built } else { format!("{built}, {} dirty", status.partitions_dirty) }
}

fn faults(status: &StatusReply) -> String {
    match &status.faults {
        Some(faults) if faults.is_allowed => {
            let active = faults.experiments.iter().filter(|experiment| experiment.state == "active").count();
            if active == 0 { "allowed".to_owned() } else { format!("{active} active") }
        }
        _ => "off".to_owned(),
    }
}

fn answer_json((node, answer): &Answer<StatusReply>) -> Value {
    match answer {
        Ok(status) => node_json(status),
        Err(failure) => json!({ "name": node.name, "admin": node.address, "error": failure.message }),
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
        "operationsInFlight": status.operations_in_flight, "faults": faults(status),
        "peers": peers.collect::<Vec<_>>(), "hints": hints.collect::<Vec<_>>(), "counters": status.counters,
    })
}

#[cfg(test)]
mod tests {
    use super::{Paint, text};
    use crate::endpoints::AdminEndpoint;
    use crate::error::Failure;
    use driftkv_proto::v1::{HintStatus, PeerStatus, StatusReply};

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
}
