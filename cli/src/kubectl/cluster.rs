//! One KVCluster as the API server has it, and its pods.
//! The object is kept as JSON and read by pointers: a plugin of another version than the CRD shows what it understands.
//! Not here: what the nodes say (`forward`, `status`).

use driftkv_operator::crd::{API_VERSION, KIND, KVCluster, NodeStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::site::{Site, call, call_opt};
use crate::error::{Exit, Failure};

/// On every object of a cluster: its name.
pub const LABEL_CLUSTER: &str = "driftkv.io/cluster";

/// A KVCluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// `metadata.name`.
    pub name: String,
    /// All of it.
    pub object: Value,
}

/// The KVClusters of the namespace.
pub fn api(site: &Site) -> Api<DynamicObject> {
    Api::namespaced_with(site.client.clone(), &site.namespace, &ApiResource::erase::<KVCluster>(&()))
}

impl Cluster {
    /// The KVCluster `name`, or the only one there is.
    pub async fn find(site: &Site, name: Option<&str>) -> Result<Cluster, Failure> {
        let namespace = &site.namespace;
        if let Some(name) = name {
            let what = format!("read the KVCluster {name} of namespace {namespace}");
            if let Some(object) = call_opt(&what, api(site).get(name)).await? {
                return Cluster::new(&object);
            }
        }
        let what = format!("list the KVClusters of namespace {namespace}");
        let listed = call_opt(&what, api(site).list(&ListParams::default())).await?;
        let Some(listed) = listed else {
            return Err(Failure::new(Exit::NotFound, format!("this Kubernetes knows no {KIND} ({API_VERSION})")).hint(
                "Install the operator and its CRD: `helm install driftkv charts/driftkv`. Or is it another --context?",
            ));
        };
        let names: Vec<String> = listed.items.iter().map(ResourceExt::name_any).collect();
        match (name, listed.items.as_slice()) {
            (None, [only]) => Cluster::new(only),
            (name, _) => Err(choose(namespace, name, &names)),
        }
    }

    fn new(object: &DynamicObject) -> Result<Cluster, Failure> {
        let json = serde_json::to_value(object).map_err(|error| Failure::failed(format!("a KVCluster: {error}")))?;
        Ok(Cluster { name: object.name_any(), object: json })
    }

    /// Its pods, by name.
    pub async fn pods(&self, site: &Site) -> Result<Vec<Pod>, Failure> {
        let api: Api<Pod> = Api::namespaced(site.client.clone(), &site.namespace);
        let ours =
            ListParams::default().labels(&format!("app.kubernetes.io/name=driftkv,{LABEL_CLUSTER}={}", self.name));
        let what = format!("list the pods of {} in namespace {}", self.name, site.namespace);
        let mut pods = call(&what, api.list(&ours)).await?.items;
        // demo-10 comes after demo-9.
        pods.sort_by_key(|pod| (pod.name_any().len(), pod.name_any()));
        Ok(pods)
    }

    /// Text at `pointer`; empty if there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// A number at `pointer`.
    pub fn number(&self, pointer: &str) -> Option<u64> {
        self.object.pointer(pointer).and_then(Value::as_u64)
    }

    /// Of those at `pointer`, all that can be read.
    fn items<T: DeserializeOwned>(&self, pointer: &str) -> Vec<T> {
        let items = self.object.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(|item| T::deserialize(item).ok()).collect()
    }

    /// The names of the nodes that its spec asks for.
    pub fn members(&self) -> Vec<String> {
        (0..self.number("/spec/replicas").unwrap_or(0)).map(|ordinal| format!("{}-{ordinal}", self.name)).collect()
    }

    /// What its status says of its nodes.
    pub fn nodes(&self) -> Vec<NodeStatus> {
        self.items("/status/nodes")
    }

    /// What is so and what is not.
    pub fn conditions(&self) -> Vec<Condition> {
        self.items("/status/conditions")
    }
}

/// Why no cluster can be taken, and what to do.
fn choose(namespace: &str, wanted: Option<&str>, names: &[String]) -> Failure {
    let listed = names.join(", ");
    match (wanted, names) {
        (None, []) => Failure::new(Exit::NotFound, format!("there is no KVCluster in namespace {namespace}"))
            .hint("`kubectl get kvclusters -A` lists all; -n names another namespace."),
        (None, _) => Failure::usage(format!("there are {} KVClusters in namespace {namespace}: {listed}", names.len()))
            .hint("Name one: --cluster NAME."),
        (Some(name), []) => Failure::new(
            Exit::NotFound,
            format!("there is no KVCluster {name} in namespace {namespace}, nor any other"),
        )
        .hint("`kubectl get kvclusters -A` lists all; -n names another namespace."),
        (Some(name), _) => {
            Failure::new(Exit::NotFound, format!("there is no KVCluster {name} in namespace {namespace}"))
                .hint(format!("There are: {listed}. -n names another namespace."))
        }
    }
}

