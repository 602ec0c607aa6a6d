//! `driftkv`: one command for a cluster on this machine and for the data in any cluster. All of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    driftkv_cli::driftkv()
}
