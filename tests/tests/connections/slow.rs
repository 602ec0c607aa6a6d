//! A client that asks and asks and does not read what it is answered.

use std::time::Duration;

use driftkv_proto::v1::kv_client::KvClient;
use driftkv_proto::v1::{GetRequest, SessionRequest, session_request};
use driftkv_tests::cluster::Cluster;
use driftkv_tests::page::Page;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{growth_bytes, serves, with_large_value};

const READERS: usize = 4;
const VALUE_BYTES: usize = 256 << 10;
/// What a node may hold for all of them: 32 MiB each that is ready to be sent, and half as much again on the way there.
const GROWTH_BYTES_MAX: u64 = 192 << 20;
/// What it may read for all of them: 32 MiB each and as much again, for what a stream's window takes. Without a bound in bytes each
/// session has 1,024 requests in flight. Counted, since the replies for one value share their memory: resident bytes do not show it.
const GETS_MAX: f64 = (READERS * 2 * (32 << 20) / VALUE_BYTES) as f64;

async fn gets(cluster: &Cluster) -> f64 {
    // A busy node refuses some: those read nothing.
    Page::of(cluster, 0).await.sum("driftkv_operations_total", &["operation=\"get\"", "result=\"ok\""])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_do_not_read_cost_bounded_memory_and_nobody_else_a_deadline() {
    let (cluster, client, before) = with_large_value(VALUE_BYTES).await;
    let (gets_before, mut sessions) = (gets(&cluster).await, Vec::new());
    for _ in 0..READERS {
        let (requests, stream) = mpsc::channel(1);
        let mut kv = KvClient::connect(format!("http://{}", cluster.nodes[0].client)).await.unwrap();
        let answers = kv.session(ReceiverStream::new(stream)).await.unwrap();
        // Asks until nobody takes more requests, which is how a session pushes back.
        tokio::spawn(async move {
            for id in 1..100_000 {
                let get = GetRequest { bucket: "b".to_owned(), key: "large".into(), ..GetRequest::default() };
                let request = Some(session_request::Request::Get(get));
                if requests.send(SessionRequest { id, request, ..SessionRequest::default() }).await.is_err() {
                    return;
                }
            }
        });
        sessions.push(answers);
    }
    let mut most = 0;
    for round in 0..6 {
        let slowest = serves(&client, &format!("during-{round}"), 5).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        most = most.max(growth_bytes(&cluster.nodes[0], before));
        println!("round {round}: the slowest put and get {slowest:?}; the node holds {} MiB more", most >> 20);
    }
    // Five of each round's gets are not theirs.
    let read = gets(&cluster).await - gets_before - 30.0;
    println!("the node read {read} values for {READERS} readers");
    assert!(
        read > 0.0 && read <= GETS_MAX,
        "{READERS} readers that read nothing were read {read} values, more than {GETS_MAX}"
    );
    assert!(most < GROWTH_BYTES_MAX, "{READERS} readers cost {} MiB", most >> 20);
    drop(sessions);
    serves(&client, "after", 5).await;
}
