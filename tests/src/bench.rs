//! What `make bench` measures: a cluster under load (`runs`), at rest and full (`rest`), the processes themselves (`usage`), and what
//! this machine can do at all, so that ratios can be compared between machines: bare gRPC (`echo`) and the disk (`disk`).
//! Not here: the load (`driftkv_lab::load`), the nodes (`cluster`), the order of it all (`bin/bench.rs`).

pub mod disk;
pub mod echo;
pub mod report;
pub mod rest;
pub mod runs;
pub mod usage;
