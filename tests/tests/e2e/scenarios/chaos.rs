//! What experiments do to a cluster of five nodes, by the annotation alone, and how they end. Who may begin one: `consents`.
//! Invariant: each effect is measured beside the same without it, and no acknowledged write is lost.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::consents::{annotate, remove, rotated, says, stage};
use crate::kube::{condition, eventually, kubectl};
use crate::load::Load;
use crate::probe::Probe;
use crate::report;
use crate::site::{Operator, PATIENCE, Site, image, name};
use crate::wanted;

/// Seconds of each load that is measured.
const LOAD_S: u64 = 6;
const SOON: Duration = Duration::from_secs(5);
const EXPIRY: Duration = Duration::from_secs(2);

/// Begins an experiment and waits until it is at every node.
fn begin(site: &Site, text: &str) {
    annotate(site, text);
    eventually("every node has it", PATIENCE, || {
        let (words, _) = says(site, "ChaosInjected", PATIENCE);
        if words.contains("at 5 of 5 nodes") { Ok(()) } else { Err(words) }
    });
}

/// Ends it.
fn end(site: &Site) -> Duration {
    remove(site);
    says(site, "ChaosCleared", PATIENCE).1
}

/// A sum over the targets in the status.
fn counted(site: &Site, field: &str) -> u64 {
    let targets = site.seen()["status"]["chaos"]["targets"].as_array().cloned().unwrap_or_default();
    targets.iter().filter_map(|target| target[field].as_u64()).sum()
}

pub fn timing_and_drops(operator: &Operator) {
    let site = stage(operator);
    let before = Load::start(&site, "before", LOAD_S).finish(LOAD_S).p50_ms("put");
    begin(&site, "{id: delayed, for: 120s, seed: 7, faults: [{kind: delay, from: '*', to: '*', mean: 20ms}]}");
    let during = Load::start(&site, "delayed", LOAD_S).finish(LOAD_S).p50_ms("put");
    end(&site);
    report::say(format!("delay 20 ms on all links: p50 of a put {before:.1} ms before, {during:.1} ms during"));
    assert!(during >= before + 20.0 && counted(&site, "delayed") > 100, "the delay does not show");
    slow_disk(&site);
    begin(&site, "{id: lossy, for: 120s, seed: 7, faults: [{kind: drop, between: [demo-0, demo-1], rate: 5%}]}");
    Load::start(&site, "lossy", LOAD_S).finish(LOAD_S);
    end(&site);
    let (seen, dropped) = (counted(&site, "seen") as f64, counted(&site, "dropped") as f64);
    let (mean, sigma) = (seen * 0.05, (seen * 0.05 * 0.95).sqrt());
    report::say(format!(
        "drop 5 %: {dropped} of {seen} lost (three sigma: {:.0} to {:.0})",
        mean - 3.0 * sigma,
        mean + 3.0 * sigma
    ));
    assert!(seen > 200.0 && (dropped - mean).abs() <= 3.0 * sigma, "{dropped} of {seen}");
}

/// Time and number of syncs of a node.
fn syncs(site: &Site, node: u32) -> (f64, f64) {
    let path = format!("/api/v1/namespaces/{}/pods/{}-{node}:7403/proxy/metrics", site.namespace, site.cluster);
    let page = kubectl(&["get", "--raw", &path]);
    let of = |end: &str| {
        let start = format!("driftkv_stage_duration_seconds_{end}{{");
        let line = page.lines().find(|line| line.starts_with(&start) && line.contains("stage=\"sync\""));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_default()
    };
    (of("sum"), of("count"))
}

fn slow_disk(site: &Site) {
    let mean_ms = |(s, n): (f64, f64), (s2, n2): (f64, f64)| 1_000.0 * (s2 - s) / (n2 - n).max(1.0);
    begin(site, "{id: slow-disk, for: 120s, seed: 7, faults: [{kind: slow-disk, node: demo-2, mean: 50ms}]}");
    let before = [1, 2].map(|node| syncs(site, node));
    let outcome = Load::start_with(site, "slow-disk", LOAD_S, "-w 3").finish(LOAD_S);
    let after = [1, 2].map(|node| syncs(site, node));
    end(site);
    let [other, slow] = [0, 1].map(|index| mean_ms(before[index], after[index]));
    let p50 = outcome.p50_ms("put");
    report::say(format!(
        "slow disk 50 ms at demo-2: a sync takes {slow:.1} ms there, {other:.1} ms at demo-1; p50 of a put with W=3 {p50:.1} ms"
    ));
    assert!(slow >= other + 40.0, "the slow disk does not show");
}

