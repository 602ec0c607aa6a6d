//! The clusters of an experiment: processes of this machine from a KVCluster's fields, nodes that run already (`endpoints`), or a KVCluster on Kubernetes.
//! Invariants: one cluster of ours runs at a time; when it is stopped its processes are gone and its data is deleted, unless something failed.
//! Not here: Kubernetes (`kubernetes`, `place`).

use std::path::{Path, PathBuf};

use driftkv_lab::experiment::{self, Experiment, Refused, Spec, schedule};
use driftkv_lab::target::Target;
use driftkv_operator::crd::{API_VERSION, KIND, KVCluster};
use driftkv_operator::manifest::{ManifestError, TEXT_BYTES_MAX, parse_manifest};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::target::KnownCluster;
#[cfg(feature = "kubectl")]
use super::kubernetes;
use super::place::{self, KUBERNETES, Place};
use crate::endpoints::Endpoints;
use crate::error::{Exit, Failure};
use crate::input;
use crate::style;
use crate::up::group::{Event, Group};
use crate::up::plan::Plan;
use crate::up::process::find_program;
use crate::up::settle;
use crate::up::signals::Signals;

/// Fields of `cluster` that are no fields of a KVCluster's `spec`.
pub const NAME: &str = "name";
const ENDPOINTS: &str = "endpoints";
/// What must be said of nodes that run already: verdicts depend on it.
const QUORUMS: [&str; 3] = ["replicationFactor", "readQuorum", "writeQuorum"];

/// What runs now.
#[derive(Default)]
pub struct Clusters {
    program: Option<PathBuf>,
    now: Option<(Map<String, Value>, Running)>,
}

enum Running {
    /// Nodes that ran already.
    Known(KnownCluster),
    /// Processes of our own.
    Own(KnownCluster, Own),
    #[cfg(feature = "kubectl")]
    Kubernetes(kubernetes::Running),
}

/// What runs are done against.
pub enum Reached<'a> {
    /// Nodes that this process reaches itself.
    Here(&'a KnownCluster),
    /// Pods, which a pod reaches.
    #[cfg(feature = "kubectl")]
    Kubernetes(&'a kubernetes::Running),
}

/// What the fields of `cluster` ask for.
enum Wanted {
    Endpoints,
    Processes(Box<KVCluster>),
    #[cfg_attr(not(feature = "kubectl"), allow(dead_code))]
    Kubernetes(Place, Value),
}

struct Own {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Vec<String>>,
    directory: TempDir,
}

/// The fields of the KVCluster in the file at `path`, and its name.
pub fn manifest_fields(path: &Path) -> Result<Map<String, Value>, String> {
    let text = input::text(path, TEXT_BYTES_MAX).map_err(|failure| failure.message)?;
    let cluster = parse_manifest(&text, &path.display().to_string()).map_err(|error| error.to_string())?;
    let spec = serde_json::to_value(&cluster.spec).map_err(|error| error.to_string())?;
    let mut fields = spec.as_object().cloned().unwrap_or_default();
    fields.insert(NAME.to_owned(), cluster.metadata.name.unwrap_or_default().into());
    Ok(fields)
}

/// Whether the cluster of these fields can be made, or is named as one that is there.
pub fn check(fields: &Map<String, Value>) -> Result<(), Refused> {
    match wanted(fields)? {
        Wanted::Kubernetes(..) if cfg!(not(feature = "kubectl")) => {
            Err(Refused::at(KUBERNETES, "this driftkv has no client of Kubernetes; build it with its usual features"))
        }
        _ => Ok(()),
    }
}

/// A KVCluster that is there cannot be as two cells ask for.
pub fn check_all(experiment: &Experiment) -> Result<(), Failure> {
    let refuse = |why: String| Failure::new(Exit::BadInput, format!("cluster: {why}")).hint("Nothing was started.");
    for cell in &experiment.grid.cells {
        if let Wanted::Kubernetes(place, _) = wanted(&cell.spec.cluster).map_err(|refused| refuse(refused.why))? {
            place::check_same(experiment, &place).map_err(refuse)?;
        }
    }
    Ok(())
}

fn wanted(fields: &Map<String, Value>) -> Result<Wanted, Refused> {
    let place = Place::of(fields).map_err(|why| Refused::at(KUBERNETES, why))?;
    let mut spec = fields.clone();
    spec.remove(KUBERNETES);
    if let Some(endpoints) = spec.remove(ENDPOINTS) {
        let is_list = endpoints.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(Value::is_string));
        let is_whole = spec.len() == QUORUMS.len() && QUORUMS.iter().all(|name| spec.contains_key(*name));
        let why = "endpoints is a list of HOST:PORT; beside it stand replicationFactor, readQuorum and writeQuorum of that cluster, all three";
        return if is_list && is_whole && place.is_none() {
            Ok(Wanted::Endpoints)
        } else {
            Err(Refused::at(ENDPOINTS, why))
        };
    }
    let name = spec.remove(NAME).unwrap_or_else(|| schedule::CLUSTER_NAME.into());
    if place.as_ref().is_none_or(|place| place.cluster.is_none()) {
        spec.entry("allowFaults").or_insert(true.into());
    }
    let manifest = json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": { "name": name },
        "spec": spec,
    });
    let text = manifest.to_string();
    let cluster = parse_manifest(&text, "").map_err(|error| refused(&text, error))?;
    Ok(match place {
        None => Wanted::Processes(Box::new(cluster)),
        Some(place) => Wanted::Kubernetes(place, manifest),
    })
}

