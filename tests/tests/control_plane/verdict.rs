//! What must hold after an operation, whatever happened in it.
//! Invariant: the end is compared with that of a run without faults, as text, less what differs between any two clusters.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Resource;
use kube::api::{Api, ListParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::site::Site;

/// What is different in every cluster, and says nothing.
const FIELDS: [&str; 18] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "time",
    "clusterIP",
    "clusterIPs",
    "lastTransitionTime",
    "observedGeneration",
    "podIP",
    "podIPs",
    "driftkv.io/applied",
    "fieldsV1",
    "clusterId",
    "startTime",
    "currentRevision",
    "updateRevision",
    "controller-revision-hash",
];

/// Everything in the namespace, as lines of JSON.
pub async fn end_state(site: &Site) -> Vec<String> {
    let mut lines = objects::<StatefulSet>(site).await;
    lines.extend(objects::<Service>(site).await);
    lines.extend(objects::<ConfigMap>(site).await);
    lines.extend(objects::<ServiceAccount>(site).await);
    lines.extend(objects::<Secret>(site).await);
    lines.extend(objects::<NetworkPolicy>(site).await);
    lines.extend(objects::<PodDisruptionBudget>(site).await);
    lines.extend(objects::<PersistentVolumeClaim>(site).await);
    lines.extend(objects::<Pod>(site).await);
    lines.push(line(site, site.get().await.expect("the KVCluster")));
    lines
}

async fn objects<K>(site: &Site) -> Vec<String>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned + Serialize,
    K::DynamicType: Default,
{
    let api: Api<K> = Api::namespaced(site.client.clone(), &site.namespace);
    let labelled = ListParams::default().labels("driftkv.io/cluster=demo");
    let mut objects = api.list(&labelled).await.expect("a list").items;
    objects.sort_by_key(|object| object.meta().name.clone());
    objects.into_iter().map(|object| line(site, object)).collect()
}

fn line<K: Resource + Serialize>(site: &Site, object: K) -> String
where
    K::DynamicType: Default,
{
    let kind = K::kind(&K::DynamicType::default()).into_owned();
    let mut value = serde_json::to_value(object).expect("JSON");
    // Kubernetes' own counting, which goes on after ours.
    if kind != "KVCluster"
        && let Some(map) = value.as_object_mut()
    {
        map.remove("status");
    }
    // Tokens are random: that they are there is all.
    for token in value.get_mut("data").and_then(Value::as_object_mut).into_iter().flat_map(|data| data.values_mut()) {
        if kind == "Secret" {
            *token = Value::from(token.as_str().map(str::len));
        }
    }
    strip(&mut value);
    format!("{kind} {}", value.to_string().replace(&site.namespace, "NAMESPACE"))
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            FIELDS.iter().for_each(|field| drop(map.remove(*field)));
            map.values_mut().for_each(strip);
            if let Some(managers) = map.get_mut("managedFields").and_then(Value::as_array_mut) {
                // Only ours: controllers come and go.
                managers.retain(|entry| !entry.to_string().contains("kube-controller-manager"));
                managers.sort_by_key(Value::to_string);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// What differs from `expected`, and what the nodes saw that may not be.
///
/// `replaced`: pods that the operation replaces, each once.
pub async fn wrong(site: &Site, expected: &[String], replaced: usize) -> Vec<String> {
    let mut wrong = site.nodes.breaches();
    let found = end_state(site).await;
    if found.len() != expected.len() {
        wrong.push(format!("{} objects, expected {}", found.len(), expected.len()));
    }
    let differing = found.iter().zip(expected).filter(|(found, expected)| found != expected);
    wrong.extend(differing.map(|(found, expected)| difference(found, expected)));
    let mut deleted = site.nodes.deletions();
    let count = deleted.len();
    deleted.sort();
    deleted.dedup();
    if count != replaced || deleted.len() != replaced {
        wrong.push(format!("{count} pods were replaced, {} different ones; expected {replaced}", deleted.len()));
    }
    let (bootstraps, ids) = site.nodes.formation();
    if bootstraps != [1, 1, 1] {
        wrong.push(format!("nodes took {bootstraps:?} bootstraps"));
    }
    let id: Vec<String> = ids.iter().map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
    if id != [site.first_uid.clone().unwrap_or_default().replace('-', "")] {
        wrong.push(format!("the nodes' cluster is {id:?}, expected the UID of the KVCluster {:?}", site.first_uid));
    }
    wrong
}

/// Where two lines part.
fn difference(found: &str, expected: &str) -> String {
    let at = found.bytes().zip(expected.bytes()).take_while(|(a, b)| a == b).count();
    let part = |text: &str| text.chars().skip(at.saturating_sub(60)).take(160).collect::<String>();
    let kind = found.split(' ').next().unwrap_or_default();
    format!("{kind} is otherwise: …{}… expected …{}…", part(found), part(expected))
}
