//! The `KVCluster` resource: its Rust types, and the CustomResourceDefinition made from them.
//! The rules are those of `driftkv_core::config`, said again as schema bounds and CEL so that the API server refuses
//! at once what a node would refuse later; a test compares both.
//! Invariant: no field is named with a letter alone, for YAML 1.1 reads `n` and `y` as booleans.

use driftkv_core::config::{ClusterConfig, Limits};
use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

mod chaos;
mod pods;
mod status;

pub use chaos::{ChaosKill, ChaosPhase, ChaosState, ChaosStatus, ChaosTarget};
pub use pods::{Effect, Matching, PodsSpec, PullSecret, Toleration};
pub use status::{Endpoints, KVClusterStatus, NodeStatus, Phase, ZoneSource};

/// `apiVersion` of every manifest.
pub const API_VERSION: &str = "driftkv.io/v1alpha1";
/// `kind` of every manifest.
pub const KIND: &str = "KVCluster";

/// The name, by `app.kubernetes.io/name`, of the pods of the laboratory's runs (`driftkv lab run --kubernetes`).
pub const LAB: &str = "driftkv-lab";
/// On these: the cluster that each is for.
pub const LABEL_LAB_CLUSTER: &str = "driftkv.io/lab-cluster";

/// What a cluster should be.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "driftkv.io",
    version = "v1alpha1",
    kind = "KVCluster",
    plural = "kvclusters",
    shortname = "kvc",
    namespaced,
    status = "KVClusterStatus",
    derive = "PartialEq",
    validation = Rule::new("self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must be at most 40 characters, a-z, 0-9 and - inside, with a letter first: Services and nodes are named after it"),
    doc = "A replicated key-value store in the manner of Dynamo.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.conditions[?(@.type==\"Available\")].status",
        description = "Whether requests with the quorums of the spec are served."),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas",
        description = "Nodes that take requests."),
    printcolumn(name = "Updated", type_ = "integer", json_path = ".status.updatedReplicas",
        description = "Nodes that run what the spec asks for."),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Layout", type_ = "integer", json_path = ".status.layoutVersion"),
    printcolumn(name = "Why", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "The reason of the condition Ready."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.replicationFactor <= self.replicas")
    .message("replicationFactor must be at most replicas: each copy of a key lives on a node of its own")
    .field_path(".replicationFactor"))]
#[x_kube(validation = Rule::new("self.readQuorum <= self.replicationFactor")
    .message("readQuorum must be at most replicationFactor").field_path(".readQuorum"))]
#[x_kube(validation = Rule::new("self.writeQuorum <= self.replicationFactor")
    .message("writeQuorum must be at most replicationFactor").field_path(".writeQuorum"))]
