//! What users wrote, as the API server's audit log tells it: a line of JSON for each request, when it is answered.

use std::path::Path;
use std::time::SystemTime;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

/// Which requests are told: those of operators that change something.
pub const POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n\
    - {level: Metadata, userGroups: [operators], verbs: [create, update, patch, delete, deletecollection]}\n- {level: None}\n";

/// One request.
#[derive(Debug)]
pub struct Write {
    pub began: SystemTime,
    pub ended: SystemTime,
    /// It was not refused.
    pub is_done: bool,
    /// Its verb and URI.
    pub what: String,
}

impl Write {
    pub fn is_lease(&self) -> bool {
        self.what.contains("/leases")
    }
}

/// The writes of `user`, in the order in which they were answered.
pub fn of(log: &Path, user: &str) -> Vec<Write> {
    let text = std::fs::read_to_string(log).expect("the audit log");
    // The last line may be under way.
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let events = lines.map(|line| serde_json::from_str::<Value>(line).expect("a line of the audit log"));
    events.filter(|event| event["user"]["username"] == user).map(write).collect()
}

fn write(event: Value) -> Write {
    let word = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
    let time = |field: &str| word(field).parse::<Timestamp>().expect("a time").into();
    let what = format!("{} {}", word("verb"), word("requestURI"));
    let is_done = event["responseStatus"]["code"].as_u64().is_some_and(|code| code < 400);
    Write { began: time("requestReceivedTimestamp"), ended: time("stageTimestamp"), is_done, what }
}
