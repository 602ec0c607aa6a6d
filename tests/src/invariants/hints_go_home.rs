//! A hint is deleted only when its owner has all of it on disk.
//! Source: design.md, Sloppy quorum and hints: accepted hints are never dropped, and deleted only if the hash is still
//! the one the owner confirmed. That all are drained in the end is looked at in `run/converge.rs`.

use driftkv_core::store::Space;

use crate::facts::{Facts, state_of};
use crate::trace;
use crate::world::disk::Write;
use crate::world::hint_target;

/// What was deleted too early.
pub fn check(node: usize, write: &Write, facts: &Facts) -> Vec<String> {
    if write.space != Space::Hints || write.new.is_some() {
        return Vec::new();
    }
    let Some((key, held)) = state_of(write.space, &write.key, write.old.as_ref()) else { return Vec::new() };
    let owner = hint_target(&write.key);
    let missing = held.context().0.into_iter().filter(|(actor, top)| !facts.has_on_disk(owner, &key, *actor, *top));
    missing
        .map(|(actor, top)| {
            format!(
                "n{node} deletes its hint for n{owner}, which lacks {}:{top} of {:?}",
                trace::actor(actor),
                key.key()
            )
        })
        .collect()
}