pub struct KVClusterSpec {
    /// Number of nodes; cannot change yet.
    #[schemars(range(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("replicas cannot change yet: moving data between nodes comes with a later version; make a cluster of the size you need"))]
    pub replicas: u32,
    /// Slices of the hash ring, a power of two; fixed for the life of the cluster.
    #[serde(default = "defaults::partitions")]
    #[schemars(range(min = 1, max = 65536))]
    #[x_kube(validation = Rule::new("self in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]")
        .message("partitions must be a power of two from 1 to 65536"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("partitions cannot change: every key would move"))]
    pub partitions: u32,
    /// N: nodes that own a copy of each key; fixed for the life of the cluster.
    #[serde(default = "defaults::replication_factor")]
    #[schemars(range(min = 1, max = 7))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("replicationFactor cannot change"))]
    pub replication_factor: u32,
    /// R: answers a get waits for, unless the request says otherwise.
    #[serde(default = "defaults::read_quorum")]
    #[schemars(range(min = 1, max = 7))]
    pub read_quorum: u32,
    /// W: commits a put waits for, unless the request says otherwise.
    #[serde(default = "defaults::write_quorum")]
    #[schemars(range(min = 1, max = 7))]
    pub write_quorum: u32,
    /// Whether stand-ins count toward a quorum while owners are unreachable.
    #[serde(default = "defaults::sloppy")]
    pub sloppy: bool,
    /// The disk of each node; cannot change yet.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("storage cannot change yet: growing volumes comes with a later version; make a cluster with the volumes you need"))]
    pub storage: StorageSpec,
    /// Sizes that a node refuses to exceed.
    #[serde(default)]
    pub limits: LimitsSpec,
    /// Whether nodes obey injected faults. Leave it off where data matters.
    #[serde(default)]
    pub allow_faults: bool,
    /// The container image; the one that the operator was told at its start (`--image`) if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9[][^[:space:]]*$')")
        .message("image must be a reference such as registry.example/driftkv:0.1.0, without spaces"))]
    pub image: Option<String>,
    /// CPU and memory of each node's container.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "resources")]
    #[x_kube(validation = Rule::new("!has(self.limits) || self.limits.all(name, isQuantity(string(self.limits[name])) && !string(self.limits[name]).startsWith('-'))")
        .message("resources.limits has an amount that is none: write 2, 500m or 1Gi"))]
    #[x_kube(validation = Rule::new("!has(self.requests) || self.requests.all(name, isQuantity(string(self.requests[name])) && !string(self.requests[name]).startsWith('-'))")
        .message("resources.requests has an amount that is none: write 2, 500m or 1Gi"))]
    #[x_kube(validation = Rule::new("!has(self.limits) || self.limits.all(name, name in ['cpu', 'memory', 'ephemeral-storage'] || name.startsWith('hugepages-') || name.contains('/'))")
        .message("resources.limits names something unknown: cpu, memory, ephemeral-storage, hugepages-SIZE or DOMAIN/NAME"))]
    #[x_kube(validation = Rule::new("!has(self.requests) || self.requests.all(name, name in ['cpu', 'memory', 'ephemeral-storage'] || name.startsWith('hugepages-') || name.contains('/'))")
        .message("resources.requests names something unknown: cpu, memory, ephemeral-storage, hugepages-SIZE or DOMAIN/NAME"))]
    #[x_kube(validation = Rule::new("!has(self.limits) || !has(self.requests) || self.requests.all(name, !(name in self.limits) || !isQuantity(string(self.requests[name])) || !isQuantity(string(self.limits[name])) || quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)")
        .message("resources.requests must be at most resources.limits"))]
    #[x_kube(validation = Rule::new("!has(self.claims) || self.claims.size() == 0")
        .message("resources.claims has no meaning here: the pods have no resource claims"))]
    pub resources: Option<ResourceRequirements>,
    /// Of the pods of all nodes: where they may run, and how their image is pulled.
    #[serde(default, skip_serializing_if = "PodsSpec::is_default")]
    pub pods: PodsSpec,
    /// Where the nodes' traces go; nowhere if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<TracingSpec>,
    /// Zones that a local run spreads its nodes over, in turn. On Kubernetes the topology of its nodes decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub zones: Vec<String>,
}

/// The disk of each node.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StorageSpec {
    /// Size of the volume, such as 10Gi.
    #[serde(default = "defaults::size")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("self.matches('^[1-9][0-9]{0,17}(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$')")
        .message("storage.size must be a whole number with a unit, such as 10Gi"))]
    #[x_kube(validation = Rule::new("!isQuantity(self) || quantity(self).compareTo(quantity('1Mi')) >= 0")
        .message("storage.size must be at least 1Mi; without a unit it is bytes: write 10Gi"))]
    pub size: String,
    /// Its StorageClass; the default one of the Kubernetes cluster if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')")
        .message("storage.className must be the name of a StorageClass: a-z, 0-9, - and . inside"))]
    pub class_name: Option<String>,
}

impl Default for StorageSpec {
    fn default() -> Self {
        StorageSpec { size: defaults::size(), class_name: None }
    }
}

