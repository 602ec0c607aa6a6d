//! Leaders against all orders in which they may have answered, and word for word; an honest store convicts nobody, what is planted is found.

use std::collections::BTreeSet;

use super::random::{Random, histories};
use crate::judges::account::{Account, Covers, Did, Key, NEVER, Operation, Seen, Value};
use crate::judges::leaders::{At, Leaders, Leadership, Led, Moment, Sample, SplitBrain, check};

/// Operations of two keys with terms, and samples of three nodes, all by chance.
fn chaos(random: &mut Random) -> (Account, Leaders) {
    let mut leaders = Leaders::default();
    let mut keys = [Key::default(), Key::default()];
    let count = 1 + random.below(6);
    for source in 0..count as u64 {
        let key = &mut keys[random.below(2)];
        let start = random.below(20) as i64;
        let end = start + random.below(6) as i64;
        let did = match random.below(10) {
            0 => put(source, true),
            1..6 => put(source, false),
            _ => get(&[random.below(count) as u32 + 1][..random.below(2)]),
        };
        let is_unknown = !did.only_observes() && random.chance(15);
        if !is_unknown && random.chance(85) {
            let node = random.chance(70).then(|| Value(random.below(3) as u32));
            leaders.answered.insert(source, Led { term: 1 + random.below(3) as u64, node });
        }
        let end = if is_unknown { NEVER } else { end };
        key.operations.push(Operation { process: 0, source, start, end, did });
    }
    let mut at = [0; 3];
    for source in 0..random.below(4) as u64 {
        let node = random.below(3);
        at[node] += random.below(8) as i64;
        let (start, end) = (at[node], at[node] + random.below(4) as i64);
        let (is_leader, term) = (random.chance(70), 1 + random.below(3) as u64);
        leaders.samples.push(Sample { source, node: Value(node as u32), start, end, is_leader, term });
    }
    (Account { keys: keys.into(), ..Account::default() }, leaders)
}

fn put(source: u64, is_delete: bool) -> Did {
    Did::Replace { id: Value(source as u32 + 1), is_delete, covers: Covers::Everything }
}

fn get(values: &[u32]) -> Did {
    Did::Read(Seen::Many(values.iter().map(|value| Value(*value)).collect()))
}

/// The moments, gathered anew: term, node, start, end, whether it is a write.
fn moments(account: &Account, leaders: &Leaders) -> Vec<(u64, Option<Value>, i64, i64, bool)> {
    let operations = account.keys.iter().flat_map(|key| &key.operations);
    let answered = operations.filter_map(|operation| {
        let led = leaders.answered.get(&operation.source)?;
        let is_write = !operation.did.only_observes();
        Some((led.term, led.node, operation.start, operation.end, is_write))
    });
    let samples = leaders.samples.iter().filter(|sample| sample.is_leader);
    let samples = samples.map(|sample| (sample.term, Some(sample.node), sample.start, sample.end, false));
    answered.chain(samples).collect()
}

/// Whether the leaders can have answered one after the other, each within its interval, so that terms never fall: tries all orders.
fn has_order(left: &[(u64, i64, i64)], term: u64, now: i64) -> bool {
    left.is_empty()
        || (0..left.len()).any(|next| {
            let (of, start, end) = left[next];
            let at = now.max(start);
            let rest: Vec<_> =
                left.iter().enumerate().filter(|(place, _)| *place != next).map(|(_, one)| *one).collect();
            of >= term && at <= end && has_order(&rest, of, at)
        })
}

#[test]
fn a_leader_is_stale_iff_no_order_of_all_answers_has_terms_that_never_fall() {
    let mut counts = [0; 3];
    for seed in 0..histories() {
        let (account, leaders) = chaos(&mut Random(seed));
        let found = check(&account, &leaders);
        let all = moments(&account, &leaders);
        let times = |only_writes: bool| -> Vec<(u64, i64, i64)> {
            let wanted = all.iter().filter(|moment| moment.4 || !only_writes);
            wanted.map(|(term, _, start, end, _)| (*term, *start, *end)).collect()
        };
        assert_eq!(
            found.stale.is_empty(),
            has_order(&times(false), 0, i64::MIN),
            "seed {seed}: {account:#?} {leaders:#?}"
        );
        assert_eq!(
            found.late.is_empty(),
            has_order(&times(true), 0, i64::MIN),
            "seed {seed}: {account:#?} {leaders:#?}"
        );
        let pairs = all.iter().flat_map(|one| all.iter().map(move |other| (one, other)));
        let rivals =
            pairs.filter(|(one, other)| one.0 == other.0 && one.1.is_some() && other.1.is_some() && one.1 != other.1);
        let rivals: BTreeSet<u64> = rivals.map(|(one, _)| one.0).collect();
        let told: BTreeSet<u64> = found.rivals.iter().map(|(one, _)| one.led.term).collect();
        assert_eq!(told, rivals, "seed {seed}: {leaders:#?}");
        counts[0] += u64::from(!found.stale.is_empty());
        counts[1] += u64::from(!found.late.is_empty());
        counts[2] += u64::from(!rivals.is_empty());
    }
    assert!(counts.iter().all(|count| (histories() / 20..histories() * 19 / 20).contains(count)), "{counts:?}");
}

