//! Stale reads: how often, how old, how many versions behind (research/lab.md 3.3), in real time and by causes.
//! Real time: a read that brought `v` is stale iff an acknowledged write that had ended before the read started began after `v` had ended. Of
//! siblings, and of the deletes that an empty answer may stand for, the newest counts: it is stale only if all of them are. A read that brought
//! something is not called so if a delete that had begun may have taken away all that is missed: what had begun before that delete was over. By
//! causes it is judged all the same.
//! By causes: a read misses an acknowledged write that had ended before it started and is not in down of what it brought.
//! A `v` of unknown outcome ends with the first read that returned it and that is not from the future (stricter).
//! A write that replaces everything and was sent more than once may be applied again, whenever: whoever brings it is not stale in real time, and
//! whoever brings it, or what had read it, not by causes.
//! Revived: an acknowledged write that had ended before the read started had replaced what it brought (`revived`).
//! Phantom and future reads are counted apart, and so are reads of siblings; failed reads are not here. The denominator is the reads with an
//! acknowledged write before them.

use serde::Serialize;

use super::account::{Account, BEFORE_ALL, Did, Key, NEVER, NIL, Seen, Value};
use super::causal::Causes;

mod revived;
mod versions;

pub use revived::Revived;
use versions::{Version, Versions};

/// Stale reads of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stale {
    /// Reads with an acknowledged write before them.
    pub reads: u64,
    /// Of these.
    pub stale: u64,
    /// Not of the stale: those that brought something older where a delete may have taken away what is newer. In real time only.
    pub maybe_deleted: u64,
    /// Of each stale read, in the order of the keys: from the end of the first newer write to the start of the read.
    #[serde(skip)]
    pub ages: Vec<i64>,
    /// Of each stale read: at least, and at most, so many versions behind.
    #[serde(skip)]
    pub behind: Vec<(u64, u64)>,
    /// When each of `reads` started, in the order of the keys.
    #[serde(skip)]
    pub judged_at: Vec<i64>,
    /// When each stale one of them did, in the order of `ages`.
    #[serde(skip)]
    pub stale_at: Vec<i64>,
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
    /// Reads that brought what a write had replaced that was acknowledged before.
    pub revived: u64,
    /// Some of them.
    pub revived_shown: Vec<Revived>,
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
            self.real_time.judged(operation.start);
            let Some(version) = versions.newest(brought, operation) else { continue };
            if versions.first_end_after(version.end) >= operation.start {
                continue;
            }
            let is_nothing = brought.is_empty() || brought == [NIL];
            // What began after all deletes were over none of them took away.
            let deleted = if is_nothing { None } else { versions.latest_delete(operation.end) };
            let certain = deleted.map_or(version.end, |delete| delete.end.max(version.end));
            let since = versions.first_end_after(certain);
            if since >= operation.start {
                self.real_time.maybe_deleted += 1;
                continue;
            }
            let behind = versions.behind(Version { end: certain, ..version }, operation);
            self.real_time.add(key, place, (operation.start, operation.start - since), behind);
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
            self.causal.judged(read.start);
            let ends = before.outside(&read.down).filter_map(|number| causes.writes.get(number)).map(|write| write.end);
            let (count, first) = ends.fold((0, NEVER), |(count, first), end| (count + 1, first.min(end)));
            if count > 0 {
                self.causal.add(key, read.place, (read.start, read.start - first), (count, count));
            }
        }
    }
}

impl Stale {
    /// The share of reads that were stale; `None`: there were none.
    pub fn rate(&self) -> Option<f64> {
        (self.reads > 0).then(|| self.stale as f64 / self.reads as f64)
    }

    fn judged(&mut self, start: i64) {
        self.reads += 1;
        self.judged_at.push(start);
    }

    fn add(&mut self, key: &Key, place: usize, (start, age): (i64, i64), behind: (u64, u64)) {
        self.stale += 1;
        self.stale_at.push(start);
        self.ages.push(age);
        self.behind.push(behind);
        if self.shown.len() < SHOWN_MAX {
            self.shown.push((key.name.clone(), place));
        }
    }
}

fn values(seen: &Seen) -> &[Value] {
    match seen {
        Seen::Anything => &[],
        Seen::One(value) => std::slice::from_ref(value),
        Seen::Many(values) => values,
    }
}
