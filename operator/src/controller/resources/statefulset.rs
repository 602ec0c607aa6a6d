//! The StatefulSet: pods that start together, are replaced only by the operator, and keep their volumes whatever happens.
//! Invariants: the pod template depends on the spec and on nothing of the operator, so that a newer operator restarts no pod
//! (a golden test guards it); nothing runs as root, and no shell is needed.

use std::collections::BTreeMap;

use driftkv_proto::{ADMIN_PORT, CLIENT_PORT, PEER_PORT};
use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource, GRPCAction, KeyToPath,
    Lifecycle, LifecycleHandler, ObjectFieldSelector, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, SeccompProfile, SecretVolumeSource, SecurityContext,
    SleepAction, TopologySpreadConstraint, Volume, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::super::names::{LABEL_ZONE, Names};
use super::super::token::ACCEPTED;
use super::config::FILE;
use super::network::PORTS;
use crate::crd::{KVCluster, PodsSpec, StorageSpec};

/// The user of the image.
const USER: i64 = 65_532;
const CONFIG_DIR: &str = "/etc/driftkv";
const TOKEN_DIR: &str = "/etc/driftkv-admin";
/// Read by the owner; `fsGroup` adds the group of the process.
const TOKEN_MODE: i32 = 0o400;
/// Volumes may come with a `lost+found`: the node has a directory of its own in it.
const VOLUME_DIR: &str = "/var/lib/driftkv";
const DATA_DIR: &str = "/var/lib/driftkv/data";
/// So long clients are still sent here after the pod is to end: endpoints travel to every machine meanwhile.
const PRE_STOP_S: i64 = 5;
/// The sleep, then 8 s for requests in flight, then the last sync.
const GRACE_S: i64 = 30;
/// Health of the process: "" asks the driver's loop alone, never the disk's or the peers' state.
const ALIVE: &str = "";
/// Whether requests are taken.
const READY: &str = "driftkv.v1.Kv";

/// The StatefulSet of `cluster`.
pub(super) fn stateful_set(cluster: &KVCluster, names: &Names, image: &str, config: &str) -> StatefulSet {
    let selector = LabelSelector { match_labels: Some(names.selector()), ..LabelSelector::default() };
    let PodsSpec { image_pull_secrets, node_selector, tolerations, priority_class_name } = &cluster.spec.pods;
    let pod = PodSpec {
        image_pull_secrets: some(image_pull_secrets.iter().map(Into::into).collect()),
        node_selector: Some(node_selector.clone()).filter(|labels| !labels.is_empty()),
        tolerations: some(tolerations.iter().map(Into::into).collect()),
        priority_class_name: priority_class_name.clone(),
        service_account_name: Some(names.cluster.clone()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_S),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
            ..PodSecurityContext::default()
        }),
        topology_spread_constraints: Some(
            [LABEL_ZONE, "kubernetes.io/hostname"].map(|key| spread(key, &selector)).into(),
        ),
        containers: vec![container(cluster, names, image)],
        volumes: Some(vec![config_volume(config), token_volume(names)]),
        ..PodSpec::default()
    };
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(names.labels()), ..ObjectMeta::default() }),
        spec: Some(pod),
    };
    let keep = || Some("Retain".to_owned());
    let spec = StatefulSetSpec {
        replicas: Some(i32::try_from(cluster.spec.replicas).unwrap_or(i32::MAX)),
        service_name: Some(names.nodes_service()),
        pod_management_policy: Some("Parallel".to_owned()),
        update_strategy: Some(StatefulSetUpdateStrategy { type_: Some("OnDelete".to_owned()), rolling_update: None }),
        persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
            when_deleted: keep(),
            when_scaled: keep(),
        }),
        revision_history_limit: Some(5),
        selector,
        template,
        volume_claim_templates: Some(vec![claim(names, &cluster.spec.storage)]),
        ..StatefulSetSpec::default()
    };
    let metadata = ObjectMeta { name: Some(names.cluster.clone()), ..ObjectMeta::default() };
    StatefulSet { metadata, spec: Some(spec), ..StatefulSet::default() }
}

