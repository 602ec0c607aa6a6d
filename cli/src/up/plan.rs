//! What will run: a name, a zone, four ports, a data directory and a command line for each node of a manifest.
//! Invariant: pure but for `check_ports` and `make_dirs`; equal manifests, directories and base ports give equal plans.
//! Not here: the rules of a manifest (`driftkv_operator::manifest`).

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use driftkv_operator::crd::{KVCluster, KVClusterSpec};
use driftkv_operator::manifest::parse_manifest;
use driftkv_proto::v1::Member;

use super::settle::Candidate;
use crate::cluster_file::{ClusterFile, NodeEntry};
use crate::endpoints::{AdminEndpoint, DATA_DEFAULT};
use crate::error::Failure;
use crate::style::{self, Paint, count, shell};

const HOST: &str = "127.0.0.1";
/// From one node's first port to the next one's: room for more than a node has today.
const PORTS_STRIDE: u32 = 10;
/// Below the range from which systems lend ports to outgoing connections.
const FREE_PORTS: std::ops::Range<u16> = 20_000..32_000;
const PORT_USES: [&str; 4] = ["client", "peer", "admin", "metrics"];

/// A cluster of local processes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// From the manifest.
    pub name: String,
    /// From the manifest.
    pub spec: KVClusterSpec,
    /// In order.
    pub nodes: Vec<NodePlan>,
    data: PathBuf,
    base_port: u16,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePlan {
    /// `demo-0`.
    pub name: String,
    /// May be empty.
    pub zone: String,
    /// Where it keeps its data.
    pub data: PathBuf,
    /// The file that gets its output.
    pub log: PathBuf,
    /// Client, peer, admin, metrics.
    pub ports: [u16; 4],
    /// What the program is called with.
    pub arguments: Vec<OsString>,
}

/// The manifest in `text`; `file` is its name in errors.
pub fn manifest(text: &str, file: &str) -> Result<KVCluster, Failure> {
    parse_manifest(text, file).map_err(|error| Failure::usage(error.to_string()).hint("Nothing was started."))
}

