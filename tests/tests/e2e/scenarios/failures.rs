//! Pods and machines that go away, under load.

use std::time::{Duration, Instant};

use crate::kube::{eventually, kubectl};
use crate::load::Load;
use crate::site::{Operator, PATIENCE, Site, name};
use crate::wanted;

const AGAIN: Duration = Duration::from_secs(15);

/// Kubernetes' shortest end: `--force` would only forget the pod, and let it go on for its whole grace period.
const KILL: &str = "--grace-period=1";

/// Waits until the pod `name` is another one than `uid`, and Ready.
fn replaced(site: &Site, pod: &str, uid: &str) -> Duration {
    let (_, took) = eventually(&format!("{pod} is Ready again"), PATIENCE, || {
        let pods = site.pods();
        let found = pods.iter().find(|candidate| name(candidate) == pod).ok_or("there is no such pod")?;
        let is_new = found["metadata"]["uid"] != uid;
        let ready = crate::kube::condition(found, "Ready").is_some_and(|(status, _)| status == "True");
        if is_new && ready { Ok(()) } else { Err(found["status"]["phase"].to_string()) }
    });
    took
}

pub fn killed_pod(_: &Operator) {
    let site = Site::with_cluster("kill");
    let load = Load::start(&site, "load", 25);
    let (pod, uid) = site.uids()[1].clone();
    kubectl(&["delete", "pod", &pod, "-n", &site.namespace, KILL, "--wait=false"]);
    wanted("a killed pod is Ready again", replaced(&site, &pod, &uid), AGAIN);
    site.ready(PATIENCE);
    load.finish(25);
    site.end();
}

pub fn all_killed(_: &Operator) {
    let site = Site::with_cluster("kill-all");
    let ring = site.ring();
    let load = Load::start(&site, "load", 10);
    let before = site.uids();
    let mut words = vec!["delete", "pods", "-n", &site.namespace, KILL, "--wait=false"];
    words.extend(before.iter().map(|(pod, _)| pod.as_str()));
    let began = Instant::now();
    kubectl(&words);
    for (pod, uid) in &before {
        replaced(&site, pod, uid);
    }
    site.ready(PATIENCE);
    wanted("all pods killed at once, Ready again", began.elapsed(), 2 * AGAIN);
    assert_eq!(site.ring(), ring, "one ring, the same one");
    load.finish(10);
    site.end();
}

pub fn drained(_: &Operator) {
    let site = Site::with_cluster("drain");
    let pod = site.pods()[0].clone();
    let (host, uid) = (pod["spec"]["nodeName"].as_str().unwrap(), pod["metadata"]["uid"].as_str().unwrap());
    let load = Load::start(&site, "load", 40);
    // Jobs and other clusters' pods are on the machine too: only this cluster's are drained.
    let selector = format!("--pod-selector=driftkv.io/cluster={}", site.cluster);
    let began = Instant::now();
    let drained = std::panic::catch_unwind(|| {
        kubectl(&["drain", host, &selector, "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=90s"])
    });
    let back = drained.and_then(|_| std::panic::catch_unwind(|| replaced(&site, &name(&pod), uid)));
    kubectl(&["uncordon", host]);
    if let Err(panic) = back {
        std::panic::resume_unwind(panic);
    }
    wanted("drained, and Ready on another machine", began.elapsed(), 2 * AGAIN);
    site.ready(PATIENCE);
    assert!(load.is_running(), "the load ended before the drain did");
    let outcome = load.finish(40);
    outcome.must_not_fail("a drain cost requests");
    site.end();
}
