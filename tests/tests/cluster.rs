//! Real node processes on loopback: crashes, restarts, stops, injected faults, and what clients are promised through them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use driftkv_proto::client::{Client, GetOptions, PutOptions, Session, admin};
use driftkv_proto::v1::{ApplyFaultsRequest, ClearFaultsRequest, ErrorCode, Intent, ReadMode};
use driftkv_tests::cluster::{Cluster, SOON, Shape, eventually};

fn options(context: &Bytes) -> PutOptions {
    PutOptions { context: context.clone(), ..PutOptions::default() }
}

async fn values(client: &Client, key: &str) -> Vec<Bytes> {
    let reply = client.get("b", key.to_owned(), GetOptions::default()).await.unwrap();
    reply.siblings.into_iter().map(|sibling| sibling.value).collect()
}

/// Puts `key` again and again with the context of the put before, until told to stop. Gives the last value acknowledged.
async fn write_on(client: Client, key: String, stop: Arc<AtomicBool>) -> u64 {
    let (mut context, mut n) = (Bytes::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let put = client.put("b", key.clone(), n.to_string(), options(&context)).await;
        context = put.unwrap_or_else(|error| panic!("put {n} of {key}: {error}")).context;
        if context.is_empty() {
            let read = client.get("b", key.clone(), GetOptions::default()).await;
            context = read.unwrap_or_else(|error| panic!("get after put {n} of {key}: {error}")).context;
        }
    }
    n
}

#[tokio::test]
async fn a_put_is_read_through_every_node_with_its_context() {
    let cluster = Cluster::start(Shape::of(3)).await;
    let put = cluster.client(0).put("b", "k", "one", PutOptions::default()).await.unwrap();
    assert!(put.achieved.unwrap().strict);
    for node in 0..3 {
        assert_eq!(values(&cluster.client_of(node), "k").await, ["one"]);
    }
    let client = cluster.client_of(1);
    let covered = client.put("b", "k", "two", options(&put.context)).await.unwrap();
    assert_eq!((covered.siblings, values(&client, "k").await), (1, vec![Bytes::from("two")]));
    let beside = client.put("b", "k", "three", PutOptions::default()).await.unwrap();
    assert_eq!(beside.siblings, 2);
    assert!(beside.context.is_empty(), "a context must not cover what its client has not seen");
    let read = client.get("b", "k", GetOptions { mode: ReadMode::Monotonic, ..GetOptions::default() }).await.unwrap();
    assert_eq!(read.siblings.len(), 2);
    client.delete("b", "k", options(&read.context)).await.unwrap();
    assert!(values(&client, "k").await.is_empty());
}

#[tokio::test]
async fn create_only_and_overwrite_all_do_what_they_say() {
    let cluster = Cluster::start(Shape::of(3)).await;
    let client = cluster.client(0);
    let intent = |intent| PutOptions { intent, ..PutOptions::default() };
    client.put("b", "k", "one", intent(Intent::CreateOnly)).await.unwrap();
    let refused = client.put("b", "k", "two", intent(Intent::CreateOnly)).await.unwrap_err();
    assert_eq!((refused.code, refused.maybe_applied), (ErrorCode::AlreadyExists, false));
    client.put("b", "k", "three", intent(Intent::AddSibling)).await.unwrap();
    client.put("b", "k", "four", intent(Intent::OverwriteAll)).await.unwrap();
    assert_eq!(values(&client, "k").await, ["four"]);
}

#[tokio::test]
async fn writes_and_reads_go_on_while_two_of_five_nodes_are_killed_and_come_back() {
    let mut cluster = Cluster::start(Shape::of(5)).await;
    cluster.all_reach_each_other().await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..8).map(|n| tokio::spawn(write_on(cluster.client(n), format!("k{n}"), Arc::clone(&stop)))).collect();
    for pair in [[0, 1], [2, 4]] {
        pair.iter().for_each(|node| cluster.nodes[*node].kill());
        // Both quorums go on without them: each writer makes progress after the kill.
        let client = cluster.client(3);
        for n in 0..20 {
            client.put("b", format!("during-{pair:?}-{n}"), "x", PutOptions::default()).await.unwrap();
            assert_eq!(values(&client, &format!("during-{pair:?}-{n}")).await, ["x"]);
        }
        pair.iter().for_each(|node| cluster.nodes[*node].start());
        cluster.all_serve().await;
        cluster.all_reach_each_other().await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut last = Vec::new();
    for writer in writers {
        last.push(writer.await.unwrap());
    }
    cluster.hints_drained().await;
    cluster.replicas_identical().await;
    for (n, last) in last.iter().enumerate() {
        let values = values(&cluster.client(3), &format!("k{n}")).await;
        assert!(values.contains(&Bytes::from(last.to_string())), "k{n}: {last} was acknowledged, now {values:?}");
    }
}

