//! What a node answers to requests that are wrong, too large, forged or meant for somebody else; and that it serves on afterwards.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
use std::io::{Read, Write};
use std::time::Duration;

use bytes::Bytes;
use driftkv_proto::PROTOCOL_VERSION;
use driftkv_proto::client::{GetOptions, PutOptions, admin};
use driftkv_proto::error::from_status;
use driftkv_proto::v1::kv_client::KvClient;
use driftkv_proto::v1::peer_client::PeerClient;
use driftkv_proto::v1::{
    ApplyFaultsRequest, BootstrapRequest, DigestRequest, ErrorCode, Fragment, GetRequest, Handshake, PeerFrame,
    PutRequest,
};
use driftkv_tests::cluster::{Cluster, SOON, Shape};
use tokio_stream::iter;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

async fn channel(address: impl ToString) -> Channel {
    Endpoint::from_shared(format!("http://{}", address.to_string())).unwrap().connect().await.unwrap()
}

async fn three() -> Cluster {
    let cluster = Cluster::start(Shape::of(3)).await;
    cluster.all_reach_each_other().await;
    cluster
}

/// The cluster still does what it is there for.
async fn still_serves(cluster: &Cluster) {
    let key = format!("after-{}", rand::random::<u32>());
    for node in 0..cluster.nodes.len() {
        let client = cluster.client_of(node);
        client.put("b", key.clone(), "fine", PutOptions::default()).await.unwrap();
        assert!(!client.get("b", key.clone(), GetOptions::default()).await.unwrap().siblings.is_empty());
    }
}

#[tokio::test]
async fn wrong_requests_of_clients_are_told_what_is_wrong() {
    let cluster = three().await;
    let mut kv = KvClient::new(channel(cluster.nodes[0].client).await);
    let put = |change: &dyn Fn(&mut PutRequest)| {
        let mut request = PutRequest { key: "k".into(), value: "v".into(), ..PutRequest::default() };
        change(&mut request);
        request
    };
    let context = cluster.client(0).put("default", "other", "x", PutOptions::default()).await.unwrap().context;
    let mut damaged = context.to_vec();
    damaged[6] ^= 1;
    let too_large = vec![0u8; (1 << 20) + 1];
    let wrong: Vec<(PutRequest, Code, &str)> = vec![
        (put(&|r| r.key = Bytes::new()), Code::InvalidArgument, "key"),
        (put(&|r| r.key = vec![0; 1025].into()), Code::InvalidArgument, "1025 bytes"),
        (put(&|r| r.value = too_large.clone().into()), Code::InvalidArgument, "1048577 bytes"),
        (put(&|r| r.context = context.clone()), Code::InvalidArgument, "another cluster, bucket or key"),
        (put(&|r| r.context = damaged.clone().into()), Code::InvalidArgument, "context"),
        (put(&|r| r.context = "forged".into()), Code::InvalidArgument, "context"),
        (put(&|r| r.request_id = "five!".into()), Code::InvalidArgument, "request_id"),
        (put(&|r| r.intent = 77), Code::InvalidArgument, "intent"),
        (put(&|r| r.options.get_or_insert_default().w = 4), Code::InvalidArgument, "w = 4"),
    ];
    for (request, code, words) in wrong {
        let status = kv.put(request).await.unwrap_err();
        let error = from_status(&status, true);
        assert_eq!(status.code(), code, "{status}");
        assert!(error.to_string().contains(words), "`{words}` is not in: {error}");
        assert!(!error.maybe_applied, "{error}");
    }
    let status = kv.get(GetRequest { key: "k".into(), mode: 9, ..GetRequest::default() }).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    still_serves(&cluster).await;
}

#[tokio::test]
async fn a_message_larger_than_any_request_may_be_is_refused_and_costs_nobody_else_anything() {
    let cluster = three().await;
    let mut kv = KvClient::new(channel(cluster.nodes[0].client).await);
    let request = PutRequest { key: "k".into(), value: vec![1; 80 << 20].into(), ..PutRequest::default() };
    let status = kv.put(request).await.unwrap_err();
    assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted | Code::InvalidArgument), "{status}");
    still_serves(&cluster).await;
}

#[tokio::test]
async fn quorums_that_cannot_be_reached_say_how_far_they_got() {
    let mut cluster = Cluster::start(Shape::of(3)).await;
    cluster.all_reach_each_other().await;
    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    let client = cluster.client_of(0);
    let timeout = Some(Duration::from_millis(1_500));
    let put = client.put("b", "k", "v", PutOptions { timeout, ..PutOptions::default() }).await.unwrap_err();
    assert!(matches!(put.code, ErrorCode::QuorumNotReached | ErrorCode::DeadlineExceeded), "{put}");
    assert!(put.needed == 2 && put.got <= 1 && put.maybe_applied, "{put}");
    let get = client.get("b", "k", GetOptions { timeout, ..GetOptions::default() }).await.unwrap_err();
    assert!(get.needed == 2 && get.got <= 1 && !get.maybe_applied, "{get}");
}

fn hello(cluster: &Cluster, from: u64, to: u64) -> Handshake {
    Handshake {
        protocol: PROTOCOL_VERSION,
        incarnation: from,
        cluster_id: cluster.cluster_id.clone(),
        boot: 1,
        synced_commit: 1,
        layout_version: 1,
        to,
        refusal: String::new(),
    }
}

