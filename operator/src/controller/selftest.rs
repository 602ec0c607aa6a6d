//! `driftkv-operator selftest`, which `helm test` runs: a KVCluster of three nodes is made, becomes Ready, is written to and read from
//! through quorums by its client Service, and goes again with its data.
//! Invariants: only a KVCluster that a selftest made is touched; volumes are deleted only beside such a KVCluster, and none begins where
//! volumes of its name are, so they are its own; whatever comes of it, what it made is deleted at the end, and what an earlier one left
//! at the beginning; every wait has a deadline.
//! Not here: the requests (`selftest/requests.rs`), the pod that runs it and its rights (`charts/driftkv/templates/tests`).

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, ListParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout_at};

use super::args::Selftest;
use super::error::{Error, call, call_opt};
use super::names::{LABEL_CLUSTER, Names};
use crate::crd::{KVCluster, KVClusterStatus};

mod requests;
#[cfg(test)]
mod tests;

/// On the KVCluster of a selftest, so that no other is ever taken for one.
pub const LABEL_SELFTEST: &str = "driftkv.io/selftest";
const NODES: u32 = 3;
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// For deleting everything: pods end within 20 s, and a busy Kubernetes takes its time.
const CLEAR_MAX: Duration = Duration::from_secs(90);

/// Why a selftest failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The API server.
    #[error(transparent)]
    Api(#[from] Error),
    /// A KVCluster of this name exists, and no selftest made it.
    #[error("KVCluster {0} exists and has no label {LABEL_SELFTEST}: it is not touched; choose another --name")]
    Foreign(String),
    /// Volumes of this name exist, and nothing says whose data they hold.
    #[error(
        "PersistentVolumeClaim {0} exists without a KVCluster that a selftest made: it may hold somebody's data and is not touched; \
         delete it if nobody needs it, or choose another --name"
    )]
    ForeignVolume(String),
    /// The cluster is not Ready in time.
    #[error("not Ready in time: {0}")]
    NotReady(String),
    /// A request failed, or its answer is not what was written.
    #[error("{0}")]
    Request(String),
    /// What was made is still there.
    #[error("still there, long after it was deleted: {0}")]
    Left(String),
    /// The process was told to end.
    #[error("stopped before its end")]
    Stopped,
}

/// Where it takes place.
struct Site<'a> {
    args: &'a Selftest,
    names: Names,
    clusters: Api<KVCluster>,
    pods: Api<Pod>,
    claims: Api<PersistentVolumeClaim>,
}

/// Runs it until its end or `stop`, and prints each step. Errors: the first thing that went wrong.
pub async fn run(client: Client, args: &Selftest, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    let site = Site {
        args,
        names: Names { cluster: args.name.clone(), namespace: args.namespace.clone() },
        clusters: Api::namespaced(client.clone(), &args.namespace),
        pods: Api::namespaced(client.clone(), &args.namespace),
        claims: Api::namespaced(client, &args.namespace),
    };
    let deadline = Instant::now() + args.timeout;
    site.clear().await?;
    let outcome = tokio::select! {
        outcome = site.steps(deadline) => outcome,
        () = stop => Err(Failure::Stopped),
    };
    let cleared = site.clear().await;
    outcome?;
    cleared?;
    say("deleted it with its volumes: passed");
    Ok(())
}

fn say(words: impl AsRef<str>) {
    println!("selftest: {}", words.as_ref());
}

