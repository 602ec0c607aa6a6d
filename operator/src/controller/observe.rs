//! Everything a pass knows of the world, read once, at its beginning.
//! Invariants: all reads go to the API server, none to a cache, so that nothing is decided on what was true a while ago; what could
//! not be read is absent here, and absent never means done.
//! Not here: what follows from it (`plan`).

mod pods;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use driftkv_proto::ADMIN_PORT;
use driftkv_proto::v1::{Layout, StatusReply};
use futures_util::future::{join_all, try_join_all};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::TypeMeta;
use kube::{Client, ResourceExt};
use serde_json::Value;

use super::error::{Error, call, call_opt};
use super::kind::Kind;
use super::names::{LABEL_CLUSTER, LABEL_ZONE, MANAGER, Names};
use super::nodes::NodeAdmin;
use super::resources::Wanted;
use crate::crd::ZoneSource;

pub use pods::PodView;

/// An object that exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Which of that name.
    pub uid: String,
    /// Which state of it.
    pub resource_version: String,
    /// Whether it says that this operator manages it, for this cluster.
    pub is_labelled: bool,
    /// The UID of the object that controls it.
    pub owner: Option<String>,
    /// Whether it is about to go.
    pub is_deleting: bool,
    /// All of it.
    pub body: Value,
}

/// A zone, and how it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// How it is known.
    pub source: ZoneSource,
}

/// One snapshot of everything that concerns one cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Objects that are labelled as the cluster's, and those that have the names it needs.
    pub objects: Vec<Found>,
    /// Kinds that this Kubernetes does not have.
    pub kinds_absent: Vec<Kind>,
    /// The pods of the StatefulSet, by ordinal.
    pub pods: BTreeMap<u32, PodView>,
    /// What nodes say of themselves, by ordinal; those that did not answer are absent.
    pub nodes: BTreeMap<u32, StatusReply>,
    /// Why others did not answer, by ordinal.
    pub silent: BTreeMap<u32, String>,
    /// The newest layout that a node holds.
    pub layout: Option<Layout>,
    /// Zones of the pods by ordinal; read only before a bootstrap, and while the status does not say how they are known.
    pub zones: BTreeMap<u32, Zone>,
}

impl Observed {
    /// The object of this kind and name.
    pub fn object(&self, kind: Kind, name: &str) -> Option<&Found> {
        self.objects.iter().find(|found| found.kind == kind && found.name == name)
    }
}

/// Reads it all. Errors: the API server's; nodes that do not answer are no error.
///
/// `is_source_known`: whether the status says how zones are known, so that they are read only before a bootstrap.
pub async fn observe(
    client: &Client,
    admin: &dyn NodeAdmin,
    names: &Names,
    wanted: &[Wanted],
    is_source_known: bool,
) -> Result<Observed, Error> {
    let lists = try_join_all(Kind::ALL.map(|kind| list(client, names, kind))).await?;
    let mut observed = Observed::default();
    for (kind, found) in Kind::ALL.into_iter().zip(lists) {
        match found {
            Some(found) => observed.objects.extend(found),
            None => observed.kinds_absent.push(kind),
        }
    }
    for wanted in wanted.iter().filter(|wanted| !observed.kinds_absent.contains(&wanted.kind)) {
        if observed.object(wanted.kind, &wanted.name).is_none() {
            // Somebody else's, perhaps: it would not be listed.
            let what = format!("get {} {}", wanted.kind, wanted.name);
            let other = call_opt(&what, api(client, names, wanted.kind).get(&wanted.name)).await?;
            observed.objects.extend(other.and_then(|other| found(names, wanted.kind, other)));
        }
    }
    observe_nodes(client, admin, names, &mut observed).await?;
    if observed.nodes.values().all(|node| node.layout_version == 0) || !is_source_known {
        observed.zones = zones(client, observed.pods.values()).await?;
    }
    Ok(observed)
}

/// The API of one kind in the cluster's namespace.
pub fn api(client: &Client, names: &Names, kind: Kind) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), &names.namespace, &kind.resource())
}

/// `None`: this Kubernetes has no such kind, or does not show it to us, and it is one we can do without.
async fn list(client: &Client, names: &Names, kind: Kind) -> Result<Option<Vec<Found>>, Error> {
    let params = ListParams::default().labels(&names.query());
    let what = format!("list {kind}s");
    let listed = match call_opt(&what, api(client, names, kind).list(&params)).await {
        Err(Error::Forbidden { .. }) if kind == Kind::ServiceMonitor => None,
        listed => listed?,
    };
    Ok(listed.map(|list| list.items.into_iter().filter_map(|object| found(names, kind, object)).collect()))
}

