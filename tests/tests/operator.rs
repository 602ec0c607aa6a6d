//! What the operator relies on in real nodes: that they take its configuration, and that they tell what its gate asks for.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::ffi::OsString;

use driftkv_core::config::ClusterConfig;
use driftkv_node::config::Config;
use driftkv_operator::controller::resources::config_text;
use driftkv_operator::manifest::parse_manifest;
use driftkv_tests::cluster::{Cluster, Shape, eventually};

#[test]
fn nodes_take_the_configuration_that_the_operator_writes() {
    let manifest = "apiVersion: driftkv.io/v1alpha1\nkind: KVCluster\nmetadata: {name: demo}\nspec:\n  replicas: 5\n  \
        partitions: 64\n  readQuorum: 1\n  writeQuorum: 3\n  sloppy: false\n  allowFaults: true\n  limits: {siblingsMax: 7}\n";
    let spec = parse_manifest(manifest, "demo.yaml").unwrap().spec;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config_text(&spec)).unwrap();
    let path = file.path().as_os_str().to_owned();
    let flags = ["driftkv-node", "--name", "demo-0", "--data", "/nowhere", "--config"].map(OsString::from);
    let config = Config::from_args(flags.into_iter().chain([path])).unwrap();
    assert_eq!(config.cluster, ClusterConfig::from(&spec));
    assert!(config.allow_faults);
}

#[tokio::test]
async fn every_peer_tells_when_it_has_heard_of_a_nodes_new_boot_and_compared_with_it() {
    let mut cluster = Cluster::start(Shape::of(3)).await;
    cluster.all_reach_each_other().await;
    for boot in [2, 3] {
        cluster.nodes[1].kill();
        cluster.nodes[1].start();
        cluster.all_serve().await;
        let restarted = cluster.nodes[1].status().await.unwrap();
        assert_eq!(restarted.boot, boot);
        for witness in [0, 2] {
            eventually("a peer knows the present boot", async || {
                let status = cluster.nodes[witness].status().await?;
                let peer = status.peers.into_iter().find(|peer| peer.incarnation == restarted.incarnation)?;
                (peer.is_reachable && peer.rumour == "alive" && peer.boot == boot).then_some(())
            })
            .await;
        }
        eventually("it has compared its data with every peer", async || {
            let status = cluster.nodes[1].status().await?;
            status.peers.iter().all(|peer| peer.anti_entropy_rounds > 0).then_some(())
        })
        .await;
    }
}