impl Plan {
    /// The nodes of `manifest` with their data in `data` and their ports from `base_port` on.
    ///
    /// Errors: the last port would exceed 65535.
    pub fn new(manifest: &KVCluster, data: &Path, base_port: u16) -> Result<Self, Failure> {
        let name = manifest.metadata.name.clone().unwrap_or_default();
        let spec = manifest.spec.clone();
        let nodes = (0..spec.replicas).map(|index| NodePlan::new(&name, &spec, index, data, base_port));
        let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { name, spec, nodes, data: data.to_owned(), base_port })
    }

    /// The same from the first base port of which all ports are free, for clusters that nobody has to find.
    ///
    /// Errors: there is none.
    pub fn at_free_ports(manifest: &KVCluster, data: &Path) -> Result<Self, Failure> {
        let step = usize::try_from(manifest.spec.replicas.saturating_mul(PORTS_STRIDE)).unwrap_or(usize::MAX).max(100);
        // Processes side by side begin to look at different places.
        let first = FREE_PORTS.start + (std::process::id() % 100) as u16 * 100;
        let candidates = (first..FREE_PORTS.end).chain(FREE_PORTS.start..first).step_by(step);
        let mut plans = candidates.filter_map(|base_port| Self::new(manifest, data, base_port).ok());
        plans.find(|plan| plan.check_ports().is_ok()).ok_or_else(|| Failure::failed("no free ports"))
    }

    /// Refuses a manifest that differs from the one the data was made with in what cannot change.
    pub fn check_resumes(&self, before: &ClusterFile) -> Result<(), Failure> {
        let now = self.cluster_file();
        let names = |file: &ClusterFile| file.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(" ");
        let zones = |file: &ClusterFile| file.nodes.iter().map(|node| node.zone.as_str()).collect::<Vec<_>>().join(" ");
        let facts = [
            ("name", before.name.clone(), now.name.clone()),
            ("nodes", names(before), names(&now)),
            ("zones of the nodes", zones(before), zones(&now)),
            ("partitions", before.partitions.to_string(), now.partitions.to_string()),
            ("replicationFactor", before.replication_factor.to_string(), now.replication_factor.to_string()),
            ("base port", before.base_port.to_string(), now.base_port.to_string()),
        ];
        let changed = facts.iter().filter(|(_, before, now)| before != now);
        let changed: Vec<String> = changed
            .map(|(what, before, now)| format!("{what}: the data has {before}, now it would be {now}"))
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        let message = format!("{} holds another cluster:\n  {}", self.data.display(), changed.join("\n  "));
        Err(Failure::usage(message).hint("Use another --data DIR, or change it back. Nothing was started."))
    }

    /// Refuses if any port is taken, and names all that are.
    pub fn check_ports(&self) -> Result<(), Failure> {
        let mut taken = Vec::new();
        for node in &self.nodes {
            for (port, what) in node.ports.iter().zip(PORT_USES) {
                if let Err(error) = TcpListener::bind((HOST, *port)) {
                    taken.push(format!("port {port} ({what} of {}): {error}", node.name));
                }
            }
        }
        if taken.is_empty() {
            return Ok(());
        }
        let hint = format!(
            "Nothing was started. Stop what listens there (nodes of a killed `driftkv up`? `pgrep -a driftkv-node`),\n\
             or choose other ports: --base-port {}",
            self.base_port.saturating_add(1000)
        );
        Err(Failure::failed(taken.join("\n  ")).hint(hint))
    }

    /// Makes the nodes' directories.
    pub fn make_dirs(&self) -> Result<(), Failure> {
        for node in &self.nodes {
            fs::create_dir_all(&node.data).map_err(|error| Failure::io(&node.data, &error))?;
        }
        Ok(())
    }

    /// What other commands need to know.
    pub fn cluster_file(&self) -> ClusterFile {
        let entry = |node: &NodePlan| NodeEntry {
            name: node.name.clone(),
            zone: node.zone.clone(),
            client: node.client(),
            peer: node.peer(),
            admin: node.admin(),
            metrics: node.metrics(),
        };
        ClusterFile {
            version: ClusterFile::VERSION,
            name: self.name.clone(),
            base_port: self.base_port,
            partitions: self.spec.partitions,
            replication_factor: self.spec.replication_factor,
            read_quorum: self.spec.read_quorum,
            write_quorum: self.spec.write_quorum,
            nodes: self.nodes.iter().map(entry).collect(),
        }
    }

    /// The admin ports of all nodes.
    pub fn admin_endpoints(&self) -> Vec<AdminEndpoint> {
        self.nodes.iter().map(NodePlan::admin_endpoint).collect()
    }

    /// The log of the node of that name.
    pub fn log(&self, name: &str) -> Option<&Path> {
        self.nodes.iter().find(|node| node.name == name).map(|node| node.log.as_path())
    }

    /// One line before anything starts.
    pub fn headline(&self, is_resumed: bool) -> String {
        let spec = &self.spec;
        let nodes = count(self.nodes.len() as u64, "node");
        let [n, r, w] = [spec.replication_factor, spec.read_quorum, spec.write_quorum];
        let quorums = if spec.sloppy { "sloppy" } else { "strict" };
        let verb = if is_resumed { "resuming" } else { "starting" };
        let data = self.data.display();
        format!("{verb} {}: {nodes}, N={n} R={r} W={w} {quorums}, data in {data}\n", self.name)
    }

    /// The table of nodes.
    pub fn table(&self, paint: Paint, pids: &[Option<u32>]) -> String {
        let rows = self.nodes.iter().zip(pids).map(|(node, pid)| {
            let log = node.log.strip_prefix(&self.data).unwrap_or(&node.log).display().to_string();
            let pid = pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
            vec![node.name.clone(), node.zone.clone(), node.client(), node.admin(), node.metrics(), pid, log]
        });
        let headings = ["NODE", "ZONE", "CLIENT", "ADMIN", "METRICS", "PROCESS", "LOG"];
        style::table(paint, &headings, &rows.collect::<Vec<_>>())
    }

    /// What to try now.
    pub fn next_steps(&self) -> String {
        let is_default = fs::canonicalize(DATA_DEFAULT).is_ok_and(|path| path == self.data);
        let here = std::env::current_dir().unwrap_or_default();
        let path = self.data.strip_prefix(here).unwrap_or(&self.data);
        let data = match is_default {
            true => String::new(),
            false => format!(" --data {}", shell(&path.display().to_string())),
        };
        let commands = ["put greeting hello", "get greeting", "ring greeting", "status"];
        let lines: String = commands.iter().map(|command| format!("  driftkv {command}{data}\n")).collect();
        format!("try in another terminal:\n{lines}Ctrl-C stops all nodes\n")
    }
}

