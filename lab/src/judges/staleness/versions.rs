//! The versions of a key: every write with its interval, and by bisection which are newer than one of them, before a read.
//! A write of unknown outcome counts as a version, and convicts no read of missing it.

use std::collections::HashMap;

use super::values;
use crate::judges::account::{BEFORE_ALL, Did, Key, NEVER, NIL, Operation, Value};

/// A write as this judge sees it.
#[derive(Clone, Copy)]
pub(super) struct Version {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) is_delete: bool,
}

/// The versions of a key.
pub(super) struct Versions {
    pub(super) by_value: HashMap<Value, Version>,
    /// Starts of acknowledged writes, ascending; of each, the smallest end from there on.
    starts: Vec<i64>,
    ends: Vec<i64>,
    first_end_from: Vec<i64>,
    /// All writes, also of unknown outcome: starts and ends, each ascending.
    all_starts: Vec<i64>,
    all_ends: Vec<i64>,
    /// Starts of deletes, and the version with the latest end up to each.
    pub(super) deletes: Vec<(i64, Version)>,
}

const INITIAL: Version = Version { start: BEFORE_ALL, end: BEFORE_ALL, is_delete: false };

impl Versions {
    pub(super) fn new(key: &Key) -> Self {
        let mut by_value: HashMap<Value, Version> = HashMap::new();
        by_value.extend(key.foreign.iter().chain([&key.initial]).map(|value| (*value, INITIAL)));
        for operation in &key.operations {
            let version = |is_delete| Version { start: operation.start, end: operation.end, is_delete };
            match &operation.did {
                Did::Write(value) => by_value.insert(*value, version(false)),
                Did::Replace { id, is_delete, .. } => by_value.insert(*id, version(*is_delete)),
                _ => None,
            };
        }
        let mut all: Vec<Version> = by_value.values().filter(|version| version.start > BEFORE_ALL).copied().collect();
        all.sort_by_key(|version| (version.start, version.end));
        end_unknown(&mut by_value, key);
        // What may be applied again is never over: nothing is certainly newer.
        for value in &key.repeated {
            by_value.get_mut(value).into_iter().for_each(|version| version.end = NEVER);
        }
        let mut deletes: Vec<Version> = by_value.values().filter(|version| version.is_delete).copied().collect();
        deletes.sort_by_key(|version| (version.start, version.end));
        let known: Vec<Version> = all.iter().filter(|version| version.end < NEVER).copied().collect();
        let mut first_end_from: Vec<i64> = known.iter().map(|version| version.end).collect();
        let mut least = NEVER;
        for end in first_end_from.iter_mut().rev() {
            least = least.min(*end);
            *end = least;
        }
        let mut all_ends: Vec<i64> = all.iter().map(|version| version.end).collect();
        all_ends.sort_unstable();
        let (starts, ends) = known.iter().map(|version| (version.start, version.end)).unzip();
        let all_starts = all.iter().map(|version| version.start).collect();
        Self { by_value, starts, ends, first_end_from, all_starts, all_ends, deletes: latest_deletes(&deletes) }
    }

    /// When the first acknowledged write ended that began after `time`; `NEVER` if there is none.
    pub(super) fn first_end_after(&self, time: i64) -> i64 {
        let from = self.starts.partition_point(|start| *start <= time);
        self.first_end_from.get(from).copied().unwrap_or(NEVER)
    }

    /// How many versions `read` is behind `version`: at least, at most.
    pub(super) fn behind(&self, version: Version, read: &Operation) -> (u64, u64) {
        let from = self.starts.partition_point(|start| *start <= version.end);
        let to = self.starts.partition_point(|start| *start < read.start);
        let ends = self.ends.get(from..to.max(from)).unwrap_or_default();
        let least = ends.iter().filter(|end| **end < read.start).count();
        let begun = self.all_starts.partition_point(|start| *start <= read.end);
        let over = self.all_ends.partition_point(|end| *end < version.start);
        let own = usize::from(version.start > BEFORE_ALL);
        (least as u64, begun.saturating_sub(over + own) as u64)
    }

    /// Of the deletes that had begun by `time`, the last to end.
    pub(super) fn latest_delete(&self, time: i64) -> Option<Version> {
        let count = self.deletes.partition_point(|(start, _)| *start <= time);
        count.checked_sub(1).and_then(|last| self.deletes.get(last)).map(|(_, version)| *version)
    }

    /// What an answer may stand for, the newest of it.
    pub(super) fn newest(&self, values: &[Value], read: &Operation) -> Option<Version> {
        if values.is_empty() || values == [NIL] {
            return Some(self.latest_delete(read.end).unwrap_or(INITIAL));
        }
        let versions = values.iter().filter_map(|value| self.by_value.get(value));
        versions.copied().max_by_key(|version| version.end)
    }
}

/// A write of unknown outcome that was read is over by the end of the first read. One from the future proves nothing: were it to count, the
/// write would end before it began, and what was over by then would seem newer.
fn end_unknown(by_value: &mut HashMap<Value, Version>, key: &Key) {
    let mut first_read: HashMap<Value, i64> = HashMap::new();
    for operation in &key.operations {
        let Did::Read(seen) = &operation.did else { continue };
        let possible = |value: &&Value| by_value.get(value).is_some_and(|version| version.start <= operation.end);
        for value in values(seen).iter().filter(possible) {
            let end = first_read.entry(*value).or_insert(operation.end);
            *end = operation.end.min(*end);
        }
    }
    for (value, version) in by_value.iter_mut().filter(|(_, version)| version.end >= NEVER) {
        version.end = first_read.get(value).copied().unwrap_or(NEVER);
    }
}

fn latest_deletes(ascending: &[Version]) -> Vec<(i64, Version)> {
    let mut latest: Option<Version> = None;
    let mut deletes = Vec::new();
    for version in ascending {
        let newest = latest.filter(|latest| latest.end >= version.end).unwrap_or(*version);
        latest = Some(newest);
        deletes.push((version.start, newest));
    }
    deletes
}