#[tokio::test]
async fn a_stopped_cluster_finds_its_data_again() {
    let mut cluster = Cluster::start(Shape::of(3)).await;
    let client = cluster.client(0);
    for n in 0..50 {
        client.put("b", format!("k{n}"), format!("v{n}"), PutOptions::default()).await.unwrap();
    }
    for node in &mut cluster.nodes {
        assert!(node.stop().success(), "{}", node.log());
    }
    cluster.nodes.iter_mut().for_each(|node| node.start());
    cluster.all_serve().await;
    let client = cluster.client(2);
    for n in 0..50 {
        assert_eq!(values(&client, &format!("k{n}")).await, [format!("v{n}")]);
    }
    let status = cluster.nodes[0].status().await.unwrap();
    assert_eq!((status.boot, status.layout_version), (2, 1));
}

#[tokio::test]
async fn a_node_that_stops_in_order_fails_no_acknowledged_write_and_says_what_it_refuses() {
    let mut cluster = Cluster::start(Shape::of(3)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..16).map(|n| tokio::spawn(write_on(cluster.client(n), format!("k{n}"), Arc::clone(&stop)))).collect();
    for node in 0..3 {
        assert!(cluster.nodes[node].stop().success());
        cluster.nodes[node].start();
        cluster.all_serve().await;
        cluster.all_reach_each_other().await;
    }
    stop.store(true, Ordering::Relaxed);
    for (n, writer) in writers.into_iter().enumerate() {
        let last = writer.await.unwrap();
        let values = values(&cluster.client(0), &format!("k{n}")).await;
        assert!(values.contains(&Bytes::from(last.to_string())), "k{n}: {last} was acknowledged, now {values:?}");
    }
}