/// Lines and columns are those of `text`, which nobody wrote: they tell the field.
fn refused(text: &str, error: ManifestError) -> Refused {
    let field = |path: Vec<String>| match path.split_first() {
        Some((first, field)) if first == "spec" => field.to_vec(),
        _ => Vec::new(),
    };
    match error {
        ManifestError::Syntax { line, column, message, .. } => {
            Refused { at: field(experiment::path_at(text, line, column)), why: message }
        }
        ManifestError::Invalid { problems, .. } => {
            let first = problems.first().and_then(|problem| problem.split([' ', ':']).next()).unwrap_or_default();
            Refused { at: field(Refused::at(first, "").at), why: problems.join("; ") }
        }
        ManifestError::Documents { .. } => Refused::at("", error.to_string()),
    }
}

/// Names and client ports.
pub fn nodes(cluster: &KnownCluster) -> Vec<(String, String)> {
    cluster.nodes().iter().filter_map(|node| Some((node.name.clone(), node.client.clone()?))).collect()
}

impl Clusters {
    /// The cluster of `spec`: the one that runs if it is the same, else a new one in its place.
    pub async fn of(&mut self, spec: &Spec) -> Result<Reached<'_>, Failure> {
        let is_same = self.now.as_ref().is_some_and(|(fields, _)| *fields == spec.cluster);
        if !is_same {
            self.stop().await?;
            let running = self.start(&spec.cluster).await?;
            self.now = Some((spec.cluster.clone(), running));
        }
        match &self.now {
            Some((_, Running::Known(cluster) | Running::Own(cluster, _))) => Ok(Reached::Here(cluster)),
            #[cfg(feature = "kubectl")]
            Some((_, Running::Kubernetes(running))) => Ok(Reached::Kubernetes(running)),
            None => Err(Failure::failed("no cluster runs")),
        }
    }

    /// Stops what runs, if it is ours.
    pub async fn stop(&mut self) -> Result<(), Failure> {
        let own = match self.now.take() {
            Some((_, Running::Own(_, own))) => own,
            #[cfg(feature = "kubectl")]
            Some((_, Running::Kubernetes(running))) => return running.stop().await,
            Some((_, Running::Known(_))) | None => return Ok(()),
        };
        let _ = own.stop.send(());
        let killed = own.task.await.map_err(|error| Failure::failed(error.to_string()))?;
        if killed.is_empty() {
            let path = own.directory.path().to_owned();
            return own.directory.close().map_err(|error| Failure::io(&path, &error));
        }
        let kept = own.directory.keep();
        style::note(&format!(
            "{} did not stop in time and was killed; data and logs are in {}",
            killed.join(", "),
            kept.display()
        ));
        Ok(())
    }

    async fn start(&mut self, fields: &Map<String, Value>) -> Result<Running, Failure> {
        let wrong = |why: String| Failure::new(Exit::BadInput, format!("cluster: {why}"));
        match wanted(fields).map_err(|refused| wrong(refused.why))? {
            Wanted::Endpoints => connect(fields).await,
            #[cfg(feature = "kubectl")]
            Wanted::Kubernetes(place, manifest) => {
                kubernetes::Running::start(&place, fields, &manifest).await.map(Running::Kubernetes)
            }
            // `check_all` has refused it.
            #[cfg(not(feature = "kubectl"))]
            Wanted::Kubernetes(..) => Err(wrong("kubernetes: this driftkv has no client of it".to_owned())),
            Wanted::Processes(manifest) => {
                if self.program.is_none() {
                    self.program = Some(find_program()?);
                }
                let program = self.program.clone().unwrap_or_default();
                start(&manifest, &program).await
            }
        }
    }
}

/// Nodes that run already.
async fn connect(fields: &Map<String, Value>) -> Result<Running, Failure> {
    let list = fields.get(ENDPOINTS).and_then(Value::as_array).cloned().unwrap_or_default();
    let words = list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let endpoints = Endpoints::of_clients(words)?;
    Ok(Running::Known(KnownCluster::find(&endpoints, true).await))
}

async fn start(manifest: &KVCluster, program: &Path) -> Result<Running, Failure> {
    let directory = TempDir::with_prefix("driftkv-lab-");
    let directory = directory.map_err(|error| Failure::failed(format!("no temporary directory: {error}")))?;
    let plan = Plan::at_free_ports(manifest, directory.path())?;
    plan.make_dirs()?;
    plan.cluster_file().write(directory.path())?;
    let mut group = Group::start(&plan, program);
    let settled = tokio::select! {
        settled = settle::settle(&plan.nodes, plan.spec.partitions, plan.spec.replication_factor) => settled.map(|_| ()),
        failure = group.first_death(&plan) => Err(failure),
    };
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(keep(group, stopped));
    let own = Own { stop, task, directory };
    match settled {
        Ok(()) => Ok(Running::Own(KnownCluster::of_plan(&plan), own)),
        Err(failure) => {
            let _ = own.stop.send(());
            let _ = own.task.await;
            let kept = own.directory.keep();
            let hint = format!("{}\nData and logs of the nodes are in {}", failure.hint, kept.display());
            Err(failure.hint(hint.trim_start().to_owned()))
        }
    }
}

/// Keeps nodes running, and starts those again that die, until told to stop. Names those that had to be killed.
async fn keep(mut group: Group, mut stopped: oneshot::Receiver<()>) -> Vec<String> {
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            event = group.next() => if let Event::NotStarted { name, failure } = event {
                style::note(&format!("{name} cannot be started: {failure}"));
            },
        }
    }
    match Signals::new() {
        Ok(mut signals) => group.stop(&mut signals).await,
        // Processes end with their handles.
        Err(_) => Vec::new(),
    }
}