/// What is empty is left out, so that pods without it stay as they are.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

fn config_volume(config: &str) -> Volume {
    Volume {
        name: "config".to_owned(),
        config_map: Some(ConfigMapVolumeSource { name: config.to_owned(), ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    }
}

/// Never optional: a node without it would let everybody in. Kubernetes brings changes of it into running pods.
fn token_volume(names: &Names) -> Volume {
    let file = KeyToPath { key: ACCEPTED.to_owned(), path: ACCEPTED.to_owned(), mode: None };
    Volume {
        name: "admin-token".to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(names.admin_secret()),
            default_mode: Some(TOKEN_MODE),
            items: Some(vec![file]),
            optional: Some(false),
        }),
        ..Volume::default()
    }
}

/// Evenly over what `key` names, if it can be had.
fn spread(key: &str, selector: &LabelSelector) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(selector.clone()),
        ..TopologySpreadConstraint::default()
    }
}

fn claim(names: &Names, storage: &StorageSpec) -> PersistentVolumeClaim {
    let size = BTreeMap::from([("storage".to_owned(), Quantity(storage.size.clone()))]);
    PersistentVolumeClaim {
        metadata: ObjectMeta { name: Some("data".to_owned()), labels: Some(names.labels()), ..ObjectMeta::default() },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: storage.class_name.clone(),
            resources: Some(VolumeResourceRequirements { requests: Some(size), limits: None }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

fn container(cluster: &KVCluster, names: &Names, image: &str) -> Container {
    let port = |(name, port): (&str, u16)| ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(port),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    Container {
        name: "node".to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec!["/usr/local/bin/driftkv-node".to_owned()]),
        env: Some(environment(names)),
        ports: Some(PORTS.map(port).into()),
        resources: cluster.spec.resources.clone(),
        volume_mounts: Some(vec![
            mount("config", CONFIG_DIR, true),
            mount("admin-token", TOKEN_DIR, true),
            mount("data", VOLUME_DIR, false),
        ]),
        // Order: reading a large journal may take minutes, and liveness must not count them.
        startup_probe: Some(probe(i32::from(ADMIN_PORT), ALIVE, 1, 5, 600)),
        liveness_probe: Some(probe(i32::from(ADMIN_PORT), ALIVE, 10, 5, 6)),
        readiness_probe: Some(probe(i32::from(CLIENT_PORT), READY, 2, 2, 3)),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: PRE_STOP_S }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

fn environment(names: &Names) -> Vec<EnvVar> {
    let plain = |name: &str, value: String| EnvVar { name: name.to_owned(), value: Some(value), value_from: None };
    let field = ObjectFieldSelector { field_path: "metadata.name".to_owned(), api_version: None };
    let name = EnvVar {
        name: "DRIFTKV_NAME".to_owned(),
        value: None,
        value_from: Some(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() }),
    };
    // Kubernetes puts the name in; it must be known before.
    let address = |port| names.address("$(DRIFTKV_NAME)", port);
    vec![
        name,
        plain("DRIFTKV_CONFIG", format!("{CONFIG_DIR}/{FILE}")),
        plain("DRIFTKV_DATA", DATA_DIR.to_owned()),
        // Here and not in the file: an older image, which knows no such setting, takes no notice of it.
        plain("DRIFTKV_ADMIN_TOKEN_FILE", format!("{TOKEN_DIR}/{ACCEPTED}")),
        plain("DRIFTKV_ADVERTISE_CLIENT", address(CLIENT_PORT)),
        plain("DRIFTKV_ADVERTISE_PEER", address(PEER_PORT)),
        plain("DRIFTKV_ADVERTISE_ADMIN", address(ADMIN_PORT)),
    ]
}

fn probe(port: i32, service: &str, period: i32, timeout: i32, failures: i32) -> Probe {
    Probe {
        grpc: Some(GRPCAction { port, service: Some(service.to_owned()) }),
        period_seconds: Some(period),
        timeout_seconds: Some(timeout),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}
