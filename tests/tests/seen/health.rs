//! Alive and ready, told apart, the same over HTTP and gRPC.

use std::net::SocketAddr;

use driftkv_tests::cluster::{Cluster, Shape, eventually};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use driftkv_tests::page::get;

/// Alive over HTTP, alive over gRPC, ready over HTTP, ready over gRPC. `None`: the node does not answer.
async fn health(cluster: &Cluster, index: usize) -> Option<[bool; 4]> {
    let node = &cluster.nodes[index];
    let (live, ready) = (get(node.metrics, "/livez").await?.0, get(node.metrics, "/readyz").await?.0);
    let [alive, takes] = [served(node.client, "").await?, served(node.client, "driftkv.v1.Kv").await?];
    assert_eq!(served(node.admin, "").await?, alive, "both ports say the same");
    Some([live == 200, alive, ready == 200, takes])
}

async fn served(address: SocketAddr, service: &str) -> Option<bool> {
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.ok()?;
    let ask = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(channel).check(ask).await.ok()?.into_inner();
    Some(answer.status() == ServingStatus::Serving)
}

#[tokio::test]
async fn a_node_that_waits_for_a_majority_is_alive_and_not_ready_until_it_has_one() {
    let mut cluster = Cluster::start(Shape::of(3)).await;
    eventually("a serving node is alive and ready", async || (health(&cluster, 0).await? == [true; 4]).then_some(()))
        .await;
    cluster.nodes.iter_mut().for_each(|node| node.kill());
    assert_eq!(health(&cluster, 0).await, None);
    cluster.nodes[0].start();
    eventually("a lone node answers", async || health(&cluster, 0).await).await;
    let fencing = eventually("it has its layout", async || {
        cluster.nodes[0].status().await.filter(|status| status.state != "empty")
    });
    assert_eq!(fencing.await.state, "fencing");
    assert_eq!(health(&cluster, 0).await, Some([true, true, false, false]));
    cluster.nodes[1].start();
    eventually("with a majority it is ready", async || (health(&cluster, 0).await? == [true; 4]).then_some(())).await;
}
