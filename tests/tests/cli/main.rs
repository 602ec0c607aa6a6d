//! The command `driftkv` as people use it: the real binaries, real processes on loopback, real disks.
//! Every test has its own ports and directory, waits for conditions with a deadline, and stops what it started.
//! Reading order: `harness`, then a file for each part of the command.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod check;
mod compose;
mod data;
mod experiments;
mod harness;
mod load;
mod load_faults;
mod look;
mod manual;
mod offline;
mod tokens;
mod up;
mod watch;
