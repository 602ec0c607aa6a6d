//! An honest store convicts nobody; one violation of a known kind at the end of its history is found.

use super::brute;
use super::random::{Random, Store, histories, history};
use crate::judges::account::{Account, Covers, Did, Key, NEVER, Operation, Seen, Value};
use crate::judges::linearizable::{Choice, Model, check};
use crate::judges::{Budget, Verdict};

const NEVER_WRITTEN: Value = Value(99);
/// What a search of these small histories may take: many times what the hardest of 100,000 seeds takes.
const MEMORY_BYTES: usize = 256 << 20;

fn verdicts(key: Key, model: Model) -> Vec<Verdict> {
    let account = Account { keys: vec![key], ..Account::default() };
    let budget = Budget { memory_bytes: MEMORY_BYTES, ..Budget::default() };
    let of = |choice| check(&account, model, &budget, choice);
    let reports = [of(Choice::Fastest), of(Choice::SearchOnly)];
    for finding in reports.iter().flat_map(|report| &report.findings) {
        assert!(!finding.witness.is_empty() && finding.witness.len() <= 10, "{finding:?}");
    }
    reports.map(|report| report.verdict).to_vec()
}

fn many(values: impl IntoIterator<Item = Value>) -> Did {
    let mut values: Vec<Value> = values.into_iter().collect();
    values.sort_unstable();
    Did::Read(Seen::Many(values.into()))
}

/// What the store would have shown at its end.
fn honest(store: &Store, model: Model) -> Did {
    match model {
        Model::Register | Model::CasRegister => Did::Read(Seen::One(store.one)),
        Model::Append => Did::Read(Seen::One(store.text)),
        _ => many(store.set.iter().copied()),
    }
}

/// One violation of each kind that the model can have.
fn planted(key: &mut Key, store: &Store, model: Model, end: i64) -> Vec<(&'static str, Vec<Operation>)> {
    let at = |did: Did, start: i64| Operation { process: 999, source: 999, start, end: start + 1, did };
    let after = |did: Did| vec![at(did, end + 10)];
    // Written and acknowledged after all that is known: of what is unknown, nothing writes these values.
    let (old, new) = (Value(97), Value(98));
    match model {
        Model::Register | Model::CasRegister => vec![
            ("phantom", after(Did::Read(Seen::One(NEVER_WRITTEN)))),
            (
                "stale",
                vec![
                    at(Did::Write(old), end + 10),
                    at(Did::Write(new), end + 20),
                    at(Did::Read(Seen::One(old)), end + 30),
                ],
            ),
            ("future", vec![at(Did::Read(Seen::One(new)), end + 10), at(Did::Write(new), end + 20)]),
        ],
        Model::Append => {
            let torn = key.texts.append(store.text, &[9]);
            vec![(
                "lost append",
                vec![at(Did::Append([9, 8].into()), end + 10), at(Did::Read(Seen::One(torn)), end + 20)],
            )]
        }
        Model::Set => vec![
            ("lost element", vec![at(Did::Add(new), end + 10), at(many(store.set.iter().copied()), end + 20)]),
            ("phantom", after(many(store.set.iter().copied().chain([NEVER_WRITTEN])))),
        ],
        Model::Siblings | Model::AnySibling => {
            let put = |id: Value, covers: Covers| Did::Replace { id, is_delete: false, covers };
            let first = at(put(old, Covers::Everything), end + 10);
            let over = at(put(new, Covers::These([old].into())), end + 20);
            let beside = at(put(new, Covers::These(Box::default())), end + 20);
            let mut planted = vec![("revived", vec![first.clone(), over, at(many([old, new]), end + 30)])];
            // What replaces everything, and has no end, may come between the two and have hidden the first (seed 233).
            let may_hide = |operation: &Operation| {
                !operation.is_known() && matches!(&operation.did, Did::Replace { covers: Covers::Everything, .. })
            };
            if !key.operations.iter().any(may_hide) {
                planted.push(("hidden", vec![first, beside, at(many([new]), end + 30)]));
            }
            planted
        }
    }
}

#[test]
fn what_is_planted_is_found_and_nothing_else() {
    for model in [Model::Register, Model::CasRegister, Model::Append, Model::Set, Model::Siblings] {
        // Where what is unknown may matter to anything, only little of it can be tried in all orders.
        let operations = if matches!(model, Model::Register | Model::Set) { 40 } else { 14 };
        for seed in 0..histories() / 100 {
            let (mut key, store, end) = history(&mut Random(seed), model, operations, true, 0);
            let last =
                Operation { process: 999, source: 999, start: end + 1, end: end + 2, did: honest(&store, model) };
            let mut clean = key.clone();
            clean.operations.push(last);
            for verdict in verdicts(clean, model) {
                assert_eq!(verdict, Verdict::Valid, "{model:?}, seed {seed}: an honest store");
            }
            for (kind, operations) in planted(&mut key, &store, model, end) {
                let mut bad = key.clone();
                bad.operations.extend(operations);
                for verdict in verdicts(bad, model) {
                    assert_eq!(verdict, Verdict::Invalid, "{model:?}, seed {seed}: {kind}");
                }
            }
        }
    }
}

#[test]
fn a_delete_of_unknown_outcome_may_come_between_later_puts_and_hide_the_first() {
    let put = |id: u32| Did::Replace { id: Value(id), is_delete: false, covers: Covers::These(Box::default()) };
    let delete = Did::Replace { id: Value(1), is_delete: true, covers: Covers::Everything };
    let did = [(delete, 0, NEVER), (put(2), 10, 11), (put(3), 20, 21), (many([Value(3)]), 30, 31)];
    let operations =
        did.into_iter().map(|(did, start, end)| Operation { process: 0, source: start as u64, start, end, did });
    let key = Key { operations: operations.collect(), ..Key::default() };
    assert!(brute::is_linearizable(&key, Model::Siblings));
    assert_eq!(verdicts(key, Model::Siblings), [Verdict::Valid; 2]);
}
