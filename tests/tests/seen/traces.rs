//! One trace follows a put from its client through the coordinator to the replicas.

use std::collections::BTreeSet;

use driftkv_proto::client::{GetOptions, PutOptions, Session};
use driftkv_tests::cluster::{Cluster, Shape, eventually, free_address};

use crate::collector::{Collector, Span};

const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

/// Trace id, span id, and both as a client sends them.
fn caller() -> (String, String, String) {
    let (trace, span) = (format!("{:032x}", rand::random::<u128>()), format!("{:016x}", rand::random::<u64>()));
    let traceparent = format!("00-{trace}-{span}-01");
    (trace, span, traceparent)
}

fn shape(nodes: usize, collector: &str, sample: &str) -> Shape {
    Shape::of(nodes).with("--otlp-endpoint", &format!("http://{collector}")).with("--otlp-sample", sample)
}

/// The one span of that name under `parent`.
fn only<'a>(spans: &'a [Span], parent: &str, name: &str) -> &'a Span {
    let found = children(spans, parent, name);
    assert_eq!(found.len(), 1, "{name} under {parent} in {spans:#?}");
    found[0]
}

fn children<'a>(spans: &'a [Span], parent: &str, name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.parent == parent && span.name == name).collect()
}

/// By how much the clocks of two processes on this machine may seem to differ.
const APART_NS: u64 = 20_000_000;

/// Waits for a trace in which `replicas` nodes have told of a `replicate`; gives all its spans.
async fn whole(collector: &Collector, trace: &str, replicas: usize) -> Vec<Span> {
    eventually(&format!("trace {trace} is whole"), async || {
        let spans = collector.of(trace);
        let told = |name: &str| spans.iter().filter(|span| span.name == name).count();
        let is_told = told("replicate") == replicas && told("ask replicate") == replicas && told("put") == 1;
        // The sync of a coordinator may be the last of all.
        let wrote = |node: &str| spans.iter().any(|span| span.name.ends_with("replicate") && span.node == node);
        let syncs = spans.iter().filter(|span| span.name == "sync" && wrote(&span.node)).count();
        (is_told && syncs == replicas + 1).then_some(spans)
    })
    .await
}

/// Checks the part of a trace that a coordinator tells below `span`, and what each replica tells below that.
fn check_put(spans: &[Span], span: &Span, replicas: usize) {
    for part in ["queue", "store", "sync"] {
        let part = only(spans, &span.id, part);
        assert!(part.kind == INTERNAL && part.node == span.node && part.start >= span.start, "{part:?}");
    }
    let asked = children(spans, &span.id, "ask replicate");
    let mut nodes = BTreeSet::from([span.node.clone()]);
    for ask in &asked {
        assert!(ask.kind == CLIENT && ask.node == span.node && !ask.is_error, "{ask:?}");
        let replica = only(spans, &ask.id, "replicate");
        assert!(replica.kind == SERVER && Some(&replica.node) == ask.peer.as_ref(), "{replica:?} of {ask:?}");
        let is_within = replica.start + APART_NS >= ask.start && replica.end <= ask.end + APART_NS;
        assert!(is_within && replica.end >= replica.start, "{replica:?} of {ask:?}");
        for part in ["queue", "store", "sync"] {
            assert_eq!(only(spans, &replica.id, part).node, replica.node);
        }
        nodes.insert(replica.node.clone());
    }
    assert_eq!((asked.len(), nodes.len()), (replicas, replicas + 1), "each on a node of its own: {nodes:?}");
}

#[tokio::test]
async fn one_trace_follows_a_put_from_its_client_through_the_coordinator_to_each_replica() {
    let (collector, address) = Collector::start().await;
    let cluster = Cluster::start(shape(3, &address.to_string(), "0")).await;
    cluster.all_reach_each_other().await;
    let (trace, span, traceparent) = caller();
    let client = cluster.client_of(0).traced(&traceparent).unwrap();
    client.put("b", "k", "value", PutOptions::default()).await.unwrap();
    let spans = whole(&collector, &trace, 2).await;
    let put = only(&spans, &span, "put");
    assert!(put.kind == SERVER && put.node == "n0", "{put:?}");
    check_put(&spans, put, 2);

    let (trace, span, traceparent) = caller();
    let session = Session::connect(&cluster.nodes[1].client.to_string(), 4).await.unwrap().traced(&traceparent);
    session.put("b", "k", "another", PutOptions::default()).await.unwrap();
    let spans = whole(&collector, &trace, 2).await;
    let put = only(&spans, &span, "put");
    assert_eq!(put.node, "n1");
    check_put(&spans, put, 2);

    // Order: what these would have told comes before what is waited for.
    let before = collector.count();
    cluster.client_of(0).get("b", "k", GetOptions::default()).await.unwrap();
    let unrecorded = cluster.client_of(0).traced(&traceparent.replace("-01", "-00")).unwrap();
    unrecorded.get("b", "k", GetOptions::default()).await.unwrap();
    let (trace, _, traceparent) = caller();
    let get = cluster.client_of(0).traced(&traceparent).unwrap();
    get.get("b", "k", GetOptions::default()).await.unwrap();
    eventually("the get is told", async || {
        let spans = collector.of(&trace);
        let told = |name: &str| spans.iter().filter(|span| span.name == name).count();
        (told("get") == 1 && told("fetch") == 2 && told("ask fetch") == 2).then_some(())
    })
    .await;
    assert_eq!(
        collector.count(),
        before + collector.of(&trace).len(),
        "without a trace, and with one that is not recorded"
    );
}

#[tokio::test]
async fn a_put_at_a_node_that_does_not_own_the_key_is_followed_through_the_forward() {
    let (collector, address) = Collector::start().await;
    let cluster = Cluster::start(shape(4, &address.to_string(), "0")).await;
    cluster.all_reach_each_other().await;
    for n in 0.. {
        assert!(n < 100, "n0 owns all keys");
        let (trace, span, traceparent) = caller();
        let client = cluster.client_of(0).traced(&traceparent).unwrap();
        client.put("b", format!("k{n}"), "value", PutOptions::default()).await.unwrap();
        let spans = whole(&collector, &trace, 2).await;
        let put = only(&spans, &span, "put");
        if children(&spans, &put.id, "ask forward").is_empty() {
            continue;
        }
        let ask = only(&spans, &put.id, "ask forward");
        let forward = only(&spans, &ask.id, "forward");
        assert!(forward.kind == SERVER && Some(&forward.node) == ask.peer.as_ref() && forward.node != "n0");
        check_put(&spans, forward, 2);
        return;
    }
}

#[tokio::test]
async fn a_collector_that_is_not_there_harms_nothing() {
    let cluster = Cluster::start(shape(3, &free_address().to_string(), "100%")).await;
    cluster.all_reach_each_other().await;
    for n in 0..50 {
        cluster.client(n % 3).put("b", format!("k{n}"), "value", PutOptions::default()).await.unwrap();
    }
    let mut nodes = cluster.nodes;
    for node in &mut nodes {
        assert!(node.stop().success(), "{}", node.log());
    }
    let log: String = nodes.iter().map(|node| node.log()).collect();
    assert!(log.contains("spans do not reach the collector"), "{log}");
}
