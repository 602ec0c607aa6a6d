//! Does what a plan says: objects by server-side apply, deletions by UID, bootstraps by the nodes' admin ports.
//! Invariants: one field manager; nothing is deleted whose UID is not the one that was seen; the first error ends it, and what was
//! done until then is found again by the next pass.

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};

use driftkv_proto::ADMIN_PORT;

use super::error::{Error, call, call_opt};
use super::events::Happening;
use super::names::{MANAGER, Names};
use super::nodes::NodeAdmin;
use super::observe::{api, at};
use super::plan::{Bootstrap, Change, Doomed, Plan, Replacement};
use super::reason::Reason;

/// Carries `plan` out. `done`: what happened, also when it ended early.
pub async fn apply(
    client: &Client,
    admin: &dyn NodeAdmin,
    names: &Names,
    plan: &Plan,
    done: &mut Vec<Happening>,
) -> Result<(), Error> {
    for change in &plan.apply {
        done.push(put(client, names, change).await?);
    }
    for doomed in &plan.sweep {
        done.push(sweep(client, names, doomed).await?);
    }
    if let Some(bootstrap) = &plan.bootstrap {
        done.push(give_layout(admin, bootstrap).await?);
    }
    if let Some(replacement) = &plan.replace {
        done.push(replace(client, names, replacement).await?);
    }
    Ok(())
}

async fn put(client: &Client, names: &Names, change: &Change) -> Result<Happening, Error> {
    let (kind, name) = (change.wanted.kind, &change.wanted.name);
    let params = PatchParams::apply(MANAGER).force();
    let what = format!("apply {kind} {name}");
    call(&what, api(client, names, kind).patch(name, &params, &Patch::Apply(&change.wanted.body))).await?;
    tracing::info!(cluster = %names.cluster, namespace = %names.namespace, %kind, %name, existed = change.exists, "applied");
    Ok(match change.exists {
        true => Happening::normal(Reason::Applied, format!("brought {kind} {name} to what it should be")),
        false => Happening::normal(Reason::Created, format!("made {kind} {name}")),
    }
    .to(kind, name))
}

async fn sweep(client: &Client, names: &Names, doomed: &Doomed) -> Result<Happening, Error> {
    let Doomed { kind, name, uid } = doomed;
    let what = format!("delete {kind} {name}");
    call_opt(&what, api(client, names, *kind).delete(name, &by_uid(uid))).await?;
    tracing::info!(cluster = %names.cluster, namespace = %names.namespace, %kind, %name, "swept");
    Ok(Happening::normal(Reason::Swept, format!("deleted {kind} {name}, which is needed no longer")).to(kind, name))
}

/// With the pod's own time to end.
async fn replace(client: &Client, names: &Names, replacement: &Replacement) -> Result<Happening, Error> {
    let Replacement { pod, uid, why } = replacement;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &names.namespace);
    call_opt(&format!("delete pod {pod}"), pods.delete(pod, &by_uid(uid))).await?;
    tracing::info!(cluster = %names.cluster, namespace = %names.namespace, %pod, %why, "replacing");
    Ok(Happening::normal(Reason::PodReplaced, format!("replacing {pod}: {why}")).to("Pod", pod))
}

fn by_uid(uid: &str) -> DeleteParams {
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let background = Some(PropagationPolicy::Background);
    DeleteParams { preconditions: Some(preconditions), propagation_policy: background, ..DeleteParams::default() }
}

/// To all at once. Errors: one refuses, or does not answer; the next pass asks it again.
async fn give_layout(admin: &dyn NodeAdmin, bootstrap: &Bootstrap) -> Result<Happening, Error> {
    let gifts = bootstrap.ips.iter().map(|ip| {
        let request = bootstrap.request.clone();
        async move { admin.bootstrap(&at(ip, ADMIN_PORT), request).await }
    });
    let refusals: Vec<String> =
        join_all(gifts).await.into_iter().filter_map(|answer| answer.err().map(|error| error.to_string())).collect();
    if !refusals.is_empty() {
        return Err(Error::Bootstrap { why: refusals.join("; ") });
    }
    let (begun, nodes) =
        (if bootstrap.is_resumed { "finished the bootstrap" } else { "bootstrapped" }, bootstrap.ips.len());
    tracing::info!(nodes, resumed = bootstrap.is_resumed, "bootstrapped");
    Ok(Happening::normal(Reason::Bootstrapped, format!("{begun}: {nodes} nodes got their layout")))
}
