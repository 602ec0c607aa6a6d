//! Where the demo plays: five processes in a directory of their own, and a narrator.
//! Not here: the story (`demo`).

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use crate::error::Failure;
use crate::style::{self, Paint};
use crate::up::group::STOP_MAX;
use crate::up::plan::{self, NodePlan, Plan};
use crate::up::process::{self, NodeProcess, log_tail};
use crate::up::settle::{self, poll_ticks};

const MANIFEST: &str = include_str!("../../../examples/local.yaml");
const MANIFEST_NAME: &str = "examples/local.yaml";

/// The processes, and what was told so far.
#[derive(Debug)]
pub struct Stage {
    /// What runs.
    pub plan: Plan,
    program: PathBuf,
    processes: Vec<Option<NodeProcess>>,
    directory: TempDir,
    steps: u32,
    started: Instant,
}

impl Stage {
    /// Checks all that is needed; starts nothing yet.
    pub fn open() -> Result<Self, Failure> {
        let program = process::find_program()?;
        let manifest = plan::manifest(MANIFEST, MANIFEST_NAME)?;
        let directory = TempDir::with_prefix("driftkv-demo-");
        let directory = directory.map_err(|error| Failure::failed(format!("no temporary directory: {error}")))?;
        let plan = Plan::at_free_ports(&manifest, directory.path())?;
        plan.make_dirs()?;
        Ok(Self { plan, program, processes: Vec::new(), directory, steps: 0, started: Instant::now() })
    }

    /// Starts all nodes and waits until they are a cluster.
    pub async fn start(&mut self) -> Result<(), Failure> {
        self.plan.cluster_file().write(self.directory.path())?;
        for node in &self.plan.nodes {
            self.processes.push(Some(NodeProcess::start(&self.program, node)?));
        }
        let (partitions, replicas) = (self.plan.spec.partitions, self.plan.spec.replication_factor);
        let settled = tokio::select! {
            settled = settle::settle(&self.plan.nodes, partitions, replicas) => settled?,
            failure = first_death(&self.plan.nodes, &mut self.processes) => return Err(failure),
        };
        self.see(&settled.sentence())
    }

    /// One of the nodes.
    pub fn node(&self, index: usize) -> Result<NodePlan, Failure> {
        self.plan.nodes.get(index).cloned().ok_or_else(|| Failure::failed(format!("there is no node {index}")))
    }

    /// The last one.
    pub fn last_node(&self) -> Result<NodePlan, Failure> {
        self.node(self.plan.nodes.len().saturating_sub(1))
    }

    /// All nodes but one.
    pub fn others(&self, index: usize) -> Vec<NodePlan> {
        let others = self.plan.nodes.iter().enumerate().filter(|(other, _)| *other != index);
        others.map(|(_, node)| node.clone()).collect()
    }

    /// Process ids in the nodes' order.
    pub fn pids(&self) -> Vec<Option<u32>> {
        self.processes.iter().map(|process| process.as_ref().map(NodeProcess::pid)).collect()
    }

    /// The process id of one node; 0 if it does not run.
    pub fn pid(&self, index: usize) -> u32 {
        self.pids().get(index).copied().flatten().unwrap_or_default()
    }

    /// Ends one node without warning.
    pub async fn kill(&mut self, index: usize) -> Result<(), Failure> {
        if let Some(mut process) = self.processes.get_mut(index).and_then(Option::take) {
            process.kill();
            process.ended().await;
        }
        Ok(())
    }

    /// Starts one node again on its data.
    pub fn restart(&mut self, index: usize) -> Result<(), Failure> {
        let process = NodeProcess::start(&self.program, &self.node(index)?)?;
        if let Some(slot) = self.processes.get_mut(index) {
            *slot = Some(process);
        }
        Ok(())
    }

    /// Stops everything; keeps the directory only after a failure.
    pub async fn close(mut self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        let running: Vec<&mut NodeProcess> = self.processes.iter_mut().flatten().collect();
        running.iter().for_each(|process| process.terminate());
        let deadline = Instant::now() + STOP_MAX;
        for process in running {
            if tokio::time::timeout_at(deadline, process.ended()).await.is_err() {
                process.kill();
                let _ = timeout(Duration::from_secs(1), process.ended()).await;
            }
        }
        if let Err(failure) = outcome {
            let path = self.directory.keep();
            let hint =
                format!("{}\nThe nodes are stopped; their data and logs are in {}", failure.hint, path.display());
            return Err(failure.hint(hint.trim_start_matches('\n')));
        }
        let seconds = self.started.elapsed().as_secs_f64();
        let paint = Paint::stdout();
        let path = self.directory.path().to_owned();
        self.directory.close().map_err(|error| Failure::io(&path, &error))?;
        style::print(format!(
            "\n{}\n",
            paint.green(&format!("Done in {seconds:.0} s; all nodes stopped, nothing left behind."))
        ))?;
        style::print("Your own: driftkv up -f examples/local.yaml\n")
    }

    /// Begins a step.
    pub fn step(&mut self, title: &str) -> Result<(), Failure> {
        self.steps += 1;
        let seconds = self.started.elapsed().as_secs_f64();
        let paint = Paint::stdout();
        let clock = paint.dim(&format!("({seconds:.1} s)"));
        style::print(format!("\n{} {clock}\n", paint.bold(&format!("{}. {title}", self.steps))))
    }

    /// Explains.
    pub fn say(&self, text: &str) -> Result<(), Failure> {
        style::print(format!("{text}\n"))
    }

    /// The command that does the same.
    pub fn command(&self, text: &str) -> Result<(), Failure> {
        style::print(format!("{}\n", Paint::stdout().yellow(&format!("$ {text}"))))
    }

    /// What one sees.
    pub fn see(&self, text: &str) -> Result<(), Failure> {
        let lines = text.trim_end().lines();
        style::print(lines.map(|line| format!("  {line}").trim_end().to_owned() + "\n").collect::<String>())
    }
}

/// Waits until a process ends, and says why.
async fn first_death(nodes: &[NodePlan], processes: &mut [Option<NodeProcess>]) -> Failure {
    let mut ticks = poll_ticks();
    loop {
        ticks.tick().await;
        for (node, process) in nodes.iter().zip(processes.iter_mut()) {
            if let Some(end) = process.as_mut().and_then(NodeProcess::has_ended) {
                return Failure::failed(format!("{} ended while starting ({})", node.name, end.how))
                    .hint(log_tail(&node.log));
            }
        }
    }
}