/// The command in the pod of a node, talking to that node alone; what it printed.
fn in_pod(site: &Site, node: u32, words: &[&str]) -> String {
    let pod = format!("{}-{node}", site.cluster);
    let start = ["exec", "-n", &site.namespace, &pod, "-c", "node", "--", "/usr/local/bin/driftkv"];
    kubectl(&[&start[..], words, &["--endpoint=127.0.0.1:7400"]].concat())
}

/// How many siblings node `node` shows of `key`.
fn siblings(site: &Site, node: u32, key: &str) -> usize {
    let json = in_pod(site, node, &["get", key, "-o", "json"]);
    let value: Value = serde_json::from_str(&json).expect("JSON of driftkv get");
    value["siblings"].as_array().map_or(0, Vec::len)
}

pub fn partition_and_pause(operator: &Operator) {
    let site = stage(operator);
    let load = Load::start(&site, "cut", 20);
    let cut = "{id: cut, for: 120s, allowQuorumLoss: true, faults: [{kind: partition, groups: [[demo-0, demo-1], [demo-2, demo-3, demo-4]]}]}";
    begin(&site, cut);
    let keys: Vec<String> = (0..8).map(|index| format!("both-{index}")).collect();
    for key in &keys {
        in_pod(&site, 0, &["put", key, "left"]);
        in_pod(&site, 3, &["put", key, "right"]);
    }
    let lost = |sides: &[u32]| sides.iter().map(|node| siblings(&site, *node, &keys[0])).collect::<Vec<_>>();
    assert_eq!(lost(&[0, 3]), [1, 1], "each side sees its own");
    let healed = end(&site);
    let (_, took) = eventually("both sides have both", PATIENCE, || {
        let seen: Vec<usize> = keys.iter().flat_map(|key| [siblings(&site, 0, key), siblings(&site, 4, key)]).collect();
        if seen.iter().all(|count| *count == 2) { Ok(()) } else { Err(format!("{seen:?}")) }
    });
    report::say(format!(
        "2-3 partition: {} keys written on both sides have 2 siblings on both; healed {:.1} s after the removal, reconciled {:.1} s later",
        keys.len(),
        healed.as_secs_f64(),
        took.as_secs_f64()
    ));
    load.finish(20);
    pause(&site);
}

/// What others keep for the node, by the status.
fn owed(site: &Site, node: u32) -> u64 {
    site.seen()["status"]["nodes"][node as usize]["hintsOwed"].as_u64().unwrap_or_default()
}

fn pause(site: &Site) {
    let load = Load::start(site, "pause", 15);
    annotate(site, "{id: asleep, for: 8s, faults: [{kind: pause, node: demo-3, down: 7s}]}");
    let (hints, _) = eventually("hints are kept for the sleeper", PATIENCE, || match owed(site, 3) {
        0 => Err("none".to_owned()),
        hints => Ok(hints),
    });
    says(site, "ChaosEnded", PATIENCE);
    let (_, took) = eventually("the hints are handed over", PATIENCE, || match owed(site, 3) {
        0 => Ok(()),
        left => Err(format!("{left} hints")),
    });
    report::say(format!("pause 7 s: {hints} hints for demo-3, none {:.1} s after the end", took.as_secs_f64()));
    load.finish(15);
}

