//! Plays scheduler and kubelet in one namespace: binds pods, says that they run and are ready, and lets them end.
//! Invariant: one `step` moves every pod by at most one stage that a pass could tell apart, so that the number of an operator's
//! call means the same thing in every trial; `settle` waits for the controllers only.
//! Not here: what nodes say (`nodes`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Binding, ConfigMap, Node, ObjectReference, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;

use crate::nodes::Nodes;

/// How long the controllers may take.
const SETTLE_MAX: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(15);
/// Machines, each in a zone of its own.
const MACHINES: u32 = 3;

/// Makes the machines that pods are bound to.
pub async fn make(client: &Client) {
    let api: Api<Node> = Api::all(client.clone());
    for number in 0..MACHINES {
        let labels = [("topology.kubernetes.io/zone".to_owned(), format!("zone-{number}"))].into();
        let metadata = ObjectMeta { name: Some(machine(number)), labels: Some(labels), ..ObjectMeta::default() };
        api.create(&PostParams::default(), &Node { metadata, ..Node::default() }).await.expect("a node");
    }
}

/// Waits until the garbage collector knows the kind whose CRD came last: it looks for new ones every half minute.
pub async fn collector_knows_monitors(client: &Client) {
    let owners: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let metadata = ObjectMeta { name: Some("owner".to_owned()), ..ObjectMeta::default() };
    let owner = ConfigMap { metadata, ..ConfigMap::default() };
    let owner = owners.create(&PostParams::default(), &owner).await.expect("an owner");
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("monitoring.coreos.com", "v1", "ServiceMonitor"));
    let monitors: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &resource);
    let mut monitor = DynamicObject::new("owned", &resource).data(json!({"spec": {"selector": {}, "endpoints": []}}));
    monitor.metadata.owner_references = owner.owner_ref(&()).map(|owner| vec![owner]);
    monitors.create(&PostParams::default(), &monitor).await.expect("a monitor");
    owners.delete("owner", &DeleteParams::default()).await.expect("no owner");
    let since = Instant::now();
    while monitors.get_opt("owned").await.expect("an answer").is_some() {
        assert!(since.elapsed() < SETTLE_MAX, "the garbage collector never learned of ServiceMonitors");
        tokio::time::sleep(LOOK).await;
    }
}

fn machine(number: u32) -> String {
    format!("machine-{number}")
}

/// The kubelets of one namespace.
pub struct Machines {
    client: Client,
    namespace: String,
    nodes: Arc<Nodes>,
    next_ip: AtomicU32,
}

