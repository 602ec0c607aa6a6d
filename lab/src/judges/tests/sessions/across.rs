//! Guarantees from one key to another against their definition, word for word, on random histories of two or three keys.

use std::collections::BTreeSet;

use super::super::random::{Random, histories};
use super::{closure, cover_what_began_before, down, put, read, told, writes, written};
use crate::judges::account::{Account, Covers, Did, Key, NEVER, Operation, Seen, Value};
use crate::judges::sessions;

/// Six operations a key at random times; what is read, and covered, is any of what was numbered before.
fn keys(random: &mut Random, count: usize) -> Vec<Key> {
    (0..count)
        .map(|place| {
            let mut key = Key { name: format!("k{place}"), ..Key::default() };
            for number in 0..6 {
                let operation = operation(random, number);
                key.operations.push(operation);
            }
            cover_what_began_before(&mut key);
            key
        })
        .collect()
}

fn operation(random: &mut Random, number: u32) -> Operation {
    let start = random.below(40) as i64;
    let some: Box<[Value]> = (1..=number).filter(|_| random.chance(40)).map(Value).collect();
    if random.chance(50) {
        let did = Did::Read(Seen::Many(some));
        return Operation { process: random.below(3) as u32, source: 0, start, end: start + 4, did };
    }
    let end = if random.chance(5) { NEVER } else { start + 4 };
    let covers = if random.chance(5) { Covers::Everything } else { Covers::These(some) };
    let did = Did::Replace { id: Value(number + 1), is_delete: random.chance(5), covers };
    Operation { process: random.below(3) as u32, source: 0, start, end, did }
}

fn reads(key: &Key) -> impl Iterator<Item = (&Operation, &[Value])> {
    key.operations.iter().filter_map(|read| match &read.did {
        Did::Read(Seen::Many(values)) => Some((read, &values[..])),
        _ => None,
    })
}

/// The writes of `key` that `process` had written, or read, before `time`.
fn had(key: &Key, process: u32, time: i64, is_of_reads: bool) -> BTreeSet<Value> {
    let before = |operation: &Operation| operation.process == process && operation.end < time;
    if is_of_reads {
        let values = reads(key).filter(|(read, _)| before(read)).flat_map(|(_, values)| values.iter().copied());
        return values.filter(|value| written(key, *value)).collect();
    }
    writes(key).filter(|(_, write)| before(write)).map(|(id, _)| id).collect()
}

/// Reads that miss what a write of another key, which their session had seen before, says must be there.
fn by_definition(keys: &[Key], is_of_reads: bool) -> u64 {
    let mut broken = 0;
    for (place, key) in keys.iter().enumerate() {
        for (last, values) in reads(key) {
            let mut due = BTreeSet::new();
            for (_, other) in keys.iter().enumerate().filter(|(other, _)| *other != place) {
                for (seen, brought) in
                    reads(other).filter(|(seen, _)| seen.process == last.process && seen.end < last.start)
                {
                    let seen =
                        (seen, closure(other, brought.iter().copied().filter(|value| written(other, *value)), true));
                    for (_, write) in writes(other).filter(|(id, _)| seen.1.contains(id)) {
                        due.extend(had(key, write.process, write.start, is_of_reads));
                    }
                }
            }
            broken += u64::from(!due.is_subset(&down(key, last, values)));
        }
    }
    broken
}

#[test]
fn across_keys_the_violations_are_those_of_the_definition() {
    let mut all = [0; 2];
    for seed in 0..histories() / 2 {
        let mut random = Random(seed);
        let keys = keys(&mut random, 2 + seed as usize % 2);
        let together = told(&sessions::check(&Account { keys: keys.clone(), ..Account::default() }));
        let alone = keys.iter().map(|key| told(&super::check(key)));
        let alone =
            alone.fold([0; 4], |sum, of_key| std::array::from_fn(|guarantee| sum[guarantee] + of_key[guarantee]));
        let expected = [by_definition(&keys, false), by_definition(&keys, true)];
        assert_eq!([together[2] - alone[2], together[3] - alone[3]], expected, "seed {seed}: {keys:#?}");
        assert_eq!(together[..2], alone[..2], "seed {seed}: those of one session are judged key by key");
        all.iter_mut().zip(expected).for_each(|(sum, count)| *sum += count);
    }
    assert!(all.iter().all(|count| *count > 20), "{all:?}");
}

fn found(one: &[Operation], other: &[Operation]) -> [u64; 4] {
    let key = |name: &str, operations: &[Operation]| Key {
        name: name.to_owned(),
        operations: operations.to_vec(),
        ..Key::default()
    };
    told(&sessions::check(&Account { keys: vec![key("a", one), key("b", other)], ..Account::default() }))
}

#[test]
fn who_has_seen_a_write_must_not_miss_what_its_session_wrote_or_read_of_another_key_before() {
    let (first, then) = (put(1, 1, &[], 0), put(1, 2, &[], 10));
    assert_eq!(found(&[first.clone(), read(2, &[1], 30)], &[then.clone(), read(2, &[2], 20)]), [0; 4]);
    assert_eq!(found(&[first.clone(), read(2, &[], 30)], &[then.clone(), read(2, &[2], 20)]), [0, 0, 1, 0]);
    assert_eq!(found(&[first.clone(), read(2, &[], 15)], &[then.clone(), read(2, &[2], 20)]), [0; 4], "not yet seen");
    assert_eq!(
        found(&[first.clone(), read(3, &[], 30)], &[then.clone(), read(2, &[2], 20)]),
        [0; 4],
        "another session"
    );
    let of_other = [put(3, 1, &[], 0), read(1, &[1], 5), read(2, &[], 30)];
    assert_eq!(found(&of_other, &[then, read(2, &[2], 20)]), [0, 0, 0, 1], "1 had read what 2 misses");
}
