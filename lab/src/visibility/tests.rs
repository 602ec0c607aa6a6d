#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
//! Probes of two nodes that hand their writes to each other after a known time, and what is kept of them.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use driftkv_proto::faults::Law;
use driftkv_proto::v1::kv_server::{Kv, KvServer};
use driftkv_proto::v1::{
    self, GetReply, PutReply, SessionReply, SessionRequest, Sibling, session_reply, session_request,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Server, server::TcpIncoming};
use tonic::{Request, Response, Status, Streaming};

use super::{Delay, Legs, ProbeError, Store, Visibility, VisibilitySpec, measure, probe};
use crate::report::model::{Kind, Style};

const LAG: Duration = Duration::from_millis(60);

/// What all nodes share: every write of a key, where it was made, and when.
type Writes = Arc<Mutex<HashMap<Bytes, Vec<(usize, Instant, Bytes)>>>>;

/// A node that sees its own writes at once and those of others after [`LAG`].
#[derive(Clone)]
struct Node {
    place: usize,
    writes: Writes,
    refuses: bool,
    intents: Arc<Mutex<Vec<i32>>>,
}

impl Node {
    fn answer(&self, request: session_request::Request) -> session_reply::Reply {
        if self.refuses {
            let code = v1::ErrorCode::Overloaded.into();
            return session_reply::Reply::Error(v1::Error { code, ..v1::Error::default() });
        }
        let (context, mut writes) = (Bytes::from_static(b"context"), self.writes.lock().unwrap());
        match request {
            session_request::Request::Put(put) => {
                self.intents.lock().unwrap().push(put.intent);
                writes.entry(put.key).or_default().push((self.place, Instant::now(), put.value));
                session_reply::Reply::Put(PutReply { context, ..PutReply::default() })
            }
            session_request::Request::Get(get) => {
                let is_here = |(place, at, _): &&(usize, Instant, Bytes)| *place == self.place || at.elapsed() >= LAG;
                let newest = writes.get(&get.key).into_iter().flatten().rev().find(is_here);
                let siblings = newest.map(|(.., value)| Sibling { value: value.clone(), ..Sibling::default() });
                session_reply::Reply::Get(GetReply {
                    siblings: siblings.into_iter().collect(),
                    context,
                    achieved: None,
                })
            }
            session_request::Request::Delete(_) => session_reply::Reply::Put(PutReply::default()),
        }
    }
}

#[tonic::async_trait]
impl Kv for Node {
    type SessionStream = ReceiverStream<Result<SessionReply, Status>>;

    async fn get(&self, _: Request<v1::GetRequest>) -> Result<Response<GetReply>, Status> {
        Err(Status::unimplemented("probes speak sessions"))
    }

    async fn put(&self, _: Request<v1::PutRequest>) -> Result<Response<PutReply>, Status> {
        Err(Status::unimplemented("probes speak sessions"))
    }

    async fn delete(&self, _: Request<v1::DeleteRequest>) -> Result<Response<PutReply>, Status> {
        Err(Status::unimplemented("probes speak sessions"))
    }

