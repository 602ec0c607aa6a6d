//! `driftkv`: one command for a cluster on this machine and for the data in any cluster.
//! Reading order: `args` (what there is), `endpoints` (where nodes are), then a file for each command; `up/` runs a manifest.
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
mod kv;
mod lab;
mod manual;
mod ring;
mod show;
mod status;
mod style;
mod token;
mod up;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use error::{Exit, Failure};

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { usage().into() } else { ExitCode::SUCCESS };
        }
    };
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::failed(format!("cannot start: {error}")));
    match runtime.and_then(|runtime| runtime.block_on(run(args.command))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            failure.exit.into()
        }
    }
}

/// Scripts that judge histories must not take wrong flags for a verdict.
fn usage() -> Exit {
    let words: Vec<_> = std::env::args_os().collect();
    let is = |word: &str| words.iter().any(|given| given.to_string_lossy().starts_with(word));
    if is("lab") && is("check") && is("--format") { Exit::BadInput } else { Exit::Usage }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Up(args) => up::run(&args).await,
        Command::Bootstrap(args) => bootstrap::run(&args).await,
        Command::Get(args) => kv::get(&args).await,
        Command::Put(args) => kv::put(&args).await,
        Command::Delete(args) => kv::delete(&args).await,
        Command::Status(args) => status::run(&args).await,
        Command::Ring(args) => ring::run(&args).await,
        Command::Chaos(command) => chaos::run(&command).await,
        Command::Lab(command) => lab::run(&command).await,
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { directory } => manual::pages(&directory),
        Command::Demo => demo::run().await,
    }
}
