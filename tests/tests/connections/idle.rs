//! Idle connections, from this process to a node: each has greeted and answers pings, and asks for nothing.

use std::time::Instant;

use driftkv_tests::bench::usage::Usage;
use driftkv_tests::cluster::{Cluster, NodeProcess, Shape, eventually};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::{allow_many_files, open_files, serves};

const CONNECTIONS: usize = 10_000;
/// More than ten thousand idle connections may cost a node, each.
const BYTES_A_CONNECTION_MAX: u64 = 64_000;
/// RFC 9113, 3.4: the client's preface and empty SETTINGS.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const PING: u8 = 6;
const ACK: u8 = 1;

/// Answers pings until the other side closes.
async fn idle(mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await?;
        if head[3] == PING && head[4] & ACK == 0 {
            head[4] |= ACK;
            stream.write_all(&[head.as_slice(), &payload].concat()).await?;
        }
    }
}

/// Opens `count` idle connections, which have greeted; they close when the set is dropped.
async fn open(node: &NodeProcess, count: usize) -> JoinSet<std::io::Result<()>> {
    let mut connections = JoinSet::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(node.client).await.expect("the node accepts");
        // Not in the task: on a busy machine thousands could be open and silent, and the node may close such.
        stream.write_all(GREETING).await.expect("a small frame has room");
        connections.spawn(idle(stream));
    }
    connections
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_cost_little_memory_and_nobody_else_a_deadline() {
    allow_many_files(CONNECTIONS);
    let cluster = Cluster::start(Shape::of(3)).await;
    cluster.all_reach_each_other().await;
    let (node, client) = (&cluster.nodes[0], cluster.client_of(0));
    let alone = serves(&client, "before", 20).await;
    let (before, files) = (Usage::of(node.pid()).resident_bytes, open_files(node));
    let began = Instant::now();
    let connections = open(node, CONNECTIONS).await;
    eventually("all connections are accepted", async || (open_files(node) >= files + CONNECTIONS).then_some(())).await;
    let opened = began.elapsed();
    let slowest = serves(&client, "during", 20).await;
    let each = Usage::of(node.pid()).resident_bytes.saturating_sub(before) / CONNECTIONS as u64;
    println!(
        "{CONNECTIONS} idle connections in {opened:.1?}: {:.1} KiB each; the slowest put and get {slowest:?}, {alone:?} without",
        each as f64 / 1_024.0
    );
    assert!(each < BYTES_A_CONNECTION_MAX, "{each} bytes a connection");
    drop(connections);
    eventually("the connections are gone", async || (open_files(node) < files + CONNECTIONS / 100).then_some(())).await;
    serves(&client, "after", 5).await;
}

/// A node that may have 1,024 files keeps most of them for its store and its peers: 256 are the clients'.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_get_only_the_files_that_the_store_and_the_peers_leave() {
    let cluster = Cluster::start(Shape { files_max: Some(1_024), ..Shape::of(3) }).await;
    cluster.all_reach_each_other().await;
    let (node, client) = (&cluster.nodes[0], cluster.client_of(0));
    serves(&client, "before", 1).await;
    let (files, asked) = (open_files(node), 400);
    let mut connections = open(node, asked).await;
    let mut refused = 0;
    eventually("those beyond 256 are refused", async || {
        while connections.try_join_next().is_some() {
            refused += 1;
        }
        (refused >= asked - 256).then_some(())
    })
    .await;
    // Who is refused hears of the end before the node has closed its file.
    eventually("the clients have 256 files", async || (open_files(node) <= files + 256).then_some(())).await;
    serves(&client, "during", 1).await;
    drop(connections);
    eventually("a new client is served", async || {
        cluster.client_of(0).get("b", "before-0", Default::default()).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_node_without_files_to_spare_serves_those_it_has_and_recovers() {
    let cluster = Cluster::start(Shape::of(3)).await;
    cluster.all_reach_each_other().await;
    let (node, client) = (&cluster.nodes[0], cluster.client_of(0));
    serves(&client, "before", 1).await;
    let pid = Pid::from_raw(node.pid() as i32).expect("a process");
    let most = open_files(node) as u64 + 20;
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(most), maximum: getrlimit(Resource::Nofile).maximum })
        .unwrap();
    let connections = open(node, 60).await;
    eventually("its table of files is full", async || (open_files(node) as u64 >= most - 1).then_some(())).await;
    let busy_before = Usage::of(node.pid());
    let began = Instant::now();
    serves(&client, "during", 20).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let used = Usage::of(node.pid()) - busy_before;
    let share = used.cpu_us as f64 / began.elapsed().as_micros() as f64;
    assert!(share < 0.7, "{share:.2} of a core: it spins on what it cannot accept");
    drop(connections);
    eventually("a new client is served", async || {
        let fresh = cluster.client_of(0);
        fresh.get("b", "before-0", Default::default()).await.ok()
    })
    .await;
}
