//! How a look at a cluster reads: what it is, what is so, zones, nodes, what deserves a look, where to connect.
//! Invariants: at most `width` columns, as far as names allow; colour only underlines what words say.

use std::collections::BTreeMap;

use driftkv_operator::crd::NodeStatus;
use driftkv_proto::v1::StatusReply;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{Look, chaos, cluster};
use crate::ring;
use crate::style::{self, Paint, count, one_line, shorten};

const NODES: [&str; 11] = [
    "NODE",
    "STATE",
    "POD",
    "AGE",
    "RESTARTS",
    "MACHINE",
    "ZONE",
    "INCARNATION",
    "VERSION",
    "PARTITIONS",
    "HINTS OWED",
];
/// Of [`NODES`], what is left out first where there is no room.
const SPARED: [usize; 4] = [7, 3, 5, 8];
const ZONES: [&str; 5] = ["ZONE", "NODES", "PARTITIONS", "SHARE", "SHARE AS A BAR"];
const BAR_COLUMNS: u64 = 30;
/// Of more only the first and the last are shown: they differ by a number.
const ADDRESSES_MAX: usize = 3;
const MACHINE_COLUMNS: usize = 20;
const ZONE_COLUMNS: usize = 16;

impl Look {
    /// All of it, in so many columns.
    pub fn text(&self, paint: Paint, width: usize) -> String {
        let nodes = self.nodes();
        let mut out = self.heading(paint, &nodes) + "\n" + &self.conditions(paint, width);
        if nodes.iter().any(|node| node.partitions > 0) {
            out += &format!("\n{}", zones(paint, &nodes));
        }
        out += &format!("\n{}", self.table(paint, &nodes, width));
        out += &self.seen.remarks(paint, self.cluster.text("/status/chaos/id"), width);
        for gap in &self.gaps {
            out += &paint.yellow(&style::wrap(&format!("not learned: {gap}"), width, 13));
        }
        let chaos = chaos::text(paint, &self.cluster, self.now, width);
        let chaos = if chaos.is_empty() { chaos } else { format!("\n{chaos}") };
        out + &chaos + &self.endpoints(width)
    }

    fn heading(&self, paint: Paint, nodes: &[Node]) -> String {
        let (cluster, spec) =
            (&self.cluster, |field: &str| self.cluster.number(&format!("/spec/{field}")).unwrap_or(0));
        let phase = one_line(cluster.text("/status/phase"));
        let phase = match phase.as_str() {
            "" => paint.yellow("no status yet: is the operator running?"),
            "Running" => paint.green(&phase),
            "Degraded" => paint.red(&phase),
            _ => paint.yellow(&phase),
        };
        let name = paint.bold(&format!("{} in namespace {}", one_line(&cluster.name), one_line(&self.namespace)));
        let id = cluster.text("/status/clusterId");
        let mut facts = vec![format!("layout {}", cluster.number("/status/layoutVersion").unwrap_or(0))];
        if !id.is_empty() {
            facts.push(format!("cluster id {}", one_line(id)));
        }
        if let [version] = versions(nodes).as_slice() {
            facts.push(format!("driftkv {version}"));
        }
        let sloppy = if cluster.object.pointer("/spec/sloppy") == Some(&false.into()) { "strict" } else { "sloppy" };
        let faults = if cluster.object.pointer("/spec/allowFaults") == Some(&true.into()) {
            "faults allowed"
        } else {
            "no faults"
        };
        let size = format!("{}, {}", count(spec("replicas"), "node"), count(spec("partitions"), "partition"));
        let [n, r, w] = ["replicationFactor", "readQuorum", "writeQuorum"].map(spec);
        let mut out = format!("{name}: {phase}\n{}\n{size}, N={n} R={r} W={w} {sloppy}, {faults}\n", facts.join(", "));
        let (generation, observed) =
            (cluster.number("/metadata/generation"), cluster.number("/status/observedGeneration"));
        if observed.is_some() && observed != generation {
            out += &format!("{}\n", paint.yellow("the operator has not seen the newest spec yet"));
        }
        out
    }

