//! `kubectl-driftkv`, which kubectl runs as `kubectl driftkv`. All of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    driftkv_cli::kubectl_driftkv()
}
