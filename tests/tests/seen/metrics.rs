//! The numbers on a page, compared with what a client did and was told.

use driftkv_proto::client::{GetOptions, PutOptions, admin};
use driftkv_proto::v1::{ApplyFaultsRequest, ClearFaultsRequest};
use driftkv_tests::cluster::{Cluster, Shape, eventually};

use driftkv_tests::page::Page;

const PUTS: usize = 20;
const CUT: &str =
    "{id: cut, for: 5m, faults: [{kind: partition, groups: [[n0, n3], [n1, n2]]}], allowQuorumLoss: true}";

/// Puts `PUTS` fresh keys through n0; gives how many reached a strict and how many a sloppy quorum.
async fn put_all(cluster: &Cluster, prefix: &str) -> [usize; 2] {
    let (client, mut reached) = (cluster.client_of(0), [0, 0]);
    for n in 0..PUTS {
        let put = client.put("b", format!("{prefix}{n}"), "value", PutOptions::default()).await.unwrap();
        reached[usize::from(!put.achieved.unwrap().strict)] += 1;
    }
    reached
}

/// Puts through n0 that ended well, strict and sloppy.
async fn puts(cluster: &Cluster) -> [usize; 2] {
    let page = Page::of(cluster, 0).await;
    let of = |quorum: &str| {
        page.sum("driftkv_operations_total", &["operation=\"put\"", &format!("quorum=\"{quorum}\""), "result=\"ok\""])
    };
    [of("strict") as usize, of("sloppy") as usize]
}

async fn faults(cluster: &Cluster, cut: bool) {
    for node in &cluster.nodes {
        let mut client = admin(&node.admin.to_string()).unwrap();
        match cut {
            true => drop(
                client
                    .apply_faults(ApplyFaultsRequest { experiment: CUT.to_owned(), ..Default::default() })
                    .await
                    .unwrap(),
            ),
            false => drop(client.clear_faults(ClearFaultsRequest::default()).await.unwrap()),
        }
    }
}

async fn total(cluster: &Cluster, name: &str, labels: &[&str]) -> usize {
    let mut total = 0.0;
    for index in 0..cluster.nodes.len() {
        total += Page::of(cluster, index).await.sum(name, labels);
    }
    total as usize
}

#[tokio::test]
async fn the_numbers_are_those_of_what_happened_through_puts_gets_a_cut_and_its_heal() {
    let cluster = Cluster::start(Shape::of(4)).await;
    cluster.all_reach_each_other().await;
    let before = put_all(&cluster, "before").await;
    assert_eq!(puts(&cluster).await, before);
    eventually("each owner's acknowledgement is timed", async || {
        (total(&cluster, "driftkv_replication_lag_seconds_count", &[]).await == 2 * PUTS).then_some(())
    })
    .await;
    for n in 0..PUTS {
        cluster.client_of(0).get("b", format!("before{n}"), GetOptions::default()).await.unwrap();
    }
    let page = Page::of(&cluster, 0).await;
    assert_eq!(page.sum("driftkv_operation_duration_seconds_count", &["operation=\"get\""]), PUTS as f64);
    assert_eq!(page.sum("driftkv_siblings_sum", &[]), PUTS as f64, "each key has one value");
    let stage = |stage: &str| page.sum("driftkv_stage_duration_seconds_count", &[&format!("stage=\"{stage}\"")]);
    assert!(stage("queue") >= 2.0 * PUTS as f64 && stage("peers") >= PUTS as f64 && stage("store") > 0.0);
    assert_eq!(stage("sync"), page.sum("driftkv_syncs_total", &[]));
    assert_eq!(page.sum("driftkv_sync_batch_records_sum", &[]), page.sum("driftkv_synced_records_total", &[]));
    let status = cluster.nodes[0].status().await.unwrap();
    assert!(status.syncs as f64 >= page.sum("driftkv_syncs_total", &[]) && status.records_synced >= status.syncs);
    assert!(status.bytes_synced > status.records_synced);

    faults(&cluster, true).await;
    assert_eq!(Page::of(&cluster, 0).await.sum("driftkv_faults_active", &["kind=\"partition\""]), 1.0);
    let during = put_all(&cluster, "during").await;
    assert!(during[1] > 0, "two of three owners are away for some keys: {during:?}");
    assert_eq!(puts(&cluster).await, [before[0] + during[0], before[1] + during[1]]);
    // An owner that was late is given up after its put was answered, and the last ones after the last put.
    let (owed, page) =
        eventually("both that are cut off are out of reach, and status and page owe the same", async || {
            let status = cluster.nodes[0].status().await?;
            let owed: u64 = status.hints.iter().map(|hint| hint.hints).sum();
            let page = Page::of(&cluster, 0).await;
            let is_cut = page.sum("driftkv_peers", &["state=\"unreachable\""]) == 2.0;
            (is_cut && owed > 0 && page.sum("driftkv_hints_owed", &[]) == owed as f64).then_some((owed, page))
        })
        .await;
    assert_eq!(page.sum("driftkv_hints_owed", &["target=\"n3\""]), 0.0, "n3 is on this side");

    faults(&cluster, false).await;
    // The last puts' late owners are given up, and owed a hint, only after their clients were answered.
    eventually("no node's page owes a hint", async || {
        (total(&cluster, "driftkv_hints_owed", &[]).await == 0).then_some(())
    })
    .await;
    assert_eq!(total(&cluster, "driftkv_faults_active", &[]).await, 0);
    let handed = total(&cluster, "driftkv_repairs_total", &["kind=\"handoff\""]).await;
    assert!(handed >= owed as usize, "{handed} of {owed} hints came home");
}
