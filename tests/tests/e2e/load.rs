//! Clients: a Job whose pod first loads the cluster (`driftkv lab load`) and then accounts for every acknowledged write
//! (`driftkv lab check`). The history is on a volume, so that it can be checked again later. An operation failed if the client, which tries other nodes with the same id for 2 s, returned an error.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kube::{apply, eventually, get, kubectl};
use crate::report::say;
use crate::site::{PATIENCE, Site, image};

/// A load under way.
pub struct Load<'a> {
    site: &'a Site,
    name: String,
    /// More flags of the load.
    flags: String,
}

/// What it came to.
pub struct Outcome {
    /// Operations that succeeded.
    pub ok: u64,
    /// Those that failed in spite of all attempts.
    pub failed: u64,
    /// First attempts that brought no answer in time.
    late: u64,
    /// All that `driftkv lab load` says.
    results: Value,
}

impl Outcome {
    /// The median of `op` from when it was due, in milliseconds.
    pub fn p50_ms(&self, op: &str) -> f64 {
        let rows = self.results["latencies"].as_array().cloned().unwrap_or_default();
        let row = rows.iter().find(|row| row["op"] == op && row["kind"] == "response").cloned().unwrap_or_default();
        row["p50"]["us"].as_f64().unwrap_or_else(|| panic!("no p50 of {op}: {rows:?}")) / 1_000.0
    }

    /// Fails the scenario if requests failed.
    ///
    /// A machine whose disk or processors stand still for seconds lets attempts be late, and then all attempts of some request:
    /// one may fail for ten first attempts that were late, and never more than one operation in a hundred.
    pub fn must_not_fail(&self, why: &str) {
        let allowed = (self.late / 10).min((self.ok + self.failed) / 100);
        if self.failed > 0 && self.failed <= allowed {
            say(format!(
                "{} first attempts were late: this machine is too busy to ask that no request fails",
                self.late
            ));
        }
        assert!(self.failed <= allowed, "{} requests failed ({allowed} may): {why}", self.failed);
    }
}

