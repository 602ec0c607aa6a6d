//! What a KVCluster becomes: pure builders of every object, from the spec alone.
//! Invariants: the same spec gives the same bytes; every object has an owner reference, so that Kubernetes' garbage collector
//! deletes it with the KVCluster, operator or not. Volumes have none: they outlive it.
//! Not here: whether an object must be written (`plan/drift`).

mod config;
mod network;
mod statefulset;
#[cfg(test)]
mod tests;

use kube::Resource;
use serde_json::{Value, json};
use twox_hash::XxHash3_64;

use super::kind::Kind;
use super::names::{ANNOTATION_APPLIED, Names};
use crate::crd::KVCluster;

pub use config::config_text;

/// An object as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// All that is asked for, ready to be applied.
    pub body: Value,
}

/// What the builders need besides the KVCluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// The image of nodes whose spec names none.
    pub image: String,
}

/// Every object of `cluster`, in the order in which they are made. Errors: none that a valid KVCluster can cause.
pub fn build(cluster: &KVCluster, defaults: &Defaults) -> Result<Vec<Wanted>, serde_json::Error> {
    let names = Names::of(cluster);
    let config = config::map(cluster, &names);
    let config_name = config.metadata.name.clone().unwrap_or_default();
    let image = cluster.spec.image.clone().unwrap_or_else(|| defaults.image.clone());
    let objects = [
        (Kind::ServiceAccount, serde_json::to_value(network::service_account(&names))?),
        (Kind::ConfigMap, serde_json::to_value(config)?),
        (Kind::Service, serde_json::to_value(network::nodes_service(&names))?),
        (Kind::Service, serde_json::to_value(network::client_service(&names))?),
        (Kind::NetworkPolicy, serde_json::to_value(network::policy(&names, cluster.spec.allow_faults))?),
        (Kind::PodDisruptionBudget, serde_json::to_value(network::disruption_budget(&names))?),
        (Kind::ServiceMonitor, network::monitor(&names)),
        (Kind::StatefulSet, serde_json::to_value(statefulset::stateful_set(cluster, &names, &image, &config_name))?),
    ];
    Ok(objects.into_iter().map(|(kind, body)| finish(cluster, &names, kind, body)).collect())
}

/// Adds what every object has: namespace, labels, owner, and the hash of all of it.
fn finish(cluster: &KVCluster, names: &Names, kind: Kind, mut body: Value) -> Wanted {
    let resource = kind.resource();
    let common = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {
            "namespace": names.namespace,
            "labels": names.labels(),
            "ownerReferences": [cluster.controller_owner_ref(&())],
        },
    });
    merge(&mut body, common);
    let hash = hash(body.to_string().as_bytes());
    merge(&mut body, json!({"metadata": {"annotations": {ANNOTATION_APPLIED: hash}}}));
    let name = body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    Wanted { kind, name, body }
}

/// Puts `more` into `body`; where both have something, that of `more` stays.
fn merge(body: &mut Value, more: Value) {
    match (body, more) {
        (Value::Object(body), Value::Object(more)) => {
            more.into_iter().for_each(|(key, value)| merge(body.entry(key).or_insert(Value::Null), value));
        }
        (body, more) => *body = more,
    }
}

/// Sixteen hexadecimal digits, the same in every version of the operator.
fn hash(bytes: &[u8]) -> String {
    format!("{:016x}", XxHash3_64::oneshot(bytes))
}
