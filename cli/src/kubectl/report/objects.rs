//! The objects of Kubernetes in a report: those of the cluster by their label, its events, and its operator.
//! Invariants: no Secret is among them; lists are limited, and what was left out for that is told.

use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use serde_json::{Value, json};

use super::bundle::Bundle;
use super::redact;
use crate::args::Output;
use crate::error::{Exit, Failure};
use crate::kubectl::cluster::{Cluster, LABEL_CLUSTER};
use crate::kubectl::site::{Site, call};
use crate::style;

/// Objects of a kind.
const OBJECTS_MAX: u32 = 1_000;
/// What selects the operator and its pods.
const OPERATOR: &str = "app.kubernetes.io/name=driftkv-operator";
/// Where it is by the words of the README.
const OPERATOR_HOME: &str = "driftkv-system";

/// Kinds that a cluster is made of: group, version, kind, plural.
const KINDS: [[&str; 4]; 8] = [
    ["apps", "v1", "StatefulSet", "statefulsets"],
    ["", "v1", "Pod", "pods"],
    ["", "v1", "Service", "services"],
    ["", "v1", "ConfigMap", "configmaps"],
    ["", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"],
    ["", "v1", "ServiceAccount", "serviceaccounts"],
    ["policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"],
    ["networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"],
];
const EVENTS: [&str; 4] = ["", "v1", "Event", "events"];
const DEPLOYMENTS: [&str; 4] = ["apps", "v1", "Deployment", "deployments"];
const PODS: [&str; 4] = ["", "v1", "Pod", "pods"];

/// The objects of the cluster, and its events.
pub async fn of_cluster(bundle: &mut Bundle, site: &Site, cluster: &Cluster) -> Result<(), Failure> {
    let mut object = cluster.object.clone();
    bundle.add_or_tell("kvcluster.yaml", yaml(&mut object))?;
    let label = format!("{LABEL_CLUSTER}={}", cluster.name);
    for kind in KINDS {
        let found = list(bundle, site, Some(&site.namespace), kind, &label).await;
        write(bundle, &format!("objects/{}.yaml", plural(kind)), found)?;
    }
    let events = list(bundle, site, Some(&site.namespace), EVENTS, "").await;
    let ours = events.map(|events| events.into_iter().filter(|event| is_about(event, &cluster.name)).collect());
    write(bundle, "events.yaml", ours)
}

/// The operator: its Deployment and its pods. The namespace and name of each pod.
pub async fn of_operator(
    bundle: &mut Bundle,
    site: &Site,
    namespace: Option<&str>,
) -> Result<Vec<(String, String)>, Failure> {
    let mut deployments = list(bundle, site, namespace, DEPLOYMENTS, OPERATOR).await;
    if namespace.is_none() && deployments.is_err() {
        // Not everybody may look everywhere.
        let mut nearby = Vec::new();
        for namespace in [OPERATOR_HOME, &site.namespace] {
            nearby.extend(list(bundle, site, Some(namespace), DEPLOYMENTS, OPERATOR).await.unwrap_or_default());
        }
        if !nearby.is_empty() {
            deployments = Ok(nearby);
        }
    }
    let namespaces = deployments.as_deref().unwrap_or_default().iter().map(|found| text(found, "namespace"));
    let mut namespaces: Vec<String> = namespaces.collect();
    namespaces.dedup();
    if deployments.as_ref().is_ok_and(Vec::is_empty) {
        bundle.gap(format!(
            "the operator: no Deployment has the label {OPERATOR}; --operator-namespace names another place"
        ));
    }
    write(bundle, "operator/deployments.yaml", deployments)?;
    let mut pods = Vec::new();
    for namespace in namespaces {
        let found = list(bundle, site, Some(&namespace), PODS, OPERATOR).await;
        pods.extend(found.iter().flatten().map(|pod| (namespace.clone(), text(pod, "name"))));
        write(bundle, &format!("operator/{namespace}/pods.yaml"), found)?;
    }
    Ok(pods)
}

fn text(object: &Value, field: &str) -> String {
    object.pointer(&format!("/metadata/{field}")).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn plural([_, _, _, plural]: [&str; 4]) -> &str {
    plural
}

/// Those with `label`, in one namespace or all. `bundle` hears of more than are listed.
async fn list(
    bundle: &mut Bundle,
    site: &Site,
    namespace: Option<&str>,
    [group, version, kind, plural]: [&str; 4],
    label: &str,
) -> Result<Vec<Value>, Failure> {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.clone(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    let (api, place): (Api<DynamicObject>, String) = match namespace {
        Some(namespace) => {
            (Api::namespaced_with(site.client.clone(), namespace, &resource), format!("of namespace {namespace}"))
        }
        None => (Api::all_with(site.client.clone(), &resource), "of all namespaces".to_owned()),
    };
    let params = ListParams::default().labels(label).limit(OBJECTS_MAX);
    let found = call(&format!("list the {plural} {place}"), api.list(&params)).await?;
    if found.metadata.continue_.as_ref().is_some_and(|more| !more.is_empty()) {
        bundle.gap(format!("{plural} {place}: only the first {OBJECTS_MAX} were read"));
    }
    // Items of a list do not say what they are.
    let whole = |object: DynamicObject| {
        let mut value = serde_json::to_value(object).ok()?;
        let fields = value.as_object_mut()?;
        fields.insert("apiVersion".to_owned(), json!(api_version));
        fields.insert("kind".to_owned(), json!(kind));
        Some(value)
    };
    Ok(found.items.into_iter().filter_map(whole).collect())
}

/// Whether an event is about the cluster `name` or what belongs to it.
fn is_about(event: &Value, name: &str) -> bool {
    let about = event.pointer("/involvedObject/name").and_then(Value::as_str).unwrap_or_default();
    let own = about.strip_prefix("data-").unwrap_or(about);
    own == name || own.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
}

/// All of them as documents of one file.
fn write(bundle: &mut Bundle, path: &str, found: Result<Vec<Value>, Failure>) -> Result<(), Failure> {
    let documents = found.and_then(|mut found| {
        let texts = found.iter_mut().map(|object| Ok(format!("---\n{}", yaml(object)?)));
        texts.collect::<Result<String, Failure>>()
    });
    match documents {
        // Kinds that this Kubernetes does not have.
        Err(failure) if failure.exit == Exit::NotFound => Ok(()),
        documents => bundle.add_or_tell(path, documents),
    }
}

fn yaml(object: &mut Value) -> Result<String, Failure> {
    redact::object(object);
    style::for_programs(Output::Yaml, object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{KINDS, is_about};

    #[test]
    fn no_kind_of_a_report_is_a_secret() {
        assert!(KINDS.iter().all(|[_, _, kind, _]| *kind != "Secret"));
    }

    #[test]
    fn events_of_the_cluster_its_pods_and_its_volumes_are_told_from_others() {
        let about = |name: &str| is_about(&json!({"involvedObject": {"name": name}}), "demo");
        assert!(["demo", "demo-0", "data-demo-0", "demo-nodes"].into_iter().all(about));
        assert!(!["demonstration", "data-other-0", "other", ""].into_iter().any(about));
    }
}
