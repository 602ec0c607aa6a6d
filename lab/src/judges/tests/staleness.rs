//! Staleness against its definition, word for word, on random histories of siblings; and the flaws of earlier work as examples.

use std::collections::BTreeSet;

use super::brute;
use super::random::{Random, histories, key};
use super::sessions::{cover_what_began_before, down, repeat_some};
use crate::judges::account::{Account, Covers, Did, Key, NEVER, Operation, Seen, Value};
use crate::judges::linearizable::Model;
use crate::judges::staleness::{self, Staleness};

fn check(key: &Key) -> Staleness {
    staleness::check(&Account { keys: vec![key.clone()], ..Account::default() })
}

/// Missing(r), by its definition.
fn missing<'a>(key: &'a Key, read: &Operation, values: &[Value]) -> Vec<&'a Operation> {
    let down = down(key, read, values);
    let acknowledged =
        key.operations.iter().filter(|write| matches!(write.did, Did::Replace { .. }) && write.end < read.start);
    acknowledged.filter(|write| matches!(&write.did, Did::Replace { id, .. } if !down.contains(id))).collect()
}

#[test]
fn a_read_is_causally_stale_iff_an_acknowledged_write_is_not_below_what_it_brought() {
    let mut stale = 0;
    for seed in 0..histories() {
        let mut random = Random(seed);
        let mut key = key(&mut random, Model::Siblings, 12, true);
        cover_what_began_before(&mut key);
        repeat_some(&mut random, &mut key);
        let found = check(&key).causal;
        let mut expected = Vec::new();
        for read in &key.operations {
            let Did::Read(Seen::Many(values)) = &read.did else { continue };
            let missing = missing(&key, read, values);
            let oldest = missing.iter().map(|write| write.end).min();
            expected.extend(oldest.map(|oldest| (read.start - oldest, missing.len() as u64)));
        }
        let mut told: Vec<_> = found.ages.iter().copied().zip(found.behind.iter().map(|(least, _)| *least)).collect();
        told.sort_unstable();
        expected.sort_unstable();
        assert_eq!(told, expected, "seed {seed}: {key:#?}");
        stale += expected.len();
    }
    assert!(stale > 100, "{stale}");
}

/// Whoever covers a value has seen it: here, what was over before.
fn cover_what_was_there(key: &mut Key) {
    let before = key.clone();
    for operation in &mut key.operations {
        let start = operation.start;
        let was_there = |value: &Value| {
            let writes = |other: &&Operation| matches!(&other.did, Did::Replace { id, .. } if id == value);
            before.operations.iter().find(writes).is_some_and(|write| write.end < start)
        };
        if let Did::Replace { covers: Covers::These(values), .. } = &mut operation.did {
            *values = values.iter().copied().filter(was_there).collect();
        }
    }
}

#[test]
fn what_some_order_of_siblings_explains_is_neither_stale_nor_revived() {
    let (mut honest, mut found) = (0, 0);
    for seed in 0..histories() {
        let mut key = key(&mut Random(seed), Model::Siblings, 7, true);
        cover_what_was_there(&mut key);
        let Staleness { real_time, causal, revived, .. } = check(&key);
        let counts = [real_time.stale, causal.stale, revived];
        if brute::is_linearizable(&key, Model::Siblings) {
            assert_eq!(counts, [0; 3], "seed {seed}: {key:#?}");
            honest += 1;
        }
        found += revived;
    }
    assert!(honest > histories() / 20 && found > 0, "{honest} honest, {found} revived");
}

