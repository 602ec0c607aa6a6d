//! The commands of driftkv, and the two programs that offer them: `driftkv`, and `kubectl-driftkv` for clusters on Kubernetes.
//! Reading order: `args` (what there is), `endpoints` (where nodes are), then a file for each command; `up/` runs a manifest,
//! `kubectl/` finds a cluster by the API server and reaches its nodes by port-forwards.
//! Invariant: exit codes are those of `error::EXIT_CODES`; results go to stdout, everything else to stderr.

mod admin;
mod args;
mod bootstrap;
mod chaos;
mod cluster_file;
mod demo;
mod endpoints;
mod error;
mod input;
#[cfg(feature = "kubectl")]
mod kubectl;
mod kv;
mod lab;
mod manual;
mod program;
mod ring;
mod show;
mod status;
mod style;
mod token;
mod up;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use endpoints::Endpoints;
use error::{Exit, Failure};

/// The program `driftkv`.
pub fn driftkv() -> ExitCode {
    start(|args: Args| run(args.command))
}

/// The program `kubectl-driftkv`, which kubectl runs as `kubectl driftkv`.
#[cfg(feature = "kubectl")]
pub fn kubectl_driftkv() -> ExitCode {
    start(kubectl::run)
}

/// Reads the command line and runs what it says.
fn start<A: Parser, F: Future<Output = Result<(), Failure>>>(run: impl FnOnce(A) -> F) -> ExitCode {
    let args = match A::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { usage().into() } else { ExitCode::SUCCESS };
        }
    };
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::failed(format!("cannot start: {error}")));
    match runtime.and_then(|runtime| runtime.block_on(run(args))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            failure.exit.into()
        }
    }
}

/// Scripts that judge histories must not take wrong flags for a verdict.
fn usage() -> Exit {
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    // Of these every exit code is a verdict.
    let is_run = matches!(&words[..], [lab, run, ..] if lab == "lab" && ["run", "explain", "report", "compare"].contains(&run.as_str()));
    let is_check = matches!(&words[..], [lab, check, ..] if lab == "lab" && check == "check");
    let is = |flag: &str| words.iter().any(|word| word.split('=').next() == Some(flag));
    let has_nodes = ["--endpoint", "--admin", "--data"].into_iter().any(is)
        || std::env::var("DRIFTKV_ENDPOINTS").is_ok_and(|words| !words.trim().is_empty());
    if is_run || is_check && (is("--format") || !has_nodes) { Exit::BadInput } else { Exit::Usage }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Up(args) => up::run(&args).await,
        Command::Bootstrap(args) => bootstrap::run(&args).await,
        Command::Get { args, connection } => kv::get(&args, &Endpoints::find(&connection)?).await,
        Command::Put { args, connection } => kv::put(&args, &Endpoints::find(&connection)?).await,
        Command::Delete { args, connection } => kv::delete(&args, &Endpoints::find(&connection)?).await,
        Command::Status(args) => status::run(&args).await,
        Command::Ring { args, connection } => ring::run(&args, &Endpoints::find(&connection)?).await,
        Command::Chaos(command) => chaos::run(&command).await,
        Command::Lab(command) => lab::run(&command).await,
        Command::Completions { shell } => manual::completions::<Args>(shell),
        Command::Man { directory } => manual::pages::<Args>(&directory),
        Command::Demo => demo::run().await,
    }
}