/// Whether the pod says that it is ready.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.filter(|condition| condition.type_ == "Ready").any(|condition| condition.status == "True")
}

/// Whether its containers run.
pub fn is_running(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
}

/// The pods that are ready, of those of `cluster`.
///
/// Errors: none is.
pub fn ready(cluster: &str, pods: &[Pod]) -> Result<Vec<Pod>, Failure> {
    let ready: Vec<Pod> = pods.iter().filter(|pod| is_ready(pod)).cloned().collect();
    if !ready.is_empty() {
        return Ok(ready);
    }
    let told: Vec<String> = pods.iter().map(|pod| format!("{} {}", pod.name_any(), state(pod))).collect();
    let told = if told.is_empty() { "there is none at all".to_owned() } else { told.join(", ") };
    Err(Failure::unavailable(format!("no pod of {cluster} is ready: {told}"))
        .hint(format!("`{} status` shows the conditions, which say why.", crate::program::name())))
}

/// A pod in a word or two: `ready`, `Pending`, `ImagePullBackOff`, `ending`.
pub fn state(pod: &Pod) -> String {
    if pod.metadata.deletion_timestamp.is_some() {
        return "ending".to_owned();
    }
    if is_ready(pod) {
        return "ready".to_owned();
    }
    let status = pod.status.clone().unwrap_or_default();
    let containers =
        status.container_statuses.into_iter().flatten().chain(status.init_container_statuses.into_iter().flatten());
    let reason = containers.filter_map(|container| {
        let state = container.state?;
        let waiting = state.waiting.and_then(|waiting| waiting.reason);
        waiting.or_else(|| state.terminated.and_then(|ended| ended.reason))
    });
    let phase = status.phase.unwrap_or_else(|| "unknown".to_owned());
    let phase = if phase == "Running" { "not ready".to_owned() } else { phase };
    reason.into_iter().next().unwrap_or(phase)
}

/// How often its containers were started again.
pub fn restarts(pod: &Pod) -> u64 {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    containers.map(|container| u64::try_from(container.restart_count).unwrap_or_default()).sum()
}

/// `45s`, `12m`, `3h`, `2d`: how long ago, as kubectl says it; empty if unknown.
pub fn age(since: Option<&Time>, now: Timestamp) -> String {
    let Some(since) = since else { return String::new() };
    let s = now.as_second().saturating_sub(since.0.as_second()).max(0);
    match s {
        0..120 => format!("{s}s"),
        120..7_200 => format!("{}m", s / 60),
        7_200..172_800 => format!("{}h", s / 3_600),
        _ => format!("{}d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::{Pod, Time, Timestamp, age, choose, ready, restarts, state};
    use crate::error::Exit;

    fn pod(value: serde_json::Value) -> Pod {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_cluster_that_cannot_be_chosen_says_which_there_are() {
        let names = ["a".to_owned(), "b".to_owned()];
        let failure = choose("shop", None, &names);
        assert_eq!(failure.exit, Exit::Usage);
        assert_eq!(failure.message, "there are 2 KVClusters in namespace shop: a, b");
        let failure = choose("shop", Some("c"), &names);
        assert_eq!((failure.exit, failure.hint.contains("There are: a, b.")), (Exit::NotFound, true));
        assert_eq!(choose("shop", None, &[]).exit, Exit::NotFound);
    }

    #[test]
    fn a_pod_that_is_not_ready_says_why() {
        let waiting = json!([{"name": "node", "image": "", "imageID": "", "ready": false, "restartCount": 4,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]);
        let stuck =
            pod(json!({"metadata": {"name": "d-0"}, "status": {"phase": "Running", "containerStatuses": waiting}}));
        assert_eq!((state(&stuck).as_str(), restarts(&stuck)), ("CrashLoopBackOff", 4));
        let pending = pod(json!({"metadata": {"name": "d-1"}, "status": {"phase": "Pending"}}));
        let well = json!({"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"});
        let well = pod(json!({"metadata": {"name": "d-2"}, "status": well}));
        assert_eq!([state(&pending), state(&well)], ["Pending", "ready"]);
        let failure = ready("d", &[stuck.clone(), pending]).unwrap_err();
        assert_eq!(failure.message, "no pod of d is ready: d-0 CrashLoopBackOff, d-1 Pending");
        assert_eq!(failure.exit, Exit::Unavailable);
        assert_eq!(ready("d", &[stuck, well]).unwrap().len(), 1);
    }

    #[test]
    fn ages_are_short() {
        let at = |s| Some(Time(Timestamp::from_second(s).unwrap()));
        let now = Timestamp::from_second(1_000_000).unwrap();
        let ages = [1_000_000, 999_955, 999_000, 900_000, 0, 2_000_000].map(|s| age(at(s).as_ref(), now));
        assert_eq!(ages, ["0s", "45s", "16m", "27h", "11d", "0s"]);
        assert_eq!(age(None, now), "");
    }
}