    async fn session(
        &self,
        requests: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (replies, stream) = mpsc::channel(16);
        let (node, mut requests) = (self.clone(), requests.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(SessionRequest { id, request: Some(request), .. })) = requests.message().await {
                let reply = Some(node.answer(request));
                if replies.send(Ok(SessionReply { id, reply })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Two nodes of one store; the addresses, and the intents of all writes.
async fn nodes(refuses: [bool; 2]) -> (Vec<String>, Arc<Mutex<Vec<i32>>>) {
    let (writes, intents) = (Writes::default(), Arc::<Mutex<Vec<i32>>>::default());
    let mut addresses = Vec::new();
    for (place, refuses) in refuses.into_iter().enumerate() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(listener.local_addr().unwrap().to_string());
        let node = Node { place, writes: Arc::clone(&writes), refuses, intents: Arc::clone(&intents) };
        tokio::spawn(Server::builder().serve_with_incoming(KvServer::new(node), TcpIncoming::from(listener)));
    }
    (addresses, intents)
}

fn spec() -> VisibilitySpec {
    VisibilitySpec { samples: 80, grid_ms: vec![0.0, 10.0, 200.0], writers: 4, ..VisibilitySpec::default() }
}

fn go_on() -> Arc<AtomicBool> {
    Arc::default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_see_a_write_when_it_has_come_to_the_other_node() {
    let (addresses, intents) = nodes([false; 2]).await;
    let seen = probe(&spec(), &addresses, &go_on()).await.unwrap();
    assert_eq!((seen.samples.len(), seen.failed_writes, seen.failed_reads), (80, 0, 0));
    assert!(seen.samples.iter().all(|sample| sample.t_ms >= sample.planned_ms && sample.writer != sample.reader));
    // Between the two the clocks of the node and the prober differ by what a request takes.
    let wrong = seen
        .samples
        .iter()
        .filter(|sample| sample.is_fresh != (sample.planned_ms > 100.0) && sample.t_ms + sample.read_ms < 60.0);
    assert_eq!(wrong.count(), 0, "{:?}", seen.samples);
    let visible = measure(&seen);
    assert!(visible.metrics["visibility.at_0.rate"].value < 0.2, "{:?}", visible.metrics);
    assert_eq!(visible.curve.bins.last().unwrap().rate, 1.0);
    let firsts = intents.lock().unwrap().iter().filter(|intent| **intent == v1::Intent::OverwriteAll as i32).count();
    assert_eq!(firsts, 64, "the first write of each key; all others carry a context");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_that_fail_are_counted_and_left_out() {
    let (addresses, _) = nodes([false, true]).await;
    let seen = probe(&spec(), &addresses, &go_on()).await.unwrap();
    assert!(seen.samples.is_empty(), "one of two always refuses");
    assert_eq!(seen.failed_writes + seen.failed_reads, 80);
    assert!(seen.failed_writes > 0 && seen.failed_reads > 0);
    let visible = measure(&seen);
    assert!(
        visible.figure.is_none() && visible.warnings[0].starts_with("80 of 80 probes failed"),
        "{:?}",
        visible.warnings
    );
    assert!(!visible.metrics.contains_key("visibility.t90_ms"));
}

#[tokio::test]
async fn what_cannot_be_probed_is_refused_and_a_stop_ends_it() {
    let two = vec!["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()];
    let stop = Arc::new(AtomicBool::new(true));
    let nothing = probe(&spec(), &two, &stop).await.unwrap();
    assert!(nothing.samples.is_empty() && measure(&nothing).warnings[0].contains("ended early"));
    let refused = async |spec: VisibilitySpec, endpoints: &[String]| {
        matches!(probe(&spec, endpoints, &go_on()).await, Err(ProbeError::Spec(_)))
    };
    assert!(refused(spec(), &two[..1]).await);
    assert!(refused(VisibilitySpec { samples: 0, ..spec() }, &two).await);
    assert!(refused(VisibilitySpec { grid_ms: vec![-1.0], ..spec() }, &two).await);
    assert!(refused(VisibilitySpec { writers: 0, ..spec() }, &two).await);
}

/// What a store of three nodes would show whose links take 20 ms on average.
fn predicted(count: usize) -> Visibility {
    let law = Law::Exponential { mean_ms: 20 };
    let model = Store { nodes: 3, n: 3, r: 1, w: 1, legs: Legs::on_every_link(law, vec![0.0]) };
    let spec = VisibilitySpec::default();
    let truth = model.simulate(99);
    let mut random = crate::plan::Random::new(5, 5);
    let sample = |number: usize| {
        let t_ms = spec.grid_ms[number % spec.grid_ms.len()];
        let is_fresh = random.unit() < truth.fresh_at(t_ms);
        super::Sample { t_ms, planned_ms: t_ms, is_fresh, write_ms: 1.0, read_ms: 1.0, writer: 0, reader: 1 }
    };
    let samples = (0..count).map(sample).collect();
    Visibility { spec: spec.clone(), samples, model: Some(model), ..Visibility::default() }
}

#[test]
fn a_prediction_from_the_right_law_fits_and_from_a_wrong_one_does_not() {
    let mut seen = predicted(200_000);
    let right = measure(&seen);
    assert!(
        right.metrics["visibility.wars.independent.rmse"].value < 0.02,
        "{:?}",
        right.metrics["visibility.wars.independent.rmse"]
    );
    let t90 = right.metrics["visibility.t90_ms"];
    assert_eq!((t90.value, t90.is_at_least), (50.0, false), "1 - exp(-t/20) is 0.92 at 50 ms");
    assert_eq!(right.metrics["visibility.t99_ms"].value, 100.0);
    let Kind::Lines { series } = right.figure.unwrap().kind else { unreachable!() };
    assert_eq!(
        series.iter().map(|series| series.style).collect::<Vec<_>>(),
        [Style::Dots, Style::Line, Style::Model, Style::Model]
    );
    seen.model = seen
        .model
        .map(|model| Store { legs: Legs { w: Some(Delay(Law::Constant { mean_ms: 60 })), ..model.legs }, ..model });
    assert!(measure(&seen).metrics["visibility.wars.independent.rmse"].value > 0.2);
}

#[test]
fn what_was_probed_is_kept_and_measured_again_without_a_cluster() {
    let (seen, directory) = (predicted(2_000), tempfile::tempdir().unwrap());
    assert_eq!(Visibility::read(directory.path()).unwrap(), None);
    seen.write(directory.path()).unwrap();
    let again = Visibility::read(directory.path()).unwrap().unwrap();
    assert_eq!(again, seen);
    assert_eq!(measure(&again).metrics, measure(&seen).metrics);
}
