//! Zones and search against all orders.

use std::time::{Duration, Instant};

use super::brute;
use super::random::{Random, histories, key};
use crate::judges::Budget;
use crate::judges::account::{Account, Covers, Did, Key, NEVER, NIL, Operation, Seen, Value};
use crate::judges::linearizable::{self, Choice, Model, by_inclusion, by_zones};
use crate::judges::search::{self, Limit, Outcome};
use crate::judges::zones;

fn searched(key: &Key, model: Model) -> Outcome {
    search::check(key, model, Instant::now() + Duration::from_secs(60), 64 << 20, &|value| value.0.to_string())
}

fn is_valid(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Valid => true,
        Outcome::Invalid(_) => false,
        Outcome::Unknown(limit) => panic!("{limit:?} is used up by a few operations"),
    }
}

/// Judges random histories and returns how many were valid and how many not.
fn compare(model: Model, is_unique: bool, judge: impl Fn(&Key) -> Option<bool>) -> [u64; 2] {
    let mut counts = [0; 2];
    for seed in 0..histories() {
        let key = key(&mut Random(seed), model, 7, is_unique);
        let expected = brute::is_linearizable(&key, model);
        if let Some(verdict) = judge(&key) {
            assert_eq!(verdict, expected, "seed {seed}: {key:#?}");
            counts[usize::from(!verdict)] += 1;
        }
    }
    // A comparison that saw only one verdict compares nothing.
    assert!(counts.iter().all(|count| *count > histories() / 20), "{model:?}: {counts:?}");
    counts
}

#[test]
fn zones_are_exact_for_unique_registers_and_the_search_agrees() {
    let [valid, invalid] = compare(Model::Register, true, |key| {
        let zones = by_zones(key)?;
        assert_eq!(is_valid(&searched(key, Model::Register)), zones, "{key:#?}");
        Some(zones)
    });
    assert_eq!(valid + invalid, histories(), "zones apply to each");
}

#[test]
fn inclusion_is_exact_for_sets_and_the_search_agrees() {
    for is_unique in [false, true] {
        let [valid, invalid] = compare(Model::Set, is_unique, |key| {
            let inclusion = by_inclusion(key)?;
            assert_eq!(is_valid(&searched(key, Model::Set)), inclusion, "{key:#?}");
            Some(inclusion)
        });
        assert_eq!(valid + invalid, histories(), "it applies to each");
    }
}

/// Twenty thousand adds, one read of all: the search would remember each state, of twenty thousand elements.
#[test]
fn a_large_set_is_judged_at_once_and_a_lost_add_is_shown_with_the_read_that_misses_it() {
    let count = 20_000;
    let add = |number: u32| at(Did::Add(Value(number + 1)), i64::from(number) * 10, i64::from(number) * 10 + 25);
    let read = |without: u32| {
        let values = (1..=count).filter(|value| *value != without).map(Value).collect();
        at(Did::Read(Seen::Many(values)), i64::from(count) * 10 + 100, i64::from(count) * 10 + 101)
    };
    let of = |without| Key { operations: (0..count).map(add).chain([read(without)]).collect(), ..Key::default() };
    assert_eq!(by_inclusion(&of(0)), Some(true));
    let lost = of(7_000);
    let account = Account { keys: vec![lost.clone()], ..Account::default() };
    let report = linearizable::check(&account, Model::Set, &Budget::default(), Choice::Fastest);
    let sources: Vec<i64> = report.findings[0].witness.iter().map(|shown| shown.start).collect();
    assert_eq!((report.invalid, sources), (1, vec![69_990, 70_020, 200_100]), "{:?}", report.findings[0].why);
}

#[test]
fn a_lost_add_is_shown_by_the_search_with_the_read_that_misses_it() {
    let operations = vec![at(Did::Add(Value(1)), 0, 1), at(Did::Read(Seen::Many(Box::default())), 2, 3)];
    let Outcome::Invalid(stuck) = searched(&Key { operations, ..Key::default() }, Model::Set) else {
        panic!("it is lost")
    };
    assert_eq!(stuck.next, [0, 1]);
}

#[test]
fn the_search_is_exact_for_each_model() {
    for model in [Model::Register, Model::CasRegister, Model::Append, Model::Set, Model::Siblings, Model::AnySibling] {
        for is_unique in [false, true] {
            compare(model, is_unique, |key| Some(is_valid(&searched(key, model))));
        }
    }
}