#[test]
fn a_read_is_stale_in_real_time_iff_a_newer_write_had_ended_before_it() {
    let (mut stale, mut behind) = (0, 0);
    for seed in 0..histories() {
        let key = key(&mut Random(seed), Model::Register, 12, true);
        let found = check(&key).real_time;
        let mut expected = BTreeSet::new();
        for (place, read) in key.operations.iter().enumerate() {
            let Did::Read(Seen::One(value)) = read.did else { continue };
            let write = key.operations.iter().find(|write| write.did == Did::Write(value));
            if write.is_none_or(|write| write.start > read.end) && value != key.initial {
                continue;
            }
            // A read that ended before the write began tells nothing of when that was over.
            let began = write.map_or(i64::MIN, |write| write.start);
            let of_value = |other: &&Operation| other.did == Did::Read(Seen::One(value)) && other.end >= began;
            let first_read = key.operations.iter().filter(of_value).map(|other| other.end).min().unwrap();
            let end = write.map_or(i64::MIN, |write| if write.end < NEVER { write.end } else { first_read });
            let newer =
                |other: &&Operation| matches!(other.did, Did::Write(_)) && other.start > end && other.end < read.start;
            let count = key.operations.iter().filter(newer).count() as u64;
            if count > 0 {
                expected.insert((place, count));
            }
        }
        assert_eq!(found.stale, expected.len() as u64, "seed {seed}: {key:#?}");
        let told: BTreeSet<_> =
            found.shown.iter().zip(&found.behind).map(|((_, place), (least, _))| (*place, *least)).collect();
        assert_eq!(told, expected, "seed {seed}: {key:#?}");
        assert!(found.behind.iter().all(|(least, most)| least <= most), "seed {seed}: {key:#?}");
        stale += found.stale;
        behind = behind.max(found.behind.iter().map(|(least, _)| *least).max().unwrap_or_default());
    }
    assert!(stale > 100 && behind > 1, "{stale}, {behind}");
}

fn at(did: Did, start: i64, end: i64) -> Operation {
    Operation { process: 0, source: 0, start, end, did }
}

fn of(operations: Vec<Operation>) -> Staleness {
    check(&Key { operations, ..Key::default() })
}

#[test]
fn a_write_between_is_enough_though_a_later_end_overlaps() {
    // Comparing with the write that ended last only would call this fresh.
    let write = |value, start, end| at(Did::Write(Value(value)), start, end);
    let found =
        of(vec![write(1, 0, 10), write(2, 11, 12), write(3, 1, 20), at(Did::Read(Seen::One(Value(1))), 21, 22)]);
    assert_eq!((found.real_time.reads, found.real_time.stale), (1, 1));
    assert_eq!((found.real_time.ages, found.real_time.behind), (vec![21 - 12], vec![(1, 2)]));
}

/// Found with 100,000 histories: the write of 2 was taken to end with the first read, before it began, and 3 to be newer.
#[test]
fn a_read_from_the_future_does_not_end_a_write_of_unknown_outcome() {
    let write = |value, start, end| at(Did::Write(Value(value)), start, end);
    let read = |value, start, end| at(Did::Read(Seen::One(Value(value))), start, end);
    let found = of(vec![write(2, 8, NEVER), write(3, 6, 7), read(2, 5, 5), read(2, 9, 12)]);
    assert_eq!((found.future, found.real_time.reads, found.real_time.stale), (1, 1, 0), "3 was over before 2 began");
    let found = of(vec![write(2, 8, NEVER), write(3, 9, 10), read(2, 5, 5), read(2, 11, 12)]);
    assert_eq!(found.real_time.stale, 0, "2 may have come after 3");
    let found = of(vec![write(2, 8, NEVER), read(2, 9, 9), write(3, 10, 11), read(2, 12, 13)]);
    assert_eq!(found.real_time.stale, 1, "2 was there before 3 began");
}

#[test]
fn equal_stamps_are_concurrent() {
    let write = |value, start, end| at(Did::Write(Value(value)), start, end);
    let read = |start| at(Did::Read(Seen::One(Value(1))), start, 30);
    assert_eq!(
        of(vec![write(1, 0, 10), write(2, 10, 20), read(25)]).real_time.stale,
        0,
        "the second did not begin after the first"
    );
    assert_eq!(
        of(vec![write(1, 0, 10), write(2, 11, 20), read(20)]).real_time.stale,
        0,
        "it did not end before the read"
    );
    assert_eq!(of(vec![write(1, 0, 10), write(2, 11, 20), read(21)]).real_time.stale, 1);
}

#[test]
fn phantom_future_and_conflicting_reads_are_counted_apart() {
    let put = |id: u32, covers: &[Value], start, end| {
        at(Did::Replace { id: Value(id), is_delete: false, covers: Covers::These(covers.into()) }, start, end)
    };
    let read = |values: &[u32], start, end| {
        at(Did::Read(Seen::Many(values.iter().map(|value| Value(*value)).collect())), start, end)
    };
    let found =
        of(vec![put(1, &[], 0, 1), put(2, &[], 20, 21), read(&[9], 5, 6), read(&[2], 7, 8), read(&[1, 2], 30, 31)]);
    assert_eq!((found.phantom, found.future, found.conflicts), (1, 1, 1));
    assert_eq!((found.real_time.reads, found.real_time.stale), (1, 0), "only the last is a read of what may be judged");
}