pub fn kill_and_ids(operator: &Operator) {
    let site = stage(operator);
    let load = Load::start(&site, "kill", 20);
    let before = site.uids();
    let text = "{id: kill-once, for: 15s, faults: [{kind: crash, node: demo-1, after: 1s}]}";
    annotate(&site, text);
    says(&site, "ChaosInjected", PATIENCE);
    let (_, took) = eventually("demo-1 is another pod, and Ready", PATIENCE, || {
        let pods = site.pods();
        let pod = pods.iter().find(|pod| name(pod) == "demo-1").ok_or("there is none")?;
        let is_ready = condition(pod, "Ready").is_some_and(|(status, _)| status == "True");
        let is_new = !before.iter().any(|(_, uid)| pod["metadata"]["uid"] == uid.as_str());
        if is_new && is_ready { Ok(()) } else { Err(pod["status"]["phase"].to_string()) }
    });
    report::say(format!("kill: demo-1 is another pod and Ready after {:.1} s", took.as_secs_f64()));
    says(&site, "ChaosEnded", PATIENCE);
    load.finish(20);
    let killed = site.uids();
    assert_eq!(killed.iter().filter(|pod| !before.contains(pod)).count(), 1, "one pod, once");
    remove(&site);
    annotate(&site, text);
    annotate(&site, &text.replace("15s", "14s"));
    let (words, _) = says(&site, "ChaosIdUsed", PATIENCE);
    report::say(format!("the same id again: {words}"));
    assert_eq!(site.uids(), killed, "nothing was killed again");
    remove(&site);
}

/// When the status says it ends.
fn ends_at(site: &Site) -> SystemTime {
    let text = site.seen()["status"]["chaos"]["endsAt"].as_str().unwrap_or_default().to_owned();
    let time: k8s_openapi::jiff::Timestamp = text.parse().expect("a time");
    time.into()
}

pub fn ends(operator: &Operator) {
    let site = stage(operator);
    rotated(&site);
    let probes = [0, 3].map(|node| Probe::new(&site, node));
    let delay = |id: &str, seconds: u32| {
        format!("{{id: {id}, for: {seconds}s, faults: [{{kind: delay, from: '*', to: '*', mean: 5ms}}]}}")
    };
    begin(&site, &delay("removed", 300));
    remove(&site);
    let (_, took) = eventually("the nodes say that it was cleared", PATIENCE, || {
        let states = probes.each_ref().map(|probe| probe.state("removed").0);
        if states.iter().all(|state| state == "cleared") { Ok(()) } else { Err(format!("{states:?}")) }
    });
    wanted("healed after the annotation was removed", took, SOON);
    says(&site, "ChaosCleared", PATIENCE);
    without_operator(operator, &site, &probes, &delay("alone", 20));
    rollout_waits(&site, &delay("busy", 20));
    site.end();
}

/// Nobody is there to end it but the nodes.
fn without_operator(operator: &Operator, site: &Site, probes: &[Probe], text: &str) {
    begin(site, text);
    let until = ends_at(site);
    operator.scale(0);
    let mut latest = Duration::ZERO;
    for probe in probes {
        let (at, _) = eventually("the node ended it", PATIENCE, || match probe.state("alone") {
            (state, at) if state == "expired" => Ok(at),
            (state, at) => {
                assert!(at <= until + 4 * EXPIRY, "{state} long after its end");
                Err(state)
            }
        });
        assert!(at + EXPIRY >= until, "it ended too early");
        latest = latest.max(at.duration_since(until).unwrap_or_default());
    }
    wanted("ended by the nodes after endsAt, with the operator dead", latest, EXPIRY);
    assert!(latest <= EXPIRY, "ended {latest:?} after endsAt");
    operator.resume();
    says(site, "ChaosEnded", PATIENCE);
}

fn rollout_waits(site: &Site, text: &str) {
    begin(site, text);
    let before = site.uids();
    site.apply(&image(), "allowFaults: true\nlimits: {siblingsMax: 32}");
    let reason = |site: &Site| condition(&site.seen(), "Progressing").map(|(_, reason)| reason).unwrap_or_default();
    eventually("the rollout waits", PATIENCE, || match reason(site) {
        reason if reason == "WaitingForChaos" => Ok(()),
        other => Err(other),
    });
    let (_, took) = eventually("it goes on when the experiment is over", PATIENCE, || {
        let (is_over, now) = (SystemTime::now() >= ends_at(site), site.uids());
        assert!(is_over || now == before, "a pod was replaced in the middle of an experiment");
        if now == before { Err("no pod is replaced yet".to_owned()) } else { Ok(()) }
    });
    report::say(format!("a rollout waited {:.0} s for the end of the experiment", took.as_secs_f64()));
}
