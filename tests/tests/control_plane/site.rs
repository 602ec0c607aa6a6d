//! A namespace with one KVCluster in it, its machines, and operators that come and go.
//! Invariant: whoever changes the KVCluster here does it as its user would, past the wire.
//! Not here: which faults are tried (`trials`), what must hold afterwards (`verdict`).

use std::sync::Arc;

use driftkv_operator::controller::error::Error;
use driftkv_operator::controller::reconcile::{Context, Guarded, on_error, reconcile};
use driftkv_operator::controller::resources::Defaults;
use driftkv_operator::crd::KVCluster;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::DeserializeGuard;
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::machines::Machines;
use crate::nodes::Nodes;
use crate::wire::{Admin, Answers, Call, Fault, Wire};

/// Passes that an operation may take, with a fault in it.
const PASSES_MAX: usize = 60;
/// Both images that clusters here change between.
pub const IMAGES: [&str; 2] = ["driftkv:1", "driftkv:2"];

/// One process of an operator.
pub struct Operator {
    pub wire: Arc<Wire>,
    pub context: Arc<Context>,
}

/// How a pass ended.
pub enum Ended {
    Crashed,
    Done(Result<(), Error>),
}

/// What happened on the way.
#[derive(Default)]
pub struct Journey {
    /// Calls of all operators together, in order.
    pub calls: Vec<Call>,
    /// Whether the last pass went well, without a fault in it.
    pub was_good: bool,
    /// Whether the fault came.
    pub has_fired: bool,
    /// What was wrong.
    pub wrong: Vec<String>,
}

pub struct Site {
    pub namespace: String,
    pub client: Client,
    pub nodes: Arc<Nodes>,
    pub machines: Machines,
    pub answers: Answers,
    /// Of the first KVCluster here: what the data is of.
    pub first_uid: Option<String>,
}

impl Site {
    /// An empty namespace.
    pub async fn new(client: &Client, namespace: &str) -> Site {
        let metadata = kube::api::ObjectMeta { name: Some(namespace.to_owned()), ..kube::api::ObjectMeta::default() };
        let object = Namespace { metadata, ..Namespace::default() };
        Api::all(client.clone()).create(&PostParams::default(), &object).await.expect("a namespace");
        let nodes = Arc::new(Nodes::new(namespace));
        let machines = Machines::new(client.clone(), namespace, Arc::clone(&nodes));
        let (namespace, client, answers) = (namespace.to_owned(), client.clone(), Answers::default());
        Site { namespace, client, nodes, machines, answers, first_uid: None }
    }

    pub fn api(&self) -> Api<KVCluster> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The user makes the KVCluster.
    pub async fn create(&mut self, image: &str) {
        self.nodes.expect(image);
        let cluster: KVCluster = serde_json::from_value(json!({
            "apiVersion": "driftkv.io/v1alpha1", "kind": "KVCluster", "metadata": {"name": "demo"},
            "spec": {"replicas": 3, "partitions": 4, "image": image},
        }))
        .expect("a KVCluster");
        let made = self.api().create(&PostParams::default(), &cluster).await.expect("a KVCluster");
        self.first_uid.get_or_insert(made.uid().expect("a UID"));
    }

    /// The user wants another image.
    pub async fn update(&self, image: &str) {
        self.nodes.expect(image);
        let patch = Patch::Merge(json!({"spec": {"image": image}}));
        self.api().patch("demo", &PatchParams::default(), &patch).await.expect("another image");
    }

    /// The user deletes it.
    pub async fn delete(&self) {
        self.api().delete("demo", &DeleteParams::background()).await.expect("a deletion");
    }

    pub async fn get(&self) -> Option<KVCluster> {
        self.api().get_opt("demo").await.expect("the KVCluster")
    }

    /// Whether all pods of the newest KVCluster have the image that it asks for.
    pub async fn is_rolled_out(&self) -> bool {
        let Some(cluster) = self.get().await else { return false };
        self.machines.images().await.iter().all(|image| Some(image) == cluster.spec.image.as_ref())
    }

    /// A new process.
    pub fn operator(&self, armed: Option<(usize, Fault)>) -> Operator {
        let wire = Wire::new(self.client.clone(), Arc::clone(&self.nodes), Arc::clone(&self.answers), armed);
        let defaults = Defaults { image: IMAGES[0].to_owned() };
        let context = Arc::new(Context::new(wire.client(), Arc::new(Admin(Arc::clone(&wire))), defaults));
        Operator { wire, context }
    }

