//! After the load: that all faults are healed, when replicas agree, and what did it.
//! Invariant: watching neither coordinates nor repairs (`Digests` and `Status` of the admin port).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use driftkv_proto::client::{Client, GetOptions};
use driftkv_proto::v1::ReadMode;

use crate::convergence::{Counters, PartitionDigest, Poll, agrees};
use crate::faults::nanos;
use crate::plan::Plan;
use crate::target::Target;

/// How long nodes may take to reach each other again.
const HEAL_MAX: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
const READ_MAX: Duration = Duration::from_secs(5);

/// Who mends what: the name of a counter at the nodes, and of the share that it becomes.
const MENDING: [(&str, &str); 3] =
    [("hints_delivered", "hints"), ("read_repairs", "read_repair"), ("anti_entropy_pushes", "anti_entropy")];

/// What each node that answers has mended since its process started.
pub(super) async fn counters<T: Target>(target: &T) -> Counters {
    let answers = target.statuses().await.into_iter();
    answers.filter_map(|(node, answer)| Some((node, mending(&answer.ok()?.counters)))).collect()
}

fn mending(counters: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    MENDING.iter().map(|(at_node, name)| ((*name).to_owned(), counters.get(*at_node).copied().unwrap_or(0))).collect()
}

/// Waits until every node serves and reaches all others. Gives what is still wrong when it takes too long.
pub(super) async fn wait_until_healed<T: Target>(target: &T) -> Option<String> {
    let deadline = Instant::now() + HEAL_MAX;
    loop {
        let ill: Vec<String> =
            target.statuses().await.into_iter().filter_map(|(node, answer)| ill(&node, answer)).collect();
        if ill.is_empty() {
            return None;
        }
        if Instant::now() >= deadline {
            return Some(format!("not healed after {} s: {}", HEAL_MAX.as_secs(), ill.join("; ")));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn ill(node: &str, answer: Result<driftkv_proto::v1::StatusReply, String>) -> Option<String> {
    let status = match answer {
        Ok(status) => status,
        Err(why) => return Some(format!("{node} does not answer: {why}")),
    };
    if status.state != "serving" {
        return Some(format!("{node} is {}", status.state));
    }
    let gone: Vec<&str> =
        status.peers.iter().filter(|peer| !peer.is_reachable).map(|peer| peer.name.as_str()).collect();
    (!gone.is_empty()).then(|| format!("{node} does not reach {}", gone.join(", ")))
}

/// Looks in a row that must see agreement.
const AGREED: usize = 5;

/// Polls the nodes' digests until all owners agree for some looks and no node keeps a hint for another, which may still bring a difference; or until
/// `deadline` after `healed`. Times are since `started`.
pub(super) async fn watch<T: Target>(
    target: &T,
    replicas: usize,
    started: Instant,
    healed: Instant,
    deadline: Duration,
) -> Vec<Poll> {
    let (mut polls, mut agreed) = (Vec::new(), 0);
    loop {
        let answers = target.digests().await.into_iter();
        let at_ns = nanos(started.elapsed());
        let digests = answers.filter_map(|(node, answer)| {
            let digest = |of: &driftkv_proto::v1::PartitionDigest| PartitionDigest {
                partition: of.partition,
                root: of.root,
                keys: of.keys,
                is_built: of.is_built,
            };
            Some((node, answer.ok()?.partitions.iter().map(digest).collect()))
        });
        let poll = Poll { at_ns, per_replica_digest: digests.collect() };
        agreed = if agrees(&poll, replicas) { agreed + 1 } else { 0 };
        polls.push(poll);
        if healed.elapsed() >= deadline || (agreed >= AGREED && !owes_hints(target).await) {
            return polls;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn owes_hints<T: Target>(target: &T) -> bool {
    let statuses = target.statuses().await;
    statuses
        .iter()
        .any(|(_, answer)| answer.as_ref().is_ok_and(|status| status.hints.iter().any(|hint| hint.hints > 0)))
}

/// Reads every key of `plan` from all `n` replicas once. Gives why one could not be read.
pub(super) async fn read_all(plan: &Plan, clients: &[String], n: u32) -> Option<String> {
    let client = match Client::connect(clients.to_vec()) {
        Ok(client) => client,
        Err(error) => return Some(format!("keys were not read at R=N: {error}")),
    };
    let options = GetOptions { mode: ReadMode::Eventual, r: n, timeout: Some(READ_MAX) };
    for index in 0..plan.workload.keys {
        let key = plan.workload.key(index);
        if let Err(error) = client.get(&plan.workload.bucket, key.clone(), options.clone()).await {
            return Some(format!("key {key} was not read at R=N: {error}"));
        }
    }
    None
}
