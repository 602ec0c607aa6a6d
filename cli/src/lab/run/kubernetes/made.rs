//! A KVCluster that the laboratory makes for an experiment, and deletes with its volumes.
//! Invariant: what was there before is never taken for ours: a KVCluster of the same name is an error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use driftkv_operator::crd::LAB;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use serde_json::Value;
use tokio::time::sleep;

use crate::error::{Exit, Failure};
use crate::kubectl::cluster::{self, Cluster, LABEL_CLUSTER};
use crate::kubectl::site::{Site, call, call_opt};

/// How long it may take to be Ready.
const READY_MAX: Duration = Duration::from_secs(180);
/// How long it may take to go.
const GONE_MAX: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Makes the KVCluster of `manifest`. Gives its name.
pub async fn make(site: &Site, manifest: &Value) -> Result<String, Failure> {
    let wrong = |error: serde_json::Error| Failure::failed(format!("a KVCluster: {error}"));
    let mut object: DynamicObject = serde_json::from_value(manifest.clone()).map_err(wrong)?;
    let name = object.metadata.name.clone().unwrap_or_default();
    let labels = object.metadata.labels.get_or_insert_default();
    labels.insert("app.kubernetes.io/managed-by".to_owned(), LAB.to_owned());
    let what = format!("make the KVCluster {name} in namespace {}", site.namespace);
    let params = PostParams { field_manager: Some(LAB.to_owned()), ..PostParams::default() };
    call(&what, cluster::api(site).create(&params, &object)).await.map_err(|failure| match failure.exit {
        Exit::Conflict => Failure::conflict(format!("{what}: there is one of that name already")).hint(format!(
            "To run the experiment on it: cluster.kubernetes.cluster: {name}, or --cluster {name}. Another name: cluster.name."
        )),
        _ => failure,
    })?;
    Ok(name)
}

/// Waits until it is Ready. `false`: that was stopped.
pub async fn ready(site: &Site, name: &str, stop: &AtomicBool) -> Result<bool, Failure> {
    let began = Instant::now();
    loop {
        let now = match Cluster::find(site, Some(name)).await {
            // The API server may be away for a while; the cluster is not.
            Err(failure) if failure.exit == Exit::Unavailable && began.elapsed() < READY_MAX => {
                sleep(LOOK_EVERY).await;
                continue;
            }
            now => now?,
        };
        if is_ready(&now) || stop.load(Ordering::Relaxed) {
            return Ok(is_ready(&now));
        }
        if began.elapsed() > READY_MAX {
            let why = |condition: &str| {
                let found = now.conditions().into_iter().find(|one| one.type_ == condition);
                found.map_or_else(
                    || "the operator has said nothing of it".to_owned(),
                    |one| format!("{}: {}", one.reason, one.message),
                )
            };
            return Err(Failure::unavailable(format!(
                "the KVCluster {name} is not Ready after {} s: {}",
                READY_MAX.as_secs(),
                why("Ready")
            ))
            .hint(format!("`kubectl driftkv status {name} -n {}` shows why.", site.namespace)));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Whether it is as its spec says.
pub fn is_ready(cluster: &Cluster) -> bool {
    let is_current = cluster.number("/metadata/generation") == cluster.number("/status/observedGeneration");
    let is_so = cluster.conditions().iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    is_so && is_current
}

/// Deletes it and its volumes, and waits until it is gone.
pub async fn remove(site: &Site, name: &str) -> Result<(), Failure> {
    let what = format!("delete the KVCluster {name} of namespace {}", site.namespace);
    call_opt(&what, cluster::api(site).delete(name, &DeleteParams::default())).await?;
    let began = Instant::now();
    while call_opt(&what, cluster::api(site).get(name)).await?.is_some() {
        if began.elapsed() > GONE_MAX {
            return Err(Failure::unavailable(format!("{what}: it is still there after {} s", GONE_MAX.as_secs()))
                .hint("Is the operator running? It ends a cluster in order."));
        }
        sleep(LOOK_EVERY).await;
    }
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(site.client.clone(), &site.namespace);
    let ours = ListParams::default().labels(&format!("{LABEL_CLUSTER}={name}"));
    call(&format!("delete the volumes of {name}"), claims.delete_collection(&DeleteParams::default(), &ours))
        .await
        .map(drop)
}
