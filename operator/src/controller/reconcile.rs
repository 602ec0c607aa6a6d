//! One pass over one KVCluster: observe, plan, apply, and then the status, whichever way it went.
//! Invariants: no path returns without having written the status (unless the API server refuses just that, or showed an older
//! KVCluster than before, of which nothing new can be said); a status that says what is already there is not written; a KVCluster that is being deleted is left to Kubernetes' garbage collector.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::events::Recorder;
use kube::{Client, Resource};
use serde::Serialize;
use serde_json::json;

use super::apply;
use super::chaos;
use super::election::Term;
use super::error::{Error, call, call_opt, pause};
use super::events::{Happening, publish, transitions};
use super::invalid;
use super::metrics::Metrics;
use super::names::{MANAGER, Names};
use super::newest::Newest;
use super::nodes::{NodeAdmin, Speaker};
use super::observe::observe;
use super::plan::{self, Inputs, with_error};
use super::resources::{Defaults, build};
use super::token;
use super::traces::{Phases, Traces};
use crate::crd::{KVCluster, KVClusterStatus};

/// What every pass shares.
pub struct Context {
    /// Of the API server.
    pub client: Client,
    /// Of the nodes.
    pub admin: Arc<dyn NodeAdmin>,
    /// Shared, since it sums up events that repeat.
    pub recorder: Recorder,
    /// For specs that leave something open.
    pub defaults: Defaults,
    /// What is counted.
    pub metrics: Metrics,
    /// Where passes are told of.
    pub traces: Traces,
    /// Of the lease; without an election there is none.
    pub term: Term,
    /// Whether experiments are obeyed.
    pub allows_chaos: bool,
    /// What was read of each KVCluster until now.
    newest: Newest,
    /// Failures in a row, by UID.
    failures: Mutex<BTreeMap<String, u32>>,
}

impl Context {
    /// Of a client and what nodes are asked by.
    pub fn new(client: Client, admin: Arc<dyn NodeAdmin>, defaults: Defaults) -> Context {
        let recorder = Recorder::new(client.clone(), MANAGER.into());
        let (metrics, traces) = (Metrics::default(), Traces::default());
        let (newest, failures) = (Newest::default(), Mutex::default());
        let (term, allows_chaos) = (Term::default(), false);
        Context { client, admin, recorder, defaults, metrics, traces, term, allows_chaos, newest, failures }
    }

