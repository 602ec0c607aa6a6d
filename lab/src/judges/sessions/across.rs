//! Monotonic writes and writes follow reads from one key to another (research/lab.md 3.8): who has seen a write of a session must not later
//! miss what that session had written, or read, of other keys before it.
//! "Seen" is what a read brought, and what that had certainly seen of its own key; "later" and "before" are in real time. One read counts once a
//! guarantee, however much it misses. Not transitive: what the writer had only heard of through a third key obliges nobody.
//! Bounded: all keys are held at once, and together they may not take more than `BITS_MAX`; else nothing is judged across keys.

use std::collections::{BTreeMap, HashMap};

use super::{Sessions, Violation, by_process};
use crate::judges::account::Key;
use crate::judges::bits::Bits;
use crate::judges::causal::{Causes, Read};

/// Of all sets of all keys: 512 MiB.
const BITS_MAX: usize = 1 << 32;

/// A key with what its reads brought.
pub(super) struct Judged<'a> {
    key: &'a Key,
    causes: Causes,
    reads: Vec<Read>,
    /// By session: numbers of its acknowledged writes, with their ends, ascending.
    written: HashMap<u32, Vec<(i64, usize)>>,
    /// By session: numbers of the writes that it had read, with the end of the first such read, ascending.
    read: HashMap<u32, Vec<(i64, usize)>>,
}

/// The keys that are judged together.
#[derive(Default)]
pub(super) struct Across<'a> {
    keys: Vec<Judged<'a>>,
    bits: usize,
}

/// A write that was seen.
#[derive(Clone, Copy)]
struct SeenWrite {
    start: i64,
    key: usize,
    number: usize,
}

/// Of the writes of one session that another has seen: the last to start, and the last to start of any other key.
#[derive(Clone, Copy)]
struct Latest {
    first: SeenWrite,
    other: Option<SeenWrite>,
}

impl<'a> Across<'a> {
    pub(super) fn add(&mut self, key: &'a Key, causes: Causes, reads: Vec<Read>) {
        self.bits =
            self.bits.saturating_add(causes.writes.len().saturating_mul(2 * (causes.writes.len() + reads.len())));
        if self.bits > BITS_MAX {
            self.keys.clear();
            return;
        }
        let (mut written, mut read) = (HashMap::new(), HashMap::new());
        for (process, session) in by_process(&causes, &reads) {
            let ended = |number: &usize| {
                let write = causes.writes.get(*number).filter(|write| write.is_acknowledged())?;
                Some((write.end, *number))
            };
            written.insert(process, sorted(session.writes.iter().filter_map(ended).collect()));
            read.insert(process, first_reads(&causes, &session.reads));
        }
        self.keys.push(Judged { key, causes, reads, written, read });
    }

    /// Judges all of them; says how many keys were too much.
    pub(super) fn judge(self, sessions: &mut Sessions, key_count: u64) -> u64 {
        if self.bits > BITS_MAX {
            return key_count;
        }
        let mut reads: BTreeMap<u32, Vec<(usize, &Read)>> = BTreeMap::new();
        for (place, judged) in self.keys.iter().enumerate() {
            for read in &judged.reads {
                reads.entry(read.process).or_default().push((place, read));
            }
        }
        for reads in reads.into_values() {
            Reader::default().judge(&self.keys, reads, sessions);
        }
        0
    }
}

fn sorted(mut ended: Vec<(i64, usize)>) -> Vec<(i64, usize)> {
    ended.sort_unstable();
    ended
}

fn first_reads(causes: &Causes, reads: &[&Read]) -> Vec<(i64, usize)> {
    let (mut known, mut first) = (causes.none(), Vec::new());
    let mut by_end: Vec<&&Read> = reads.iter().collect();
    by_end.sort_by_key(|read| read.end);
    for read in by_end {
        first.extend(read.shown.outside(&known).map(|number| (read.end, number)));
        known.insert_all(&read.shown);
    }
    first
}

/// A session that reads, and what it has seen.
#[derive(Default)]
struct Reader {
    /// Of each key.
    known: HashMap<usize, Bits>,
    /// Of each writing session.
    latest: BTreeMap<u32, Latest>,
    written: HashMap<usize, Due>,
    read: HashMap<usize, Due>,
}

/// What must be seen of a key by now.
#[derive(Default)]
struct Due {
    bits: Bits,
    /// How many of each session's.
    taken: HashMap<u32, usize>,
}

