//! Connections that never say a word. Whoever comes after them must not wait until the node has lost patience.

use std::time::{Duration, Instant};

use driftkv_tests::bench::usage::Usage;
use driftkv_tests::cluster::{Cluster, NodeProcess, Shape, eventually};
use tokio::net::TcpStream;

use crate::{allow_many_files, open_files, serves};

const SILENT: usize = 1_500;
/// Far from the ten seconds that a node lets a connection be silent.
const SERVED_MAX: Duration = Duration::from_secs(4);
/// How long the node's use of the processor is measured.
const WATCHED: Duration = Duration::from_secs(1);

/// Opens them one after the other, for those that overflow the system's queue try again only after seconds; waits for the first
/// 1,024 to be accepted. The rest may have to wait for that, and so not here.
async fn open_silent(node: &NodeProcess) -> Vec<TcpStream> {
    let files = open_files(node);
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(node.client).await.expect("somebody listens"));
    }
    eventually("1,024 are accepted", async || (open_files(node) >= files + 1_024).then_some(())).await;
    silent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_client_is_served_at_once_behind_a_thousand_that_say_nothing() {
    allow_many_files(SILENT);
    let cluster = Cluster::start(Shape::of(3)).await;
    cluster.all_reach_each_other().await;
    let node = &cluster.nodes[0];
    let silent = open_silent(node).await;
    let began = Instant::now();
    serves(&cluster.client_of(0), "behind", 1).await;
    let served = began.elapsed();
    assert!(served < SERVED_MAX, "{served:?} behind {SILENT} silent connections");
    let (before, began) = (Usage::of(node.pid()), Instant::now());
    tokio::time::sleep(WATCHED).await;
    let used = Usage::of(node.pid()) - before;
    let share = used.cpu_us as f64 / began.elapsed().as_micros() as f64;
    println!("behind {SILENT} silent connections a new client waits {served:?}; the node uses {share:.2} of a core");
    assert!(share < 0.5, "{share:.2} of a core: it spins");
    drop(silent);
}
