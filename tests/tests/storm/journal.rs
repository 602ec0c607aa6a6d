//! What a power failure takes that a kill leaves: the part of a journal that was written and not yet synced.
//! A killed node's log ends with the last commit whose sync had returned (`store/disk.rs`, traced before anything is
//! acknowledged); batches of later commits are in the journal only because the page cache outlives the process.

use std::fs::{self, OpenOptions};

use driftkv_node::store::journal;
use driftkv_tests::cluster::NodeProcess;
use rand::RngExt;
use rand::rngs::SmallRng;

/// Cuts the newest journal of a node that was killed somewhere behind its last synced commit. Gives the bytes that were there to
/// lose, and those that were lost.
pub fn cut_unsynced(node: &NodeProcess, rng: &mut SmallRng) -> (u64, u64) {
    let journals = journal::journals(&node.data.join("db")).expect("a data directory");
    let (Some(newest), Some(synced)) = (journals.last(), last_synced(&node.log())) else { return (0, 0) };
    let content = fs::read(newest).expect("a journal");
    let used = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let (mut from, mut durable) = (&content[..used], 0);
    while let Ok(Some((batch, bytes))) = journal::read_batch(&mut from) {
        if batch.commits.last > synced {
            break;
        }
        durable += bytes as usize;
    }
    // A failing disk keeps some of it, or, as often, nothing.
    let cut = if rng.random() { durable } else { rng.random_range(durable..=used) };
    let file = OpenOptions::new().write(true).open(newest).expect("a journal");
    file.set_len(cut as u64).expect("it can be cut");
    ((used - durable) as u64, (used - cut) as u64)
}

/// The newest commit that the log calls synced.
fn last_synced(log: &str) -> Option<u64> {
    let line = log.lines().rev().find(|line| line.contains("synced commit="))?;
    line.rsplit("commit=").next()?.trim().parse().ok()
}
