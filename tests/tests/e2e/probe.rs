//! A node's admin port from outside, by `kubectl port-forward`: what it says itself, whoever else is dead.
//! Invariant: the forward ends with the probe.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};

use driftkv_proto::client::{Caller, admin_as};
use driftkv_proto::v1::{ApplyFaultsRequest, FaultStatus, GetFaultsRequest};
use tonic::Status;

use crate::kube::kubectl;
use crate::site::Site;

const ANSWER_MAX: Duration = Duration::from_secs(10);

/// One admin port.
pub struct Probe {
    forward: Child,
    /// What it says for each connection: a closed pipe would end it.
    _lines: BufReader<ChildStdout>,
    address: String,
    token: String,
}

impl Probe {
    /// Of the node `ordinal`, with the token of the Secret.
    pub fn new(site: &Site, ordinal: u32) -> Probe {
        let pod = format!("pod/{}-{ordinal}", site.cluster);
        let mut forward = Command::new("kubectl")
            .args(["port-forward", "-n", &site.namespace, &pod, ":7402"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("kubectl port-forward");
        let mut line = String::new();
        let mut lines = BufReader::new(forward.stdout.take().unwrap());
        lines.read_line(&mut line).expect("a line of kubectl port-forward");
        let address = line.split_whitespace().find(|word| word.contains(':')).unwrap_or_default().to_owned();
        Probe { forward, _lines: lines, address, token: token(site) }
    }

    /// Begins `text` there, or tries to; `token`: what to show.
    pub fn apply(&self, token: Option<&str>, text: &str) -> Result<FaultStatus, Status> {
        let request = ApplyFaultsRequest { experiment: text.to_owned(), left_ms: 0 };
        self.ask(token, async |mut admin| admin.apply_faults(request).await.map(tonic::Response::into_inner))
    }

    /// What it says of faults; `token`: what to show.
    pub fn faults_as(&self, token: Option<&str>) -> Result<FaultStatus, Status> {
        self.ask(token, async |mut admin| admin.get_faults(GetFaultsRequest {}).await.map(tonic::Response::into_inner))
    }

    /// What it says of the experiment `id`, and when; empty: it does not know it.
    pub fn state(&self, id: &str) -> (String, SystemTime) {
        let faults = self.faults_as(Some(&self.token)).expect("the node answers whoever shows the token of the Secret");
        let found = faults.experiments.into_iter().find(|experiment| experiment.id == id);
        (found.map(|found| found.state).unwrap_or_default(), SystemTime::now())
    }

    fn ask<T>(
        &self,
        token: Option<&str>,
        ask: impl AsyncFnOnce(driftkv_proto::client::AdminAs) -> Result<T, Status>,
    ) -> Result<T, Status> {
        let caller = token.map(|token| Caller::with_token(token).expect("a token")).unwrap_or_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let admin = admin_as(&self.address, caller).expect("an address");
            tokio::time::timeout(ANSWER_MAX, ask(admin)).await.expect("an answer through the port-forward")
        })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.forward.kill();
        let _ = self.forward.wait();
    }
}

/// The token in the Secret of the cluster.
pub fn token(site: &Site) -> String {
    let secret = format!("{}-admin", site.cluster);
    let template = "go-template={{.data.token | base64decode}}";
    kubectl(&["get", "secret", &secret, "-n", &site.namespace, "-o", template]).trim().to_owned()
}
