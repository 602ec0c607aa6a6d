//! Clients and peers that hold connections and do nothing useful with them: ten thousand idle ones, some that say nothing at all, readers that do not read, a
//! peer whose socket accepts and never answers. What others are promised holds meanwhile, and all is well soon after.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod half_open;
mod idle;
mod proxy;
mod silent;
mod slow;
mod unary;

use std::time::{Duration, Instant};

use driftkv_proto::client::{Client, GetOptions, PutOptions};
use driftkv_tests::bench::usage::Usage;
use driftkv_tests::cluster::{Cluster, NodeProcess, Shape};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Every request is given this long; the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(5);

/// Writes and reads `count` keys, each within its deadline; gives how long the slowest took.
async fn serves(client: &Client, name: &str, count: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for n in 0..count {
        let (key, timeout) = (format!("{name}-{n}"), Some(DEADLINE));
        let began = Instant::now();
        client.put("b", key.clone(), "x", PutOptions { timeout, ..PutOptions::default() }).await.unwrap();
        let read = client.get("b", key, GetOptions { timeout, ..GetOptions::default() }).await.unwrap();
        assert_eq!(read.siblings.len(), 1);
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

/// Three nodes that have done their first work, with a value of so many bytes at `b`, `large`; a client of the first, and what
/// that holds in memory.
async fn with_large_value(bytes: usize) -> (Cluster, Client, u64) {
    let cluster = Cluster::start(Shape::of(3)).await;
    cluster.all_reach_each_other().await;
    let client = cluster.client_of(0);
    client.put("b", "large", vec![7; bytes], PutOptions::default()).await.unwrap();
    serves(&client, "before", 5).await;
    let before = Usage::of(cluster.nodes[0].pid()).resident_bytes;
    (cluster, client, before)
}

/// How much more memory than `before` a node holds.
fn growth_bytes(node: &NodeProcess, before: u64) -> u64 {
    Usage::of(node.pid()).resident_bytes.saturating_sub(before)
}

/// Lets this process, and the nodes that it starts, have `count` connections open and then some.
fn allow_many_files(count: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let files = limit.current.unwrap_or(u64::MAX);
    assert!(files > count as u64 + 2_048, "this system allows {files} open files; the test needs more");
}

fn open_files(node: &NodeProcess) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", node.pid())).expect("Linux lists a process's files").count()
}