impl Reader {
    fn judge(&mut self, keys: &[Judged<'_>], mut reads: Vec<(usize, &Read)>, sessions: &mut Sessions) {
        let mut by_end = reads.clone();
        by_end.sort_by_key(|(_, read)| std::cmp::Reverse(read.end));
        reads.sort_by_key(|(_, read)| read.start);
        for (place, read) in reads {
            while let Some((place, seen)) = by_end.pop_if(|(_, seen)| seen.end < read.start) {
                self.learn(keys, place, seen);
            }
            let Some(judged) = keys.get(place) else { continue };
            let (latest, due) = (&self.latest, self.written.entry(place).or_default());
            let missed = due.missed(place, judged, &judged.written, latest, read);
            note(&mut sessions.monotonic_writes, keys, judged, read, missed);
            let due = self.read.entry(place).or_default();
            let missed = due.missed(place, judged, &judged.read, latest, read);
            note(&mut sessions.writes_follow_reads, keys, judged, read, missed);
        }
    }

    fn learn(&mut self, keys: &[Judged<'_>], place: usize, read: &Read) {
        let Some(Judged { causes, .. }) = keys.get(place) else { return };
        let known = self.known.entry(place).or_insert_with(|| causes.none());
        let mut seen = causes.none();
        for number in read.shown.outside(&causes.none()) {
            causes.certain(number).into_iter().for_each(|certain| seen.insert_all(certain));
        }
        for number in seen.outside(known) {
            let Some(write) = causes.writes.get(number) else { continue };
            let seen = SeenWrite { start: write.start, key: place, number };
            self.latest.entry(write.process).or_insert(Latest { first: seen, other: None }).add(seen);
        }
        known.insert_all(&seen);
    }
}

impl Latest {
    fn add(&mut self, seen: SeenWrite) {
        if seen.key == self.first.key {
            self.first = if seen.start > self.first.start { seen } else { self.first };
        } else if seen.start > self.first.start {
            (self.first, self.other) = (seen, Some(self.first));
        } else if self.other.is_none_or(|other| seen.start > other.start) {
            self.other = Some(seen);
        }
    }

    fn outside(&self, key: usize) -> Option<SeenWrite> {
        if self.first.key == key { self.other } else { Some(self.first) }
    }
}

/// Whether anything is due, and the first thing that a read misses, with the write that makes it due.
type Missed = Option<Option<(usize, SeenWrite)>>;

impl Due {
    fn missed(
        &mut self,
        place: usize,
        judged: &Judged<'_>,
        had: &HashMap<u32, Vec<(i64, usize)>>,
        latest: &BTreeMap<u32, Latest>,
        read: &Read,
    ) -> Missed {
        if self.taken.is_empty() {
            self.bits = judged.causes.none();
        }
        for (process, latest) in latest {
            let (Some(seen), Some(had)) = (latest.outside(place), had.get(process)) else { continue };
            let taken = self.taken.entry(*process).or_default();
            let more = had.get(*taken..).unwrap_or_default().iter().take_while(|(end, _)| *end < seen.start);
            for (_, number) in more {
                self.bits.insert(*number);
                *taken += 1;
            }
        }
        if self.bits.is_empty() {
            return None;
        }
        let missed = self.bits.first_outside(&read.down);
        Some(missed.and_then(|missed| {
            let mut makers = latest.iter().filter_map(|(process, latest)| Some((process, latest.outside(place)?)));
            let is_due = |process: &u32, seen: &SeenWrite| {
                had.get(process)
                    .is_some_and(|had| had.iter().any(|(end, number)| *number == missed && *end < seen.start))
            };
            makers.find(|(process, seen)| is_due(process, seen)).map(|(_, seen)| (missed, seen))
        }))
    }
}

fn note(guarantee: &mut super::Guarantee, keys: &[Judged<'_>], judged: &Judged<'_>, read: &Read, missed: Missed) {
    let Some(missed) = missed else { return };
    guarantee.opportunities += 1;
    let Some((missed, seen)) = missed else { return };
    let other = keys.get(seen.key).and_then(|other| Some((other.key, other.causes.writes.get(seen.number)?)));
    let beside = other.map(|(key, write)| (key.name.clone(), write.place));
    let Some(write) = judged.causes.writes.get(missed) else { return };
    let violation =
        Violation { key: judged.key.name.clone(), read: read.place, missed: write.place, seen: None, beside };
    guarantee.add(violation, write, read);
}
