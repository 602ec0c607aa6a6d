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
use driftkv_tests::cluster::NodeProcess;
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
