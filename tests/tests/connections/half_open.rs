//! A peer whose socket accepts and never answers: what a crashed switch or a stopped machine leaves.

use std::time::{Duration, Instant};

use driftkv_proto::client::{GetOptions, PutOptions};
use driftkv_tests::cluster::{Cluster, SOON, Shape};
use tokio::time::sleep;

use crate::proxy::Proxy;
use crate::{DEADLINE, serves};

const RECOVERY_MAX: Duration = Duration::from_secs(3);
/// Short, and long enough for keepalives to give the streams up and dialling to run into the silence.
const FROZEN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(18)];

/// Until all owners, and no stand-in, acknowledge puts through the healed node: of so many keys that each pair of nodes owns some of them.
async fn recovered(cluster: &Cluster, name: &str) -> Duration {
    let (began, client) = (Instant::now(), cluster.client_of(2));
    let options = || PutOptions { w: 3, timeout: Some(Duration::from_secs(1)), ..PutOptions::default() };
    for n in 0..12 {
        loop {
            let said = client.put("b", format!("{name}-{n}"), "x", options()).await;
            if said.as_ref().is_ok_and(|reply| reply.achieved.as_ref().is_some_and(|achieved| achieved.strict)) {
                break;
            }
            assert!(began.elapsed() < SOON, "{SOON:?} after the heal: {said:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_peer_costs_nobody_a_deadline_and_is_back_three_seconds_after_the_heal() {
    // The fourth takes the silent one's place where all three replicas are wanted.
    let mut cluster = Cluster::launch(Shape::of(4));
    let proxy = Proxy::to(cluster.nodes[2].peer).await;
    cluster.nodes[2].announced = proxy.address;
    cluster.form().await;
    cluster.all_reach_each_other().await;
    for frozen in FROZEN {
        proxy.freeze();
        let (began, mut slowest, mut round) = (Instant::now(), Duration::ZERO, 0);
        let replaced = all_three_acknowledge(&cluster, frozen.as_secs()).await;
        while began.elapsed() < frozen {
            let name = format!("frozen-{}-{round}", frozen.as_secs());
            for node in 0..2 {
                slowest = slowest.max(serves(&cluster.client_of(node), &format!("{name}-{node}"), 2).await);
            }
            answers_in_time(&cluster, &name).await;
            round += 1;
        }
        proxy.thaw();
        let back = recovered(&cluster, &format!("healed-{}", frozen.as_secs())).await;
        println!(
            "half open for {frozen:?}: the slowest put at W=3 {replaced:?}, put and get {slowest:?}; whole again after {back:?}"
        );
        assert!(back < RECOVERY_MAX, "{back:?} after the heal");
        cluster.all_reach_each_other().await;
    }
    cluster.hints_drained().await;
    cluster.replicas_identical().await;
}

/// One that is late is replaced (`replica_timeout`): that of some of these keys is the silent one, long before anybody else gives it up. How long the slowest took.
async fn all_three_acknowledge(cluster: &Cluster, name: u64) -> Duration {
    let (client, mut slowest) = (cluster.client_of(0), Duration::ZERO);
    for n in 0..8 {
        let began = Instant::now();
        let options = PutOptions { w: 3, timeout: Some(DEADLINE), ..PutOptions::default() };
        client
            .put("b", format!("replaced-{name}-{n}"), "x", options)
            .await
            .expect("a stand-in acknowledges for the silent replica");
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

/// The half-open node itself is heard, over the streams that it dialled, and hears nothing of the others: its clients are answered, whatever the answer, by their deadline.
async fn answers_in_time(cluster: &Cluster, key: &str) {
    let client = cluster.client_of(2);
    let timeout = Some(Duration::from_secs(1));
    let began = Instant::now();
    let _ = client.put("b", key.to_owned(), "x", PutOptions { timeout, ..PutOptions::default() }).await;
    let _ = client.get("b", key.to_owned(), GetOptions { timeout, ..GetOptions::default() }).await;
    assert!(began.elapsed() < DEADLINE, "{:?} for two requests of a second each", began.elapsed());
}
