//! What the pod of a run does: one run of one cell against the KVCluster beside it, judged where it happened; then it waits with the files.
//! `driftkv lab job` and `driftkv lab pack`, which nobody calls by hand. Faults go through the annotation, so that the operator checks and
//! bounds them as anybody's; what the nodes counted is asked of them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use driftkv_lab::experiment::perform::{Setting, perform};
use driftkv_lab::experiment::read::{Changes, TEXT_BYTES_MAX};
use driftkv_lab::experiment::record::RunRecord;
use driftkv_lab::experiment::{Experiment, schedule};
use driftkv_lab::faults::{Evidence, State};
use driftkv_lab::load::Quorums;
use driftkv_lab::run_dir::RunDir;
use driftkv_lab::target::{Answers, Target, TargetNode};
use driftkv_proto::v1;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::lines::Told;
use crate::admin;
use crate::args::lab::{JobArgs, PackArgs};
use crate::chaos;
use crate::error::Failure;
use crate::input;
use crate::kubectl::Which;
use crate::kubectl::chaos::steer;
use crate::kubectl::cluster::Cluster;
use crate::kubectl::site::Site;
use crate::lab::run::folder;
use crate::lab::run::local;
use crate::lab::target::KnownCluster;
use crate::up::signals::Signals;

/// `driftkv lab job`: does the run, says so, and stays until it is told to go.
pub async fn job(args: &JobArgs) -> Result<(), Failure> {
    let (mut signals, stop) = (Signals::new()?, Arc::new(AtomicBool::new(false)));
    let outcome = {
        let mut work = std::pin::pin!(run(args, &stop));
        tokio::select! {
            outcome = &mut work => outcome,
            () = signals.next() => {
                stop.store(true, Ordering::Relaxed);
                work.await
            }
        }
    };
    if let Err(Failure { message, hint, .. }) = &outcome {
        Told::Failed { message: message.clone(), hint: hint.clone() }.print()?;
        return outcome;
    }
    if !stop.load(Ordering::Relaxed) {
        Told::Over.print()?;
        signals.next().await;
    }
    Ok(())
}

async fn run(args: &JobArgs, stop: &Arc<AtomicBool>) -> Result<(), Failure> {
    admin::speak(None)?;
    let experiment = read(&args.spec)?;
    let cell = experiment.grid.cells.iter().find(|cell| cell.name == args.cell);
    let cell = cell.ok_or_else(|| Failure::usage(format!("the experiment has no cell {}", args.cell)))?;
    let target = InPod::find(&args.cluster, schedule::quorums(&cell.spec)).await?;
    let dir = RunDir::create(&args.out).map_err(|error| Failure::failed(error.to_string()))?;
    // Whoever follows may be gone; the run is not.
    let say = |sentence: &str| drop(Told::Say(sentence.to_owned()).print());
    let setting = Setting {
        dir: &dir,
        seed: args.seed,
        run: args.run,
        stop: Arc::clone(stop),
        on_progress: Some(Box::new(|progress| drop(Told::Progress(progress.clone()).print()))),
        say: &say,
    };
    let performed = perform(&cell.spec, &target, setting).await;
    let performed = performed.map_err(|error| Failure::failed(format!("cell {}: {error}", cell.name)))?;
    if stop.load(Ordering::Relaxed) {
        return Ok(());
    }
    let (nodes, with_figures) = (local::nodes(&target.known), experiment.grid.cells.len() == 1);
    let record = tokio::task::block_in_place(|| RunRecord::of(cell, args.seed, &dir, &nodes, &performed, with_figures));
    let record = record.map_err(|error| Failure::failed(error.to_string()))?;
    folder::write_record(&record, dir.path())
}

fn read(path: &Path) -> Result<Experiment, Failure> {
    let text = input::text(path, TEXT_BYTES_MAX)?;
    Experiment::read(&text, &path.display().to_string(), Changes::default(), folder::WHOLE)
        .map_err(|error| Failure::usage(error.to_string()))
}

/// `driftkv lab pack`: a directory as a compressed archive, on standard output.
pub fn pack(args: &PackArgs) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| Failure::io(&args.directory, &error);
    let mut archive = tar::Builder::new(GzEncoder::new(std::io::stdout().lock(), Compression::default()));
    archive.append_dir_all(".", &args.directory).map_err(wrong)?;
    archive.into_inner().and_then(GzEncoder::finish).map(drop).map_err(wrong)
}

fn addresses(cluster: &Cluster, of: &str) -> Vec<String> {
    let listed = cluster.object.pointer(&format!("/status/endpoints/{of}")).and_then(Value::as_array);
    listed.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The KVCluster beside this pod.
struct InPod {
    known: KnownCluster,
    site: Site,
    name: String,
}

impl InPod {
    async fn find(name: &str, quorums: Quorums) -> Result<Self, Failure> {
        let site = Site::open(&Which::default()).await?;
        let cluster = Cluster::find(&site, Some(name)).await?;
        // The operator says where its nodes are reached, in the order of their numbers.
        let [clients, admins] = ["nodes", "admin"].map(|of| addresses(&cluster, of));
        let addresses = clients.into_iter().zip(admins);
        let node = |(name, (client, admin))| TargetNode { name, client: Some(client), admin };
        let nodes: Vec<TargetNode> = cluster.members().into_iter().zip(addresses).map(node).collect();
        if nodes.is_empty() || nodes.len() != cluster.members().len() {
            return Err(Failure::unavailable(format!(
                "the status of the KVCluster {name} has no address of each node yet"
            )));
        }
        let known = KnownCluster::of(nodes, quorums);
        Ok(Self { known, site, name: name.to_owned() })
    }
}

impl Target for InPod {
    type Error = Failure;

    fn nodes(&self) -> &[TargetNode] {
        self.known.nodes()
    }

    fn quorums(&self) -> Quorums {
        self.known.quorums()
    }

    async fn apply(&self, experiment: &str) -> Result<String, Failure> {
        let parsed = chaos::parse(experiment, Path::new("experiment"))?;
        steer::begin(&self.site, &self.name, experiment, &parsed).await.map(|()| parsed.id)
    }

    async fn clear(&self, id: &str) -> Vec<Evidence> {
        let ended = steer::end(&self.site, &self.name, |begun| begun == id).await;
        let answers = admin::faults(&self.known.admin()).await;
        let evidence = |(node, answer): admin::Answer<v1::FaultStatus>| match (answer, &ended) {
            (Ok(status), _) => Evidence::of(&node.name, id, &status),
            (Err(_), Err(failure)) => Evidence::without_counters(&node.name, State::Unknown(failure.message.clone())),
            (Err(failure), Ok(())) => Evidence::without_counters(&node.name, State::Unknown(failure.message)),
        };
        answers.into_iter().map(evidence).collect()
    }

    async fn statuses(&self) -> Answers<v1::StatusReply> {
        self.known.statuses().await
    }

    async fn digests(&self) -> Answers<v1::DigestsReply> {
        self.known.digests().await
    }

    async fn peek(&self, bucket: &str, keys: &[String]) -> Answers<v1::PeekReply> {
        self.known.peek(bucket, keys).await
    }
}