impl Site<'_> {
    async fn steps(&self, deadline: Instant) -> Result<(), Failure> {
        let began = Instant::now();
        let what = format!("create KVCluster {}", self.args.name);
        call(&what, self.clusters.create(&PostParams::default(), &wanted(self.args)?)).await?;
        say(format!("made KVCluster {}/{} of {NODES} nodes", self.args.namespace, self.args.name));
        self.ready(deadline).await?;
        say(format!("Ready after {:.1} s", began.elapsed().as_secs_f64()));
        let address = self.names.endpoints(NODES).client;
        let left = deadline.saturating_duration_since(Instant::now());
        requests::through_quorums(&address, left).await.map_err(Failure::Request)?;
        say(format!("{address} took writes with W=2 and answered reads with R=2"));
        Ok(())
    }

    /// Errors: what the status and the pods say at the deadline.
    async fn ready(&self, deadline: Instant) -> Result<(), Failure> {
        let mut told = String::new();
        loop {
            let cluster = call("read the KVCluster", self.clusters.get(&self.args.name)).await?;
            if is_ready(&cluster) {
                return Ok(());
            }
            let now = conditions(cluster.status.as_ref());
            if now != told {
                say(format!("waiting: {now}"));
                told = now;
            }
            if timeout_at(deadline, sleep(LOOK_AGAIN)).await.is_err() {
                return Err(Failure::NotReady(format!("{told}; pods: {}", self.pods_in_words().await)));
            }
        }
    }

    async fn list_pods(&self) -> Result<Vec<Pod>, Error> {
        let ours = ListParams::default().labels(&format!("{LABEL_CLUSTER}={}", self.args.name));
        Ok(call("list the pods", self.pods.list(&ours)).await?.items)
    }

    async fn pods_in_words(&self) -> String {
        match self.list_pods().await {
            Ok(pods) if pods.is_empty() => "none".to_owned(),
            Ok(pods) => pods.iter().map(pod_in_words).collect::<Vec<_>>().join(", "),
            Err(error) => error.to_string(),
        }
    }

    /// Order: volumes are told to go while the KVCluster still says whose they are, so that a selftest which ends here is gone on with
    /// by the next; they go when no pod holds them any more.
    async fn clear(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + CLEAR_MAX;
        let name = &self.args.name;
        let found = call_opt("look for the KVCluster", self.clusters.get(name)).await?;
        if let Some(cluster) = &found {
            if !cluster.labels().contains_key(LABEL_SELFTEST) {
                return Err(Failure::Foreign(name.clone()));
            }
            self.claims_left(true).await?;
            call_opt("delete the KVCluster", self.clusters.delete(name, &by_uid(cluster.uid()))).await?;
        }
        while let Some(left) = self.what_is_left(found.is_some()).await? {
            timeout_at(deadline, sleep(LOOK_AGAIN)).await.map_err(|_| Failure::Left(left))?;
        }
        Ok(())
    }

    /// `None`: nothing is left at all. `are_ours`: the volumes are those of a selftest.
    async fn what_is_left(&self, are_ours: bool) -> Result<Option<String>, Failure> {
        if call_opt("look for the KVCluster", self.clusters.get(&self.args.name)).await?.is_some() {
            return Ok(Some(format!("KVCluster {}", self.args.name)));
        }
        let pods = self.list_pods().await?;
        if !pods.is_empty() {
            return Ok(Some(pods.iter().map(pod_in_words).collect::<Vec<_>>().join(", ")));
        }
        let left = self.claims_left(are_ours).await?;
        Ok((!left.is_empty()).then(|| left.join(", ")))
    }

    /// The volumes that are there; tells them to go. Errors: one is not `ours`, and nobody told it to go.
    async fn claims_left(&self, are_ours: bool) -> Result<Vec<String>, Failure> {
        let mut left = Vec::new();
        for ordinal in 0..NODES {
            let name = format!("data-{}", self.names.node(ordinal));
            let Some(claim) = call_opt("look for a volume", self.claims.get(&name)).await? else { continue };
            if claim.metadata.deletion_timestamp.is_none() {
                if !are_ours {
                    return Err(Failure::ForeignVolume(name));
                }
                call_opt(&format!("delete {name}"), self.claims.delete(&name, &by_uid(claim.uid()))).await?;
            }
            left.push(format!("PersistentVolumeClaim {name}"));
        }
        Ok(left)
    }
}

fn by_uid(uid: Option<String>) -> DeleteParams {
    DeleteParams { preconditions: Some(Preconditions { uid, resource_version: None }), ..DeleteParams::default() }
}

/// Small, and with the image that the operator gives to all.
fn wanted(args: &Selftest) -> Result<KVCluster, Error> {
    let spec = json!({
        "replicas": NODES, "partitions": 64, "image": args.image,
        "storage": {"size": args.storage_size, "className": args.storage_class},
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "512Mi"}},
    });
    let spec = serde_json::from_value(spec).map_err(|error| Error::Unreadable {
        what: "the KVCluster of the selftest".to_owned(),
        why: error.to_string(),
    })?;
    let mut cluster = KVCluster::new(&args.name, spec);
    cluster.labels_mut().insert(LABEL_SELFTEST.to_owned(), "true".to_owned());
    Ok(cluster)
}

fn is_ready(cluster: &KVCluster) -> bool {
    let status = cluster.status.as_ref();
    let is_current = status.map(|status| status.observed_generation) == cluster.metadata.generation;
    let is_true =
        |status: &KVClusterStatus| status.conditions.iter().any(|of| of.type_ == "Ready" && of.status == "True");
    is_current && status.is_some_and(is_true)
}

/// Those that say why it is not Ready.
fn conditions(status: Option<&KVClusterStatus>) -> String {
    let Some(status) = status.filter(|status| !status.conditions.is_empty()) else {
        return "it has no status: no operator looks after this namespace, or none can".to_owned();
    };
    let words = status.conditions.iter().filter(|of| of.type_ != "Ready" || of.status != "True");
    words.map(|of| format!("{}={} ({}: {})", of.type_, of.status, of.reason, of.message)).collect::<Vec<_>>().join("; ")
}

fn pod_in_words(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.clone()).unwrap_or_else(|| "without a phase".to_owned());
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    let waiting = containers.into_iter().flatten().filter_map(|container| container.state.as_ref()?.waiting.as_ref());
    let why: Vec<String> = waiting.filter_map(|waiting| waiting.reason.clone()).collect();
    let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
    format!("{} {phase}{why}", pod.name_any())
}
