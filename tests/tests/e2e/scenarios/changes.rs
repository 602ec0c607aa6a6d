//! Changes of a spec, good and bad ones, under load.

use std::time::Duration;

use serde_json::Value;

use crate::kube::{eventually, get, kubectl};
use crate::load::Load;
use crate::report;
use crate::site::{Operator, PATIENCE, Site, image, name, next_image};
use crate::wanted;

/// Three nodes, one after the other.
const ROLLOUT: Duration = Duration::from_secs(60);
const REPAIR: Duration = Duration::from_secs(30);
const TAKEOVER: Duration = Duration::from_secs(20);
/// Both rollouts, with time to spare.
const LOAD_S: u64 = 150;
/// One rollout, with a takeover in it.
const TAKEOVER_LOAD_S: u64 = 90;

fn images(site: &Site) -> Vec<String> {
    let image = |pod: &Value| pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned();
    site.pods().iter().map(image).collect()
}

fn run_by(site: &Site, image: &str) -> bool {
    let images = images(site);
    images.len() == 3 && images.iter().all(|of| of == image)
}

/// Waits until all pods differ from those of `before`, and the cluster is Ready; how long that took.
fn rolled(site: &Site, before: &[(String, String)]) -> Duration {
    let (_, took) = eventually("every pod is replaced", 4 * ROLLOUT, || {
        let now = site.uids();
        // One at a time: never two nodes that are not ready.
        let ready = site.seen()["status"]["readyReplicas"].as_u64().unwrap_or_default();
        assert!(ready >= 2, "{ready} nodes are ready in the middle of a rollout");
        let is_done = now.len() == 3 && now.iter().all(|pod| !before.contains(pod));
        if is_done { Ok(()) } else { Err(format!("{now:?}")) }
    });
    took + site.ready(PATIENCE)
}

pub fn rolling_update(_: &Operator) {
    let site = Site::with_cluster("rollout");
    let load = Load::start(&site, "load", LOAD_S);
    let before = site.uids();
    site.apply(&next_image(), "");
    wanted("another image on three nodes", rolled(&site, &before), ROLLOUT);
    assert!(run_by(&site, &next_image()));
    let before = site.uids();
    site.apply(&next_image(), "limits: {siblingsMax: 32}");
    wanted("other settings on three nodes", rolled(&site, &before), ROLLOUT);
    let is_covered = load.is_running();
    let outcome = load.finish(LOAD_S);
    assert!(is_covered, "the load ended before the rollouts did");
    outcome.must_not_fail("the rollouts cost requests");
    site.end();
}

/// Resources with which a node is killed as soon as it starts, and some with which it runs.
const STARVED: &str = "resources: {requests: {memory: 1Mi}, limits: {memory: 4Mi}}";
const FED: &str = "resources: {requests: {memory: 32Mi}, limits: {memory: 1Gi}}";

/// Why the pod's container does not run, or did not the last time.
fn trouble(pod: &Value) -> String {
    let container = &pod["status"]["containerStatuses"][0];
    let words = [&container["state"]["waiting"]["reason"], &container["lastState"]["terminated"]["reason"]];
    let restarts = container["restartCount"].as_u64().unwrap_or_default();
    let words: Vec<&str> = words.iter().filter_map(|word| word.as_str()).collect();
    if restarts > 0 { words.join(", ") } else { String::new() }
}

pub fn crash_loop(_: &Operator) {
    let site = Site::with_cluster("crash-loop");
    let (load, before) = (Load::start(&site, "load", 60), site.uids());
    site.apply(&image(), STARVED);
    let (sick, _) = eventually("a pod is in a crash loop", PATIENCE, || {
        let pods = site.pods();
        let sick = pods.iter().find(|pod| !trouble(pod).is_empty());
        sick.map(|pod| (name(pod), trouble(pod))).ok_or_else(|| format!("{} pods, none of them", pods.len()))
    });
    report::say(format!("{} is in a crash loop: {}", sick.0, sick.1));
    assert_eq!(site.says("Degraded", "True", PATIENCE), "NodeStuck");
    site.says("Available", "True", PATIENCE);
    let kept = site.uids().iter().filter(|pod| before.contains(pod)).count();
    assert_eq!(kept, 2, "the others keep what they have");
    site.apply(&image(), FED);
    wanted("repaired by the spec alone, all nodes replaced", rolled(&site, &before), ROLLOUT);
    let outcome = load.finish(60);
    outcome.must_not_fail("two nodes serve W=2");
    site.end();
}

const BROKEN: &str = "driftkv:does-not-exist";

/// Waits until `expected` pods cannot get their image.
fn without_image(site: &Site, expected: usize) {
    let is_stuck = |pod: &&Value| {
        let reason = pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].as_str().unwrap_or_default();
        matches!(reason, "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull")
    };
    eventually(&format!("{expected} pods cannot get their image"), PATIENCE, || {
        match site.pods().iter().filter(is_stuck).count() {
            count if count == expected => Ok(()),
            count => Err(format!("{count} cannot")),
        }
    });
}

pub fn broken_image(_: &Operator) {
    let site = Site::with_cluster("broken");
    let load = Load::start(&site, "load", 45);
    site.apply(BROKEN, "");
    without_image(&site, 1);
    site.says("Degraded", "True", PATIENCE);
    assert_eq!(images(&site).iter().filter(|of| **of == image()).count(), 2, "the others keep theirs");
    site.apply(&image(), "");
    wanted("a broken image repaired by the spec alone", site.ready(PATIENCE), REPAIR);
    assert!(run_by(&site, &image()));
    load.finish(45).must_not_fail("two nodes serve W=2");
    // Two that do not serve must not wait for each other.
    site.apply(BROKEN, "");
    without_image(&site, 1);
    kubectl(&["delete", "pod", &format!("{}-0", site.cluster), "-n", &site.namespace, "--grace-period=1"]);
    without_image(&site, 2);
    site.says("Available", "False", PATIENCE);
    site.apply(&image(), "");
    wanted("two pods with a broken image repaired by the spec alone", site.ready(PATIENCE), REPAIR);
    Load::check_again(&site, "load");
    site.end();
}

pub fn operator_killed(operator: &Operator) {
    let site = Site::with_cluster("takeover");
    let load = Load::start(&site, "load", TAKEOVER_LOAD_S);
    let before = site.uids();
    site.apply(&next_image(), "");
    eventually("the first pod is replaced", PATIENCE, || {
        if site.uids() == before { Err("none is".to_owned()) } else { Ok(()) }
    });
    let holder = lease_holder();
    let how = if operator.kill(&holder) { "killed" } else { "ended by Kubernetes: its machine is another one" };
    let (next, took) = eventually("another operator holds the lease", PATIENCE, || match lease_holder() {
        next if next != holder && !next.is_empty() => Ok(next),
        same => Err(same),
    });
    wanted("takeover", took, TAKEOVER);
    report::say(format!("{holder} was {how}; {next} went on"));
    rolled(&site, &before);
    assert!(run_by(&site, &next_image()));
    let is_covered = load.is_running();
    let outcome = load.finish(TAKEOVER_LOAD_S);
    assert!(is_covered, "the load ended before the rollout did");
    outcome.must_not_fail("a rollout that another operator ends costs requests");
    site.end();
}

fn lease_holder() -> String {
    let leases = get(&["leases", "-n", "driftkv-system"]).unwrap_or_default();
    let ours = leases["items"].as_array().into_iter().flatten().find(|lease| name(lease).contains("driftkv"));
    ours.and_then(|lease| lease["spec"]["holderIdentity"].as_str().map(str::to_owned)).unwrap_or_default()
}
