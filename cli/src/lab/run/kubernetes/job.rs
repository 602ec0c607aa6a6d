//! One run as a Job: made, followed by its log, its files fetched, deleted.
//! Order: the Job is made first and starts last, since all else belongs to it. Its pod waits with the files until it is told to go.
//! Not here: what its objects say (`objects`), what its pod does (`inside`).

use std::io::{Seek, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{AttachParams, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::lines::Told;
use super::objects::{CONTAINER, KEPT_S, OUT, PROGRAM, Run};
use crate::error::{Exit, Failure};
use crate::kubectl::cluster::state;
use crate::kubectl::logs::source::Source;
use crate::kubectl::site::{Site, call, call_opt};

/// How long a pod may take to run: its image may have to be fetched.
const START_MAX: Duration = Duration::from_secs(180);
/// How long the files may take.
const FETCH_MAX: Duration = Duration::from_secs(600);
/// How often they are asked for: the pod keeps them.
const FETCHES: u32 = 3;
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Between two looks at the pod itself, which says why its log has ended.
const POD_EVERY: Duration = Duration::from_secs(3);
/// Lines that wait.
const LINES_MAX: usize = 256;
/// Of the files, in memory at a time.
const PART_BYTES: usize = 64 << 10;
/// A pod that says one of these is not going to run.
const HOPELESS: [&str; 4] = ["InvalidImageName", "ErrImageNeverPull", "ImagePullBackOff", "CreateContainerConfigError"];

/// A run whose Job is there.
pub struct Started<'a> {
    site: &'a Site,
    name: String,
}

impl<'a> Started<'a> {
    /// One that was made before.
    pub fn of(site: &'a Site, name: &str) -> Self {
        Self { site, name: name.to_owned() }
    }

    /// Makes the objects of `run`, and starts the Job.
    pub async fn new(site: &'a Site, run: &Run<'_>) -> Result<Self, Failure> {
        let job: Job = create(site, run.job()).await?;
        let started = Self::of(site, run.name);
        let made = started.complete(run, &job.uid().unwrap_or_default()).await;
        match made {
            Ok(()) => Ok(started),
            Err(failure) => {
                let _ = started.delete().await;
                Err(failure)
            }
        }
    }

    async fn complete(&self, run: &Run<'_>, uid: &str) -> Result<(), Failure> {
        let [config, account, role, binding] = run.belongings(uid);
        create::<ConfigMap>(self.site, config).await?;
        create::<ServiceAccount>(self.site, account).await?;
        create::<Role>(self.site, role).await?;
        create::<RoleBinding>(self.site, binding).await?;
        let start = Patch::Merge(json!({"spec": {"suspend": false}}));
        let (jobs, params) = (self.jobs(), PatchParams::default());
        call(&format!("start the Job {}", self.name), jobs.patch(&self.name, &params, &start)).await.map(drop)
    }

    fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.site.client.clone(), &self.site.namespace)
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.site.client.clone(), &self.site.namespace)
    }

    /// Deletes the Job and all that belongs to it; a run under way heals first what it injected.
    pub async fn delete(&self) -> Result<(), Failure> {
        let what = format!("delete the Job {}", self.name);
        call_opt(&what, self.jobs().delete(&self.name, &DeleteParams::background())).await.map(drop)
    }

    /// Follows the run to its end; its files are in `dir` then. `false`: it was stopped. What is told on the way is handed to `tell`.
    pub async fn follow(&self, dir: &Path, stop: &AtomicBool, mut tell: impl FnMut(&Told)) -> Result<bool, Failure> {
        let Some(pod) = self.running(stop).await? else { return Ok(false) };
        let (sender, mut lines) = mpsc::channel(LINES_MAX);
        // Why a log was asked for again is of no use to anybody while the pod runs.
        let (troubles, _) = mpsc::channel(1);
        let source =
            Source { pod: pod.clone(), container: CONTAINER, tail: None, since: None, previous: false, follow: true };
        let reading = tokio::spawn(source.read(self.site.clone(), sender, troubles));
        let mut looked = Instant::now();
        let outcome = loop {
            if stop.load(Ordering::Relaxed) {
                break Ok(false);
            }
            match timeout(LOOK_EVERY, lines.recv()).await {
                Ok(Some((_, line))) => match Told::of(&line.text) {
                    Told::Over => break self.fetch(&pod, dir).await.map(|()| true),
                    Told::Failed { message, hint } => break Err(Failure::failed(message).hint(hint)),
                    told => tell(&told),
                },
                _ if looked.elapsed() > POD_EVERY => {
                    looked = Instant::now();
                    if let Some(failure) = self.gone(&pod).await {
                        break Err(failure);
                    }
                }
                // The log has ended and the pod has not been looked at yet.
                Ok(None) => sleep(LOOK_EVERY).await,
                Err(_) => {}
            }
        };
        reading.abort();
        outcome
    }

    /// Waits until the pod runs, or has run; its name. `None`: it was stopped.
    async fn running(&self, stop: &AtomicBool) -> Result<Option<String>, Failure> {
        let began = Instant::now();
        let mut seen = "its Job has no pod".to_owned();
        while !stop.load(Ordering::Relaxed) {
            let pods = match call("list the pods of the run's Job", self.pods().list(&self.ours())).await {
                Ok(pods) => pods.items,
                // The API server may be away for a while; the run is not.
                Err(failure) if failure.exit == Exit::Unavailable && began.elapsed() < START_MAX => {
                    sleep(LOOK_EVERY).await;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            if let Some(pod) = pods.first() {
                let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
                if ["Running", "Succeeded", "Failed"].contains(&phase) {
                    return Ok(Some(pod.name_any()));
                }
                seen = format!("{} is {}", pod.name_any(), state(pod));
            }
            let is_hopeless = HOPELESS.iter().any(|word| seen.ends_with(word));
            if is_hopeless || began.elapsed() > START_MAX {
                let after = began.elapsed().as_secs();
                return Err(Failure::unavailable(format!("the pod of the run does not start: {seen} after {after} s"))
                    .hint(format!("`kubectl get events -n {}` shows why.", self.site.namespace)));
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(None)
    }

    /// Whether its pod has ended; not, if nobody can say.
    pub async fn has_ended(&self) -> bool {
        let pods = call("list the pods of the run's Job", self.pods().list(&self.ours())).await;
        let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        pods.is_ok_and(|pods| pods.items.iter().any(|pod| ["Succeeded", "Failed"].contains(&phase(pod).as_str())))
    }

    fn ours(&self) -> ListParams {
        ListParams::default().labels(&format!("batch.kubernetes.io/job-name={}", self.name))
    }

    /// Why the pod says nothing any more, if it will not.
    async fn gone(&self, pod: &str) -> Option<Failure> {
        let found = match call_opt("look at the pod of the run", self.pods().get(pod)).await {
            Ok(found) => found,
            // The API server may be away for a while; the run is not.
            Err(_) => return None,
        };
        let told = match found {
            None => format!("{pod} was deleted"),
            Some(pod) => {
                let status = pod.status.clone().unwrap_or_default();
                if !matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
                    return None;
                }
                format!("{} ended: {} {}", pod.name_any(), state(&pod), status.message.unwrap_or_default())
            }
        };
        Some(Failure::failed(format!("the run has no end: {}", told.trim_end())).hint(self.look()))
    }

    fn look(&self) -> String {
        let namespace = &self.site.namespace;
        format!(
            "`kubectl describe job/{0} -n {namespace}` and `kubectl logs job/{0} -n {namespace}` show why, for {KEPT_S} s.",
            self.name
        )
    }

    async fn fetch(&self, pod: &str, dir: &Path) -> Result<(), Failure> {
        let mut last = None;
        for _ in 0..FETCHES {
            match timeout(FETCH_MAX, self.fetch_once(pod, dir)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(failure)) => last = Some(failure),
                Err(_) => last = Some(Failure::unavailable(format!("no end in {} s", FETCH_MAX.as_secs()))),
            }
        }
        let why = last.map_or_else(String::new, |failure| failure.message);
        Err(Failure::failed(format!("the files of the run cannot be fetched from {pod}: {why}")))
    }

    /// The whole archive before any of it: half an answer leaves nothing.
    async fn fetch_once(&self, pod: &str, dir: &Path) -> Result<(), Failure> {
        let wrong = |error: std::io::Error| Failure::failed(error.to_string());
        let params = AttachParams::default().container(CONTAINER).stderr(false);
        let words = [PROGRAM, "lab", "pack", OUT];
        let mut process = call("exec", self.pods().exec(pod, words, &params)).await?;
        let mut from = process.stdout().ok_or_else(|| Failure::failed("the API server gave no stream"))?;
        let mut file = tempfile::tempfile().map_err(wrong)?;
        let mut part = vec![0; PART_BYTES];
        loop {
            let count = from.read(&mut part).await.map_err(wrong)?;
            match part.get(..count) {
                None | Some([]) => break,
                Some(bytes) => file.write_all(bytes).map_err(wrong)?,
            }
        }
        tokio::task::block_in_place(|| unpack(file, dir)).map_err(wrong)
    }
}

/// All of it or nothing: whoever is interrupted has a run that is not over.
fn unpack(mut file: std::fs::File, dir: &Path) -> std::io::Result<()> {
    file.rewind()?;
    let parent = dir.parent().unwrap_or(dir);
    let all = tempfile::tempdir_in(parent)?;
    tar::Archive::new(GzDecoder::new(file)).unpack(all.path())?;
    std::fs::remove_dir(dir)?;
    std::fs::rename(all.keep(), dir)
}

/// Makes one object.
async fn create<K>(site: &Site, object: Value) -> Result<K, Failure>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Serialize
        + DeserializeOwned
        + std::fmt::Debug,
{
    let object: K = serde_json::from_value(object).map_err(|error| Failure::failed(error.to_string()))?;
    let what = format!("make the {} {} in namespace {}", K::kind(&()), object.name_any(), site.namespace);
    let api: Api<K> = Api::namespaced(site.client.clone(), &site.namespace);
    call(&what, api.create(&PostParams::default(), &object)).await
}
