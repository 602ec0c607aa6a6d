//! What a KVCluster says of its experiment: `.status.chaos`, the annotation, and the condition ChaosActive.
//! Read by pointers: the fields belong to the operator, and a plugin of another version shows those it knows.

use driftkv_proto::faults::{Experiment, Fault};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::kubectl::cluster::Cluster;
use crate::style::{self, Paint, duration, one_line};

/// On a KVCluster: the experiment that is asked for.
pub const ANNOTATION: &str = "chaos.driftkv.io/experiment";
/// The same in its JSON.
pub const ANNOTATION_POINTER: &str = "/metadata/annotations/chaos.driftkv.io~1experiment";

const HEADINGS: [&str; 9] =
    ["NODE", "STATE", "SEEN", "DELAYED", "DROPPED", "DOUBLED", "OVERTAKEN", "FIRED", "WHAT IS ODD"];
/// Of a target, and the word for each.
const COUNTERS: [(&str, &str); 6] = [
    ("seen", "seen"),
    ("delayed", "delayed"),
    ("dropped", "dropped"),
    ("duplicated", "doubled"),
    ("reordered", "overtaken"),
    ("activations", "fired"),
];

/// How far it is.
pub fn phase(cluster: &Cluster) -> &str {
    cluster.text("/status/chaos/phase")
}

/// What is injected, on which nodes, until when; empty if nothing was ever asked for.
pub fn text(paint: Paint, cluster: &Cluster, now: Timestamp, width: usize) -> String {
    let is_asked = !cluster.text(ANNOTATION_POINTER).is_empty();
    if cluster.object.pointer("/status/chaos").is_none_or(Value::is_null) {
        let told = "chaos   an experiment is asked for, and none was begun yet";
        return if is_asked { paint.yellow(told) + "\n" } else { String::new() };
    }
    let id = one_line(cluster.text("/status/chaos/id"));
    let phase = phase(cluster);
    let title = format!("chaos   experiment {id}: {}{}", one_line(phase), ending(cluster, now));
    let mut out = match phase {
        "Active" | "Requested" => paint.yellow(&title),
        "Refused" => paint.red(&title),
        _ => paint.dim(&title),
    } + "\n";
    let message = cluster.text("/status/chaos/message");
    if !message.is_empty() {
        out += &style::wrap(&format!("        {}", one_line(message)), width, 8);
    }
    out += &faults(cluster, width);
    out += &table(paint, cluster);
    kills(cluster).into_iter().fold(out, |out, kill| format!("{out}        {kill}\n"))
}

/// What is injected, in words: the annotation has it as long as it is under way.
fn faults(cluster: &Cluster, width: usize) -> String {
    let asked = Experiment::parse(cluster.text(ANNOTATION_POINTER)).ok();
    let asked = asked.filter(|asked| asked.id == cluster.text("/status/chaos/id") && is_under_way(cluster));
    let faults = asked.map(|asked| asked.faults).unwrap_or_default();
    let line = |fault: &Fault| style::wrap(&format!("        {}", one_line(&fault.describe())), width, 10);
    faults.iter().map(line).collect()
}

fn is_under_way(cluster: &Cluster) -> bool {
    matches!(phase(cluster), "Active" | "Requested")
}

/// One line a node; empty if there are none.
pub fn table(paint: Paint, cluster: &Cluster) -> String {
    let targets = cluster.object.pointer("/status/chaos/targets").and_then(Value::as_array);
    let rows: Vec<Vec<String>> = targets.into_iter().flatten().map(row).collect();
    if rows.is_empty() { String::new() } else { style::table(paint, &HEADINGS, &rows) }
}

/// When it ends; empty if it is over.
pub fn ending(cluster: &Cluster, now: Timestamp) -> String {
    let Ok(at) = cluster.text("/status/chaos/endsAt").parse::<Timestamp>() else { return String::new() };
    let left: SignedDuration = at.duration_since(now);
    match u64::try_from(left.as_millis()) {
        Ok(ms) if is_under_way(cluster) => format!(", ends in {}", duration(ms)),
        _ => String::new(),
    }
}

/// `120 seen, 7 dropped`: what all nodes together counted, without what none did.
pub fn sums(targets: &[Value]) -> String {
    let sum = |field: &str| targets.iter().filter_map(|target| target.get(field)?.as_u64()).sum::<u64>();
    let words = COUNTERS.iter().map(|(field, word)| (sum(field), word)).filter(|(sum, _)| *sum > 0);
    words.map(|(sum, word)| format!("{sum} {word}")).collect::<Vec<_>>().join(", ")
}

/// A line for each pod that is to be killed, or was.
pub fn kills(cluster: &Cluster) -> Vec<String> {
    let kills = cluster.object.pointer("/status/chaos/kills").and_then(Value::as_array);
    let line = |kill: &Value| {
        let text = |field: &str| one_line(kill.get(field).and_then(Value::as_str).unwrap_or_default());
        format!("kill of {} at {}: {}", text("node"), text("dueAt"), text("state"))
    };
    kills.into_iter().flatten().map(line).collect()
}

fn row(target: &Value) -> Vec<String> {
    let text = |field: &str| one_line(target.get(field).and_then(Value::as_str).unwrap_or_default());
    // Nothing instead of a zero: what no node did has no column then.
    let number = |field: &str| {
        let count = target.get(field).and_then(Value::as_u64).unwrap_or_default();
        if count == 0 { String::new() } else { count.to_string() }
    };
    [vec![text("node"), text("state")], COUNTERS.map(|(field, _)| number(field)).to_vec(), vec![text("message")]]
        .concat()
}
