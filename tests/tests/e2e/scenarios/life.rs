//! From the first apply to the end: what a cluster becomes, what it leaves, and that nothing is written in between.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::kube::{counted, eventually, get, kubectl, list};
use crate::load::Load;
use crate::report;
use crate::site::{Operator, PATIENCE, Site, image, name};
use crate::wanted;

const READY: Duration = Duration::from_secs(20);
const GONE: Duration = Duration::from_secs(60);
const REVERTED: Duration = Duration::from_secs(10);
const PASSES: u64 = 100;

pub fn apply_to_ready(_: &Operator) {
    let site = Site::new("ready");
    site.apply(&image(), "");
    wanted("apply to Ready", site.ready(PATIENCE), READY);
    let status = site.seen()["status"].clone();
    let nodes = status["nodes"].as_array().unwrap();
    let zones: std::collections::BTreeSet<&str> = nodes.iter().filter_map(|node| node["zone"].as_str()).collect();
    assert_eq!((nodes.len(), zones.len()), (3, 3), "a node in each zone: {status}");
    let load = Load::start(&site, "first", 5);
    let outcome = load.finish(5);
    outcome.must_not_fail("nothing happens to the cluster");
    println!("{}", kubectl(&["get", "kvcluster,statefulset,pods,services,pdb,networkpolicies", "-n", &site.namespace]));
    site.end();
}

pub fn two_clusters(_: &Operator) {
    let one = Site::with_cluster("two");
    let two = Site { cluster: "other".to_owned(), namespace: one.namespace.clone(), replicas: 3 };
    two.apply(&image(), "");
    two.ready(PATIENCE);
    let uids = two.uids();
    kubectl(&["delete", "kvcluster", &one.cluster, "-n", &one.namespace, "--wait=true", "--timeout=60s"]);
    eventually("the pods of the deleted cluster are gone", PATIENCE, || match one.pods().len() {
        0 => Ok(()),
        left => Err(format!("{left} pods")),
    });
    assert_eq!(two.uids(), uids, "the other cluster's pods stay");
    two.ready(PATIENCE);
    one.end();
}

/// Versions of every object of the cluster but pods' and endpoints', which others write.
fn versions(site: &Site) -> BTreeMap<String, String> {
    let label = format!("driftkv.io/cluster={}", site.cluster);
    let kinds = "statefulsets,services,configmaps,serviceaccounts,networkpolicies,poddisruptionbudgets";
    let objects = list(&[kinds, "-n", &site.namespace, "-l", &label]);
    let key = |object: &Value| format!("{} {}", object["kind"].as_str().unwrap_or_default(), name(object));
    let version = |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
    objects.iter().map(|object| (key(object), version(object))).collect()
}

/// How many server-side applies the API server has seen: the operator's only way to write objects and status, and nobody else's here.
fn applies() -> u64 {
    counted(&kubectl(&["get", "--raw", "/metrics"]), "apiserver_request_total{", "verb=\"APPLY\"")
}

pub fn settled(operator: &Operator) {
    let site = Site::with_cluster("settled");
    site.alone();
    // Until two looks agree: what was under way at the first Ready may still be written down.
    let look = || (versions(&site), applies());
    let mut before = look();
    eventually("the cluster is settled", PATIENCE, || {
        std::thread::sleep(Duration::from_secs(3));
        let last = std::mem::replace(&mut before, look());
        if last == before { Ok(()) } else { Err(format!("still written: {last:?}, then {before:?}")) }
    });
    assert!(before.0.len() >= 6, "{before:?}");
    let earlier = operator.passes();
    // An annotation of somebody else makes a pass, unless one is under way.
    let (passes, _) = eventually("100 passes are over", PATIENCE, || {
        for mark in ["e2e/mark=odd", "e2e/mark=even"] {
            kubectl(&["annotate", "--overwrite", "kvcluster", &site.cluster, "-n", &site.namespace, mark]);
        }
        let passes = operator.passes().saturating_sub(earlier);
        if passes >= PASSES { Ok(passes) } else { Err(format!("{passes} passes")) }
    });
    let after = look();
    assert_eq!(after, before, "a pass over a settled cluster wrote");
    report::say(format!("{passes} passes over {} objects, no request that writes", after.0.len()));
    site.end();
}

pub fn drift(_: &Operator) {
    let site = Site::with_cluster("drift");
    let namespace = site.namespace.as_str();
    kubectl(&["scale", "statefulset", &site.cluster, "-n", namespace, "--replicas=2"]);
    kubectl(&["delete", "pdb", &site.cluster, "-n", namespace]);
    let patch = r#"{"spec":{"publishNotReadyAddresses":false}}"#;
    let service = format!("{}-nodes", site.cluster);
    kubectl(&["patch", "service", &service, "-n", namespace, "--type=merge", "-p", patch]);
    kubectl(&["label", "service", &service, "-n", namespace, "of=somebody-else"]);
    let (_, took) = eventually("all is as it was", PATIENCE, || {
        let set = get(&["statefulset", &site.cluster, "-n", namespace]).unwrap();
        let service = get(&["service", &service, "-n", namespace]).unwrap();
        let budget = get(&["pdb", &site.cluster, "-n", namespace]);
        let is_back =
            set["spec"]["replicas"] == 3 && service["spec"]["publishNotReadyAddresses"] == true && budget.is_some();
        let foreign = &service["metadata"]["labels"]["of"];
        if is_back && foreign == "somebody-else" {
            Ok(())
        } else {
            Err(format!("{} {service}", set["spec"]["replicas"]))
        }
    });
    site.ready(PATIENCE);
    wanted("replicas, a budget and a service put back, a foreign label kept", took, REVERTED);
    site.end();
}

pub fn delete_and_reapply(_: &Operator) {
    let site = Site::with_cluster("again");
    let load = Load::start(&site, "before", 5);
    load.finish(5);
    let ring = site.ring();
    assert!(!ring.1.is_empty() && ring.1.iter().all(Value::is_string), "{ring:?}");
    kubectl(&["delete", "kvcluster", &site.cluster, "-n", &site.namespace, "--timeout=60s"]);
    eventually("the pods are gone", PATIENCE, || match site.pods().len() {
        0 => Ok(()),
        left => Err(format!("{left} pods")),
    });
    assert_eq!(site.claims(), 3, "the data stays");
    site.apply(&image(), "");
    site.ready(PATIENCE);
    assert_eq!(site.ring(), ring, "the same nodes, the same layout");
    report::say(format!("layout {} of nodes {} again", ring.0, Value::from(ring.1)));
    // What was written before is read again by a check of its own.
    Load::check_again(&site, "before");
    site.end();
}

pub fn deleted_without_operator(operator: &Operator) {
    let site = Site::with_cluster("orphan");
    operator.scale(0);
    kubectl(&["delete", "kvcluster", &site.cluster, "-n", &site.namespace, "--timeout=60s"]);
    let (_, took) = eventually("everything but the data is gone", PATIENCE, || {
        let label = format!("driftkv.io/cluster={}", site.cluster);
        let left = list(&["statefulsets,services,configmaps,pods,pdb", "-n", &site.namespace, "-l", &label]);
        if left.is_empty() { Ok(()) } else { Err(left.iter().map(name).collect::<Vec<_>>().join(", ")) }
    });
    wanted("deleted without an operator", took, GONE);
    assert_eq!(site.claims(), 3, "the data stays");
    operator.resume();
    site.end();
}

pub fn namespace_deleted(_: &Operator) {
    let site = Site::with_cluster("gone");
    wanted("a namespace with a cluster is gone", site.gone(), GONE);
}