/// Where the nodes' traces go.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TracingSpec {
    /// An OpenTelemetry collector that takes OTLP over gRPC: http://HOST:PORT.
    #[schemars(length(min = 1, max = 300))]
    #[x_kube(validation = Rule::new("self.matches('^http://[A-Za-z0-9]([-.A-Za-z0-9]*[A-Za-z0-9])?:[1-9][0-9]{0,4}$')")
        .message("tracing.otlpEndpoint must be http://HOST:PORT, such as http://collector.monitoring:4317"))]
    pub otlp_endpoint: String,
    /// The share of requests that come without a trace and are recorded, such as 1%.
    #[serde(default = "defaults::otlp_sample")]
    #[schemars(length(min = 2, max = 8))]
    #[x_kube(validation = Rule::new("self.matches('^(100|[0-9]{1,2}([.][0-9]{1,4})?)%$')")
        .message("tracing.otlpSample must be a share from 0% to 100%, such as 1%"))]
    pub otlp_sample: String,
}

/// Sizes that a node refuses to exceed.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.siblingsMax * self.valueBytesMax <= 1073741824")
    .message("siblingsMax times valueBytesMax must be at most 1073741824 bytes (1 GiB)").field_path(".siblingsMax"))]
pub struct LimitsSpec {
    /// Longest key, and longest bucket name, in bytes.
    #[serde(default = "defaults::key_bytes_max")]
    #[schemars(range(min = 1, max = 30720))]
    pub key_bytes_max: u32,
    /// Longest value, in bytes.
    #[serde(default = "defaults::value_bytes_max")]
    #[schemars(range(min = 1, max = 16777216))]
    pub value_bytes_max: u32,
    /// Most concurrent values of one key.
    #[serde(default = "defaults::siblings_max")]
    #[schemars(range(min = 1, max = 4294967295u32))]
    pub siblings_max: u32,
    /// Bytes of hints that one node keeps for one other.
    #[serde(default = "defaults::hint_bytes_max")]
    #[schemars(range(min = 1, max = 1125899906842624u64))]
    pub hint_bytes_max: u64,
}

impl Default for LimitsSpec {
    fn default() -> Self {
        let Limits { key_bytes_max, value_bytes_max, siblings_max, hint_bytes_max } = Limits::default();
        LimitsSpec { key_bytes_max, value_bytes_max, siblings_max, hint_bytes_max }
    }
}

mod defaults {
    use super::{ClusterConfig, Limits};

    pub(super) fn partitions() -> u32 {
        ClusterConfig::default().partitions
    }
    pub(super) fn replication_factor() -> u32 {
        ClusterConfig::default().replication_factor
    }
    pub(super) fn read_quorum() -> u32 {
        ClusterConfig::default().read_quorum
    }
    pub(super) fn write_quorum() -> u32 {
        ClusterConfig::default().write_quorum
    }
    pub(super) fn sloppy() -> bool {
        ClusterConfig::default().sloppy
    }
    pub(super) fn size() -> String {
        "10Gi".to_owned()
    }
    pub(super) fn otlp_sample() -> String {
        "1%".to_owned()
    }
    pub(super) fn key_bytes_max() -> u32 {
        Limits::default().key_bytes_max
    }
    pub(super) fn value_bytes_max() -> u32 {
        Limits::default().value_bytes_max
    }
    pub(super) fn siblings_max() -> u32 {
        Limits::default().siblings_max
    }
    pub(super) fn hint_bytes_max() -> u64 {
        Limits::default().hint_bytes_max
    }
}

/// As Kubernetes reads them: `cpu: 1` is `cpu: "1"`.
fn resources<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ResourceRequirements>, D::Error> {
    let Some(mut value) = Option::<Value>::deserialize(from)? else { return Ok(None) };
    for amounts in ["limits", "requests"] {
        for amount in value.get_mut(amounts).and_then(Value::as_object_mut).into_iter().flat_map(|map| map.values_mut())
        {
            if amount.is_number() {
                *amount = Value::from(amount.to_string());
            }
        }
    }
    serde_json::from_value(value).map(Some).map_err(D::Error::custom)
}

