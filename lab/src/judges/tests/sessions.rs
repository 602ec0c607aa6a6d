//! Session guarantees against their definitions, word for word, on random histories; and one planted violation of each kind.

use std::collections::BTreeSet;

use super::random::{Random, histories, key};
use crate::judges::account::{Account, Covers, Did, Key, NEVER, Operation, Seen, Value};
use crate::judges::linearizable::Model;
use crate::judges::sessions::{self, Sessions};

mod across;
mod honest;

fn check(key: &Key) -> Sessions {
    sessions::check(&Account { keys: vec![key.clone()], ..Account::default() })
}

/// Down of `values`, by its definition: each, what its client had read, and so on; of one that replaced everything all that had begun before it
/// ended, and never did if it was sent again. `certain`: only what was really read.
pub(super) fn closure(key: &Key, values: impl Iterator<Item = Value>, certain: bool) -> BTreeSet<Value> {
    let (mut down, mut followed) = (BTreeSet::new(), BTreeSet::new());
    let mut left: Vec<Value> = values.collect();
    while let Some(value) = left.pop() {
        down.insert(value);
        let is_it = |operation: &&Operation| matches!(&operation.did, Did::Replace { id, .. } if *id == value);
        let Some(Operation { end, did: Did::Replace { covers, .. }, .. }) = key.operations.iter().find(is_it) else {
            continue;
        };
        if !followed.insert(value) {
            continue;
        }
        match covers {
            Covers::These(values) => left.extend(values.iter().copied().filter(|value| written(key, *value))),
            Covers::Everything if certain => {}
            // What these had seen had begun before too: they are not followed.
            Covers::Everything => {
                let end = if key.repeated.contains(&value) { NEVER } else { *end };
                down.extend(writes(key).filter(|(_, write)| write.start <= end).map(|(id, _)| id));
            }
        }
    }
    down
}

/// A client covers only what it can have seen: what began before.
pub(super) fn cover_what_began_before(key: &mut Key) {
    let begun: Vec<(Value, i64)> = writes(key).map(|(id, write)| (id, write.start)).collect();
    for operation in &mut key.operations {
        let start = operation.start;
        if let Did::Replace { covers: Covers::These(values), .. } = &mut operation.did {
            let seen = values.iter().copied().filter(|value| begun.iter().any(|(id, at)| id == value && *at < start));
            *values = seen.collect();
        }
    }
}

/// Some of those that replaced everything were sent again.
pub(super) fn repeat_some(random: &mut Random, key: &mut Key) {
    let everything = key.operations.iter().filter_map(|operation| match &operation.did {
        Did::Replace { id, covers: Covers::Everything, .. } => Some(*id),
        _ => None,
    });
    key.repeated = everything.filter(|_| random.chance(20)).collect::<BTreeSet<_>>().into_iter().collect();
}

/// Down of what `read` brought, with the deletes that may have taken effect.
pub(super) fn down(key: &Key, read: &Operation, values: &[Value]) -> BTreeSet<Value> {
    let is_delete = |write: &Operation| matches!(write.did, Did::Replace { is_delete: true, .. });
    let deletes = writes(key).filter(|(_, write)| is_delete(write) && write.start <= read.end).map(|(id, _)| id);
    closure(key, values.iter().copied().filter(|value| written(key, *value)).chain(deletes), false)
}

fn writes(key: &Key) -> impl Iterator<Item = (Value, &Operation)> {
    key.operations.iter().filter_map(|operation| match &operation.did {
        Did::Replace { id, .. } => Some((*id, operation)),
        _ => None,
    })
}

fn written(key: &Key, value: Value) -> bool {
    writes(key).any(|(id, _)| id == value)
}

/// Violations of the four, by their definitions.
fn by_definition(key: &Key) -> [u64; 4] {
    let reads: Vec<(&Operation, &[Value])> = key
        .operations
        .iter()
        .filter_map(|read| match &read.did {
            Did::Read(Seen::Many(values)) => Some((read, &values[..])),
            _ => None,
        })
        .collect();
    let mut broken = [0; 4];
    for (read, values) in &reads {
        let down = down(key, read, values);
        let before = |operation: &Operation| operation.process == read.process && operation.end < read.start;
        broken[0] += u64::from(writes(key).any(|(id, write)| before(write) && !down.contains(&id)));
        let read_before = reads.iter().filter(|(other, _)| before(other)).flat_map(|(_, values)| values.iter());
        broken[1] += u64::from(read_before.filter(|value| written(key, **value)).any(|value| !down.contains(value)));
        let seen = closure(key, values.iter().copied().filter(|value| written(key, *value)), true);
        for (_, write) in writes(key).filter(|(id, _)| seen.contains(id)) {
            let before = |operation: &Operation| operation.process == write.process && operation.end < write.start;
            broken[2] += u64::from(writes(key).any(|(id, first)| before(first) && !down.contains(&id)));
            let read_before = reads.iter().filter(|(other, _)| before(other)).flat_map(|(_, values)| values.iter());
            broken[3] +=
                u64::from(read_before.filter(|value| written(key, **value)).any(|value| !down.contains(value)));
        }
    }
    broken
}