/// Whether `write` explains nothing of what `read` brought, and neither does anything that may have replaced it.
fn may_show(key: &Key, read: &Operation, write: &Operation) -> bool {
    let Did::Read(Seen::Many(values)) = &read.did else { return false };
    let writer = |value: &Value| {
        key.operations.iter().find(|other| matches!(&other.did, Did::Replace { id, .. } if id == value))
    };
    let brought = values.iter().any(|value| writer(value).is_none_or(|writer| writer.end >= write.start));
    let deleted = key.operations.iter().any(|other| {
        matches!(other.did, Did::Replace { is_delete: true, .. }) && other.start <= read.end && other.end >= write.start
    });
    brought || deleted
}

#[test]
fn reads_that_miss_and_writes_that_are_lost_are_those_of_the_definitions() {
    let (mut missed, mut gone) = (0, 0);
    for seed in 0..histories() {
        let (account, leaders) = chaos(&mut Random(seed));
        let found = check(&account, &leaders);
        let term = |operation: &Operation| leaders.answered.get(&operation.source).map(|led| led.term);
        let (mut overlooked, mut lost) = (BTreeSet::new(), BTreeSet::new());
        for (number, key) in account.keys.iter().enumerate() {
            let is_put = |one: &&Operation| matches!(one.did, Did::Replace { is_delete: false, .. }) && one.end < NEVER;
            for write in key.operations.iter().filter(is_put) {
                let reads = || key.operations.iter().filter(|one| one.did.only_observes());
                let misses = |read: &Operation| write.end < read.start && !may_show(key, read, write);
                for read in reads().filter(|read| misses(read)) {
                    let (Some(of_read), Some(of_write)) = (term(read), term(write)) else { continue };
                    if of_read < of_write {
                        overlooked.insert((number, read.source));
                    }
                    let is_seen_again = reads().any(|other| other.end >= read.start && may_show(key, other, write));
                    if of_read > of_write && !is_seen_again {
                        lost.insert((number, write.source));
                    }
                }
            }
        }
        let source = |key: usize, place: usize| (key, account.keys[key].operations[place].source);
        let told: BTreeSet<_> = found.overlooked.iter().map(|one| source(one.key, one.read)).collect();
        assert_eq!(told, overlooked, "seed {seed}: {account:#?} {leaders:#?}");
        let told: BTreeSet<_> = found.lost.iter().map(|one| source(one.key, one.write)).collect();
        assert_eq!(told, lost, "seed {seed}: {account:#?} {leaders:#?}");
        for one in &found.overlooked {
            let operations = &account.keys[one.key].operations;
            let (write, read) = (&operations[one.write], &operations[one.read]);
            assert!(
                write.end < read.start && term(write) > term(read) && !may_show(&account.keys[one.key], read, write)
            );
        }
        missed += overlooked.len() as u64;
        gone += lost.len() as u64;
    }
    assert!(missed > histories() / 50 && gone > histories() / 50, "{missed} missed, {gone} lost");
}

/// An honest store: a log, leaders that follow each other, an old leader that answers samples for a while and nobody else.
fn honest(random: &mut Random) -> (Account, Leaders, i64) {
    let mut leaders = Leaders::default();
    // The last one is left for what is planted: elsewhere a delete of unknown outcome may explain anything.
    let mut keys: Vec<Key> = (0..4).map(|_| Key::default()).collect();
    let mut held: Vec<Option<u32>> = vec![None; 3];
    let (mut now, mut term, mut node) = (0, 1, 0);
    for source in 0..60_u64 {
        now += random.below(4) as i64;
        if random.chance(10) {
            (term, node) = (term + 1, (node + 1 + random.below(2)) % 3);
        }
        let place = random.below(3);
        let did = match random.below(10) {
            0..5 => get(held[place].as_slice()),
            kind => {
                held[place] = (kind < 9).then_some(source as u32 + 1);
                put(source, kind == 9)
            }
        };
        let (start, end) = (now - random.below(9) as i64, now + random.below(9) as i64);
        let is_unknown = !did.only_observes() && random.chance(10);
        if !is_unknown {
            leaders.answered.insert(source, Led { term, node: Some(Value(node as u32)) });
        }
        let end = if is_unknown { NEVER } else { end };
        keys[place].operations.push(Operation { process: 0, source, start, end, did });
        if random.chance(30) {
            let (start, end) = (now - random.below(9) as i64, now + random.below(9) as i64);
            leaders.samples.push(Sample { source, node: Value(node as u32), start, end, is_leader: true, term });
        }
    }
    (Account { keys, ..Account::default() }, leaders, now + 9)
}

