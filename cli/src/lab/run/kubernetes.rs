//! Clusters of an experiment on Kubernetes: a KVCluster that is there, or one that is made and deleted again; each run is a Job beside it.
//! Reading order: `job` (one run, as seen from here), `inside` (the same, in its pod), `lines` (what the pod tells), `objects` (what is made),
//! `made` (the KVCluster). Invariant: a KVCluster that was there is not changed, but by the annotation of experiments.

mod job;
mod lines;
mod made;
mod objects;

pub mod inside;

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use driftkv_lab::experiment::record::RunRecord;
use driftkv_lab::experiment::{Cell, Experiment, Spec, schedule};
use driftkv_lab::load::OnProgress;
use driftkv_lab::run_dir::RunDir;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value};

use super::folder::Folder;
use super::local::NAME;
use super::place::{Place, differs};
use crate::error::{Exit, Failure};
use crate::kubectl::Which;
use crate::kubectl::chaos::steer;
use crate::kubectl::cluster::{self, Cluster};
use crate::kubectl::logs::CONTAINER;
use crate::kubectl::site::Site;
use crate::style;
use job::Started;
use lines::Told;
use objects::Run;

/// Of healing, judging and fetching, beside what the experiment says.
const BESIDE: Duration = Duration::from_secs(15 * 60);

/// A KVCluster.
pub struct Running {
    site: Site,
    name: String,
    image: Option<String>,
    is_made: bool,
    /// The run under way: its Job, and its number.
    under_way: Mutex<Option<(String, u64)>>,
}

/// The fields of the KVCluster that `place` names, as the API server has them.
pub async fn fields(place: &Value) -> Result<Map<String, Value>, Failure> {
    let of = Map::from_iter([(super::place::KUBERNETES.to_owned(), place.clone())]);
    let place = Place::of(&of).map_err(|why| Failure::new(Exit::BadInput, why))?.unwrap_or_default();
    let cluster = Cluster::find(&open(&place).await?, place.cluster.as_deref()).await?;
    let mut fields = cluster.object.pointer("/spec").and_then(Value::as_object).cloned().unwrap_or_default();
    fields.insert(NAME.to_owned(), cluster.name.into());
    Ok(fields)
}

/// Whether the KVCluster that the experiment names is as its cells ask. Errors: it is not, and nothing was started.
pub async fn check(experiment: &Experiment) -> Result<(), Failure> {
    // All cells ask for the same one (`place::check_same`).
    let Some(cell) = experiment.grid.cells.first() else { return Ok(()) };
    let asked = &cell.spec.cluster;
    let place = Place::of(asked).map_err(|why| Failure::new(Exit::BadInput, why))?;
    let Some(Place { cluster: Some(name), .. }) = &place else { return Ok(()) };
    let there = fields(asked.get(super::place::KUBERNETES).unwrap_or(&Value::Null)).await?;
    match differs(asked, &there.into()) {
        None => Ok(()),
        Some(why) => Err(other(name, &why)),
    }
}

fn other(name: &str, why: &str) -> Failure {
    Failure::new(Exit::BadInput, format!("cluster: {why}")).hint(format!(
        "The laboratory does not change the KVCluster {name}; without kubernetes.cluster it makes one of its own."
    ))
}

async fn open(place: &Place) -> Result<Site, Failure> {
    let (namespace, context) = (place.namespace.clone(), place.context.clone());
    Site::open(&Which { namespace, context, ..Which::default() }).await
}

impl Running {
    /// The KVCluster of `place`: the one it names, which must be Ready and have the `fields`, else a new one of `manifest`, which is not Ready yet.
    pub async fn start(place: &Place, fields: &Map<String, Value>, manifest: &Value) -> Result<Self, Failure> {
        let (site, image) = (open(place).await?, place.image.clone());
        let Some(name) = &place.cluster else {
            let name = made::make(&site, manifest).await?;
            return Ok(Self { site, name, image, is_made: true, under_way: Mutex::default() });
        };
        let cluster = Cluster::find(&site, Some(name)).await?;
        let spec = cluster.object.pointer("/spec").cloned().unwrap_or_default();
        if let Some(why) = differs(fields, &spec) {
            return Err(other(name, &why));
        }
        if !made::is_ready(&cluster) {
            return Err(Failure::unavailable(format!("the KVCluster {name} is not Ready"))
                .hint(format!("`kubectl driftkv status {name} -n {}` shows why.", site.namespace)));
        }
        Ok(Self { site, name: name.clone(), image, is_made: false, under_way: Mutex::default() })
    }

