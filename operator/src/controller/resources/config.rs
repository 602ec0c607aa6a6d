//! The configuration file of the nodes, and the ConfigMap that carries it.
//! Invariant: a ConfigMap is named by its content and never changed: a pod that restarts in the middle of a rolling update
//! comes back as it was, and not ahead of its turn.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::names::Names;
use super::hash;
use crate::crd::{KVCluster, KVClusterSpec, LimitsSpec};

/// The key in the ConfigMap, and the file's name.
pub(super) const FILE: &str = "node.yaml";

/// What nodes read at their start; what differs between them is in their environment.
pub fn config_text(spec: &KVClusterSpec) -> String {
    let LimitsSpec { key_bytes_max, value_bytes_max, siblings_max, hint_bytes_max } = spec.limits;
    let settings = [
        ("replicas", spec.replicas.to_string()),
        ("partitions", spec.partitions.to_string()),
        ("replication-factor", spec.replication_factor.to_string()),
        ("read-quorum", spec.read_quorum.to_string()),
        ("write-quorum", spec.write_quorum.to_string()),
        ("sloppy", spec.sloppy.to_string()),
        ("key-bytes-max", key_bytes_max.to_string()),
        ("value-bytes-max", value_bytes_max.to_string()),
        ("siblings-max", siblings_max.to_string()),
        ("hint-bytes-max", hint_bytes_max.to_string()),
        ("allow-faults", spec.allow_faults.to_string()),
        ("log-format", "json".to_owned()),
    ];
    // Only if asked for: the file's content is its name, and a new name replaces every pod.
    let tracing = spec.tracing.iter();
    let tracing =
        tracing.flat_map(|to| [("otlp-endpoint", to.otlp_endpoint.clone()), ("otlp-sample", to.otlp_sample.clone())]);
    settings.into_iter().chain(tracing).map(|(key, value)| format!("{key}: {value}\n")).collect()
}

/// The ConfigMap `NAME-config-HASH`.
pub(super) fn map(cluster: &KVCluster, names: &Names) -> ConfigMap {
    let text = config_text(&cluster.spec);
    let digits: String = hash(text.as_bytes()).chars().take(8).collect();
    let name = format!("{}-config-{digits}", names.cluster);
    ConfigMap {
        metadata: ObjectMeta { name: Some(name), ..ObjectMeta::default() },
        immutable: Some(true),
        data: Some(BTreeMap::from([(FILE.to_owned(), text)])),
        ..ConfigMap::default()
    }
}