/// Does at the end of an honest history what must be found.
fn plant(kind: &str, account: &mut Account, leaders: &mut Leaders, end: i64) {
    let node = |number: u32| Some(Value(number));
    let (old, new) = (Led { term: 100, node: node(0) }, Led { term: 101, node: node(1) });
    let mut add = |source: u64, did: Did, at: i64, led: Led| {
        leaders.answered.insert(source, led);
        account.keys[3].operations.push(Operation { process: 0, source, start: end + at, end: end + at + 1, did });
    };
    add(900, put(900, false), 10, old);
    match kind {
        "late" => {
            add(901, put(901, false), 20, new);
            add(902, put(902, false), 30, old);
        }
        "overlooked" => {
            add(901, put(901, false), 20, new);
            add(902, get(&[901]), 30, old);
        }
        "lost" => {
            add(901, put(901, false), 20, old);
            add(902, get(&[901]), 30, new);
        }
        "rivals" => add(901, put(901, false), 20, Led { node: node(1), ..old }),
        _ => {
            add(901, put(901, false), 20, new);
            let start = end + 30;
            leaders.samples.push(Sample {
                source: 903,
                node: Value(0),
                start,
                end: start + 1,
                is_leader: true,
                term: 100,
            });
        }
    }
}

#[test]
fn an_honest_store_convicts_nobody_and_what_is_planted_is_found() {
    for seed in 0..histories() / 10 {
        let (account, leaders, end) = honest(&mut Random(seed));
        let found = check(&account, &leaders);
        assert_eq!(found.verdict(), SplitBrain::None, "seed {seed}: {found:#?}");
        for kind in ["late", "overlooked", "lost", "rivals", "stale"] {
            let (mut account, mut leaders) = (account.clone(), leaders.clone());
            plant(kind, &mut account, &mut leaders, end);
            let found = check(&account, &leaders);
            let Leadership { rivals, stale, late, overlooked, lost, .. } = &found;
            let counts = [late.len(), overlooked.len(), lost.len(), rivals.len(), stale.len()];
            let (expected, verdict) = match kind {
                "late" => ([1, 0, 0, 0, 1], SplitBrain::SplitBrain),
                "overlooked" => ([0, 1, 0, 0, 1], SplitBrain::SplitBrain),
                "lost" => ([0, 0, 1, 0, 0], SplitBrain::SplitBrain),
                "rivals" => ([0, 0, 0, 1, 0], SplitBrain::SafetyViolation),
                _ => ([0, 0, 0, 0, 1], SplitBrain::StaleLeader),
            };
            assert_eq!((counts, found.verdict()), (expected, verdict), "seed {seed}, {kind}: {found:#?}");
        }
    }
}

#[test]
fn two_lead_at_once_from_the_later_answer_to_the_earlier_last_question() {
    let sample = |node: u32, start: i64, is_leader: bool, term: u64| Sample {
        source: 0,
        node: Value(node),
        start,
        end: start + 2,
        is_leader,
        term,
    };
    let together = |samples: &[Sample]| {
        check(&Account::default(), &Leaders { samples: samples.to_vec(), ..Leaders::default() }).together
    };
    // a leads 3 from 2 to 40, b leads 4 from 22 to 60.
    let both = [sample(0, 0, true, 3), sample(0, 40, true, 3), sample(1, 20, true, 4), sample(1, 60, true, 4)];
    assert_eq!(together(&both), 18);
    let [first, last, other, end] = both;
    assert_eq!(together(&[first, sample(0, 10, false, 3), last, other, end]), 0, "it followed somebody between");
    assert_eq!(together(&[first, sample(0, 30, true, 5), other, end]), 0, "what it led between is not known");
    assert_eq!(together(&[first, last]), 0);
}

#[test]
fn a_write_that_is_late_and_lost_is_harmed_once() {
    let led = Led { term: 1, node: None };
    let moment = |place: usize| Moment { at: At::Operation { key: 0, place }, led, start: 0, end: 0 };
    let late = |place: usize| crate::judges::leaders::Overtaken { old: moment(place), by: moment(9) };
    let lost = |write: usize| crate::judges::leaders::Lost { key: 0, write, read: 7 };
    let found = Leadership { late: vec![late(1), late(2)], lost: vec![lost(2), lost(3)], ..Leadership::default() };
    assert_eq!(found.harmed_writes(), 3);
}