    fn conditions(&self, paint: Paint, width: usize) -> String {
        let conditions = self.cluster.conditions();
        let row = |c: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
            let age = cluster::age(Some(&c.last_transition_time), self.now);
            [&c.type_, &c.status, &age, &c.reason].map(|text| one_line(text)).to_vec()
        };
        let rows: Vec<Vec<String>> = conditions.iter().map(row).collect();
        let table = style::table(paint, &["CONDITION", "STATUS", "FOR", "REASON"], &rows);
        let mut lines = table.lines();
        let mut out = lines.next().map(|heading| format!("{heading}\n")).unwrap_or_default();
        for (line, condition) in lines.zip(&conditions) {
            let is_well = (condition.status == "True") == matches!(condition.type_.as_str(), "Ready" | "Available");
            out += &format!("{}\n", if is_well { line.to_owned() } else { paint.yellow(line) });
            if !condition.message.is_empty() && (!is_well || condition.type_ == "Ready") {
                out += &style::wrap(&format!("  {}", one_line(&condition.message)), width, 2);
            }
        }
        if conditions.is_empty() { "no conditions yet\n".to_owned() } else { out }
    }

    /// Every node that the status, a pod or an answer names.
    fn nodes(&self) -> Vec<Node> {
        let mut nodes: BTreeMap<(usize, String), Node> = BTreeMap::new();
        let key = |name: &str| (name.len(), name.to_owned());
        let fresh = |name: &str| Node { name: name.to_owned(), ..Node::default() };
        for told in self.cluster.nodes() {
            nodes.entry(key(&told.name)).or_insert_with(|| fresh(&told.name)).add_told(&told);
        }
        for pod in &self.pods {
            let name = pod.name_any();
            nodes.entry(key(&name)).or_insert_with(|| fresh(&name)).add_pod(pod, self);
        }
        for (endpoint, answer) in &self.seen.answers {
            let node = nodes.entry(key(&endpoint.name)).or_insert_with(|| fresh(&endpoint.name));
            match answer {
                Ok(status) => node.add_answer(status),
                Err(_) => node.state = "no answer".to_owned(),
            }
        }
        if let Some(layout) = &self.seen.layout {
            for (index, member) in (0..).zip(&layout.members) {
                let node = nodes.entry(key(&member.name)).or_insert_with(|| fresh(&member.name));
                node.partitions = ring::tokens(layout, index).0;
                if node.zone.is_empty() {
                    node.zone.clone_from(&member.zone);
                }
            }
        }
        nodes.into_values().collect()
    }

    fn table(&self, paint: Paint, nodes: &[Node], width: usize) -> String {
        let is_one_version = versions(nodes).len() < 2;
        let has_restarts = nodes.iter().any(|node| node.restarts > 0);
        let mut rows: Vec<Vec<String>> = nodes.iter().map(|node| node.row(is_one_version, has_restarts)).collect();
        if rows.is_empty() {
            return "no nodes yet\n".to_owned();
        }
        for column in SPARED {
            let table = style::table(Paint::off(), &NODES, &rows);
            if table.lines().all(|line| line.chars().count() <= width) {
                break;
            }
            rows.iter_mut().filter_map(|row| row.get_mut(column)).for_each(String::clear);
        }
        style::table(paint, &NODES, &rows)
    }

    fn endpoints(&self, width: usize) -> String {
        let (client, cluster) = (one_line(self.cluster.text("/status/endpoints/client")), &self.cluster);
        if client.is_empty() {
            return String::new();
        }
        let list = |field: &str| {
            let items = cluster.object.pointer(&format!("/status/endpoints/{field}")).and_then(|list| list.as_array());
            let all: Vec<String> = items.into_iter().flatten().filter_map(|item| item.as_str()).map(one_line).collect();
            match all.as_slice() {
                [first, .., last] if all.len() > ADDRESSES_MAX => format!("{first} to {last}"),
                few => few.join(", "),
            }
        };
        let lines = [("clients", client), ("each node", list("nodes")), ("admin", list("admin"))];
        let line = |(what, addresses): (&str, String)| style::wrap(&format!("{what:<10} {addresses}"), width, 11);
        "\n".to_owned() + &lines.into_iter().map(line).collect::<String>()
    }
}