/// `None`: it has neither name nor UID, as no object on a server is.
fn found(names: &Names, kind: Kind, mut object: DynamicObject) -> Option<Found> {
    let resource = kind.resource();
    // Elements of a list come without their type.
    object.types = Some(TypeMeta { api_version: resource.api_version, kind: resource.kind });
    let label = |key: &str| object.labels().get(key).map(String::as_str);
    let is_labelled =
        label("app.kubernetes.io/managed-by") == Some(MANAGER) && label(LABEL_CLUSTER) == Some(&names.cluster);
    let owner = object.owner_references().iter().find(|owner| owner.controller == Some(true));
    Some(Found {
        kind,
        name: object.metadata.name.clone()?,
        uid: object.metadata.uid.clone()?,
        resource_version: object.resource_version().unwrap_or_default(),
        is_labelled,
        owner: owner.map(|owner| owner.uid.clone()),
        is_deleting: object.metadata.deletion_timestamp.is_some(),
        body: serde_json::to_value(object).ok()?,
    })
}

async fn observe_nodes(
    client: &Client,
    admin: &dyn NodeAdmin,
    names: &Names,
    observed: &mut Observed,
) -> Result<(), Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &names.namespace);
    let selector: Vec<String> = names.selector().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    let pods = call("list pods", api.list(&ListParams::default().labels(&selector.join(",")))).await?;
    let now = Timestamp::now();
    let set = observed.object(Kind::StatefulSet, &names.cluster).map(|set| set.uid.clone());
    observed.pods = pods.items.into_iter().filter_map(|pod| pods::view(names, set.as_deref(), pod, now)).collect();
    let reached = observed.pods.values().filter_map(|pod| Some((pod.ordinal, pod.name.clone(), pod.ip.clone()?)));
    let questions = reached.map(|(ordinal, name, ip)| async move {
        let address = at(&ip, ADMIN_PORT);
        let answer = admin.status(&address).await;
        (ordinal, address, answer.map_err(|error| error.to_string()).and_then(|reply| meant(names, &name, reply)))
    });
    let mut best: Option<(u64, String)> = None;
    for (ordinal, address, answer) in join_all(questions).await {
        match answer {
            Ok(reply) => {
                let is_newer = best.as_ref().is_none_or(|(version, _)| *version < reply.layout_version);
                if reply.layout_version > 0 && is_newer {
                    best = Some((reply.layout_version, address));
                }
                observed.nodes.insert(ordinal, reply);
            }
            Err(why) => drop(observed.silent.insert(ordinal, why)),
        }
    }
    if let Some((_, address)) = &best {
        observed.layout = admin.layout(address).await.ok().filter(|layout| layout.version > 0);
    }
    Ok(())
}

/// Only what the node that was meant says: another cluster's may have the IP by now.
fn meant(names: &Names, pod: &str, reply: StatusReply) -> Result<StatusReply, String> {
    let expected = names.peer_address(pod);
    let said = reply.started_with.as_ref().map_or("", |with| &with.peer_address);
    match reply.name == pod && said == expected {
        true => Ok(reply),
        false => Err(format!("{} ({said}) answers in place of {pod} ({expected})", reply.name)),
    }
}

/// HOST:PORT of an IP.
pub fn at(ip: &str, port: u16) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// Where each pod is. Kubernetes' nodes may be hidden from us, which is no error. Any other failure is one: a first layout keeps
/// its zones for good, and must not be made of a guess because the API server was busy.
async fn zones(client: &Client, pods: impl Iterator<Item = &PodView>) -> Result<BTreeMap<u32, Zone>, Error> {
    let api: Api<Node> = Api::all(client.clone());
    let mut zones = BTreeMap::new();
    for pod in pods {
        let Some(machine) = &pod.machine else { continue };
        let node = match call_opt(&format!("get node {machine}"), api.get(machine)).await {
            Err(Error::Forbidden { .. }) => None,
            node => node?,
        };
        let by_node = node.and_then(|node| node.labels().get(LABEL_ZONE).cloned());
        zones.insert(pod.ordinal, zone(by_node, pod.zone_label.clone(), machine));
    }
    Ok(zones)
}

/// The best that is known.
fn zone(by_node: Option<String>, by_pod: Option<String>, machine: &str) -> Zone {
    let known = by_node.map(|name| (name, ZoneSource::Nodes)).or(by_pod.map(|name| (name, ZoneSource::Pods)));
    let (name, source) = known.unwrap_or_else(|| (machine.to_owned(), ZoneSource::NodeNames));
    Zone { name, source }
}
