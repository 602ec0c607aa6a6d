//! From flags to a running operator, and to its end.
//! Invariants: the watches ask for the plain list and watch that every API server has; passes under way are finished before the
//! end, none begins after it was asked for.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join_all, try_join_all};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::runtime::controller::{Config, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::error::{Error, call};
use super::names::{LABEL_CLUSTER, MANAGER};
use super::reconcile::{Context, Guarded, on_error, reconcile};

/// Passes at a time.
const PASSES_MAX: u16 = 8;
/// Changes so close together are looked at in one pass.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Between two looks for the CRD.
const LIST_PAUSE: Duration = Duration::from_secs(2);

/// A client that ends what it begins: no retries of its own, and the deadlines of `error::call` on top.
pub async fn client() -> Result<Client, Error> {
    let failed = |error: String| Error::Unavailable { what: "find the API server".to_owned(), why: error };
    let mut config = kube::Config::infer().await.map_err(|error| failed(error.to_string()))?;
    // Its default retries 429 and 503 for minutes; a pass must end, and say so in the status.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| failed(error.to_string()))
}

/// Waits until KVClusters can be listed in `namespaces`, or everywhere; `obstacle` says what is in the way meanwhile.
pub async fn wait_until_listed(client: &Client, namespaces: &[String], obstacle: &watch::Sender<String>) {
    loop {
        let listed = scopes(namespaces).into_iter().map(|scope| async move {
            let place = scope.map_or("all namespaces".to_owned(), |namespace| format!("namespace {namespace}"));
            let what = format!("list KVClusters in {place} (is the CRD installed, and may the operator read it?)");
            call(&what, api::<Guarded>(client, scope).list(&ListParams::default().limit(1))).await
        });
        match try_join_all(listed).await {
            Ok(_) => return drop(obstacle.send_replace(String::new())),
            Err(error) => {
                tracing::warn!(%error, "waiting");
                obstacle.send_replace(error.to_string());
            }
        }
        tokio::time::sleep(LIST_PAUSE).await;
    }
}

/// `None`: everywhere.
fn scopes(namespaces: &[String]) -> Vec<Option<&str>> {
    match namespaces {
        [] => vec![None],
        some => some.iter().map(|namespace| Some(namespace.as_str())).collect(),
    }
}

/// Watches `namespaces`, or all if there are none, until `stop` turns true.
pub async fn run(context: Arc<Context>, namespaces: &[String], stop: watch::Receiver<bool>) {
    join_all(scopes(namespaces).into_iter().map(|scope| watch_one(Arc::clone(&context), scope, stop.clone()))).await;
}

fn api<K>(client: &Client, scope: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope>,
    <K as Resource>::DynamicType: Default,
{
    match scope {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

async fn watch_one(context: Arc<Context>, scope: Option<&str>, mut stop: watch::Receiver<bool>) {
    let client = context.client.clone();
    let ours = || watcher::Config::default().labels(&format!("app.kubernetes.io/managed-by={MANAGER}"));
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let controller = Controller::new(api::<Guarded>(&client, scope), watcher::Config::default())
        .with_config(Config::default().debounce(DEBOUNCE).concurrency(PASSES_MAX));
    let controller = watching::<StatefulSet>(controller, &client, scope, ours());
    let controller = watching::<Pod>(controller, &client, scope, ours());
    let controller = watching::<Service>(controller, &client, scope, ours());
    let controller = watching::<ConfigMap>(controller, &client, scope, ours());
    let controller = watching::<ServiceAccount>(controller, &client, scope, ours());
    let controller = watching::<NetworkPolicy>(controller, &client, scope, ours());
    let controller = watching::<PodDisruptionBudget>(controller, &client, scope, ours());
    let passes = controller.graceful_shutdown_on(stopped).run(reconcile, on_error, context);
    passes
        .for_each(|outcome| async move {
            // Errors of passes were told by `on_error`; these are of the watches.
            if let Err(error @ kube::runtime::controller::Error::QueueError(_)) = outcome {
                tracing::warn!(%error, "a watch failed; trying again");
            }
        })
        .await;
}

/// Objects are matched by the label, since pods are owned by the StatefulSet and not by the KVCluster.
fn watching<K>(
    controller: Controller<Guarded>,
    client: &Client,
    scope: Option<&str>,
    config: watcher::Config,
) -> Controller<Guarded>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
    <K as Resource>::DynamicType: Default + Clone + std::fmt::Debug + Eq + std::hash::Hash + Send + 'static,
{
    let cluster = |object: K| {
        let name = object.labels().get(LABEL_CLUSTER)?.clone();
        Some(ObjectRef::new(&name).within(&object.namespace()?))
    };
    controller.watches(api::<K>(client, scope), config, cluster)
}
