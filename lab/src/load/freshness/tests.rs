#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
//! The estimate against what is judged afterwards, event by event.

use super::{Freshness, WRITES_MAX};
use crate::judges::account::{Account, Covers, Did, Key, NEVER, Operation, Seen, Value};
use crate::judges::staleness;
use crate::load::Status;
use crate::plan::ValueId;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((bits ^ (bits >> 27)) % bound as u64) as usize
    }
}

struct Event {
    at: i64,
    is_end: bool,
    operation: usize,
}

/// A key's operations; all stamps differ. `writes` of them write, `unknown` percent of these without an answer, `deletes` percent delete; an
/// operation takes less than `longest` sixtieths of the whole.
fn history(
    random: &mut Random,
    (count, writes): (usize, usize),
    unknown: usize,
    deletes: usize,
    longest: usize,
) -> Vec<Operation> {
    let mut operations: Vec<Operation> = Vec::new();
    for number in 0..count {
        let start = (random.below(60) * 1_000 + number) as i64;
        let end = start + (random.below(longest) * 1_000 + 500) as i64;
        let did = if number < writes {
            let (id, is_delete) = (Value(number as u32 + 1), random.below(100) < deletes);
            Did::Replace { id, is_delete, covers: Covers::Everything }
        } else {
            let begun = operations.iter().filter(|write| write.start < end);
            let values: Vec<Value> = begun
                .filter_map(|write| match write.did {
                    Did::Replace { id, is_delete: false, .. } => Some(id),
                    _ => None,
                })
                .collect();
            let mut brought: Vec<Value> =
                (0..random.below(3).min(values.len())).map(|_| values[random.below(values.len())]).collect();
            brought.sort_unstable();
            brought.dedup();
            Did::Read(Seen::Many(brought.into()))
        };
        operations.push(Operation { process: 0, source: number as u64, start, end, did });
    }
    for write in operations.iter_mut().take(writes) {
        // The loader gives up at its end, whatever the store does.
        write.process = u32::from(random.below(100) < unknown);
    }
    operations
}

/// Reads that may be stale, and that are, by the estimate.
fn estimated(operations: &[Operation]) -> (u64, u64) {
    let freshness = Freshness::new();
    let id = |value: u32| ValueId { worker: 0, counter: u64::from(value) };
    let both = |(operation, one): (usize, &Operation)| {
        [(one.start, false), (one.end, true)].map(|(at, is_end)| Event { at, is_end, operation })
    };
    let mut events: Vec<Event> = operations.iter().enumerate().flat_map(both).collect();
    events.sort_by_key(|event| event.at);
    let (mut reads, mut stale) = (0, 0);
    let mut before = vec![None; operations.len()];
    for Event { at, is_end, operation: number } in events {
        let (operation, now) = (&operations[number], at as u64);
        match (&operation.did, is_end) {
            (Did::Replace { id: value, is_delete, .. }, false) => freshness.writing(5, id(value.0), *is_delete, now),
            (Did::Replace { id: value, .. }, true) => {
                let status = if operation.process == 1 { Status::Info } else { Status::Ok };
                freshness.wrote(5, id(value.0), Some(operation.start as u64), now, status);
            }
            (Did::Read(_), false) => before[number] = freshness.reading(5),
            (Did::Read(Seen::Many(values)), true) => {
                let Some(before) = before[number] else { continue };
                let values: Vec<ValueId> = values.iter().map(|value| id(value.0)).collect();
                reads += 1;
                stale += u64::from(freshness.is_stale(5, before, &values, now).unwrap());
            }
            _ => {}
        }
    }
    (reads, stale)
}

fn judged(operations: &[Operation]) -> (u64, u64) {
    let unknown = |operation: &Operation| Operation {
        end: if operation.process == 1 { NEVER } else { operation.end },
        ..operation.clone()
    };
    let key = Key { operations: operations.iter().map(unknown).collect(), ..Key::default() };
    let found = staleness::check(&Account { keys: vec![key], ..Account::default() }).real_time;
    (found.reads, found.stale)
}

#[test]
fn the_estimate_is_what_is_judged_where_all_writes_are_remembered_and_answered() {
    let mut found = [0; 2];
    for seed in 0..2_000 {
        let operations = history(&mut Random(seed), (40, WRITES_MAX), 0, 0, 12);
        assert_eq!(estimated(&operations), judged(&operations), "seed {seed}: {operations:#?}");
        let with_deletes = history(&mut Random(seed), (40, WRITES_MAX), 0, 20, 12);
        assert_eq!(estimated(&with_deletes), judged(&with_deletes), "seed {seed}: {with_deletes:#?}");
        found[0] += judged(&operations).1;
        found[1] += judged(&with_deletes).1;
    }
    assert!(found.iter().all(|stale| *stale > 1_000), "{found:?}");
}

#[test]
fn with_unknown_outcomes_and_more_writes_than_are_remembered_it_is_close_and_never_above() {
    for (writes, unknown, longest) in [(WRITES_MAX, 20, 12), (120, 0, 3)] {
        let (mut estimate, mut truth) = (0, 0);
        for seed in 0..500 {
            let operations = history(&mut Random(seed), (writes + 60, writes), unknown, 0, longest);
            let ((reads, stale), (of_reads, of_stale)) = (estimated(&operations), judged(&operations));
            assert_eq!(reads, of_reads, "seed {seed}");
            assert!(stale <= of_stale, "seed {seed}: {stale} of {of_stale}");
            (estimate, truth) = (estimate + stale, truth + of_stale);
        }
        assert!(estimate * 20 >= truth * 19, "{writes} writes: {estimate} of {truth}");
    }
}

#[test]
fn keys_beyond_the_bound_are_not_followed_and_the_others_still_are() {
    let freshness = Freshness::new();
    let id = ValueId { worker: 0, counter: 1 };
    let of_one_shard = |number: u64| number * super::SHARDS as u64;
    for key in (0..2 * super::KEYS_MAX as u64).map(of_one_shard) {
        freshness.writing(key, id, false, 1);
        freshness.wrote(key, id, Some(1), 2, Status::Ok);
    }
    assert!(freshness.reading(of_one_shard(super::KEYS_MAX as u64)).is_none());
    assert!(freshness.reading(of_one_shard(0)).is_some());
    assert_eq!(freshness.shards[0].lock().unwrap().len(), super::KEYS_MAX);
}

#[test]
fn a_write_that_was_refused_or_never_sent_makes_no_read_stale() {
    let freshness = Freshness::new();
    let id = |counter: u64| ValueId { worker: 0, counter };
    freshness.writing(1, id(1), false, 1);
    freshness.wrote(1, id(1), Some(1), 2, Status::Ok);
    for (sent, status) in [(Some(3), Status::Fail), (None, Status::Info)] {
        freshness.writing(1, id(2), false, 3);
        freshness.wrote(1, id(2), sent, 4, status);
        let before = freshness.reading(1).unwrap();
        assert_eq!(freshness.is_stale(1, before, &[id(1)], 9), Some(false));
    }
}