    /// One more failure of this object; how many in a row.
    fn fail(&self, uid: &str) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(uid.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    fn succeed(&self, uid: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// A KVCluster, or what could be read of one that is not valid: one of those must not stop all others.
pub type Guarded = DeserializeGuard<KVCluster>;

/// One pass. `object` only says which: what it is now is read anew, for a pass over an older spec would take a newer one back.
pub async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    let (began, began_at, mut phases) = (Instant::now(), SystemTime::now(), Phases::default());
    let outcome = match phases.time("read", read(&object, &context)).await {
        Ok(Some(Guarded { 0: Ok(cluster) })) => reconcile_valid(cluster, &context, &mut phases).await,
        Ok(Some(Guarded { 0: Err(invalid) })) => invalid::tell(&context, &invalid.metadata, &invalid.error).await,
        Ok(None) => Ok(Action::await_change()),
        Err(error) => Err(error),
    };
    let (meta, error) = (object.meta(), outcome.as_ref().err());
    context.metrics.passed(began.elapsed(), error.map(Error::label));
    let [namespace, name] = [&meta.namespace, &meta.name].map(|text| text.as_deref().unwrap_or_default());
    context.traces.tell(namespace, name, began_at, &phases, error);
    if outcome.is_ok() {
        context.succeed(object.meta().uid.as_deref().unwrap_or_default());
    }
    outcome
}

/// `None`: it is gone, or going; whoever has its name now has a pass of its own.
async fn read(object: &Guarded, context: &Context) -> Result<Option<Guarded>, Error> {
    let meta = object.meta();
    let api: Api<Guarded> = Api::namespaced(context.client.clone(), meta.namespace.as_deref().unwrap_or_default());
    let read = call("read the KVCluster", api.get_opt(meta.name.as_deref().unwrap_or_default())).await?;
    let uid = meta.uid.as_deref().unwrap_or_default();
    let is_it = |read: &Guarded| read.meta().uid == meta.uid && read.meta().deletion_timestamp.is_none();
    let read = read.filter(is_it);
    match &read {
        Some(read) => context.newest.check(uid, read.meta().generation.unwrap_or_default())?,
        None => context.newest.forget(uid),
    }
    Ok(read)
}

async fn reconcile_valid(mut cluster: KVCluster, context: &Context, phases: &mut Phases) -> Result<Action, Error> {
    let names = Names::of(&cluster);
    let mut done = Vec::new();
    let prepared = prepare(context, &mut cluster, &mut done, phases).await;
    let cluster = &cluster;
    let before = cluster.status.clone().unwrap_or_default();
    let (status, outcome) = match prepared {
        Ok(ready) => pass(context, cluster, &names, &before, &ready, &mut done, phases).await,
        Err(error) => failed(cluster, &before, before.clone(), error),
    };
    done.extend(transitions(&before.conditions, &status.conditions));
    context.metrics.tell(&names, cluster.spec.replicas, &status, outcome.is_ok());
    let uid = cluster.metadata.uid.as_deref().unwrap_or_default();
    let write = async {
        let is_new = status != before;
        let written = if is_new { write_status(&context.client, &names, uid, &status).await } else { Ok(()) };
        publish(&context.recorder, &cluster.object_ref(&()), &done).await;
        written
    };
    let written = phases.time("status", write).await;
    outcome.and_then(|action| written.map(|()| action))
}

/// What a pass needs before it looks at the cluster.
struct Ready {
    admin: Arc<dyn NodeAdmin>,
    speaker: Speaker,
    /// When the experiment under way wants another look.
    again: Option<Duration>,
}

/// Nodes are spoken to by their token; then experiments, before a node that one paused delays what else is asked.
async fn prepare(
    context: &Context,
    cluster: &mut KVCluster,
    done: &mut Vec<Happening>,
    phases: &mut Phases,
) -> Result<Ready, Error> {
    let is_paused = super::names::pause(cluster).is_some();
    let tokens = phases.time("token", token::ensure(&context.client, cluster, !is_paused)).await?;
    let speaker = Speaker::new(tokens, context.term.clone());
    let admin = context.admin.spoken_to_by(&speaker);
    let again = phases.time("chaos", chaos::pass(context, admin.as_ref(), cluster, done)).await?;
    Ok(Ready { admin, speaker, again })
}

fn failed(
    cluster: &KVCluster,
    before: &KVClusterStatus,
    status: KVClusterStatus,
    error: Error,
) -> (KVClusterStatus, Result<Action, Error>) {
    let generation = cluster.metadata.generation;
    (with_error(generation, &before.conditions, status, &error, Timestamp::now()), Err(error))
}

async fn pass(
    context: &Context,
    cluster: &KVCluster,
    names: &Names,
    before: &KVClusterStatus,
    ready: &Ready,
    done: &mut Vec<Happening>,
    phases: &mut Phases,
) -> (KVClusterStatus, Result<Action, Error>) {
    let failed = |status, error| failed(cluster, before, status, error);
    let wanted = match build(cluster, &context.defaults) {
        Ok(wanted) => wanted,
        Err(error) => {
            let error = Error::Unreadable { what: "build objects".to_owned(), why: error.to_string() };
            return failed(before.clone(), error);
        }
    };
    let (client, admin) = (&context.client, ready.admin.as_ref());
    let observed =
        match phases.time("observe", observe(client, admin, names, &wanted, before.zones_from.is_some())).await {
            Ok(observed) => observed,
            Err(error) => return failed(before.clone(), error),
        };
    let inputs = Inputs { cluster, names, wanted: &wanted, observed: &observed, now: Timestamp::now() };
    let plan = plan::plan(&inputs);
    let acts = async {
        apply::apply(client, admin, names, &plan, done).await?;
        let tokens = &ready.speaker.tokens;
        let do_all_answer = observed.nodes.len() == cluster.spec.replicas as usize;
        if tokens.are_several() && do_all_answer && !ready.speaker.needed_older() && !inputs.is_paused() {
            token::retire(client, names, tokens).await?;
        }
        Ok(())
    };
    match phases.time("apply", acts).await {
        Ok(()) => {
            let requeue = ready.again.map_or(plan.requeue, |again| again.min(plan.requeue));
            (plan.status, Ok(Action::requeue(requeue)))
        }
        Err(error) => failed(plan.status, error),
    }
}

/// By server-side apply as well, so that what is no longer said disappears. `uid`: a namesake made since is left alone.
pub async fn write_status(client: &Client, names: &Names, uid: &str, status: &impl Serialize) -> Result<(), Error> {
    let resource = ApiResource::erase::<KVCluster>(&());
    let body = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": names.cluster, "uid": uid},
        "status": status,
    });
    let params = PatchParams::apply(MANAGER).force();
    call_opt("write the status", raw(client, names).patch_status(&names.cluster, &params, &Patch::Apply(&body)))
        .await?;
    Ok(())
}

/// KVClusters as JSON, whatever is in them.
pub(super) fn raw(client: &Client, names: &Names) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), &names.namespace, &ApiResource::erase::<KVCluster>(&()))
}

/// When to try again after `error`.
pub fn on_error(object: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    let uid = object.meta().uid.clone().unwrap_or_default();
    let failures = context.fail(&uid);
    let pause = pause(failures, rand::random());
    let name = object.meta().name.clone().unwrap_or_default();
    tracing::warn!(cluster = %name, %error, failures, pause_ms = pause.as_millis() as u64, "a pass failed");
    Action::requeue(pause)
}