fn told(sessions: &Sessions) -> [u64; 4] {
    let Sessions { read_your_writes, monotonic_reads, monotonic_writes, writes_follow_reads, .. } = sessions;
    [read_your_writes, monotonic_reads, monotonic_writes, writes_follow_reads].map(|guarantee| guarantee.violations)
}

#[test]
fn violations_are_those_of_the_definitions() {
    let mut broken = [0; 4];
    for seed in 0..histories() {
        let mut random = Random(seed);
        let mut key = key(&mut random, Model::Siblings, 12, true);
        key.operations.iter_mut().for_each(|operation| operation.process %= 3);
        cover_what_began_before(&mut key);
        repeat_some(&mut random, &mut key);
        let expected = by_definition(&key);
        assert_eq!(told(&check(&key)), expected, "seed {seed}: {key:#?}");
        broken.iter_mut().zip(expected).for_each(|(sum, count)| *sum += count);
    }
    assert!(broken.iter().all(|count| *count > 20), "{broken:?}");
}

fn put(process: u32, id: u32, covers: &[u32], start: i64) -> Operation {
    let covers = Covers::These(covers.iter().map(|value| Value(*value)).collect());
    Operation {
        process,
        source: 0,
        start,
        end: start + 1,
        did: Did::Replace { id: Value(id), is_delete: false, covers },
    }
}

fn read(process: u32, values: &[u32], start: i64) -> Operation {
    let seen = Seen::Many(values.iter().map(|value| Value(*value)).collect());
    Operation { process, source: 0, start, end: start + 1, did: Did::Read(seen) }
}

fn found(operations: &[Operation]) -> [u64; 4] {
    told(&check(&Key { operations: operations.to_vec(), ..Key::default() }))
}

#[test]
fn one_planted_violation_of_each_kind_is_found_and_none_in_the_history_without_it() {
    // Session 1 writes 1, reads it, writes 2 beside it; session 2 sees both, replaces both by 3, and everybody sees that.
    let honest = [
        put(1, 1, &[], 0),
        read(1, &[1], 2),
        put(1, 2, &[], 4),
        read(2, &[1, 2], 6),
        put(2, 3, &[1, 2], 8),
        read(1, &[3], 10),
        read(2, &[3], 12),
    ];
    assert_eq!(found(&honest), [0; 4]);
    let with = |place: usize, operation: Operation| {
        let mut history = honest.to_vec();
        history[place] = operation;
        found(&history)
    };
    assert_eq!(with(1, read(1, &[], 2)), [1, 0, 0, 0], "its own write is not there");
    assert_eq!(with(6, read(2, &[1, 2], 12)), [1, 0, 0, 0], "3 was there, and was its own");
    assert_eq!(
        with(3, read(2, &[2], 6)),
        [0, 0, 1, 1],
        "2 is there, and 1, which its writer wrote and read before, is not"
    );
    let mut third = honest.to_vec();
    third.extend([put(3, 4, &[], 14), read(3, &[3, 4], 16), read(3, &[4], 18)]);
    assert_eq!(found(&third), [0, 1, 0, 0], "3 was seen and is gone");
}

/// Overlapping overwrites: each may have seen what had begun before its own end, and nothing later by way of the next.
#[test]
fn one_that_replaced_everything_has_seen_nothing_that_began_after_it_had_ended() {
    let put = |process: u32, id: u32, start: i64, end: i64| Operation {
        process,
        source: 0,
        start,
        end,
        did: Did::Replace { id: Value(id), is_delete: false, covers: Covers::Everything },
    };
    let chain = [put(0, 1, 0, 10), put(1, 2, 9, 20), put(2, 3, 19, 30)];
    let with = |more: &[Operation]| found(&[&chain[..], more].concat());
    assert_eq!(with(&[read(9, &[3], 40), read(9, &[1], 50)]), [0, 1, 0, 0], "3 began after 1 had ended");
    assert_eq!(with(&[read(9, &[3], 40), read(9, &[2], 50)]), [0; 4], "2 may have come after 3");
    assert_eq!(with(&[read(2, &[1], 50)]), [1, 0, 0, 0], "3 was its own");
}

/// Sent twice: it may have come again after whatever it hides.
#[test]
fn what_is_missed_for_a_write_that_was_sent_again_is_missed_for_a_reason() {
    let everything = |process: u32, id: u32, start: i64| Operation {
        did: Did::Replace { id: Value(id), is_delete: false, covers: Covers::Everything },
        ..put(process, id, &[], start)
    };
    let operations = [everything(0, 1, 0), everything(1, 2, 10), read(1, &[1], 20)];
    let judged =
        |repeated: Vec<Value>| told(&check(&Key { operations: operations.to_vec(), repeated, ..Key::default() }));
    assert_eq!(judged(Vec::new()), [1, 0, 0, 0]);
    assert_eq!(judged(vec![Value(1)]), [0; 4]);
    assert_eq!(judged(vec![Value(2)]), [1, 0, 0, 0]);
}

#[test]
fn a_write_of_unknown_outcome_obliges_nobody_until_it_is_seen() {
    let mut unknown = put(1, 1, &[], 0);
    unknown.end = NEVER;
    assert_eq!(found(&[unknown.clone(), read(1, &[], 2)]), [0; 4]);
    assert_eq!(found(&[unknown, read(1, &[1], 2), read(1, &[], 4)]), [0, 1, 0, 0]);
}