impl NodePlan {
    fn new(cluster: &str, spec: &KVClusterSpec, index: u32, data: &Path, base_port: u16) -> Result<Self, Failure> {
        let first = u32::from(base_port) + PORTS_STRIDE * index;
        let ports = [first, first + 1, first + 2, first + 3].map(u16::try_from);
        let [Ok(client), Ok(peer), Ok(admin), Ok(metrics)] = ports else {
            let message = format!("node {index} would need port {}; the last one is 65535", first + 3);
            return Err(Failure::usage(message).hint("Choose a lower --base-port. Nothing was started."));
        };
        let name = format!("{cluster}-{index}");
        let zones = spec.zones.len().max(1);
        let zone = spec.zones.get(index as usize % zones).cloned().unwrap_or_default();
        let directory = data.join(&name);
        let mut node = Self {
            data: directory.join("data"),
            log: directory.join("log"),
            ports: [client, peer, admin, metrics],
            arguments: Vec::new(),
            name,
            zone,
        };
        node.arguments = arguments(spec, &node);
        Ok(node)
    }

    /// `HOST:PORT` for clients.
    pub fn client(&self) -> String {
        self.address(0)
    }

    /// `HOST:PORT` for peers.
    pub fn peer(&self) -> String {
        self.address(1)
    }

    /// `HOST:PORT` for operators.
    pub fn admin(&self) -> String {
        self.address(2)
    }

    /// `HOST:PORT` for metrics and HTTP health.
    pub fn metrics(&self) -> String {
        self.address(3)
    }

    fn address(&self, index: usize) -> String {
        format!("{HOST}:{}", self.ports.get(index).copied().unwrap_or_default())
    }
}

impl Candidate for NodePlan {
    fn admin_endpoint(&self) -> AdminEndpoint {
        AdminEndpoint { name: self.name.clone(), address: self.admin() }
    }

    fn member(&self, incarnation: u64) -> Member {
        Member {
            incarnation,
            name: self.name.clone(),
            zone: self.zone.clone(),
            capacity: 1,
            client_address: self.client(),
            peer_address: self.peer(),
            admin_address: self.admin(),
        }
    }

    fn place(&self) -> String {
        self.data.display().to_string()
    }

    fn log(&self) -> Option<&Path> {
        Some(&self.log)
    }
}

/// The command line of one node; see `driftkv-node --help`.
fn arguments(spec: &KVClusterSpec, node: &NodePlan) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = Vec::new();
    let mut flag = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
        arguments.push(name.into());
        arguments.push(value.as_ref().into());
    };
    flag("--name", &node.name);
    if !node.zone.is_empty() {
        flag("--zone", &node.zone);
    }
    flag("--data", &node.data);
    flag("--listen-client", &node.client());
    flag("--listen-peer", &node.peer());
    flag("--listen-admin", &node.admin());
    flag("--listen-metrics", &node.metrics());
    for (name, value) in [
        ("--replicas", u64::from(spec.replicas)),
        ("--partitions", spec.partitions.into()),
        ("--replication-factor", spec.replication_factor.into()),
        ("--read-quorum", spec.read_quorum.into()),
        ("--write-quorum", spec.write_quorum.into()),
        ("--key-bytes-max", spec.limits.key_bytes_max.into()),
        ("--value-bytes-max", spec.limits.value_bytes_max.into()),
        ("--siblings-max", spec.limits.siblings_max.into()),
        ("--hint-bytes-max", spec.limits.hint_bytes_max),
    ] {
        flag(name, &value.to_string());
    }
    flag("--sloppy", &spec.sloppy.to_string());
    if spec.allow_faults {
        arguments.push("--allow-faults".into());
    }
    arguments
}

#[cfg(test)]
mod tests;
