//! What two leaders did to clients, key by key: reads by the older one that miss a write of the newer, and acknowledged writes that are gone.
//! A leader's writes have an order. So a read misses a write that had ended before it began only if all it brought was over before that write
//! began: whatever ended later may have replaced it. An outcome that nobody knows never ends, a value of others may be of any time, and a
//! delete that began before the read ended may have taken away what is missed. A delete leaves no trace and is itself not missed here.
//! Lost is a write that a read answered under a higher term misses, and that no read which may come after that shows, or what may have replaced it.

use std::collections::{BTreeMap, HashMap};

use super::Led;
use crate::judges::account::{Account, BEFORE_ALL, Did, Key, NEVER, Operation, Seen, Value};

/// A read of an old leader that misses a write; operations by their places among those of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlooked {
    /// Of which key, by its place.
    pub key: usize,
    /// Acknowledged under a higher term before the read began.
    pub write: usize,
    /// Misses it.
    pub read: usize,
}

/// An acknowledged write that is gone; operations by their places among those of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Of which key, by its place.
    pub key: usize,
    /// Was acknowledged.
    pub write: usize,
    /// The last read under a higher term that misses it.
    pub read: usize,
}

/// Of all keys.
pub(super) fn of_keys(account: &Account, answered: &HashMap<u64, Led>) -> (Vec<Overlooked>, Vec<Lost>) {
    let (mut overlooked, mut lost) = (Vec::new(), Vec::new());
    // Others may have written, or deleted, anything.
    for (place, key) in account.keys.iter().enumerate().filter(|(_, key)| key.foreign.is_empty()) {
        let puts = puts(key, answered);
        if puts.is_empty() {
            continue;
        }
        let reads = reads(key, answered);
        overlooked.extend(misses(&puts, &reads).map(|(write, read)| Overlooked { key: place, write, read }));
        lost.extend(gone(&puts, &reads).map(|(write, read)| Lost { key: place, write, read }));
    }
    (overlooked, lost)
}

/// An acknowledged put whose term is known.
struct Put {
    place: usize,
    term: u64,
    start: i64,
    end: i64,
}

struct Read {
    place: usize,
    term: Option<u64>,
    start: i64,
    end: i64,
    /// The latest end of anything that explains its answer.
    newest_end: i64,
}

fn puts(key: &Key, answered: &HashMap<u64, Led>) -> Vec<Put> {
    let known = key.operations.iter().enumerate().filter(|(_, operation)| operation.is_known());
    let puts = known.filter(|(_, operation)| matches!(operation.did, Did::Replace { is_delete: false, .. }));
    let put = |(place, operation): (usize, &Operation)| {
        let term = answered.get(&operation.source)?.term;
        Some(Put { place, term, start: operation.start, end: operation.end })
    };
    puts.filter_map(put).collect()
}

fn reads(key: &Key, answered: &HashMap<u64, Led>) -> Vec<Read> {
    let mut ends: HashMap<Value, i64> = HashMap::new();
    let mut deletes: Vec<(i64, i64)> = Vec::new();
    for operation in &key.operations {
        if let Did::Replace { id, is_delete, .. } = &operation.did {
            ends.insert(*id, operation.end);
            deletes.extend(is_delete.then_some((operation.start, operation.end)));
        }
    }
    deletes.sort_unstable();
    let mut latest = BEFORE_ALL;
    for (_, end) in &mut deletes {
        latest = latest.max(*end);
        *end = latest;
    }
    let deleted = |until: i64| {
        let count = deletes.partition_point(|(start, _)| *start <= until);
        count.checked_sub(1).and_then(|last| deletes.get(last)).map_or(BEFORE_ALL, |(_, end)| *end)
    };
    let mut reads = Vec::new();
    for (place, operation) in key.operations.iter().enumerate() {
        let Did::Read(Seen::Many(values)) = &operation.did else { continue };
        let brought = values.iter().map(|value| ends.get(value).copied().unwrap_or(NEVER)).max();
        let newest_end = brought.unwrap_or(BEFORE_ALL).max(deleted(operation.end));
        let term = answered.get(&operation.source).map(|led| led.term);
        reads.push(Read { place, term, start: operation.start, end: operation.end, newest_end });
    }
    reads
}

/// The puts of a term in the order of their starts; with each, the one that ends first from there on.
fn first_to_end(mut puts: Vec<&Put>) -> Vec<(i64, &Put)> {
    puts.sort_by_key(|put| put.start);
    let mut first: Option<&Put> = None;
    let mut indexed: Vec<(i64, &Put)> = Vec::new();
    for put in puts.into_iter().rev() {
        let least = first.filter(|first| first.end <= put.end).unwrap_or(put);
        first = Some(least);
        indexed.push((put.start, least));
    }
    indexed.reverse();
    indexed
}

/// Write and read: the reads that miss a write of a higher term, each once.
fn misses(puts: &[Put], reads: &[Read]) -> impl Iterator<Item = (usize, usize)> {
    let mut by_term: BTreeMap<u64, Vec<&Put>> = BTreeMap::new();
    for put in puts {
        by_term.entry(put.term).or_default().push(put);
    }
    let by_term: BTreeMap<u64, Vec<(i64, &Put)>> =
        by_term.into_iter().map(|(term, puts)| (term, first_to_end(puts))).collect();
    reads.iter().filter_map(move |read| {
        let higher = by_term.range(read.term?.checked_add(1)?..);
        let mut first = higher.filter_map(|(_, puts)| {
            let from = puts.partition_point(|(start, _)| *start <= read.newest_end);
            puts.get(from).map(|(_, put)| *put).filter(|put| put.end < read.start)
        });
        first.next().map(|put| (put.place, read.place))
    })
}

/// Write and read: the writes that are lost, and the last read that misses each.
fn gone(puts: &[Put], reads: &[Read]) -> impl Iterator<Item = (usize, usize)> {
    let mut last: BTreeMap<u64, &Read> = BTreeMap::new();
    for (term, read) in reads.iter().filter_map(|read| Some((read.term?, read))) {
        let latest = last.entry(term).or_insert(read);
        *latest = if read.start > latest.start { read } else { latest };
    }
    let mut showing: Vec<(i64, i64)> = reads.iter().map(|read| (read.newest_end, read.end)).collect();
    showing.sort_unstable();
    let mut latest = BEFORE_ALL;
    for (_, end) in showing.iter_mut().rev() {
        latest = latest.max(*end);
        *end = latest;
    }
    puts.iter().filter_map(move |put| {
        let higher = last.range(put.term.checked_add(1)?..).map(|(_, read)| *read);
        let read = higher.max_by_key(|read| read.start)?;
        // Up to then somebody may have seen it, or what replaced it.
        let from = showing.partition_point(|(newest_end, _)| *newest_end < put.start);
        let seen = showing.get(from).map_or(BEFORE_ALL, |(_, end)| *end);
        (read.start > put.end.max(seen)).then_some((put.place, read.place))
    })
}
