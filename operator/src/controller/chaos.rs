//! Experiments: look at the nodes, plan (`plan/chaos.rs`), write the status, and only then do what it tells of; again, until nothing is left.
//! Invariant: no act precedes the status that tells of it. A pass without an experiment asks nothing.
//! Each pass begins with it, so that a paused node, which answers nothing else, delays no heal.

use std::collections::BTreeMap;
use std::time::Duration;

use driftkv_proto::ADMIN_PORT;
use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Preconditions};

use super::error::{Error, call, call_opt};
use super::events::{Happening, transitions};
use super::names::{ANNOTATION_EXPERIMENT, ANNOTATION_PAUSED, LABEL_CHAOS, Names, pause};
use super::nodes::{FaultsError, NodeAdmin};
use super::observe::at;
use super::plan::chaos::{Act, ChaosPlan, NodeView, SOON, Scene, plan};
use super::plan::with_chaos;
use super::reason::Reason;
use super::reconcile::{Context, write_status};
use crate::crd::KVCluster;

/// Looks in one pass: written down, injected, seen to be there, and one to spare.
const LOOKS_MAX: u32 = 5;
/// Kubernetes' shortest end. 0 would only forget the pod, and let its process go on for its whole grace period.
const KILL_GRACE_S: u32 = 1;

/// One pass over the experiment of `cluster`, whose status it brings up to date. When to look again, if anything is open.
pub async fn pass(
    context: &Context,
    admin: &dyn NodeAdmin,
    cluster: &mut KVCluster,
    done: &mut Vec<Happening>,
) -> Result<Option<Duration>, Error> {
    let names = Names::of(cluster);
    let mut refusals = BTreeMap::new();
    for _ in 0..LOOKS_MAX {
        if !is_in_play(cluster) {
            return Ok(None);
        }
        let (view, addresses) = look(context, admin, &names, cluster).await?;
        let next = with_scene(context, cluster, &names, &view, &refusals).await?;
        record(context, &names, cluster, &next, done).await?;
        if next.acts.is_empty() && next.again != Some(SOON) {
            return Ok(next.again);
        }
        refusals.extend(act(context, admin, &names, &next.acts, &addresses, done).await?);
    }
    Ok(Some(SOON))
}

/// Whether there is anything to look at.
fn is_in_play(cluster: &KVCluster) -> bool {
    let recorded = cluster.status.as_ref().and_then(|status| status.chaos.as_ref());
    cluster.annotations().contains_key(ANNOTATION_EXPERIMENT) || recorded.is_some_and(|chaos| !chaos.is_settled())
}

/// The nodes' pods and what they say of faults, and where they are reached.
async fn look(
    context: &Context,
    admin: &dyn NodeAdmin,
    names: &Names,
    cluster: &KVCluster,
) -> Result<(BTreeMap<String, NodeView>, BTreeMap<String, String>), Error> {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &names.namespace);
    let selector: Vec<String> = names.selector().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    let listed = call("list pods", pods.list(&ListParams::default().labels(&selector.join(",")))).await?;
    let is_node = |pod: &Pod| {
        let is_owned = |owner: &_| owned_by_set(owner, names);
        let ordinal = names.ordinal(&pod.name_any());
        pod.owner_references().iter().any(is_owned) && ordinal.is_some_and(|ordinal| ordinal < cluster.spec.replicas)
    };
    let asked = listed.items.into_iter().filter(is_node).map(|pod| async move {
        let address = running_at(&pod);
        let faults = match &address {
            Some(address) => admin.faults(address).await.map_err(|error| error.to_string()),
            None => Err("its pod does not run".to_owned()),
        };
        let is_going = pod.metadata.deletion_timestamp.is_some();
        let view =
            NodeView { uid: pod.uid().unwrap_or_default(), is_ready: is_ready(&pod) && !is_going, is_going, faults };
        (pod.name_any(), view, address)
    });
    let (mut views, mut addresses) = (BTreeMap::new(), BTreeMap::new());
    for (name, view, address) in join_all(asked).await {
        addresses.extend(address.map(|address| (name.clone(), address)));
        views.insert(name, view);
    }
    Ok((views, addresses))
}

fn owned_by_set(owner: &k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference, names: &Names) -> bool {
    owner.controller == Some(true) && owner.kind == "StatefulSet" && owner.name == names.cluster
}