/// One node by all that is known of it.
#[derive(Clone, Debug, Default)]
struct Node {
    name: String,
    state: String,
    pod: String,
    age: String,
    restarts: u64,
    machine: String,
    zone: String,
    incarnation: String,
    version: String,
    partitions: u64,
    built: Option<u64>,
    dirty: u64,
    hints_owed: u64,
}

impl Node {
    /// What the operator last saw.
    fn add_told(&mut self, told: &NodeStatus) {
        self.state.clone_from(&told.state);
        self.zone = told.zone.clone().unwrap_or_default();
        self.incarnation = told.incarnation.clone().unwrap_or_default();
        self.version = told.version.clone().unwrap_or_default();
        self.partitions = told.partitions.into();
        self.hints_owed = told.hints_owed;
    }

    fn add_pod(&mut self, pod: &Pod, look: &Look) {
        self.pod = cluster::state(pod);
        self.age = cluster::age(pod.metadata.creation_timestamp.as_ref(), look.now);
        self.restarts = cluster::restarts(pod);
        self.machine = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
    }

    /// What it says itself, which is newer.
    fn add_answer(&mut self, status: &StatusReply) {
        self.state.clone_from(&status.state);
        // Zones are the operator's to know: a pod is started without one.
        if !status.zone.is_empty() {
            self.zone.clone_from(&status.zone);
        }
        self.incarnation = format!("{:016x}", status.incarnation);
        self.version.clone_from(&status.version);
        self.partitions = status.partitions_owned.into();
        self.built = Some(status.partitions_built.into());
        self.dirty = status.partitions_dirty.into();
    }

    fn row(&self, is_one_version: bool, has_restarts: bool) -> Vec<String> {
        let partitions = match (self.built, self.dirty) {
            (Some(built), 0) if built == self.partitions => built.to_string(),
            (Some(built), 0) => format!("{built}/{} built", self.partitions),
            (Some(_), dirty) => format!("{}, {dirty} dirty", self.partitions),
            (None, _) => self.partitions.to_string(),
        };
        vec![
            one_line(&self.name),
            one_line(&self.state),
            if self.pod.is_empty() { "none".to_owned() } else { one_line(&self.pod) },
            self.age.clone(),
            if has_restarts { self.restarts.to_string() } else { String::new() },
            shorten(&one_line(&self.machine), MACHINE_COLUMNS),
            shorten(&one_line(&self.zone), ZONE_COLUMNS),
            one_line(&self.incarnation),
            if is_one_version { String::new() } else { one_line(&self.version) },
            partitions,
            self.hints_owed.to_string(),
        ]
    }
}

fn versions(nodes: &[Node]) -> Vec<String> {
    let mut versions: Vec<String> =
        nodes.iter().filter(|node| !node.version.is_empty()).map(|node| one_line(&node.version)).collect();
    versions.sort();
    versions.dedup();
    versions
}

/// One line a zone, and how even the nodes are.
fn zones(paint: Paint, nodes: &[Node]) -> String {
    let mut zones: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for node in nodes {
        let (members, partitions) = zones.entry(&node.zone).or_default();
        *members += 1;
        *partitions += node.partitions;
    }
    let total = zones.values().map(|(_, partitions)| *partitions).sum::<u64>().max(1);
    let most = zones.values().map(|(_, partitions)| *partitions).max().unwrap_or(0).max(1);
    let rows = zones.iter().map(|(zone, (members, partitions))| {
        let zone = if zone.is_empty() { "unknown".to_owned() } else { shorten(&one_line(zone), 2 * ZONE_COLUMNS) };
        let share = format!("{:.1}%", *partitions as f64 * 100.0 / total as f64);
        let bar = "█".repeat((partitions * BAR_COLUMNS).div_ceil(most) as usize);
        vec![zone, members.to_string(), partitions.to_string(), share, bar]
    });
    let out = style::table(paint, &ZONES, &rows.collect::<Vec<_>>());
    let each = || nodes.iter().map(|node| node.partitions);
    match (each().min().unwrap_or(0), each().max().unwrap_or(0)) {
        (least, most) if least == most => out + &format!("balance: {most} partitions on every node\n"),
        (least, most) => out + &format!("balance: {least} to {most} partitions on a node\n"),
    }
}

#[cfg(test)]
mod tests;