impl Machines {
    /// Of `namespace`.
    pub fn new(client: Client, namespace: &str, nodes: Arc<Nodes>) -> Machines {
        Machines { client, namespace: namespace.to_owned(), nodes, next_ip: AtomicU32::new(1) }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Waits until the StatefulSet's controller has made all pods.
    pub async fn settle(&self) {
        let deadline = Instant::now() + SETTLE_MAX;
        while !self.is_settled().await {
            assert!(
                Instant::now() < deadline,
                "{}: the controllers do not settle: {}",
                self.namespace,
                self.scene().await
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn is_settled(&self) -> bool {
        let Some(set) = self.api::<StatefulSet>().get_opt("demo").await.expect("the StatefulSet") else { return true };
        let status = set.status.clone().unwrap_or_default();
        let is_seen = status.observed_generation >= set.metadata.generation && status.update_revision.is_some();
        if set.metadata.deletion_timestamp.is_some() || !is_seen {
            return false;
        }
        let (pods, uid) = (self.pods().await, set.uid());
        let strays: Vec<&Pod> = pods.iter().filter(|pod| owner(*pod) != uid).collect();
        self.end(strays.iter().copied()).await;
        let wanted = set.spec.and_then(|spec| spec.replicas).unwrap_or_default();
        strays.is_empty() && pods.len() == usize::try_from(wanted).unwrap_or_default()
    }

    /// Waits until nothing is left that a KVCluster of another UID owned.
    pub async fn forget_all_but(&self, uid: Option<&str>) {
        let deadline = Instant::now() + SETTLE_MAX;
        loop {
            let pods = self.pods().await;
            self.end(pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_some())).await;
            let set = self.api::<StatefulSet>().get_opt("demo").await.expect("the StatefulSet");
            let set = set.and_then(|set| set.uid());
            let mut left = self.left::<StatefulSet>(uid).await + self.left::<Service>(uid).await;
            left += self.left::<ConfigMap>(uid).await + self.left::<ServiceAccount>(uid).await;
            left += self.left::<PodDisruptionBudget>(uid).await + self.left::<Secret>(uid).await;
            left += pods.iter().filter(|pod| owner(*pod) != set).count();
            if left == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "{}: {left} objects of a deleted KVCluster are left", self.namespace);
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn left<K>(&self, uid: Option<&str>) -> usize
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
        K::DynamicType: Default,
    {
        let labelled = ListParams::default().labels("driftkv.io/cluster=demo");
        let list = self.api::<K>().list(&labelled).await.expect("a list");
        list.items.iter().filter(|object| owner(*object).as_deref() != uid).count()
    }

    /// The image of every pod.
    pub async fn images(&self) -> Vec<String> {
        let containers = self.pods().await.into_iter().filter_map(|pod| pod.spec).flat_map(|spec| spec.containers);
        containers.filter_map(|container| container.image).collect()
    }

    async fn pods(&self) -> Vec<Pod> {
        let mut pods = self.api::<Pod>().list(&ListParams::default()).await.expect("the pods").items;
        pods.sort_by_key(|pod| pod.name_any());
        pods
    }

    /// For a person who must find out what is missing.
    async fn scene(&self) -> String {
        let set = self.api::<StatefulSet>().get_opt("demo").await.expect("the StatefulSet");
        let pods: Vec<String> = self.pods().await.iter().map(|pod| pod.name_any()).collect();
        let events =
            self.api::<k8s_openapi::api::core::v1::Event>().list(&ListParams::default()).await.expect("events");
        let last = events.items.into_iter().filter_map(|event| event.message).next_back();
        format!("{pods:?}, {:?}, {last:?}", set.and_then(|set| set.status))
    }

    /// One stage further. Whether anything moved.
    pub async fn step(&self) -> bool {
        let mut moved = self.nodes.sync();
        let mut pods = self.pods().await;
        let going: Vec<&Pod> = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_some()).collect();
        if !going.is_empty() {
            self.end(going.iter().copied()).await;
            self.settle().await;
            pods = self.pods().await;
            moved = true;
        }
        for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            moved |= self.advance(pod).await;
        }
        moved
    }

    async fn advance(&self, pod: &Pod) -> bool {
        let (name, uid) = (pod.name_any(), pod.uid().expect("a UID"));
        if !self.nodes.runs(&name, &uid) {
            self.bind(&name).await;
            let ip = self.next_ip.fetch_add(1, Ordering::Relaxed);
            let ip = format!("10.{}.{}.{}", ip >> 16, (ip >> 8) & 255, ip & 255);
            self.nodes.start(&name, &uid, &ip);
            let is_ready = self.nodes.serves(&name);
            if is_ready {
                self.nodes.set_ready(&name);
            }
            self.say(
                &name,
                json!({"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [ready(is_ready)]}),
            )
            .await;
            return true;
        }
        let is_ready = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let is_ready = is_ready.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        if is_ready || !self.nodes.serves(&name) {
            return false;
        }
        self.nodes.set_ready(&name);
        self.say(&name, json!({"conditions": [ready(true)]})).await;
        true
    }

    async fn bind(&self, pod: &str) {
        let ordinal: u32 = pod.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse().ok()).expect("an ordinal");
        let binding = Binding {
            metadata: ObjectMeta { name: Some(pod.to_owned()), ..ObjectMeta::default() },
            target: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Node".to_owned()),
                name: Some(machine(ordinal % MACHINES)),
                ..ObjectReference::default()
            },
        };
        let bound = self
            .api::<Pod>()
            .create_subresource::<_, serde_json::Value>("binding", pod, &PostParams::default(), &binding)
            .await;
        bound.expect("a binding");
    }

    async fn say(&self, pod: &str, status: serde_json::Value) {
        let patch = Patch::Strategic(json!({"status": status}));
        self.api::<Pod>().patch_status(pod, &PatchParams::default(), &patch).await.expect("the pod's status");
    }

    /// Their processes have ended.
    async fn end(&self, pods: impl Iterator<Item = &Pod>) {
        for pod in pods {
            let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
            self.nodes.stop(&name, &uid);
            let at_once = DeleteParams::default().grace_period(0);
            let at_once = at_once.preconditions(kube::api::Preconditions { uid: Some(uid), resource_version: None });
            match self.api::<Pod>().delete(&name, &at_once).await {
                Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
                ended => drop(ended.expect("the end of a pod")),
            }
        }
    }
}

fn ready(is_ready: bool) -> serde_json::Value {
    json!({"type": "Ready", "status": if is_ready { "True" } else { "False" }})
}

fn owner<K: Resource>(object: &K) -> Option<String> {
    object.owner_references().iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone())
}
