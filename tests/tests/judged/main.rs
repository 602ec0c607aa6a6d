//! The judges judged end to end: real nodes behind proxies with a planted bug, the load client, its history on disk, and the verdicts of
//! `driftkv lab check`. Every bug is found, as what it is, within a minute; the same store without a bug raises no alarm in many runs,
//! quiet ones and such with faults between the nodes. `JUDGED_RUNS=20` is how many (`make test-long`); the tables that `--nocapture`
//! prints are those of docs/verdicts.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod bugs;
mod conviction;
mod honest;
mod trial;

use driftkv_tests::cluster::{Cluster, Shape};

/// Three nodes that reach each other, all of them owners of every key, and nobody to stand in for one: quorums of two overlap.
async fn three() -> Cluster {
    let cluster = Cluster::start(Shape::of(3).with("--sloppy", "false")).await;
    cluster.all_reach_each_other().await;
    cluster
}