impl<'a> Load<'a> {
    /// Starts a load of `seconds`, and waits until it runs.
    pub fn start(site: &'a Site, name: &str, seconds: u64) -> Load<'a> {
        Load::start_with(site, name, seconds, "")
    }

    /// With more flags.
    pub fn start_with(site: &'a Site, name: &str, seconds: u64, flags: &str) -> Load<'a> {
        let load = Load { site, name: name.to_owned(), flags: flags.to_owned() };
        apply(&site.namespace, &load.claim().to_string());
        apply(&site.namespace, &load.job(&load.name, Some(seconds)).to_string());
        eventually("the load runs", PATIENCE, || {
            let state = load.state("initContainerStatuses");
            if state["running"].is_object() { Ok(()) } else { Err(state.to_string()) }
        });
        load
    }

    fn claim(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": self.name},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        })
    }

    /// `seconds`: of load before the check; `None`: only a check.
    fn job(&self, name: &str, seconds: Option<u64>) -> Value {
        let endpoints: Vec<String> =
            self.site.endpoints().iter().map(|address| format!("--endpoint={address}")).collect();
        let words = |text: &str| -> Vec<String> {
            text.split_whitespace().map(str::to_owned).chain(endpoints.iter().cloned()).collect()
        };
        let load = format!(
            "lab load --rate 150 --duration {}s --keys 3000 --own-keys --value-bytes 256 --mix get=4,put=5,rmw=1 \
             --timeout 500ms --retry 2s --in-flight 2000 --out /run/load -o json {}",
            seconds.unwrap_or_default(),
            self.flags
        );
        let container = |name: &str, arguments: Vec<String>| {
            json!({
                "name": name, "image": image(), "imagePullPolicy": "IfNotPresent", "command": ["/usr/local/bin/driftkv"],
                "args": arguments, "volumeMounts": [{"name": "run", "mountPath": "/run"}],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": true},
            })
        };
        let loads: Vec<Value> = seconds.iter().map(|_| container("load", words(&load))).collect();
        json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
            "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": {"e2e": name}}, "spec": {
                "restartPolicy": "Never", "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 5,
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"}},
                "initContainers": loads,
                "containers": [container("check", words("lab check /run/load -o json --timeout 20s"))],
                "volumes": [{"name": "run", "persistentVolumeClaim": {"claimName": self.name}}],
            }}},
        })
    }

    /// Accounts once more for what the load `name` wrote, which is over.
    pub fn check_again(site: &'a Site, name: &str) {
        let of = Load { site, name: name.to_owned(), flags: String::new() };
        let again = Load { site, name: format!("{name}-again"), flags: String::new() };
        apply(&site.namespace, &of.job(&again.name, None).to_string());
        let (state, _) = eventually("the check is over", PATIENCE, || again.checked());
        again.verdict(&state);
    }

    fn checked(&self) -> Result<Value, String> {
        let check = self.state("containerStatuses");
        if check["terminated"].is_object() { Ok(check["terminated"].clone()) } else { Err(check.to_string()) }
    }

    /// Fails the scenario if an acknowledged write is lost.
    fn verdict(&self, state: &Value) {
        let verdict = self.output("check");
        say(format!(
            "{} writes acknowledged, {} lost, {} values wrong",
            verdict["acknowledged"], verdict["lost_count"], verdict["wrong_count"]
        ));
        assert!(verdict["acknowledged"].as_u64() > Some(100), "hardly anything was written: {verdict}");
        assert_eq!(state["exitCode"], 0, "acknowledged writes are lost: {verdict}");
    }

    fn pod(&self) -> Option<Value> {
        let label = format!("e2e={}", self.name);
        get(&["pods", "-n", &self.site.namespace, "-l", &label])?["items"].get(0).cloned()
    }

    fn state(&self, containers: &str) -> Value {
        self.pod().map(|pod| pod["status"][containers][0]["state"].clone()).unwrap_or_default()
    }

    /// Whether it still sends.
    pub fn is_running(&self) -> bool {
        self.state("initContainerStatuses")["running"].is_object()
    }

    fn output(&self, container: &str) -> Value {
        let job = format!("job/{}", self.name);
        let text = kubectl(&["logs", "-n", &self.site.namespace, &job, "-c", container]);
        // Results are one JSON object; what a person is told goes to the other stream, whose lines kubectl puts between.
        let is_progress =
            |line: &str| line.trim_start().starts_with(|c: char| c.is_ascii_digit()) && line.contains(": ");
        let is_json = |line: &&str| line.starts_with([' ', '{', '}']) && !is_progress(line);
        let json: String = text.lines().filter(is_json).flat_map(|line| [line, "\n"]).collect();
        serde_json::from_str(&json)
            .unwrap_or_else(|error| panic!("{container} of {} ({error}) printed: {text}", self.name))
    }

    /// Waits for its end, prints what failed, and fails the scenario if an acknowledged write is lost.
    pub fn finish(self, seconds: u64) -> Outcome {
        let within = Duration::from_secs(seconds) + PATIENCE;
        let (state, _) = eventually("load and check are over", within, || {
            let load = self.state("initContainerStatuses");
            if load["terminated"]["exitCode"].as_i64().is_some_and(|code| code != 0) {
                return Ok(load["terminated"].clone());
            }
            self.checked()
        });
        let results = self.output("load");
        let count = |field: &str| results[field].as_u64().unwrap_or_default();
        let first: Vec<String> = names(&results["retried"]);
        let late = ["timeout", "deadline_exceeded"].map(|name| results["retried"][name]["count"].as_u64().unwrap_or(0));
        let (ok, failed) = (count("ok"), count("fail") + count("info"));
        let outcome = Outcome { ok, failed, late: late.iter().sum(), results: results.clone() };
        say(format!(
            "{} operations succeeded, {} failed{}; first attempts that failed: {}",
            outcome.ok,
            outcome.failed,
            if outcome.failed == 0 { String::new() } else { format!(" ({})", names(&results["errors"]).join(", ")) },
            if first.is_empty() { "none".to_owned() } else { first.join(", ") },
        ));
        self.verdict(&state);
        outcome
    }
}

/// `name count` of each kind of failure.
fn names(errors: &Value) -> Vec<String> {
    let errors = errors.as_object().cloned().unwrap_or_default();
    errors.iter().map(|(name, error)| format!("{name} {}", error["count"])).collect()
}
