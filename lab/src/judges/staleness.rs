//! Stale reads: how often, how old, how many versions behind (research/lab.md 3.3), in real time and by causes.
//! Real time: a read that brought `v` is stale iff an acknowledged write that had ended before the read started began after `v` had ended. Of
//! siblings, and of the deletes that an empty answer may stand for, the newest counts: it is stale only if all of them are. A read that brought
//! something though a delete had begun is not called so: the delete may have taken away what is missed; by causes it is judged all the same.
//! By causes: a read misses an acknowledged write that had ended before it started and is not in down of what it brought.
//! A `v` of unknown outcome ends with the first read that returned it and that is not from the future (stricter).
//! Revived: an acknowledged delete that had ended before the read started had seen what it brought. Only what the delete itself covers counts.
//! Phantom and future reads are counted apart, and so are reads of siblings; failed reads are not here. The denominator is the reads with an
//! acknowledged write before them.

use std::collections::HashMap;

use serde::Serialize;

use super::account::{Account, BEFORE_ALL, Covers, Did, Key, NEVER, NIL, Operation, Seen, Value};
use super::causal::Causes;

/// Stale reads of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stale {
    /// Reads with an acknowledged write before them.
    pub reads: u64,
    /// Of these.
    pub stale: u64,
    /// Not of the stale: those that brought something older though a delete had begun. In real time only.
    pub maybe_deleted: u64,
    /// Of each stale read, in the order of the keys: from the end of the first newer write to the start of the read.
    #[serde(skip)]
    pub ages: Vec<i64>,
    /// Of each stale read: at least, and at most, so many versions behind.
    #[serde(skip)]
    pub behind: Vec<(u64, u64)>,
    /// Some stale reads: key, and the read's place among its operations.
    pub shown: Vec<(String, usize)>,
}

/// All about reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Staleness {
    /// Reads that brought something, or nothing.
    pub reads: u64,
    /// As regular registers have it.
    pub real_time: Stale,
    /// As siblings have it.
    pub causal: Stale,
    /// Reads that brought what was never written.
    pub phantom: u64,
    /// Reads that ended before the write of what they brought began.
    pub future: u64,
    /// Some of both.
    pub strange: Vec<(String, usize)>,
    /// Reads that brought what a delete had replaced that was acknowledged before.
    pub revived: u64,
    /// Some of them.
    pub revived_shown: Vec<(String, usize)>,
    /// Reads that brought more than one value.
    pub conflicts: u64,
    /// Keys with too many writes for causes.
    pub undecided_keys: u64,
}

/// How many stale reads are named.
pub const SHOWN_MAX: usize = 10;

/// Judges all keys.
pub fn check(account: &Account) -> Staleness {
    let mut staleness = Staleness::default();
    for key in &account.keys {
        staleness.real_time(key);
        staleness.revived(key);
        staleness.by_causes(key);
    }
    staleness
}

impl Staleness {
    fn real_time(&mut self, key: &Key) {
        let versions = Versions::new(key);
        for (place, operation) in key.operations.iter().enumerate() {
            let Did::Read(seen @ (Seen::One(_) | Seen::Many(_))) = &operation.did else { continue };
            let brought = values(seen);
            self.reads += 1;
            self.conflicts += u64::from(brought.len() > 1);
            let unknown = |value: &Value| {
                let may_be_deleted = *value == NIL && !versions.deletes.is_empty();
                !versions.by_value.contains_key(value) && !may_be_deleted
            };
            let later =
                |value: &Value| versions.by_value.get(value).is_some_and(|version| version.start > operation.end);
            let (is_phantom, is_future) = (brought.iter().any(unknown), brought.iter().any(later));
            self.phantom += u64::from(is_phantom);
            self.future += u64::from(is_future);
            if (is_phantom || is_future) && self.strange.len() < SHOWN_MAX {
                self.strange.push((key.name.clone(), place));
            }
            // A phantom is of no version, and nothing is newer than the future.
            if is_phantom || is_future || versions.first_end_after(BEFORE_ALL) >= operation.start {
                continue;
            }
            self.real_time.reads += 1;
            let Some(version) = versions.newest(brought, operation) else { continue };
            let since = versions.first_end_after(version.end);
            if since < operation.start {
                let has_begun = versions.deletes.first().is_some_and(|(start, _)| *start <= operation.end);
                if has_begun && !(brought.is_empty() || brought == [NIL]) {
                    self.real_time.maybe_deleted += 1;
                    continue;
                }
                self.real_time.add(key, place, operation.start - since, versions.behind(version, operation));
            }
        }
    }

    fn revived(&mut self, key: &Key) {
        let gone = deleted(key);
        for (place, operation) in key.operations.iter().enumerate() {
            let Did::Read(seen) = &operation.did else { continue };
            let is_gone = |value: &Value| gone.get(value).is_some_and(|end| *end < operation.start);
            if values(seen).iter().any(is_gone) {
                self.revived += 1;
                if self.revived_shown.len() < SHOWN_MAX {
                    self.revived_shown.push((key.name.clone(), place));
                }
            }
        }
    }

