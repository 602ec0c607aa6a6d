//! Load through random coordinators at W=2 while nodes are killed, restarted, cut off and slowed down; after kills the journal
//! loses what no sync had made durable. Then everything heals, and every acknowledged write is looked for.
//! `STORM_SECONDS` (30) of it; `SEED` chooses what happens, and is printed. Timing is real, so a seed repeats the plan, not the run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod chaos;
mod history;
mod journal;
mod load;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use driftkv_tests::cluster::{Cluster, Shape};
use history::History;
use rand::SeedableRng;
use rand::rngs::SmallRng;

const NODES: usize = 5;
const WRITERS: u64 = 16;

fn setting(name: &str, or: u64) -> u64 {
    std::env::var(name).ok().filter(|text| !text.is_empty()).map_or(or, |text| text.parse().expect("a number"))
}

/// The log says which commits were synced (`journal::cut_unsynced` needs it); short timeouts let the load go on around the dead.
fn shape() -> Shape {
    Shape::of(NODES)
        .with("--log-level", "info,driftkv_node::store=trace")
        .with("--replica-timeout", "300ms")
        .with("--siblings-max", "1000")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost_in_a_storm_of_crashes_and_cuts() {
    let seed = setting("SEED", rand::random::<u32>().into());
    let length = Duration::from_secs(setting("STORM_SECONDS", 30));
    println!("storm: SEED={seed} STORM_SECONDS={}", length.as_secs());
    let mut cluster = Cluster::start(shape()).await;
    cluster.all_reach_each_other().await;
    let addresses: Vec<String> = cluster.nodes.iter().map(|node| node.client.to_string()).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(load::write(addresses.clone(), writer, seed, Arc::clone(&stop))))
        .collect();
    let tally = chaos::storm(&mut cluster, SmallRng::seed_from_u64(seed), length).await;
    stop.store(true, Ordering::Relaxed);
    let mut history = History::default();
    for writer in writers {
        history.join(writer.await.expect("a writer ends"));
    }
    println!("storm: {tally}; {}", history.summary());
    cluster.all_reach_each_other().await;
    cluster.hints_drained().await;
    cluster.replicas_identical().await;
    let found = load::read_all(&cluster, &history).await;
    let wrong = history.judge(&found);
    assert!(wrong.is_empty(), "SEED={seed}: {} findings:\n{}", wrong.len(), wrong.join("\n"));
    let each = [tally.kills, tally.power_failures, tally.slow_disks, tally.cuts, tally.delays];
    assert!(each.iter().all(|times| *times > 0) && tally.bytes_lost > 0, "not everything happened: {tally}");
    assert!(history.acknowledged() > 100, "not much of a storm: {tally}; {}", history.summary());
}
