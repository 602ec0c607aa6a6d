//! Every kind of fault on real processes: its effect is measured, and its end at the deadline without anyone's help;
//! of those that end a process (crash, disk error) that its restart does not take them up again.
//! Figures are compared within one run, or with the bounds that chance leaves; the lines that `--nocapture` prints are those of docs/faults.md.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod links;
mod nodes;

use std::time::{Duration, Instant};

use driftkv_proto::client::{Client, GetOptions, PutOptions, admin};
use driftkv_proto::v1::{ActiveExperiment, ApplyFaultsRequest, FaultCounters, GetFaultsRequest};
use driftkv_tests::cluster::{Cluster, Shape, eventually};

/// Three nodes that reach each other, so that all are owners of every key. No stand-ins: what W needs, owners give.
async fn three() -> Cluster {
    let cluster = Cluster::start(Shape::of(3).with("--sloppy", "false").with("--replica-timeout", "2s")).await;
    cluster.all_reach_each_other().await;
    cluster
}

/// Applies `faults` to all nodes for this long, losses of a quorum allowed.
async fn inject(cluster: &Cluster, id: &str, lasts: &str, faults: &str) {
    let text = format!("{{id: {id}, for: {lasts}, seed: 7, allowQuorumLoss: true, faults: [{faults}]}}");
    for node in cluster.nodes.iter().filter(|node| node.is_running()) {
        apply(cluster, &node.name, &text).await.unwrap();
    }
}

async fn apply(cluster: &Cluster, name: &str, text: &str) -> Result<(), tonic::Status> {
    let node = cluster.nodes.iter().find(|node| node.name == name).unwrap();
    let mut client = admin(&node.admin.to_string()).unwrap();
    client.apply_faults(ApplyFaultsRequest { experiment: text.to_owned(), ..Default::default() }).await.map(|_| ())
}

async fn experiment(cluster: &Cluster, node: usize, id: &str) -> Option<ActiveExperiment> {
    let mut client = admin(&cluster.nodes[node].admin.to_string()).ok()?;
    let status = client.get_faults(GetFaultsRequest {}).await.ok()?.into_inner();
    status.experiments.into_iter().find(|experiment| experiment.id == id)
}

/// What the first fault of an experiment did at one node.
async fn counters(cluster: &Cluster, node: usize, id: &str) -> FaultCounters {
    experiment(cluster, node, id).await.unwrap().faults[0].clone()
}

/// Waits until every node that runs says by itself that the time is up; nobody has cleared anything.
async fn expired(cluster: &Cluster, id: &str) {
    for node in (0..cluster.nodes.len()).filter(|node| cluster.nodes[*node].is_running()) {
        eventually(&format!("{id} has expired at n{node}"), async || {
            let experiment = experiment(cluster, node, id).await;
            experiment.is_none_or(|experiment| experiment.state == "expired").then_some(())
        })
        .await;
    }
}

fn w(w: u32) -> PutOptions {
    PutOptions { w, timeout: Some(Duration::from_secs(20)), ..PutOptions::default() }
}

/// The median and the mean time of puts one after another, in milliseconds.
async fn put_ms(client: &Client, name: &str, count: usize, w_of: u32) -> (f64, f64) {
    let mut times = Vec::new();
    for n in 0..count {
        let began = Instant::now();
        client.put("b", format!("{name}-{n}"), "x", w(w_of)).await.unwrap();
        times.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    (times[count / 2], times.iter().sum::<f64>() / count as f64)
}

async fn values(client: &Client, key: &str, r: u32) -> Vec<String> {
    let reply = client.get("b", key.to_owned(), GetOptions { r, ..GetOptions::default() }).await.unwrap();
    reply.siblings.iter().map(|sibling| String::from_utf8_lossy(&sibling.value).into_owned()).collect()
}

/// Every key `name-0` to `name-(count-1)` holds exactly one value, at all three owners.
async fn all_there_once(client: &Client, name: &str, count: usize) {
    for n in 0..count {
        assert_eq!(values(client, &format!("{name}-{n}"), 3).await, ["x"], "{name}-{n}");
    }
}
