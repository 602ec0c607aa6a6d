//! What happens to the cluster while it is written to: kills of one node, of two, of all at once, cuts and delays.
//! Invariants: every kind of it happens, in an order that chance decides, before chance decides everything; at the end nothing is injected, every node runs, and none had ended by itself.

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
    pub power_failures: u32,
    pub slow_disks: u32,
    with_unsynced: u32,
    bytes_unsynced: u64,
    pub bytes_lost: u64,
    pub cuts: u32,
    pub delays: u32,
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

/// How often in vain the power may fail amid slow syncs until a journal has lost something.
const POWER_FAILURES_MAX: u32 = 30;

#[derive(Clone, Copy, Debug)]
enum Blow {
    Kill(usize),
    PowerFailure { is_amid_syncs: bool },
    Cut,
    Delay,
}

impl Blow {
    /// One of each kind, in any order.
    fn each(rng: &mut SmallRng) -> Vec<Blow> {
        let power_failure = Blow::PowerFailure { is_amid_syncs: true };
        let mut each = vec![Blow::Kill(1), Blow::Kill(2), power_failure, Blow::Cut, Blow::Delay];
        each.shuffle(rng);
        each
    }

    fn any(rng: &mut SmallRng) -> Blow {
        match rng.random_range(0..10) {
            0..=2 => Blow::Kill(1),
            3 | 4 => Blow::Kill(2),
            5 | 6 => Blow::PowerFailure { is_amid_syncs: rng.random() },
            7 | 8 => Blow::Cut,
            _ => Blow::Delay,
        }
    }

    async fn strike(self, cluster: &mut Cluster, rng: &mut SmallRng, tally: &mut Tally) {
        match self {
            Blow::Kill(count) => kill(cluster, count, rng, tally).await,
            Blow::PowerFailure { is_amid_syncs } => power_failure(cluster, is_amid_syncs, rng, tally).await,
            Blow::Cut => {
                let fault = cut(cluster.nodes.len(), rng);
                tally.cuts += u32::from(inject(cluster, &fault).await);
            }
            Blow::Delay => {
                let mean = rng.random_range(5..80);
                let fault = format!("{{kind: delay, from: '*', to: '*', law: exponential, mean: {mean}ms}}");
                tally.delays += u32::from(inject(cluster, &fault).await);
            }
        }
    }
}

/// One thing after another for `length`, and longer if not everything has happened by then; then all is cleared and every node
/// serves.
pub async fn storm(cluster: &mut Cluster, mut rng: SmallRng, length: Duration) -> Tally {
    let (end, mut tally, mut planned) = (Instant::now() + length, Tally::default(), Blow::each(&mut rng));
    while Instant::now() < end || !planned.is_empty() {
        let blow = match planned.pop() {
            Some(planned) => {
                // A node that is still starting would hear nothing of a fault.
                cluster.all_serve().await;
                planned
            }
            None => Blow::any(&mut rng),
        };
        blow.strike(cluster, &mut rng, &mut tally).await;
        let is_in_vain = tally.bytes_lost == 0 && tally.power_failures < POWER_FAILURES_MAX;
        if planned.is_empty() && is_in_vain {
            planned.push(Blow::PowerFailure { is_amid_syncs: true });
        }
        let calm = rng.random_range(200..1_500);
        sleep(Duration::from_millis(calm)).await;
    }
    clear(cluster).await;
    cluster.all_serve().await;
    tally
}

/// Kills all at the same moment, perhaps while their syncs take long: what was acknowledged before its sync, which is otherwise a
/// matter of a millisecond, is then there to be lost.
async fn power_failure(cluster: &mut Cluster, is_amid_syncs: bool, rng: &mut SmallRng, tally: &mut Tally) {
    tally.power_failures += 1;
    if is_amid_syncs {
        let mean = rng.random_range(100..300);
        let is_slow = inject(cluster, &format!("{{kind: slow-disk, node: '*', mean: {mean}ms}}")).await;
        tally.slow_disks += u32::from(is_slow);
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

/// For two seconds at every node that answers. Whether any did.
async fn inject(cluster: &Cluster, fault: &str) -> bool {
    let id: u32 = rand::random();
    let text = format!("{{id: storm-{id}, for: 2s, allowQuorumLoss: true, faults: [{fault}]}}");
    let mut is_injected = false;
    for node in &cluster.nodes {
        let mut client = admin(&node.admin.to_string()).expect("an address");
        // One that is just starting hears nothing of it, which is one more way to be cut off.
        match client.apply_faults(ApplyFaultsRequest { experiment: text.clone(), ..Default::default() }).await {
            Err(status) if status.code() == tonic::Code::InvalidArgument => panic!("{text}: {status}"),
            answer => is_injected |= answer.is_ok(),
        }
    }
    is_injected
}

async fn clear(cluster: &Cluster) {
    for node in &cluster.nodes {
        let mut client = admin(&node.admin.to_string()).expect("an address");
        let _ = client.clear_faults(ClearFaultsRequest { id: String::new() }).await;
    }
}
