//! Nodes that have nothing to do, and nodes that hold a million keys: memory, processor time, and how soon they serve again.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::runs::Bench;
use super::usage::Usage;
use crate::cluster::{Cluster, NodeProcess};

/// A node without requests.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Idle {
    /// Largest of the nodes.
    pub resident_bytes_per_node: u64,
    /// Mean of the nodes, in percent of one core.
    pub cpu_percent_of_a_core_per_node: f64,
}

/// Nodes that hold many small records.
#[derive(Clone, Debug, Serialize)]
pub struct Full {
    /// Number of keys; every node has all of them.
    pub keys: u64,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Time to write them all.
    pub load_s: f64,
    /// Largest of the nodes, when a tenth was written, a quarter, half, three quarters, all.
    pub resident_bytes_per_node: [u64; 5],
    /// From the start of all nodes after an orderly stop until all serve.
    pub serves_after_stop_s: f64,
    /// The same after `kill -9` of all.
    pub serves_after_kill_s: f64,
    /// Largest of the nodes after the last start.
    pub resident_after_start_bytes_per_node: u64,
}

/// Parts of the whole, at which memory is read.
const MARKS: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 1.0];
const LOADERS: u32 = 64;

fn resident(pids: &[u32]) -> u64 {
    pids.iter().map(|pid| Usage::of(*pid).resident_bytes).max().unwrap_or(0)
}

/// Watches nodes that nobody asks anything, for `time`.
pub async fn idle(cluster: &Cluster, time: Duration) -> Idle {
    let (pids, start) = (cluster.pids(), Instant::now());
    let before = Usage::of_all(&pids);
    tokio::time::sleep(time).await;
    let used = Usage::of_all(&pids) - before;
    let share = used.cpu_us as f64 / start.elapsed().as_micros() as f64 / pids.len() as f64;
    Idle { resident_bytes_per_node: resident(&pids), cpu_percent_of_a_core_per_node: share * 100.0 }
}

/// Writes `keys` records of `value_bytes` and starts the nodes again, twice.
pub async fn full(cluster: Cluster, keys: u64, value_bytes: usize) -> Full {
    let (start, pids) = (Instant::now(), cluster.pids());
    let memory = Arc::new(Mutex::new(Vec::new()));
    let mut bench = Bench::new(cluster, keys, value_bytes);
    let seen = Arc::clone(&memory);
    let watch = move |written| seen.lock().expect("nobody panics").push((written, resident(&pids)));
    let run = bench.fill(LOADERS, watch).await;
    assert_eq!((run.ops, run.errors), (keys, 0), "every write is acknowledged");
    let load_s = start.elapsed().as_secs_f64();
    let memory = memory.lock().expect("nobody panics").clone();
    let resident_bytes_per_node = MARKS.map(|mark| {
        let at = memory.iter().find(|(written, _)| *written as f64 >= keys as f64 * mark);
        at.map_or(run.resident_bytes_per_node, |(_, bytes)| *bytes)
    });
    let cluster = bench.cluster();
    let serves_after_stop_s = restarted(cluster, |node| assert!(node.stop().success(), "{}", node.log())).await;
    let serves_after_kill_s = restarted(cluster, NodeProcess::kill).await;
    let resident_after_start_bytes_per_node = resident(&cluster.pids());
    Full {
        keys,
        value_bytes,
        load_s,
        resident_bytes_per_node,
        serves_after_stop_s,
        serves_after_kill_s,
        resident_after_start_bytes_per_node,
    }
}

async fn restarted(cluster: &mut Cluster, end: impl Fn(&mut NodeProcess)) -> f64 {
    cluster.nodes.iter_mut().for_each(end);
    let start = Instant::now();
    cluster.nodes.iter_mut().for_each(NodeProcess::start);
    cluster.all_serve().await;
    start.elapsed().as_secs_f64()
}
