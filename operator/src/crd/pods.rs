//! What a `KVCluster` may say of the pods of its nodes: where they may run, how urgently, and how their image is pulled.
//! The words are those of Kubernetes' PodSpec; the rules are its API server's, said here so that a manifest is refused at once and not
//! later, out of sight, when the operator applies it.
//! Not here: spreading over zones and machines, which is always asked for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Of the pods of all nodes; a change replaces them one by one.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodsSpec {
    /// Secrets of this namespace with which the image is pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Vec<PullSecret>,
    /// Labels that a machine must have to get a node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels")]
    #[x_kube(validation = Rule::new("self.all(key, key.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$'))")
        .message("pods.nodeSelector has a key that is no label's: NAME or DOMAIN/NAME"))]
    #[x_kube(validation = Rule::new("self.all(key, key.size() <= 317)").message("pods.nodeSelector has a key longer than 317 characters"))]
    #[x_kube(validation = Rule::new("self.all(key, self[key].matches('^([A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?)?$'))")
        .message("pods.nodeSelector has a value that is no label's: letters, digits, and - _ . inside; write \"true\" in quotes"))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of machines that do not keep nodes away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tolerations: Vec<Toleration>,
    /// A PriorityClass: who is evicted last where there is no room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
        .message("pods.priorityClassName must be the name of a PriorityClass: a-z, 0-9, - and . inside"))]
    pub priority_class_name: Option<String>,
}

impl PodsSpec {
    /// Whether it says nothing.
    pub fn is_default(&self) -> bool {
        *self == PodsSpec::default()
    }
}

/// A Secret of type `kubernetes.io/dockerconfigjson`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullSecret {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
        .message("pods.imagePullSecrets must name Secrets: a-z, 0-9, - and . inside"))]
    pub name: String,
}

/// Which taints are tolerated.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("(has(self.key) && self.key != '') || self.operator == 'Exists'")
    .message("a toleration without a key tolerates everything and needs `operator: Exists`"))]
#[x_kube(validation = Rule::new("!has(self.value) || self.value == '' || self.operator == 'Equal'")
    .message("a toleration with `operator: Exists` has no value"))]
#[x_kube(validation = Rule::new("!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')")
    .message("tolerationSeconds needs `effect: NoExecute`"))]
pub struct Toleration {
    /// The taint's key; absent: every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    #[x_kube(validation = Rule::new("self == '' || self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$')")
        .message("the key of a toleration must be a taint's: NAME or DOMAIN/NAME"))]
    pub key: Option<String>,
    /// Whether its value matters.
    #[serde(default)]
    pub operator: Matching,
    /// The taint's value, of `operator: Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^([A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?)?$')")
        .message("the value of a toleration must be a taint's: letters, digits, and - _ . inside"))]
    pub value: Option<String>,
    /// The taint's effect; absent: each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// For how many seconds a node stays on a machine that got the taint; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

/// How a toleration matches.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Matching {
    /// The same key and value.
    #[default]
    Equal,
    /// The same key.
    Exists,
}

/// What a taint does.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Keeps new pods away.
    NoSchedule,
    /// Keeps them away if there is another machine.
    PreferNoSchedule,
    /// Drives out those that run, too.
    NoExecute,
}

/// A map with bounds: the API server takes no rule over one without.
fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "maxProperties": 16, "additionalProperties": {"type": "string", "maxLength": 63}
    })
}

impl From<&Toleration> for core::Toleration {
    fn from(toleration: &Toleration) -> Self {
        core::Toleration {
            key: toleration.key.clone(),
            operator: Some(format!("{:?}", toleration.operator)),
            value: toleration.value.clone(),
            effect: toleration.effect.map(|effect| format!("{effect:?}")),
            toleration_seconds: toleration.toleration_seconds,
        }
    }
}

impl From<&PullSecret> for core::LocalObjectReference {
    fn from(secret: &PullSecret) -> Self {
        core::LocalObjectReference { name: secret.name.clone() }
    }
}
