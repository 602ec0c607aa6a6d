//! A cluster of real processes on loopback, for tests: started, bootstrapped, killed, restarted, stopped.
//! Invariants: every wait has a deadline and says what it waited for; no process outlives the value, whatever the test does.
//! Not here: the command line's own supervision (`driftkv up`).

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use driftkv_proto::client::{Client, admin};
use driftkv_proto::v1::{BootstrapRequest, DigestRequest, Member, StatusReply, StatusRequest};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::binaries;

mod process;

pub use process::NodeProcess;

/// How long anything may take that should come about soon.
pub const SOON: Duration = Duration::from_secs(30);
/// Where nodes of tests listen.
const PORTS: Range<u16> = 26_000..32_000;
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What the nodes are started with.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Number of nodes.
    pub nodes: usize,
    /// Q.
    pub partitions: u32,
    /// Flags beside names, ports and directories.
    pub flags: Vec<String>,
    /// The hard limit on open files of each node; `None`: that of the test.
    pub files_max: Option<u64>,
}

impl Shape {
    /// N=3, R=W=2, sloppy, faults allowed.
    pub fn of(nodes: usize) -> Shape {
        Shape { nodes, partitions: 64, flags: vec!["--allow-faults".to_owned()], files_max: None }
    }

    /// The same with one more flag and its value.
    pub fn with(mut self, flag: &str, value: &str) -> Shape {
        self.flags.extend([flag.to_owned(), value.to_owned()]);
        self
    }
}

/// The processes and their directories.
pub struct Cluster {
    /// In order of their names, `n0` first.
    pub nodes: Vec<NodeProcess>,
    /// Chosen at random.
    pub cluster_id: Bytes,
    shape: Shape,
    _home: TempDir,
}

impl Cluster {
    /// Starts all nodes and makes them a cluster. Panics with the nodes' logs if that takes too long.
    pub async fn start(shape: Shape) -> Cluster {
        let cluster = Cluster::launch(shape);
        cluster.form().await;
        cluster
    }

    /// Starts all nodes, which are no cluster yet.
    pub fn launch(shape: Shape) -> Cluster {
        let home = TempDir::new().expect("a temporary directory");
        let nodes = (0..shape.nodes).map(|i| NodeProcess::new(home.path(), i, &shape)).collect();
        let cluster_id = Bytes::copy_from_slice(&rand::random::<u128>().to_be_bytes());
        let mut cluster = Cluster { nodes, cluster_id, shape, _home: home };
        cluster.nodes.iter_mut().for_each(NodeProcess::start);
        cluster
    }

    /// Makes the nodes a cluster and waits until all serve.
    pub async fn form(&self) {
        self.bootstrap().await;
        self.all_serve().await;
    }

    /// The request that makes these nodes a cluster.
    pub async fn bootstrap_request(&self) -> BootstrapRequest {
        let mut members = Vec::new();
        for node in &self.nodes {
            let status = eventually("a node answers its status", async || node.status().await).await;
            members.push(Member {
                incarnation: status.incarnation,
                name: node.name.clone(),
                zone: String::new(),
                capacity: 1,
                client_address: node.client.to_string(),
                peer_address: node.announced.to_string(),
                admin_address: node.admin.to_string(),
            });
        }
        BootstrapRequest {
            cluster_id: self.cluster_id.clone(),
            partitions: self.shape.partitions,
            replication_factor: 3,
            members,
        }
    }

    async fn bootstrap(&self) {
        let request = self.bootstrap_request().await;
        for node in &self.nodes {
            let mut client = admin(&node.admin.to_string()).expect("an address");
            client.bootstrap(request.clone()).await.expect("the node adopts its layout");
        }
    }

    /// Waits until every node that runs serves.
    pub async fn all_serve(&self) {
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            eventually(&format!("{} serves", node.name), async || {
                node.status().await.filter(|status| status.state == "serving")
            })
            .await;
        }
    }

    /// Waits until every node reaches every other that runs.
    pub async fn all_reach_each_other(&self) {
        let running = self.nodes.iter().filter(|node| node.is_running()).count();
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            eventually(&format!("{} reaches all others", node.name), async || {
                let status = node.status().await?;
                (status.peers.iter().filter(|peer| peer.is_reachable).count() == running - 1).then_some(())
            })
            .await;
        }
    }

    /// The processes of the nodes, all of which run.
    pub fn pids(&self) -> Vec<u32> {
        self.nodes.iter().map(NodeProcess::pid).collect()
    }

    /// A client that begins at node `first` and may go to all others.
    pub fn client(&self, first: usize) -> Client {
        let endpoints = (0..self.nodes.len()).map(|i| self.nodes[(first + i) % self.nodes.len()].client.to_string());
        Client::connect(endpoints.collect()).expect("addresses")
    }

    /// A client of one node only.
    pub fn client_of(&self, node: usize) -> Client {
        Client::connect(vec![self.nodes[node].client.to_string()]).expect("an address")
    }

    /// Waits until no node holds a hint for another.
    pub async fn hints_drained(&self) {
        for node in &self.nodes {
            eventually(&format!("{} has handed over its hints", node.name), async || {
                node.status().await.filter(|status| status.hints.is_empty())
            })
            .await;
        }
    }

    /// Waits until the owners of every partition have the same digest; gives the keys counted, each copy once.
    pub async fn replicas_identical(&self) -> u64 {
        let mut keys = 0;
        for partition in 0..self.shape.partitions {
            keys += eventually(&format!("the owners of partition {partition} agree"), async || {
                self.digests_agree(partition).await
            })
            .await;
        }
        keys
    }

    async fn digests_agree(&self, partition: u32) -> Option<u64> {
        let mut seen = Vec::new();
        for node in &self.nodes {
            let mut client = admin(&node.admin.to_string()).ok()?;
            if let Ok(reply) = client.digest(DigestRequest { partition }).await {
                let reply = reply.into_inner();
                seen.push((reply.is_built, reply.root, reply.keys));
            }
        }
        let is_agreed = seen.len() == 3 && seen.iter().all(|digest| digest.0 && *digest == seen[0]);
        is_agreed.then(|| seen.iter().map(|digest| digest.2).sum())
    }
}

/// Looks until there is something, with a deadline that fails the test with `what`.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {} s in vain until {what}", SOON.as_secs());
        sleep(LOOK_AGAIN).await;
    }
}

/// A port of 127.0.0.1 that nobody listens on, and that the system gives to no outgoing connection either: it lies below
/// the range of those. Each test process begins elsewhere.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(97);
    loop {
        let offset = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % u32::from(PORTS.end - PORTS.start);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + offset as u16));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// The node binary that this build made.
pub fn node_binary() -> PathBuf {
    binaries::program("driftkv-node")
}

impl NodeProcess {
    /// What the node says of itself; `None` while it cannot be asked.
    pub async fn status(&self) -> Option<StatusReply> {
        let mut client = admin(&self.admin.to_string()).ok()?;
        let answer = tokio::time::timeout(Duration::from_secs(2), client.status(StatusRequest {})).await;
        answer.ok()?.ok().map(tonic::Response::into_inner)
    }
}