#[test]
fn what_a_delete_had_seen_is_revived_and_what_stood_beside_is_not_stale() {
    let put = |id: u32, start| {
        let did = Did::Replace { id: Value(id), is_delete: false, covers: Covers::These(Box::default()) };
        at(did, start, start + 1)
    };
    let delete = |covers: &[Value], start, end| {
        at(Did::Replace { id: Value(9), is_delete: true, covers: Covers::These(covers.into()) }, start, end)
    };
    let read = |value, start| at(Did::Read(Seen::Many([Value(value)].into())), start, start + 1);
    let counts = |found: Staleness| (found.revived, found.real_time.stale, found.real_time.maybe_deleted);
    let two = [put(1, 0), put(2, 10)];
    let then = |more: Vec<Operation>| counts(of(two.iter().cloned().chain(more).collect()));
    assert_eq!(then(vec![delete(&[Value(2)], 20, 21), read(1, 30)]), (0, 0, 1), "2 was taken away, and 1 is left");
    assert_eq!(then(vec![delete(&[Value(2)], 20, 21), read(2, 30)]), (1, 0, 1), "2 is back");
    assert_eq!(then(vec![delete(&[Value(2)], 20, 30), read(2, 30)]), (0, 0, 0), "the delete was under way");
    assert_eq!(then(vec![delete(&[Value(2)], 20, NEVER), read(2, 30)]), (0, 0, 0), "perhaps it never came");
    let mut late = put(3, 19);
    late.end = 25;
    let late = [late, delete(&[Value(3)], 20, 21), read(3, 30)];
    assert_eq!(counts(of(late.to_vec())), (0, 0, 0), "its client may have sent it again");
}

#[test]
fn a_replaced_value_that_is_there_beside_the_one_that_replaced_it_is_revived() {
    let put =
        |id: u32, covers: Covers, start| at(Did::Replace { id: Value(id), is_delete: false, covers }, start, start + 1);
    let these = |values: &[Value]| Covers::These(values.into());
    let read = |values: &[u32], start| {
        at(Did::Read(Seen::Many(values.iter().map(|value| Value(*value)).collect())), start, start + 1)
    };
    let revived = |operations: &[Operation]| of(operations.to_vec()).revived;
    let first = put(1, these(&[]), 0);
    for covers in [these(&[Value(1)]), Covers::Everything] {
        let second = put(2, covers, 10);
        assert_eq!(revived(&[first.clone(), second.clone(), read(&[2], 20)]), 0);
        assert_eq!(revived(&[first.clone(), second.clone(), read(&[1, 2], 20)]), 1);
        assert_eq!(revived(&[first.clone(), second.clone(), read(&[1], 11)]), 0, "the second was under way");
        let unknown = Operation { end: NEVER, ..second };
        assert_eq!(revived(&[first.clone(), unknown, read(&[1, 2], 20)]), 0, "it may come later");
    }
    let unseen = put(2, these(&[]), 10);
    assert_eq!(revived(&[first.clone(), unseen, read(&[1, 2], 20)]), 0, "siblings");
    let overlapping = put(2, Covers::Everything, 1);
    assert_eq!(revived(&[first, overlapping, read(&[1, 2], 20)]), 0, "the second may have come first");
}

/// Values of which a read brings at least one though an acknowledged write had replaced it, by the definition.
fn is_back(key: &Key, read: &Operation, values: &[Value]) -> bool {
    let replaced = |value: &Value| {
        let write = key.operations.iter().find(|other| matches!(&other.did, Did::Replace { id, .. } if id == value));
        let covers = |other: &&Operation| match &other.did {
            Did::Replace { covers: Covers::These(values), .. } => values.contains(value),
            Did::Replace { covers: Covers::Everything, .. } => true,
            _ => false,
        };
        let after = |write: &Operation| {
            key.operations.iter().filter(covers).any(|other| write.precedes(other) && other.precedes(read))
        };
        write.is_some_and(after)
    };
    values.iter().any(replaced)
}

#[test]
fn revived_is_what_a_write_had_replaced_by_the_definition() {
    let mut all = 0;
    for seed in 0..histories() {
        let key = key(&mut Random(seed), Model::Siblings, 12, true);
        let reads = key.operations.iter().filter_map(|read| match &read.did {
            Did::Read(Seen::Many(values)) => Some((read, values)),
            _ => None,
        });
        let expected = reads.filter(|(read, values)| is_back(&key, read, values)).count() as u64;
        let found = check(&key);
        assert_eq!(found.revived, expected, "seed {seed}: {key:#?}");
        all += expected;
    }
    assert!(all > 20, "{all}");
}

