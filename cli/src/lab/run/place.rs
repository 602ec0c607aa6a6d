//! `cluster.kubernetes` of an experiment: where on Kubernetes its cluster is, or is made.
//! Not here: reaching it (`kubernetes`, which needs the feature `kubectl`).

use driftkv_lab::experiment::Experiment;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The field of `cluster`.
pub const KUBERNETES: &str = "kubernetes";

/// Read strictly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Place {
    /// Of the cluster and the load's Job; that of the context if absent.
    pub namespace: Option<String>,
    /// Of the kubeconfig; the current one if absent.
    pub context: Option<String>,
    /// A KVCluster that is there; if absent, one is made of the other fields, and deleted afterwards.
    pub cluster: Option<String>,
    /// Of the load's Job; that of the nodes if absent.
    pub image: Option<String>,
}

impl Place {
    /// Of the fields of `cluster`; `None`: it is not on Kubernetes.
    pub fn of(cluster: &Map<String, Value>) -> Result<Option<Self>, String> {
        let Some(place) = cluster.get(KUBERNETES) else { return Ok(None) };
        let place = Self::deserialize(place).map_err(|error| format!("kubernetes: {error}"))?;
        let fields = [&place.namespace, &place.context, &place.cluster, &place.image];
        let has_blank = fields.into_iter().flatten().any(|field| field.trim().is_empty());
        match has_blank {
            true => Err("kubernetes: its fields are texts that are not empty".to_owned()),
            false => Ok(Some(place)),
        }
    }
}

/// A cluster that is there is not changed, so no grid may ask for two.
pub fn check_same(experiment: &Experiment, place: &Place) -> Result<(), String> {
    let Some(name) = &place.cluster else { return Ok(()) };
    let mut clusters = experiment.grid.cells.iter().map(|cell| (&cell.name, &cell.spec.cluster));
    let Some((first, same)) = clusters.next() else { return Ok(()) };
    match clusters.find(|(_, cluster)| *cluster != same) {
        None => Ok(()),
        Some((other, _)) => Err(format!(
            "cells {first} and {other} ask for different clusters, and the laboratory does not change the KVCluster {name}; without \
             kubernetes.cluster it makes clusters of its own"
        )),
    }
}

/// The first of `wanted` fields that `actual`, a KVCluster's spec, does not have: what was asked and what there is, in words.
#[cfg(feature = "kubectl")]
pub fn differs(wanted: &Map<String, Value>, actual: &Value) -> Option<String> {
    let fields = wanted.iter().filter(|(name, _)| ![KUBERNETES, super::local::NAME].contains(&name.as_str()));
    let mut differing = fields.filter(|(name, value)| !has(actual.get(name.as_str()), value));
    differing.next().map(|(name, value)| {
        let is = actual.get(name).map_or_else(|| "nothing".to_owned(), Value::to_string);
        format!("{name} is to be {value}, and the KVCluster has {is}")
    })
}

/// Whether `actual` says all that `wanted` does; an API server adds what is usual.
#[cfg(feature = "kubectl")]
fn has(actual: Option<&Value>, wanted: &Value) -> bool {
    match (actual, wanted) {
        (Some(Value::Object(actual)), Value::Object(wanted)) => {
            wanted.iter().all(|(name, value)| has(actual.get(name), value))
        }
        (actual, wanted) => actual == Some(wanted),
    }
}

#[cfg(all(test, feature = "kubectl"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::{Place, differs};

    fn place(kubernetes: serde_json::Value) -> Result<Option<Place>, String> {
        Place::of(json!({"replicas": 3, "kubernetes": kubernetes}).as_object().unwrap())
    }

    #[test]
    fn a_place_is_read_strictly() {
        assert_eq!(place(json!({})).unwrap(), Some(Place::default()));
        assert_eq!(Place::of(json!({"replicas": 3}).as_object().unwrap()).unwrap(), None);
        let demo = place(json!({"cluster": "demo", "namespace": "shop"})).unwrap().unwrap();
        assert_eq!((demo.cluster.as_deref(), demo.namespace.as_deref()), (Some("demo"), Some("shop")));
        assert!(place(json!({"cluser": "demo"})).unwrap_err().contains("cluser"));
        assert!(place(json!({"cluster": ""})).unwrap_err().contains("not empty"));
        assert!(place(json!("demo")).is_err());
    }

    #[test]
    fn a_cluster_that_is_not_as_asked_is_told_by_the_field() {
        let actual = json!({"replicas": 3, "readQuorum": 2, "storage": {"size": "1Gi", "class": "fast"}});
        let wanted = |value: serde_json::Value| differs(value.as_object().unwrap(), &actual);
        assert_eq!(wanted(json!({"replicas": 3, "kubernetes": {"cluster": "demo"}, "name": "demo"})), None);
        assert_eq!(wanted(json!({"storage": {"size": "1Gi"}})), None);
        assert!(wanted(json!({"storage": {"size": "2Gi"}})).is_some());
        assert_eq!(wanted(json!({"readQuorum": 1})).unwrap(), "readQuorum is to be 1, and the KVCluster has 2");
        assert_eq!(wanted(json!({"sloppy": true})).unwrap(), "sloppy is to be true, and the KVCluster has nothing");
    }
}
