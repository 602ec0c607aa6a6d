//! `kubectl driftkv`: a cluster on Kubernetes as its status, its pods and, by port-forwards, its nodes show it.
//! Reading order: `args`, `site` (the API server), `cluster` (the KVCluster and its pods), `forward` (the nodes), then a file for each
//! command. What a node says is shown by the code of `driftkv status`, `ring`, `get` and `put`.
//! Invariants: every call has a deadline, but one that follows a log; no Secret but the cluster's admin token is read, and that is never
//! shown; nothing is written through the API server but the annotation of an experiment.

use crate::error::Failure;
use crate::program;
use crate::{kv, manual, ring};

mod args;
pub mod chaos;
pub mod cluster;
mod complete;
mod forward;
pub mod logs;
mod report;
pub mod site;
mod status;
pub mod token;

pub use args::{Args, Which};
use args::{Command, Shell};
use cluster::Cluster;
use forward::Forwards;
use site::Site;

/// The script that kubectl looks for, as `kubectl_complete-driftkv` on the PATH.
const KUBECTL_COMPLETE: &str = include_str!("../../plugins/kubectl_complete-driftkv");

/// Runs the command.
pub async fn run(args: Args) -> Result<(), Failure> {
    let Args { which, command } = args;
    program::become_plugin(which.words());
    match command {
        Command::Status(args) => status::run(&named(which, args.name.as_ref())?, &args).await,
        Command::Ring(args) => {
            let nodes = reach(&which, true).await?;
            nodes.explain(ring::run(&args, &nodes.endpoints()).await)
        }
        Command::Chaos(command) => chaos::run(&which, &command).await,
        Command::Logs(args) => logs::run(&which, &args).await,
        Command::Report(args) => report::run(&which, &args).await,
        Command::Get(args) => {
            let nodes = reach(&which, false).await?;
            nodes.explain(kv::get(&args, &nodes.endpoints()).await)
        }
        Command::Put(args) => {
            let nodes = reach(&which, false).await?;
            nodes.explain(kv::put(&args, &nodes.endpoints()).await)
        }
        Command::Delete(args) => {
            let nodes = reach(&which, false).await?;
            nodes.explain(kv::delete(&args, &nodes.endpoints()).await)
        }
        Command::Completion { shell } => completion(shell),
        Command::Man { directory } => manual::pages::<Args>(&directory),
        Command::Complete { words } => complete::run(words),
    }
}

/// Which cluster, if its name may also be an argument.
fn named(which: Which, name: Option<&String>) -> Result<Which, Failure> {
    match (&which.cluster, name) {
        (Some(flag), Some(name)) if flag != name => {
            Err(Failure::usage(format!("--cluster {flag} and {name} are two clusters; name one")))
        }
        (None, Some(name)) => Ok(Which { cluster: Some(name.clone()), ..which }),
        _ => Ok(which),
    }
}

/// Port-forwards to the ready nodes of a cluster; its admin token is read if it `needs_token`.
async fn reach(which: &Which, needs_token: bool) -> Result<Forwards, Failure> {
    let site = Site::open(which).await?;
    let cluster = Cluster::find(&site, which.cluster.as_deref()).await?;
    let pods = cluster.pods(&site).await?;
    if needs_token {
        token::present(&site, &cluster.name).await?;
    }
    Forwards::open(&site, &cluster::ready(&cluster.name, &pods)?).await
}

fn completion(shell: Shell) -> Result<(), Failure> {
    match shell {
        Shell::Bash => manual::completions::<Args>(clap_complete::Shell::Bash),
        Shell::Zsh => manual::completions::<Args>(clap_complete::Shell::Zsh),
        Shell::Fish => manual::completions::<Args>(clap_complete::Shell::Fish),
        Shell::Kubectl => crate::style::print(KUBECTL_COMPLETE),
    }
}
