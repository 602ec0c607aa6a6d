//! What one look at a KVCluster says of an experiment that was asked for: a line to tell, and whether that was all.
//! Pure: time is an argument. An annotation does not raise `metadata.generation`, so a refusal that stood there before is told from a new
//! one by what it says and since when; the same words again count only when the operator had the time to change them.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::kubectl::cluster::Cluster;
use crate::kubectl::status::chaos as picture;
use crate::style::{count, one_line};

/// How often to look.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the operator may say nothing.
pub const SILENT_MAX: Duration = Duration::from_secs(30);
/// From when on a refusal that stood there before is taken for the answer: the operator looks again at what it refused every 10 s.
const STALE_MAX: Duration = Duration::from_secs(12);

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its time is over, and every node has said so.
    Ended,
    /// Something else ended it.
    Cleared(String),
    /// Nothing is injected, and why.
    Refused(String),
    /// Nobody has said anything of it.
    Silent,
}

/// Follows one experiment.
#[derive(Debug)]
pub struct Follower {
    text: String,
    id: String,
    before: Option<Condition>,
    told: String,
}

impl Follower {
    /// Of the experiment `id` with this `text`; `before`: the KVCluster before it was asked for.
    pub fn new(before: &Cluster, text: &str, id: &str) -> Follower {
        Follower { text: text.to_owned(), id: id.to_owned(), before: condition(before), told: String::new() }
    }

    /// A line, unless it was the last one too, and the outcome when there is one. `waited`: since it was asked for.
    pub fn look(&mut self, now: &Cluster, waited: Duration, at: Timestamp) -> (Option<String>, Option<Outcome>) {
        if now.text("/status/chaos/id") == self.id {
            return self.under_way(now, at);
        }
        let outcome = match refusal(now) {
            Some(why) if condition(now) != self.before || waited >= STALE_MAX => Some(Outcome::Refused(why)),
            _ if now.text(picture::ANNOTATION_POINTER) != self.text => {
                Some(Outcome::Cleared("somebody else changed the annotation before it began".to_owned()))
            }
            _ if waited >= SILENT_MAX => Some(Outcome::Silent),
            _ => None,
        };
        let line = outcome.is_none().then(|| self.news("asked for", "asked for".to_owned())).flatten();
        (line, outcome)
    }

    fn under_way(&mut self, now: &Cluster, at: Timestamp) -> (Option<String>, Option<Outcome>) {
        let phase = picture::phase(now);
        let message = one_line(now.text("/status/chaos/message"));
        let outcome = match phase {
            _ if !is_settled(now) => None,
            "Cleared" => Some(Outcome::Cleared(message.clone())),
            "Refused" => Some(Outcome::Refused(message.clone())),
            _ => Some(Outcome::Ended),
        };
        let steps = steps(now, &message);
        let line = format!("{steps}{}", picture::ending(now, at));
        (self.news(&steps, line), outcome)
    }

    /// `line`, if `key` is new.
    fn news(&mut self, key: &str, line: String) -> Option<String> {
        let is_new = self.told != key;
        key.clone_into(&mut self.told);
        is_new.then_some(line)
    }
}

/// What the operator says of experiments.
pub fn condition(cluster: &Cluster) -> Option<Condition> {
    cluster.conditions().into_iter().find(|condition| condition.type_ == "ChaosActive")
}

/// Why nothing is injected, if that is what the annotation comes to.
pub fn refusal(cluster: &Cluster) -> Option<String> {
    let condition = condition(cluster)?;
    let is_end = matches!(condition.reason.as_str(), "ChaosEnded" | "ChaosCleared" | "ChaosRefused");
    let is_refused = condition.status == "False" && !is_end && !cluster.text(picture::ANNOTATION_POINTER).is_empty();
    is_refused.then(|| format!("{}: {}", one_line(&condition.reason), one_line(&condition.message)))
}

/// Whether nothing is under way.
pub fn is_settled(cluster: &Cluster) -> bool {
    !matches!(picture::phase(cluster), "Requested" | "Active") && open(cluster).is_empty()
}

/// Nodes that have it, or are asked to.
pub fn open(cluster: &Cluster) -> Vec<String> {
    let is_open = |target: &&Value| matches!(state(target), "Requested" | "Injected");
    let name = |target: &Value| one_line(target.get("node").and_then(Value::as_str).unwrap_or_default());
    targets(cluster).iter().filter(is_open).map(name).collect()
}

/// Whether it is under way, and no node that is asked has yet to answer.
pub fn is_everywhere(cluster: &Cluster) -> bool {
    let targets = targets(cluster);
    let has = |target: &Value| matches!(state(target), "Injected" | "Recovered");
    picture::phase(cluster) == "Active" && !targets.is_empty() && targets.iter().all(has)
}

/// What a node that did not take it says.
pub fn failed(cluster: &Cluster) -> Option<String> {
    let failed = targets(cluster).iter().find(|target| state(target) == "Failed")?;
    let field = |name: &str| one_line(failed.get(name).and_then(Value::as_str).unwrap_or_default());
    Some(format!("{}: {}", field("node"), field("message")))
}

fn targets(cluster: &Cluster) -> &[Value] {
    cluster.object.pointer("/status/chaos/targets").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn state(target: &Value) -> &str {
    target.get("state").and_then(Value::as_str).unwrap_or_default()
}

/// `Active: injected at 3 of 3 nodes; 120 seen, 7 dropped; demo-1 killed`.
fn steps(cluster: &Cluster, message: &str) -> String {
    let targets = targets(cluster);
    let at = |wanted: &str| targets.iter().filter(|target| state(target) == wanted).count();
    let mut parts = Vec::new();
    for (wanted, words) in
        [("Requested", "asked"), ("Injected", "injected"), ("Recovered", "recovered"), ("Failed", "failed")]
    {
        match at(wanted) {
            0 => {}
            nodes => parts.push(format!("{words} at {nodes} of {}", count(targets.len() as u64, "node"))),
        }
    }
    let counters = picture::sums(targets);
    parts.extend((!counters.is_empty()).then_some(counters));
    parts.extend(picture::kills(cluster));
    let why = if message.is_empty() { String::new() } else { format!(" ({message})") };
    let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join("; ")) };
    format!("{}{why}{parts}", one_line(picture::phase(cluster)))
}

#[cfg(test)]
mod tests;
