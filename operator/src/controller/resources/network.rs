//! How a cluster is reached, by whom, and what evictions may do to it: Services, NetworkPolicy, disruption budget,
//! ServiceAccount, ServiceMonitor.
//! Invariant: the headless Service publishes nodes that are not ready, since nodes must find each other in order to become ready;
//! the client Service does not.

use k8s_openapi::api::core::v1::{Service, ServiceAccount, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use driftkv_proto::{ADMIN_PORT, CLIENT_PORT, METRICS_PORT, PEER_PORT};

use super::super::names::{LABEL_SERVICE, MANAGER, Names};
use crate::crd::{LAB, LABEL_LAB_CLUSTER};

/// Every port of a node, by name.
pub(super) const PORTS: [(&str, u16); 4] =
    [("client", CLIENT_PORT), ("peer", PEER_PORT), ("admin", ADMIN_PORT), ("metrics", METRICS_PORT)];

fn meta(name: String) -> ObjectMeta {
    ObjectMeta { name: Some(name), ..ObjectMeta::default() }
}

fn service(name: String, names: &Names, ports: &[(&str, u16)], headless: bool) -> Service {
    let port = |(name, port): &(&str, u16)| ServicePort {
        name: Some((*name).to_owned()),
        port: i32::from(*port),
        target_port: Some(IntOrString::String((*name).to_owned())),
        protocol: Some("TCP".to_owned()),
        app_protocol: Some(if *name == "metrics" { "http" } else { "kubernetes.io/h2c" }.to_owned()),
        ..ServicePort::default()
    };
    let spec = ServiceSpec {
        selector: Some(names.selector()),
        ports: Some(ports.iter().map(port).collect()),
        cluster_ip: headless.then(|| "None".to_owned()),
        publish_not_ready_addresses: headless.then_some(true),
        ..ServiceSpec::default()
    };
    Service { metadata: meta(name), spec: Some(spec), ..Service::default() }
}

/// The headless one.
pub(super) fn nodes_service(names: &Names) -> Service {
    let mut service = service(names.nodes_service(), names, &PORTS, true);
    service.metadata.labels = Some([(LABEL_SERVICE.to_owned(), "nodes".to_owned())].into());
    service
}

/// For clients.
pub(super) fn client_service(names: &Names) -> Service {
    service(names.cluster.clone(), names, &PORTS[..1], false)
}

/// Clients from anywhere, peers from the cluster, administration from the operator and, where faults are allowed, from pods of the laboratory's
/// runs beside it, metrics from anywhere; nothing else.
pub(super) fn policy(names: &Names, allows_faults: bool) -> NetworkPolicy {
    let labels = |labels: std::collections::BTreeMap<String, String>| LabelSelector {
        match_labels: Some(labels),
        ..LabelSelector::default()
    };
    let nodes = NetworkPolicyPeer { pod_selector: Some(labels(names.selector())), ..NetworkPolicyPeer::default() };
    let operator = NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        pod_selector: Some(labels([("app.kubernetes.io/name".to_owned(), MANAGER.to_owned())].into())),
        ..NetworkPolicyPeer::default()
    };
    let runs = [("app.kubernetes.io/name", LAB), (LABEL_LAB_CLUSTER, names.cluster.as_str())];
    let runs = NetworkPolicyPeer {
        pod_selector: Some(labels(runs.map(|(key, value)| (key.to_owned(), value.to_owned())).into())),
        ..NetworkPolicyPeer::default()
    };
    let admins = if allows_faults { vec![operator, runs] } else { vec![operator] };
    let rule = |port: &str, from: Option<Vec<NetworkPolicyPeer>>| NetworkPolicyIngressRule {
        ports: Some(vec![NetworkPolicyPort {
            port: Some(IntOrString::String(port.to_owned())),
            protocol: Some("TCP".to_owned()),
            ..NetworkPolicyPort::default()
        }]),
        from,
    };
    let ingress =
        vec![rule("client", None), rule("peer", Some(vec![nodes])), rule("admin", Some(admins)), rule("metrics", None)];
    let spec = NetworkPolicySpec {
        pod_selector: Some(labels(names.selector())),
        policy_types: Some(vec!["Ingress".to_owned()]),
        ingress: Some(ingress),
        ..NetworkPolicySpec::default()
    };
    NetworkPolicy { metadata: meta(names.cluster.clone()), spec: Some(spec) }
}

/// One node at a time; a node that is not ready may always be evicted, since it keeps nobody's quorum up.
pub(super) fn disruption_budget(names: &Names) -> PodDisruptionBudget {
    let spec = PodDisruptionBudgetSpec {
        max_unavailable: Some(IntOrString::Int(1)),
        selector: Some(LabelSelector { match_labels: Some(names.selector()), ..LabelSelector::default() }),
        unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        ..PodDisruptionBudgetSpec::default()
    };
    PodDisruptionBudget { metadata: meta(names.cluster.clone()), spec: Some(spec), ..PodDisruptionBudget::default() }
}

/// An identity of its own without any right and without a token.
pub(super) fn service_account(names: &Names) -> ServiceAccount {
    ServiceAccount {
        metadata: meta(names.cluster.clone()),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// Scrapes every node once, through the headless Service.
pub(super) fn monitor(names: &Names) -> Value {
    let mut selector = names.selector();
    selector.insert(LABEL_SERVICE.to_owned(), "nodes".to_owned());
    json!({
        "metadata": {"name": names.cluster},
        "spec": {
            "selector": {"matchLabels": selector},
            "endpoints": [{"port": "metrics", "path": "/metrics"}],
        },
    })
}