    /// One run of `cell`: its files are in `dir` afterwards. `None`: it was stopped.
    pub async fn run(&self, asked: Asked<'_>) -> Result<Option<RunRecord>, Failure> {
        let Asked { cell, seed, folder, dir, stop, say, mut on_progress } = asked;
        if self.is_made && !made::ready(&self.site, &self.name, stop).await? {
            return Ok(None);
        }
        let cluster = Cluster::find(&self.site, Some(&self.name)).await?;
        let pods = cluster::ready(&self.name, &cluster.pods(&self.site).await?)?;
        let Some(like) = pods.first() else { return Err(Failure::unavailable("no pod of the cluster is ready")) };
        let image = self.image.clone().or_else(|| image(like));
        let number: u64 = rand::random();
        let run = Run {
            name: &format!("driftkv-lab-{number:016x}"),
            run: number,
            cluster: &self.name,
            image: &image.ok_or_else(|| Failure::failed("the pods of the cluster name no image"))?,
            cell: &cell.name,
            seed,
            spec: &folder.spec()?,
            longest_s: longest(&cell.spec).as_secs(),
            like,
        };
        *self.under_way() = Some((run.name.to_owned(), number));
        let started = Started::new(&self.site, &run).await?;
        let tell = |told: &Told| match told {
            Told::Say(sentence) => say(sentence),
            Told::Progress(progress) => on_progress(progress),
            Told::Over | Told::Failed { .. } => {}
        };
        let is_over = match started.follow(dir.path(), stop, tell).await {
            Ok(is_over) => is_over,
            Err(failure) => {
                // The Job of a pod that has ended stays for a while: its log says more. One that goes on would load and disturb the cluster.
                // What is under way is ended by `stop`, whatever the API server says now.
                if started.has_ended().await {
                    self.heal(number, say).await;
                    *self.under_way() = None;
                }
                return Err(failure);
            }
        };
        started.delete().await?;
        if is_over {
            *self.under_way() = None;
            return folder.finished(&cell.name, seed);
        }
        self.heal(number, say).await;
        *self.under_way() = None;
        Ok(None)
    }

    /// Ends what the run `number` injected: its pod does, unless it died, or lost its rights with its Job before it had.
    async fn heal(&self, number: u64, say: &(dyn Fn(&str) + Sync)) {
        let is_ours = |id: &str| id.ends_with(&format!("-{number:016x}"));
        if let Err(failure) = steer::end(&self.site, &self.name, is_ours).await {
            say(&format!("a fault of the run may go on until it ends by itself: {failure}"));
        }
    }

    fn under_way(&self) -> MutexGuard<'_, Option<(String, u64)>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes what was made, and ends a run that was given up at once.
    pub async fn stop(self) -> Result<(), Failure> {
        let given_up = self.under_way().take();
        let mut deleted = Ok(());
        if let Some((job, number)) = given_up {
            deleted = Started::of(&self.site, &job).delete().await;
            self.heal(number, &style::note).await;
        }
        if self.is_made {
            made::remove(&self.site, &self.name).await?;
        }
        deleted
    }
}

/// What one run is.
pub struct Asked<'a> {
    /// Which.
    pub cell: &'a Cell,
    /// Of its plan and its faults.
    pub seed: u64,
    /// Of the experiment.
    pub folder: &'a Folder,
    /// Where its files go.
    pub dir: &'a RunDir,
    /// Ends it early when set.
    pub stop: &'a AtomicBool,
    /// Told what happens beside the load.
    pub say: &'a (dyn Fn(&str) + Sync),
    /// Called every second of the load.
    pub on_progress: OnProgress,
}

fn image(pod: &Pod) -> Option<String> {
    let containers = &pod.spec.as_ref()?.containers;
    containers.iter().find(|container| container.name == CONTAINER)?.image.clone()
}

fn longest(spec: &Spec) -> Duration {
    let convergence = spec.measure.convergence.as_ref().map_or(Duration::ZERO, |wanted| wanted.deadline);
    schedule::length(spec) + convergence + spec.measure.lost_writes.unwrap_or_default() + BESIDE
}
