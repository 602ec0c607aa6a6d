//! A client that asks and asks and does not read what it is answered.

use std::time::Duration;

use driftkv_proto::v1::kv_client::KvClient;
use driftkv_proto::v1::{GetRequest, SessionRequest, session_request};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{growth_bytes, serves, with_large_value};

const READERS: usize = 4;
const VALUE_BYTES: usize = 64 << 10;
/// What a node may hold for all of them: 32 MiB each that is ready to be sent, and half as much again on the way there. Without
/// a bound in bytes a session's 1,024 requests would hold 64 MiB each, and with larger values gigabytes.
const GROWTH_BYTES_MAX: u64 = 192 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_do_not_read_cost_bounded_memory_and_nobody_else_a_deadline() {
    let (cluster, client, before) = with_large_value(VALUE_BYTES).await;
    let mut sessions = Vec::new();
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
    assert!(most < GROWTH_BYTES_MAX, "{READERS} readers cost {} MiB", most >> 20);
    drop(sessions);
    serves(&client, "after", 5).await;
}
