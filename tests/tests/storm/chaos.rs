//! What happens to the cluster while it is written to: kills of one node, of two, of all at once, cuts and delays.
//! Invariant: at the end nothing is injected, every node runs, and none had ended by itself.

use std::fmt;
use std::time::Duration;

use driftkv_proto::client::admin;
use driftkv_proto::v1::{ApplyFaultsRequest, ClearFaultsRequest};
use driftkv_tests::cluster::Cluster;
use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use tokio::time::{Instant, sleep};

use crate::journal;

/// What was done.
#[derive(Debug, Default)]
pub struct Tally {
    pub kills: u32,
    power_failures: u32,
    slow_disks: u32,
    with_unsynced: u32,
    bytes_unsynced: u64,
    bytes_lost: u64,
    cuts: u32,
    delays: u32,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kills ({} times all at once, {} of these with slow disks), {} of them amid a sync ({} bytes not synced, {} cut away), {} cuts, {} delays",
            self.kills,
            self.power_failures,
            self.slow_disks,
            self.with_unsynced,
            self.bytes_unsynced,
            self.bytes_lost,
            self.cuts,
            self.delays
        )
    }
}

/// One thing after another for `length`; then all is cleared and every node serves.
pub async fn storm(cluster: &mut Cluster, mut rng: SmallRng, length: Duration) -> Tally {
    let (end, mut tally) = (Instant::now() + length, Tally::default());
    while Instant::now() < end {
        match rng.random_range(0..10) {
            0..=2 => kill(cluster, 1, &mut rng, &mut tally).await,
            3 | 4 => kill(cluster, 2, &mut rng, &mut tally).await,
            5 | 6 => power_failure(cluster, &mut rng, &mut tally).await,
            7 | 8 => {
                tally.cuts += 1;
                inject(cluster, &cut(cluster.nodes.len(), &mut rng)).await;
            }
            _ => {
                tally.delays += 1;
                let mean = rng.random_range(5..80);
                inject(cluster, &format!("{{kind: delay, from: '*', to: '*', law: exponential, mean: {mean}ms}}"))
                    .await;
            }
        }
        let calm = rng.random_range(200..1_500);
        sleep(Duration::from_millis(calm)).await;
    }
    clear(cluster).await;
    cluster.all_serve().await;
    tally
}

/// Kills all at the same moment, every other time while their syncs take long: what was acknowledged before its sync, which is
/// otherwise a matter of a millisecond, is then there to be lost.
async fn power_failure(cluster: &mut Cluster, rng: &mut SmallRng, tally: &mut Tally) {
    tally.power_failures += 1;
    if rng.random() {
        tally.slow_disks += 1;
        let mean = rng.random_range(100..300);
        inject(cluster, &format!("{{kind: slow-disk, node: '*', mean: {mean}ms}}")).await;
        let until = rng.random_range(200..800);
        sleep(Duration::from_millis(until)).await;
    }
    kill(cluster, cluster.nodes.len(), rng, tally).await;
}

/// Kills `count` nodes at the same moment, takes from each what was not synced, and starts them in any order.
async fn kill(cluster: &mut Cluster, count: usize, rng: &mut SmallRng, tally: &mut Tally) {
    let mut victims: Vec<usize> = (0..cluster.nodes.len()).collect();
    victims.shuffle(rng);
    victims.truncate(count);
    // Order: all are struck before the first is waited for, else the last has time for another sync.
    for victim in &victims {
        cluster.nodes[*victim].strike();
    }
    for victim in &victims {
        cluster.nodes[*victim].kill();
        tally.kills += 1;
    }
    for victim in &victims {
        if rng.random_range(0..4) > 0 {
            let (unsynced, lost) = journal::cut_unsynced(&cluster.nodes[*victim], rng);
            tally.with_unsynced += u32::from(unsynced > 0);
            tally.bytes_unsynced += unsynced;
            tally.bytes_lost += lost;
        }
    }
    for victim in victims {
        let down = rng.random_range(0..600);
        sleep(Duration::from_millis(down)).await;
        cluster.nodes[victim].start();
    }
    // Most of the time all come back before the next blow; if not, it meets nodes that are still starting.
    if rng.random_range(0..4) > 0 {
        cluster.all_serve().await;
    }
}

/// Two sides that do not hear each other, or one that is not heard.
fn cut(nodes: usize, rng: &mut SmallRng) -> String {
    let mut names: Vec<String> = (0..nodes).map(|n| format!("n{n}")).collect();
    names.shuffle(rng);
    let (left, right) = names.split_at(rng.random_range(1..=nodes / 2));
    format!("{{kind: partition, groups: [[{}], [{}]]}}", left.join(", "), right.join(", "))
}

/// For one to three seconds at every node that answers.
async fn inject(cluster: &Cluster, fault: &str) {
    let id: u32 = rand::random();
    let text = format!("{{id: storm-{id}, for: 2s, allowQuorumLoss: true, faults: [{fault}]}}");
    for node in &cluster.nodes {
        let mut client = admin(&node.admin.to_string()).expect("an address");
        // One that is just starting hears nothing of it, which is one more way to be cut off.
        match client.apply_faults(ApplyFaultsRequest { experiment: text.clone() }).await {
            Err(status) if status.code() == tonic::Code::InvalidArgument => panic!("{text}: {status}"),
            _ => {}
        }
    }
}

async fn clear(cluster: &Cluster) {
    for node in &cluster.nodes {
        let mut client = admin(&node.admin.to_string()).expect("an address");
        let _ = client.clear_faults(ClearFaultsRequest { id: String::new() }).await;
    }
}