/// Opens a peer stream with these frames and gives what comes back first.
async fn call(cluster: &Cluster, frames: Vec<PeerFrame>) -> Result<Option<PeerFrame>, Status> {
    let mut peer = PeerClient::new(channel(cluster.nodes[0].peer).await);
    peer.foreground(iter(frames)).await?.into_inner().message().await
}

#[tokio::test]
async fn forged_streams_between_nodes_are_refused_with_a_reason() {
    let cluster = three().await;
    let mut incarnations = Vec::new();
    for node in &cluster.nodes {
        incarnations.push(node.status().await.unwrap().incarnation);
    }
    let [me, peer] = [incarnations[0], incarnations[1]];
    let right = hello(&cluster, peer, me);
    let cases = [
        (Handshake { cluster_id: vec![7; 16].into(), ..right.clone() }, "another cluster"),
        (Handshake { incarnation: 42, ..right.clone() }, "no member"),
        (Handshake { to: 42, ..right.clone() }, "is meant"),
        (Handshake { protocol: 9, ..right.clone() }, "protocol 9"),
        (Handshake { boot: u64::MAX, ..right.clone() }, "boot"),
    ];
    for (handshake, words) in cases {
        let frame = PeerFrame { handshake: Some(handshake), ..PeerFrame::default() };
        let answer = call(&cluster, vec![frame]).await.unwrap().unwrap();
        let refusal = answer.handshake.unwrap().refusal;
        assert!(refusal.contains(words), "`{words}` is not in: {refusal}");
    }
    let status = call(&cluster, vec![PeerFrame::default()]).await.unwrap_err();
    assert!(status.message().contains("handshake"), "{status}");

    let frame = PeerFrame { handshake: Some(right), ..PeerFrame::default() };
    let fragment = Fragment { id: 1, index: 3, count: 9, data: "x".into() };
    let forged = PeerFrame { fragment: Some(fragment), ..PeerFrame::default() };
    let mut peer = PeerClient::new(channel(cluster.nodes[0].peer).await);
    let mut answers = peer.foreground(iter([frame, forged])).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().unwrap().handshake.unwrap().refusal.is_empty());
    let end = answers.message().await.unwrap_err();
    assert!(end.message().contains("fragment"), "{end}");
    still_serves(&cluster).await;
}

#[tokio::test]
async fn operators_are_told_what_is_wrong_and_nothing_is_half_applied() {
    let cluster = three().await;
    let mut client = admin(&cluster.nodes[0].admin.to_string()).unwrap();
    let same = cluster.bootstrap_request().await;
    let again = client.bootstrap(same.clone()).await.unwrap().into_inner();
    assert!(!again.was_adopted, "the same bootstrap again is answered the same");
    let other = BootstrapRequest { cluster_id: vec![9; 16].into(), ..same };
    let refused = client.bootstrap(other).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(refused.message().contains("already"), "{refused}");
    let digest = client.digest(DigestRequest { partition: 64 }).await.unwrap_err();
    assert!(digest.message().contains("64"), "{digest}");
    for (text, words) in [
        ("id: x\nfor: 1s\nfaults:\n- {kind: delay, form: n0}", "line 4"),
        ("{id: x, for: 1s, faults: [{kind: pause, node: n9, down: 1s}]}", "no such node: n9"),
        ("{id: x, for: 9h, faults: [{kind: pause, node: n0, down: 1s}]}", "for"),
        (
            "{id: x, for: 1s, faults: [{kind: partition, groups: [[n0, n1], [n2]]}, {kind: pause, node: n0, down: 1s}]}",
            "allowQuorumLoss",
        ),
        ("{id: x, for: 1s, faults: [{kind: wipe, node: n0}]}", "wipe"),
        ("nonsense", "experiment"),
    ] {
        let refused = client
            .apply_faults(ApplyFaultsRequest { experiment: text.to_owned(), ..Default::default() })
            .await
            .unwrap_err();
        assert!(refused.message().contains(words), "`{words}` is not in: {refused}");
    }
    let status = cluster.nodes[0].status().await.unwrap();
    assert!(status.faults.unwrap().experiments.is_empty());
    still_serves(&cluster).await;
}

#[tokio::test]
async fn a_node_that_does_not_allow_faults_injects_none() {
    let mut shape = Shape::of(3);
    shape.flags.clear();
    let cluster = Cluster::start(shape).await;
    let mut client = admin(&cluster.nodes[0].admin.to_string()).unwrap();
    let experiment = "{for: 1s, faults: [{kind: pause, node: n0, down: 1s}]}".to_owned();
    let refused = client.apply_faults(ApplyFaultsRequest { experiment, ..Default::default() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("--allow-faults"), "{refused}");
}

#[tokio::test]
async fn noise_on_every_port_ends_its_connection_and_nothing_else() {
    let cluster = three().await;
    let node = &cluster.nodes[0];
    for address in [node.client, node.peer, node.admin] {
        for noise in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            &[0u8; 4096],
            &[0xff; 300],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff",
        ] {
            let mut socket = std::net::TcpStream::connect(address).unwrap();
            socket.set_read_timeout(Some(SOON)).unwrap();
            // The node may hang up while we still talk.
            let _ = socket.write_all(noise);
            let _ = socket.shutdown(std::net::Shutdown::Write);
            let _ = socket.read_to_end(&mut Vec::new());
        }
    }
    still_serves(&cluster).await;
}