impl From<&KVClusterSpec> for ClusterConfig {
    fn from(spec: &KVClusterSpec) -> Self {
        let LimitsSpec { key_bytes_max, value_bytes_max, siblings_max, hint_bytes_max } = spec.limits;
        ClusterConfig {
            replicas: spec.replicas,
            partitions: spec.partitions,
            replication_factor: spec.replication_factor,
            read_quorum: spec.read_quorum,
            write_quorum: spec.write_quorum,
            sloppy: spec.sloppy,
            limits: Limits { key_bytes_max, value_bytes_max, siblings_max, hint_bytes_max },
        }
    }
}

/// The CustomResourceDefinition as YAML, as it stands in `crds/`.
pub fn crd_yaml() -> Result<String, Box<dyn std::error::Error>> {
    let mut crd = serde_json::to_value(KVCluster::crd())?;
    make_structural(&mut crd);
    let resources = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/resources/properties";
    if let Some(schema) = crd.pointer_mut(resources) {
        remove_descriptions(schema);
        describe_amounts(schema);
        bound_amounts(schema);
    }
    let header = "# Generated by `cargo run -p driftkv-operator --bin crdgen`; change operator/src/crd.rs instead.\n";
    Ok(format!("{header}{}", serde_saphyr::to_string(&crd)?))
}

/// Takes out what the API server refuses or warns of (`additionalProperties: false`, formats it does not know), and
/// writes whole bounds as whole numbers.
fn make_structural(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.retain(|key, value| match key.as_str() {
                "additionalProperties" => *value != Value::Bool(false),
                "format" => !value.as_str().is_some_and(|format| format.starts_with("uint")),
                _ => true,
            });
            for (key, value) in map.iter_mut() {
                let bound = value.as_f64().filter(|_| key == "minimum" || key == "maximum");
                match bound.filter(|bound| bound.fract() == 0.0) {
                    Some(bound) => *value = Value::from(bound as i64),
                    None => make_structural(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_structural),
        _ => {}
    }
}

/// The API server takes no rule over maps and texts without bounds: it might cost too much.
fn bound_amounts(schema: &mut Value) {
    for name in ["limits", "requests"] {
        let Some(amounts) = schema.get_mut(name).and_then(Value::as_object_mut) else { continue };
        amounts.insert("maxProperties".to_owned(), Value::from(16));
        if let Some(amount) = amounts.get_mut("additionalProperties").and_then(Value::as_object_mut) {
            amount.insert("maxLength".to_owned(), Value::from(32));
        }
    }
}

/// Fields of `resources`, by their places in its schema, and what `kubectl explain` says of them.
const AMOUNTS: [(&str, &str); 5] = [
    ("/limits", "The most that the container may use of each resource, such as memory: 1Gi."),
    ("/requests", "What is kept free for the container of each resource, such as cpu: 500m; its limit if absent."),
    ("/claims", "Must be empty: the pods have no resource claims."),
    ("/claims/items/properties/name", "The name of a resource claim of the pod."),
    ("/claims/items/properties/request", "Which request of that claim; all of it if absent."),
];

fn describe_amounts(schema: &mut Value) {
    for (place, says) in AMOUNTS {
        let Some(field) = schema.pointer_mut(place).and_then(Value::as_object_mut) else { continue };
        field.insert("description".to_owned(), Value::from(says));
    }
}

/// Kubernetes documents its own types, at length; a sentence of ours takes the place of that.
fn remove_descriptions(schema: &mut Value) {
    if let Value::Object(map) = schema {
        map.remove("description");
        map.values_mut().for_each(remove_descriptions);
    }
}
