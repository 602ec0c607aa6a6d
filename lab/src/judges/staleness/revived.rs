//! Reads that bring what an acknowledged write, a put or a delete, had replaced before they started.
//! A write has replaced what its own context covers, and one that replaced everything whatever had been acknowledged before it began. What is
//! replaced must have ended before the other began: a client that still tries to write a value may do so once more.

use std::collections::HashMap;

use serde::Serialize;

use super::{SHOWN_MAX, Staleness, values};
use crate::judges::account::{Covers, Did, Key, Operation, Value};

/// Such a read; operations by their places among those of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Revived {
    /// Of which key.
    pub key: String,
    /// Wrote what is back.
    pub write: usize,
    /// Had replaced it.
    pub by: usize,
    /// Brought it.
    pub read: usize,
}

/// When a write ended, and its place.
type Ended = (i64, usize);

impl Staleness {
    pub(super) fn revived(&mut self, key: &Key) {
        // What a write with an unknown context has replaced nobody knows.
        if key.has_unknown_contexts {
            return;
        }
        let gone = replaced(key);
        for (read, operation) in key.operations.iter().enumerate() {
            let Did::Read(seen) = &operation.did else { continue };
            let is_back = |value: &Value| gone.get(value).filter(|(_, (end, _))| *end < operation.start);
            let Some((write, (_, by))) = values(seen).iter().find_map(is_back) else { continue };
            self.revived += 1;
            if self.revived_shown.len() < SHOWN_MAX {
                self.revived_shown.push(Revived { key: key.name.clone(), write: *write, by: *by, read });
            }
        }
    }
}

/// Of each value that was replaced: the place of its write, and the first to end of those that had replaced it.
fn replaced(key: &Key) -> HashMap<Value, (usize, Ended)> {
    let written: HashMap<Value, Ended> = key.operations.iter().enumerate().filter_map(written).collect();
    let mut gone: HashMap<Value, (usize, Ended)> = HashMap::new();
    let mut note = |value: Value, write: usize, by: Ended| {
        let first = gone.entry(value).or_insert((write, by));
        first.1 = first.1.min(by);
    };
    let mut everything: Vec<(i64, Ended)> = Vec::new();
    for (place, operation) in key.operations.iter().enumerate().filter(|(_, operation)| operation.is_known()) {
        match &operation.did {
            Did::Replace { covers: Covers::Everything, .. } => {
                everything.push((operation.start, (operation.end, place)));
            }
            Did::Replace { covers: Covers::These(values), .. } => {
                for value in values {
                    let before = written.get(value).filter(|(end, _)| *end < operation.start);
                    before.into_iter().for_each(|(_, write)| note(*value, *write, (operation.end, place)));
                }
            }
            _ => {}
        }
    }
    first_to_end_from_each(&mut everything);
    for (value, (end, write)) in &written {
        let from = everything.partition_point(|(start, _)| start <= end);
        everything.get(from).into_iter().for_each(|(_, by)| note(*value, *write, *by));
    }
    gone
}

/// Puts them in the order of their starts, and in the place of each the first to end from there on.
fn first_to_end_from_each(writes: &mut [(i64, Ended)]) {
    writes.sort_unstable();
    let mut first: Option<Ended> = None;
    for (_, ended) in writes.iter_mut().rev() {
        *ended = first.map_or(*ended, |first| first.min(*ended));
        first = Some(*ended);
    }
}

/// What a write names, when that ended, and its place.
fn written((place, operation): (usize, &Operation)) -> Option<(Value, Ended)> {
    match &operation.did {
        Did::Replace { id, .. } => Some((*id, (operation.end, place))),
        _ => None,
    }
}