fn running_at(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref().filter(|status| status.phase.as_deref() == Some("Running"))?;
    status.pod_ip.as_ref().map(|ip| at(ip, ADMIN_PORT))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn with_scene(
    context: &Context,
    cluster: &KVCluster,
    names: &Names,
    nodes: &BTreeMap<String, NodeView>,
    refusals: &BTreeMap<String, String>,
) -> Result<ChaosPlan, Error> {
    let annotation = cluster.annotations().get(ANNOTATION_EXPERIMENT).map(String::as_str);
    let recorded = cluster.status.as_ref().and_then(|status| status.chaos.as_ref());
    // Healing needs nobody's consent.
    let missing = if annotation.is_some() { missing(context, cluster, names).await? } else { Vec::new() };
    let members: Vec<String> = (0..cluster.spec.replicas).map(|ordinal| names.node(ordinal)).collect();
    let spec = &cluster.spec;
    Ok(plan(&Scene {
        annotation,
        recorded,
        missing: &missing,
        members: &members,
        quorums: [spec.replication_factor, spec.read_quorum, spec.write_quorum],
        nodes,
        refusals,
        now: Timestamp::now(),
    }))
}

/// Everything that is missing for an experiment, each with what to do.
async fn missing(context: &Context, cluster: &KVCluster, names: &Names) -> Result<Vec<String>, Error> {
    let mut missing = Vec::new();
    if !context.allows_chaos {
        missing.push("the operator was started without --allow-chaos (chart: chaos.enabled=true)".to_owned());
    }
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    let what = format!("get namespace {}", names.namespace);
    match call_opt(&what, namespaces.get(&names.namespace)).await {
        Ok(Some(found)) if found.labels().get(LABEL_CHAOS).is_some_and(|value| value == "true") => {}
        Ok(_) => missing.push(format!("namespace {} has no label {LABEL_CHAOS}=true", names.namespace)),
        Err(Error::Forbidden { .. }) => {
            missing
                .push(format!("the operator may not read namespace {}, and its label {LABEL_CHAOS}", names.namespace));
        }
        Err(error) => return Err(error),
    }
    if !cluster.spec.allow_faults {
        missing.push("spec.allowFaults is not true".to_owned());
    }
    let status = cluster.status.as_ref();
    if status.and_then(|status| status.chaos.as_ref()).is_some_and(|chaos| !chaos.is_settled()) {
        return Ok(missing);
    }
    if let Some(value) = pause(cluster) {
        missing.push(format!("the annotation {ANNOTATION_PAUSED} is {value:?}"));
    }
    if status.is_none_or(|status| status.layout_version == 0) {
        missing.push("the cluster has no layout yet".to_owned());
    }
    Ok(missing)
}

/// Puts the plan's words on the server, unless they are there.
async fn record(
    context: &Context,
    names: &Names,
    cluster: &mut KVCluster,
    next: &ChaosPlan,
    done: &mut Vec<Happening>,
) -> Result<(), Error> {
    let before = cluster.status.clone().unwrap_or_default();
    let after = with_chaos(cluster.metadata.generation, &before, next, Timestamp::now());
    if after == before {
        return Ok(());
    }
    let uid = cluster.metadata.uid.clone().unwrap_or_default();
    write_status(&context.client, names, &uid, &after).await?;
    done.extend(transitions(&before.conditions, &after.conditions));
    cluster.status = Some(after);
    Ok(())
}

/// Does it all at once; the words of nodes that refused.
async fn act(
    context: &Context,
    admin: &dyn NodeAdmin,
    names: &Names,
    acts: &[Act],
    addresses: &BTreeMap<String, String>,
    done: &mut Vec<Happening>,
) -> Result<BTreeMap<String, String>, Error> {
    let asked = acts.iter().map(|act| async move {
        match act {
            Act::Inject { node, text, left_ms } => match addresses.get(node) {
                Some(address) => (node, admin.apply_faults(address, text, *left_ms).await.map(drop)),
                None => (node, Ok(())),
            },
            Act::Clear { node, id } => match addresses.get(node) {
                Some(address) => (node, admin.clear_faults(address, id).await),
                None => (node, Ok(())),
            },
            Act::Kill { pod, .. } => (pod, Ok(())),
        }
    });
    let mut refusals = BTreeMap::new();
    let mut fenced = None;
    for (node, outcome) in join_all(asked).await {
        match outcome {
            Ok(()) => {}
            Err(FaultsError::Refused(why)) => drop(refusals.insert(node.clone(), why)),
            Err(FaultsError::Fenced(why)) => fenced = Some(why),
            Err(FaultsError::Silent(why)) => {
                tracing::warn!(cluster = %names.cluster, %node, %why, "a node did not answer")
            }
        }
    }
    if let Some(why) = fenced {
        return Err(Error::Fenced { why });
    }
    for act in acts {
        if let Act::Kill { pod, uid } = act {
            done.push(kill(context, names, pod, uid).await?);
        }
    }
    Ok(refusals)
}

async fn kill(context: &Context, names: &Names, pod: &str, uid: &str) -> Result<Happening, Error> {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &names.namespace);
    let params = DeleteParams {
        grace_period_seconds: Some(KILL_GRACE_S),
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::default()
    };
    match call_opt(&format!("kill pod {pod}"), pods.delete(pod, &params)).await {
        // Another pod has the name by now: this one is gone.
        Ok(_) | Err(Error::Conflict { .. }) => {}
        Err(error) => return Err(error),
    }
    tracing::info!(cluster = %names.cluster, namespace = %names.namespace, %pod, "killed, as an experiment asks");
    Ok(Happening::normal(Reason::ChaosKill, format!("killed {pod}, as the experiment asks")).to("Pod", pod))
}
