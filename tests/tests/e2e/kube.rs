//! kubectl and helm as a person would call them, and waiting with a deadline.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Of what was seen last: enough to understand it.
const SEEN_CHARS_MAX: usize = 2_000;
/// How often kubectl may fail before a look does.
const LOOKS: u32 = 3;
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub is_ok: bool,
    pub out: String,
    pub error: String,
}

/// Runs a program with `input`, whatever comes of it.
pub fn run(program: &str, words: &[&str], input: &str) -> Said {
    run_command(Command::new(program).args(words), input).1
}

/// The same of a command; its exit code, which is -1 if a signal ended it.
pub fn run_command(command: &mut Command, input: &str) -> (i32, Said) {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap_or_else(|error| panic!("it cannot be run: {error}: {command:?}"));
    // Whoever fails early reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = Said { is_ok: output.status.success(), out: text(&output.stdout), error: text(&output.stderr) };
    (output.status.code().unwrap_or(-1), said)
}

/// kubectl, whatever comes of it.
pub fn try_kubectl(words: &[&str]) -> Said {
    run("kubectl", words, "")
}

/// kubectl, which must succeed; what it printed.
pub fn kubectl(words: &[&str]) -> String {
    let said = try_kubectl(words);
    assert!(said.is_ok, "kubectl {}: {}", words.join(" "), said.error);
    said.out
}

/// helm, which must succeed; what it printed.
pub fn helm(words: &[&str]) -> String {
    let said = run("helm", words, "");
    assert!(said.is_ok, "helm {}: {}", words.join(" "), said.error);
    said.out
}

/// `kubectl apply` of `yaml` in `namespace`, which must succeed.
pub fn apply(namespace: &str, yaml: &str) {
    let said = run("kubectl", &["apply", "-n", namespace, "-f", "-"], yaml);
    assert!(said.is_ok, "kubectl apply: {}\n{yaml}", said.error);
}

/// An object, or a list of them; `None`: there is none.
pub fn get(words: &[&str]) -> Option<Value> {
    let words: Vec<&str> = ["get", "--ignore-not-found", "-o", "json"].iter().chain(words).copied().collect();
    // A look may be taken again, unlike a change: an API server under load closes a connection now and then.
    let said = (0..LOOKS).map(|_| try_kubectl(&words)).find(|said| said.is_ok);
    let said = said.unwrap_or_else(|| panic!("kubectl {}: {}", words.join(" "), try_kubectl(&words).error));
    (!said.out.trim().is_empty()).then(|| serde_json::from_str(&said.out).expect("JSON of kubectl"))
}

/// The items of a list.
pub fn list(words: &[&str]) -> Vec<Value> {
    get(words).map(|list| list["items"].as_array().cloned().unwrap_or_default()).unwrap_or_default()
}

/// Looks until there is something; the deadline fails the scenario with `what` and the last thing seen.
pub fn eventually<T>(what: &str, within: Duration, mut look: impl FnMut() -> Result<T, String>) -> (T, Duration) {
    let began = Instant::now();
    loop {
        match look() {
            Ok(found) => return (found, began.elapsed()),
            Err(seen) => assert!(
                began.elapsed() < within,
                "waited {} s in vain until {what}; the last look: {:.SEEN_CHARS_MAX$}",
                within.as_secs(),
                seen
            ),
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// The condition `kind` of an object: its status, and its reason.
pub fn condition(object: &Value, kind: &str) -> Option<(String, String)> {
    let conditions = object["status"]["conditions"].as_array()?;
    let condition = conditions.iter().find(|condition| condition["type"] == kind)?;
    let word = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    Some((word("status"), word("reason")))
}

/// The sum of the samples on a page of metrics that begin with `start` and have `label` in them.
pub fn counted(page: &str, start: &str, label: &str) -> u64 {
    let ours = page.lines().filter(|line| line.starts_with(start) && line.contains(label));
    ours.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

/// A line about the cluster under test.
pub fn version() -> String {
    let nodes = list(&["nodes"]);
    let version = kubectl(&["version", "-o", "json"]);
    let version: Value = serde_json::from_str(&version).expect("JSON of kubectl");
    format!("Kubernetes {}, {} nodes", version["serverVersion"]["gitVersion"].as_str().unwrap_or("?"), nodes.len())
}