#[test]
fn an_empty_answer_stands_for_any_delete_that_had_begun() {
    let delete = |id: u32, start, end| {
        at(Did::Replace { id: Value(id), is_delete: true, covers: Covers::Everything }, start, end)
    };
    let put = |id: u32, start, end| {
        at(Did::Replace { id: Value(id), is_delete: false, covers: Covers::Everything }, start, end)
    };
    let nothing = |start| at(Did::Read(Seen::Many(Box::default())), start, start + 1);
    assert_eq!(of(vec![put(1, 0, 1), nothing(5)]).real_time.stale, 1);
    assert_eq!(of(vec![put(1, 0, 1), delete(2, 2, 3), nothing(5)]).real_time.stale, 0);
    assert_eq!(of(vec![delete(2, 2, 3), put(1, 4, 5), nothing(6)]).real_time.stale, 1);
    assert_eq!(
        of(vec![put(1, 0, 1), delete(2, 2, NEVER), nothing(5)]).real_time.stale,
        0,
        "an unknown delete may have come"
    );
    assert_eq!(of(vec![put(1, 0, 1), delete(2, 7, 8), nothing(5)]).real_time.stale, 1, "a later one cannot");
}

#[test]
fn a_delete_excuses_nobody_for_what_began_after_it_was_over() {
    let put = |id: u32, start, end| {
        at(Did::Replace { id: Value(id), is_delete: false, covers: Covers::These(Box::default()) }, start, end)
    };
    let delete =
        |start, end| at(Did::Replace { id: Value(9), is_delete: true, covers: Covers::Everything }, start, end);
    let read = at(Did::Read(Seen::Many([Value(1)].into())), 100, 110);
    let judged = |delete: Operation, repeated: &[Value]| {
        let operations = vec![put(1, 20, 30), put(2, 40, 50), put(3, 60, 70), delete, read.clone()];
        let Staleness { real_time, .. } = check(&Key { operations, repeated: repeated.to_vec(), ..Key::default() });
        (real_time.stale, real_time.maybe_deleted, real_time.ages, real_time.behind)
    };
    assert_eq!(judged(delete(0, 1), &[]), (1, 0, vec![100 - 50], vec![(2, 2)]));
    assert_eq!(judged(delete(41, 45), &[]), (1, 0, vec![100 - 70], vec![(1, 3)]), "3 began after it was over");
    assert_eq!(judged(delete(41, 65), &[]), (0, 1, vec![], vec![]), "it may have taken both");
    assert_eq!(judged(delete(41, NEVER), &[]), (0, 1, vec![], vec![]), "it may have come late");
    assert_eq!(judged(delete(0, 1), &[Value(9)]), (0, 1, vec![], vec![]), "it may have come again");
}

#[test]
fn whoever_brings_what_may_be_applied_again_is_not_stale() {
    let put =
        |id: u32, covers: Covers, start, end| at(Did::Replace { id: Value(id), is_delete: false, covers }, start, end);
    let read = |start| at(Did::Read(Seen::Many([Value(1)].into())), start, start + 10);
    let operations = vec![put(1, Covers::Everything, 1, 100), put(2, Covers::Everything, 200, 300), read(400)];
    let judged = |repeated: Vec<Value>| {
        let found = check(&Key { operations: operations.clone(), repeated, ..Key::default() });
        (found.real_time.stale, found.causal.stale)
    };
    assert_eq!(judged(Vec::new()), (1, 1));
    assert_eq!(judged(vec![Value(1)]), (0, 0), "the first was sent twice: it may have come after the second again");
    assert_eq!(judged(vec![Value(2)]), (1, 1), "the second was, which is missed all the same");
}

#[test]
fn a_write_with_an_unknown_context_revives_nothing() {
    let put = |id: u32, start| {
        at(Did::Replace { id: Value(id), is_delete: false, covers: Covers::Everything }, start, start + 1)
    };
    let read = at(Did::Read(Seen::Many([Value(1), Value(2)].into())), 20, 21);
    let key = Key { operations: vec![put(1, 0), put(2, 10), read], ..Key::default() };
    let staleness = |key: &Key| check(key).revived;
    assert_eq!(staleness(&key), 1);
    assert_eq!(staleness(&Key { has_unknown_contexts: true, ..key }), 0);
}