#[tokio::test]
async fn a_session_carries_many_requests_at_once() {
    let cluster = Cluster::start(Shape::of(3)).await;
    let session = Session::connect(&cluster.nodes[0].client.to_string(), 64).await.unwrap();
    let puts = (0..500).map(|n| {
        let session = session.clone();
        tokio::spawn(async move { session.put("b", format!("k{n}"), vec![7u8; 1024], PutOptions::default()).await })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap().unwrap();
    }
    let read = session.get("b", "k499", GetOptions::default()).await.unwrap();
    assert_eq!(read.siblings[0].value, vec![7u8; 1024]);
    assert_eq!(cluster.replicas_identical().await, 1_500);
}

#[tokio::test]
async fn a_value_of_the_largest_size_and_many_siblings_travel_whole() {
    let cluster = Cluster::start(Shape::of(3).with("--value-bytes-max", "4194304")).await;
    let client = cluster.client(0);
    // Every put moves all siblings so far: on a busy machine that outlasts the default deadline.
    let timeout = Some(Duration::from_secs(60));
    // More than one frame takes, together.
    for n in 0..17u8 {
        client.put("b", "k", vec![n; 4 << 20], PutOptions { timeout, ..PutOptions::default() }).await.unwrap();
    }
    let read = cluster.client_of(2).get("b", "k", GetOptions { r: 3, timeout, ..GetOptions::default() }).await.unwrap();
    assert_eq!(read.siblings.len(), 17);
    assert!(read.siblings.iter().all(|sibling| sibling.value.len() == 4 << 20));
    cluster.replicas_identical().await;
}

async fn inject(cluster: &Cluster, text: &str) {
    for node in &cluster.nodes {
        let mut client = admin(&node.admin.to_string()).unwrap();
        client.apply_faults(ApplyFaultsRequest { experiment: text.to_owned(), ..Default::default() }).await.unwrap();
    }
}

async fn clear(cluster: &Cluster) {
    for node in &cluster.nodes {
        let mut client = admin(&node.admin.to_string()).unwrap();
        client.clear_faults(ClearFaultsRequest { id: String::new() }).await.unwrap();
    }
}

#[tokio::test]
async fn two_sides_of_a_cut_diverge_and_reconcile_as_siblings_after_the_heal() {
    let cluster = Cluster::start(Shape::of(5)).await;
    cluster.all_reach_each_other().await;
    let base = cluster.client(0).put("b", "k", "before", PutOptions::default()).await.unwrap();
    inject(
        &cluster,
        "{id: cut, for: 60s, allowQuorumLoss: true, faults: [{kind: partition, groups: [[n0, n1], [n2, n3, n4]]}]}",
    )
    .await;
    let left = cluster.client_of(0).put("b", "k", "left", options(&base.context)).await.unwrap();
    let right = cluster.client_of(4).put("b", "k", "right", options(&base.context)).await.unwrap();
    assert!(left.siblings == 1 && right.siblings == 1);
    assert_eq!(values(&cluster.client_of(1), "k").await, ["left"]);
    assert_eq!(values(&cluster.client_of(3), "k").await, ["right"]);
    clear(&cluster).await;
    let read = eventually("both values are siblings", async || {
        let read = cluster.client(0).get("b", "k", GetOptions { r: 3, ..GetOptions::default() }).await.ok()?;
        (read.siblings.len() == 2).then_some(read)
    })
    .await;
    cluster.client(2).put("b", "k", "merged", options(&read.context)).await.unwrap();
    cluster.hints_drained().await;
    cluster.replicas_identical().await;
    for node in 0..5 {
        assert_eq!(values(&cluster.client_of(node), "k").await, ["merged"]);
    }
}

#[tokio::test]
async fn a_paused_node_is_replaced_by_a_fallback_and_gets_its_hints_when_it_wakes() {
    let cluster = Cluster::start(Shape::of(5)).await;
    cluster.all_reach_each_other().await;
    inject(&cluster, "{id: sleep, for: 60s, faults: [{kind: pause, node: n2, down: 50s}]}").await;
    let client = cluster.client(0);
    for n in 0..60 {
        client.put("b", format!("k{n}"), "x", PutOptions::default()).await.unwrap();
    }
    // Incarnations are random, and who stands in with them: one node in a thousand stands in for none of these keys.
    eventually("hints are held for the sleeper", async || {
        for node in cluster.nodes.iter().filter(|node| node.name != "n2") {
            if node.status().await.is_some_and(|status| status.hints.iter().any(|hint| hint.name == "n2")) {
                return Some(());
            }
        }
        None
    })
    .await;
    clear(&cluster).await;
    cluster.hints_drained().await;
    assert_eq!(cluster.replicas_identical().await, 180);
}

#[tokio::test]
async fn an_injected_crash_ends_the_process_and_an_experiment_ends_by_itself() {
    let mut cluster = Cluster::start(Shape::of(3)).await;
    inject(&cluster, "{id: bang, for: 1s, faults: [{kind: crash, node: n1, after: 10ms}]}").await;
    assert!(!cluster.nodes[1].ended(SOON).success());
    cluster.nodes[1].start();
    cluster.all_serve().await;
    eventually("the experiment has ended", async || {
        let status = cluster.nodes[0].status().await?;
        status.faults?.experiments.iter().all(|one| one.state != "active").then_some(())
    })
    .await;
}

#[tokio::test]
async fn dropped_messages_cost_time_and_nothing_else() {
    let cluster = Cluster::start(Shape::of(3).with("--replica-timeout", "100ms")).await;
    cluster.all_reach_each_other().await;
    inject(
        &cluster,
        "{id: lossy, for: 60s, allowQuorumLoss: true, seed: 7, faults: [{kind: drop, from: '*', to: '*', every: 9}]}",
    )
    .await;
    let client = cluster.client(0);
    for n in 0..40 {
        let timeout = Some(Duration::from_secs(20));
        client.put("b", format!("k{n}"), "x", PutOptions { timeout, ..PutOptions::default() }).await.unwrap();
    }
    let faults = cluster.nodes[0].status().await.unwrap().faults.unwrap();
    assert!(faults.experiments[0].faults[0].dropped > 0, "{faults:?}");
    clear(&cluster).await;
    cluster.hints_drained().await;
    assert_eq!(cluster.replicas_identical().await, 120);
}

#[tokio::test]
async fn a_disk_that_was_rolled_back_refuses_to_serve() {
    let mut cluster = Cluster::start(Shape::of(3)).await;
    cluster.all_reach_each_other().await;
    let client = cluster.client(1);
    client.put("b", "k", "old", PutOptions::default()).await.unwrap();
    assert!(cluster.nodes[0].stop().success());
    let backup = tempfile::TempDir::new().unwrap();
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let done = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
        assert!(done.success());
    };
    copy(&cluster.nodes[0].data, &backup.path().join("copy"));
    cluster.nodes[0].start();
    cluster.all_serve().await;
    cluster.all_reach_each_other().await;
    for n in 0..30 {
        client.put("b", format!("k{n}"), "new", PutOptions::default()).await.unwrap();
    }
    assert!(cluster.nodes[0].stop().success());
    std::fs::remove_dir_all(&cluster.nodes[0].data).unwrap();
    copy(&backup.path().join("copy"), &cluster.nodes[0].data.clone());
    cluster.nodes[0].start();
    let status = cluster.nodes[0].ended(SOON);
    assert_eq!(status.code(), Some(3), "{}", cluster.nodes[0].log());
    assert!(cluster.nodes[0].log().contains("rolled back"), "{}", cluster.nodes[0].log());
}