#[test]
fn a_witness_is_itself_not_linearizable_and_has_six_operations_at_most() {
    let mut kinds = [0; 3];
    for seed in 0..histories() {
        let key = key(&mut Random(seed), Model::Register, 20, true);
        let Ok((clusters, Some(fault))) = zones::check(&key) else { continue };
        let places = zones::witness(&key, &clusters, fault);
        assert!(places.len() <= 6, "{places:?}");
        let operations = places.iter().map(|place| key.operations[*place].clone()).collect();
        let alone = Key { operations, initial: key.initial, ..Key::default() };
        assert!(!brute::is_linearizable(&alone, Model::Register), "seed {seed}: {alone:#?}");
        kinds[match fault {
            zones::Fault::Phantom(_) => 0,
            zones::Fault::Future { .. } => 1,
            zones::Fault::Conflict(..) => 2,
        }] += 1;
    }
    assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
}

#[test]
fn two_writes_of_one_value_are_not_for_zones() {
    let did = [Did::Write(Value(1)), Did::Write(Value(1))];
    assert_eq!(by_zones(&sequence(did)), None);
    assert_eq!(by_zones(&Key { initial: Value(1), ..sequence([Did::Write(Value(1))]) }), None);
    assert_eq!(by_zones(&sequence([Did::Add(Value(1))])), None);
}

#[test]
fn a_put_of_unknown_outcome_can_hide_a_sibling_though_nobody_reads_its_value() {
    // 1 is written, an unknown put that had seen it adds 2, a delete that had seen 2 removes that: nothing is left, and only the put explains it.
    let mut key = sequence([
        put(1, &[]),
        put(2, &[1]),
        Did::Replace { id: Value(3), is_delete: true, covers: Covers::These([Value(2)].into()) },
        Did::Read(Seen::Many(Box::default())),
    ]);
    key.operations[1].end = NEVER;
    assert_eq!(searched(&key, Model::Siblings), Outcome::Valid);
    key.operations.remove(1);
    assert!(!is_valid(&searched(&key, Model::Siblings)), "dropped as for a register, it would convict an honest store");
}

#[test]
fn a_write_of_what_is_there_may_be_needed_later() {
    // w(1) is over; w(1) and w(2) overlap; then 2 and 1 are read: the second w(1) must come last, although it changes nothing at first.
    let read = |value, start| at(Did::Read(Seen::One(Value(value))), start, start + 1);
    let operations = vec![
        at(Did::Write(Value(1)), 0, 1),
        at(Did::Write(Value(1)), 10, 40),
        at(Did::Write(Value(2)), 11, 20),
        read(2, 22),
        read(1, 50),
    ];
    let key = Key { operations, initial: NIL, ..Key::default() };
    assert_eq!(searched(&key, Model::Register), Outcome::Valid);
}

#[test]
fn a_budget_that_is_used_up_is_unknown() {
    // Many writes at once, then a read of none of them: all subsets have to be tried.
    let mut operations: Vec<_> = (1..40).map(|value| at(Did::Write(Value(value)), 0, 100)).collect();
    operations.push(at(Did::Read(Seen::One(Value(99))), 200, 201));
    let key = Key { operations, initial: NIL, ..Key::default() };
    let within = |time, memory| search::check(&key, Model::Register, Instant::now() + time, memory, &|_| String::new());
    assert_eq!(within(Duration::ZERO, 1 << 40), Outcome::Unknown(Limit::Time));
    assert_eq!(within(Duration::from_secs(60), 1 << 16), Outcome::Unknown(Limit::Memory));
    assert_eq!(by_zones(&key), Some(false), "zones need no search");
}

fn put(id: u32, covers: &[u32]) -> Did {
    let covers = Covers::These(covers.iter().map(|value| Value(*value)).collect());
    Did::Replace { id: Value(id), is_delete: false, covers }
}

fn at(did: Did, start: i64, end: i64) -> Operation {
    Operation { process: 0, source: start as u64, start, end, did }
}

/// One after the other.
fn sequence(did: impl IntoIterator<Item = Did>) -> Key {
    let operations = did.into_iter().enumerate().map(|(number, did)| at(did, 2 * number as i64, 2 * number as i64 + 1));
    Key { operations: operations.collect(), initial: NIL, ..Key::default() }
}