    fn by_causes(&mut self, key: &Key) {
        let Some(causes) = Causes::new(key) else {
            self.undecided_keys += 1;
            return;
        };
        let mut acknowledged: Vec<(i64, usize)> = causes
            .writes
            .iter()
            .enumerate()
            .filter(|(_, write)| write.is_acknowledged())
            .map(|(number, write)| (write.end, number))
            .collect();
        acknowledged.sort_unstable();
        let (mut before, mut ended) = (causes.none(), acknowledged.iter().peekable());
        // In the order of their starts, as writes end.
        for read in causes.reads(key) {
            while let Some((_, number)) = ended.next_if(|(end, _)| *end < read.start) {
                before.insert(*number);
            }
            if before.is_empty() {
                continue;
            }
            self.causal.reads += 1;
            let ends = before.outside(&read.down).filter_map(|number| causes.writes.get(number)).map(|write| write.end);
            let (count, first) = ends.fold((0, NEVER), |(count, first), end| (count + 1, first.min(end)));
            if count > 0 {
                self.causal.add(key, read.place, read.start - first, (count, count));
            }
        }
    }
}

impl Stale {
    /// The share of reads that were stale; `None`: there were none.
    pub fn rate(&self) -> Option<f64> {
        (self.reads > 0).then(|| self.stale as f64 / self.reads as f64)
    }

    fn add(&mut self, key: &Key, place: usize, age: i64, behind: (u64, u64)) {
        self.stale += 1;
        self.ages.push(age);
        self.behind.push(behind);
        if self.shown.len() < SHOWN_MAX {
            self.shown.push((key.name.clone(), place));
        }
    }
}

/// A write as this judge sees it.
#[derive(Clone, Copy)]
struct Version {
    start: i64,
    end: i64,
    is_delete: bool,
}

/// The versions of a key.
struct Versions {
    by_value: HashMap<Value, Version>,
    /// Starts of acknowledged writes, ascending; of each, the smallest end from there on.
    starts: Vec<i64>,
    ends: Vec<i64>,
    first_end_from: Vec<i64>,
    /// All writes, also of unknown outcome: starts and ends, each ascending.
    all_starts: Vec<i64>,
    all_ends: Vec<i64>,
    /// Starts of deletes, and the version with the latest end up to each.
    deletes: Vec<(i64, Version)>,
}

const INITIAL: Version = Version { start: BEFORE_ALL, end: BEFORE_ALL, is_delete: false };

impl Versions {
    fn new(key: &Key) -> Self {
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
        Self { by_value, starts, ends, first_end_from, all_starts, all_ends, deletes: latest_deletes(&all) }
    }

    /// When the first acknowledged write ended that began after `time`; `NEVER` if there is none.
    fn first_end_after(&self, time: i64) -> i64 {
        let from = self.starts.partition_point(|start| *start <= time);
        self.first_end_from.get(from).copied().unwrap_or(NEVER)
    }

    /// How many versions `read` is behind `version`: at least, at most.
    fn behind(&self, version: Version, read: &Operation) -> (u64, u64) {
        let from = self.starts.partition_point(|start| *start <= version.end);
        let to = self.starts.partition_point(|start| *start < read.start);
        let ends = self.ends.get(from..to.max(from)).unwrap_or_default();
        let least = ends.iter().filter(|end| **end < read.start).count();
        let begun = self.all_starts.partition_point(|start| *start <= read.end);
        let over = self.all_ends.partition_point(|end| *end < version.start);
        let own = usize::from(version.start > BEFORE_ALL);
        (least as u64, begun.saturating_sub(over + own) as u64)
    }

    /// What an answer may stand for, the newest of it.
    fn newest(&self, values: &[Value], read: &Operation) -> Option<Version> {
        if values.is_empty() || values == [NIL] {
            let count = self.deletes.partition_point(|(start, _)| *start <= read.end);
            let delete = count.checked_sub(1).and_then(|last| self.deletes.get(last));
            return Some(delete.map_or(INITIAL, |(_, version)| *version));
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

/// When the first acknowledged delete ended of those that had seen a value, and began after its write had ended: a client that still tries
/// to write it may do so once more.
fn deleted(key: &Key) -> HashMap<Value, i64> {
    let mut gone: HashMap<Value, i64> = HashMap::new();
    let written: HashMap<Value, i64> = key.operations.iter().filter_map(written).collect();
    for operation in key.operations.iter().filter(|operation| operation.is_known()) {
        let Did::Replace { is_delete: true, covers: Covers::These(values), .. } = &operation.did else { continue };
        for value in values.iter().filter(|value| written.get(value).is_some_and(|end| *end < operation.start)) {
            let end = gone.entry(*value).or_insert(operation.end);
            *end = operation.end.min(*end);
        }
    }
    gone
}

/// What a write names, and when that ended.
fn written(operation: &Operation) -> Option<(Value, i64)> {
    match &operation.did {
        Did::Replace { id, .. } => Some((*id, operation.end)),
        _ => None,
    }
}

fn latest_deletes(all: &[Version]) -> Vec<(i64, Version)> {
    let mut latest: Option<Version> = None;
    let mut deletes = Vec::new();
    for version in all.iter().filter(|version| version.is_delete) {
        let newest = latest.filter(|latest| latest.end >= version.end).unwrap_or(*version);
        latest = Some(newest);
        deletes.push((version.start, newest));
    }
    deletes
}

fn values(seen: &Seen) -> &[Value] {
    match seen {
        Seen::Anything => &[],
        Seen::One(value) => std::slice::from_ref(value),
        Seen::Many(values) => values,
    }
}