    /// The user deletes the KVCluster and at once makes another of its name: it is to adopt the data.
    pub async fn replace(&mut self, mut operator: Operator, image: &str, journey: &mut Journey) -> Operator {
        let old = self.get().await.expect("the KVCluster");
        self.delete().await;
        operator = self.look(operator, &old, journey).await;
        self.create(image).await;
        let new = self.get().await.expect("the KVCluster");
        operator = self.look(operator, &new, journey).await;
        self.machines.forget_all_but(new.uid().as_deref()).await;
        operator
    }

    /// One pass; the operator that is there afterwards.
    async fn look(&self, operator: Operator, cluster: &KVCluster, journey: &mut Journey) -> Operator {
        journey.was_good = false;
        let had_fired = operator.wire.fired().is_some();
        let ended = operator.pass(cluster).await;
        let is_new = !had_fired && operator.wire.fired().is_some();
        journey.has_fired |= is_new;
        match ended {
            Ended::Crashed => {
                journey.calls.extend(operator.wire.calls());
                return self.operator(None);
            }
            Ended::Done(outcome) if is_new => journey.wrong.extend(self.unsaid(&operator, outcome).await),
            Ended::Done(Err(error)) => self.excuse(&operator, &error, journey),
            Ended::Done(Ok(())) => journey.was_good = true,
        }
        operator
    }

    /// Passes and stages in turn until nothing is left to do. `operator` may end on the way; another one begins then.
    pub async fn converge(&self, mut operator: Operator, journey: &mut Journey) {
        let cluster = self.get().await.expect("the KVCluster");
        self.machines.settle().await;
        for _ in 0..PASSES_MAX {
            let first = operator.wire.calls().len();
            let process = Arc::clone(&operator.wire);
            operator = self.look(operator, &cluster, journey).await;
            let writes = process.writes(first);
            if writes.iter().any(|call| !call.is_dispensable() && !call.is_of_the_cluster()) {
                self.machines.settle().await;
            }
            if !Arc::ptr_eq(&process, &operator.wire) {
                continue;
            }
            let is_quiet = journey.was_good && writes.is_empty();
            if !self.machines.step().await && is_quiet && self.is_ready().await {
                journey.calls.extend(operator.wire.calls());
                return;
            }
        }
        let cluster = self.get().await;
        let status = serde_json::to_string(&cluster.and_then(|cluster| cluster.status)).unwrap_or_default();
        journey.wrong.push(format!("not converged in {PASSES_MAX} passes: {status}"));
    }

    /// A pass without a fault of ours must not fail.
    fn excuse(&self, operator: &Operator, error: &Error, journey: &mut Journey) {
        let fired = operator.wire.fired();
        let words = fired.map_or("no fault".to_owned(), |call| format!("a fault at {call}, in an earlier pass"));
        journey.wrong.push(format!("a pass failed with {words}: {error}"));
    }

    /// What the status does not say of a fault that it could tell of.
    async fn unsaid(&self, operator: &Operator, outcome: Result<(), Error>) -> Option<String> {
        let call = operator.wire.fired()?;
        let fault = operator.wire.fault()?;
        match outcome {
            // Nobody can tell an old answer as such; what it must not do is looked for elsewhere.
            _ if fault == Fault::Stale => None,
            Err(_) if call.is_of_the_cluster() => None,
            Err(error) => {
                let conditions = self.get().await.and_then(|cluster| cluster.status).unwrap_or_default().conditions;
                let words = error.to_string();
                let is_said =
                    conditions.iter().any(|c| c.type_ == "Degraded" && c.status == "True" && c.message == words);
                (!is_said).then(|| format!("the status does not say: {words}"))
            }
            Ok(()) if call.is_dispensable() => None,
            Ok(()) => Some(format!("a pass went on as if {fault} at {call} had not been")),
        }
    }

    /// Whether the status says that the newest spec is true.
    pub async fn is_ready(&self) -> bool {
        let Some(cluster) = self.get().await else { return false };
        let status = cluster.status.unwrap_or_default();
        let holds = |kind: &str| status.conditions.iter().any(|c| c.type_ == kind && c.status == "True");
        holds("Ready") && !holds("Degraded") && Some(status.observed_generation) == cluster.metadata.generation
    }
}

impl Operator {
    /// One pass over `cluster`, as its controller would begin it.
    pub async fn pass(&self, cluster: &KVCluster) -> Ended {
        let object: Arc<Guarded> = Arc::new(DeserializeGuard(Ok(cluster.clone())));
        let outcome = tokio::select! {
            outcome = reconcile(Arc::clone(&object), Arc::clone(&self.context)) => outcome,
            () = self.wire.crashed() => return Ended::Crashed,
        };
        if let Err(error) = &outcome {
            on_error(object, error, Arc::clone(&self.context));
        }
        Ended::Done(outcome.map(drop))
    }
}
