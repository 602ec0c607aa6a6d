//! Gamma and Delta against brute force: the least number that makes all orders fail no more.

use super::brute;
use super::random::{Random, histories};
use crate::judges::account::{Did, Key, NEVER, Operation, Seen, Value};
use crate::judges::atomicity;
use crate::judges::linearizable::Model;

/// Times are doubled, so that half of a stretch is a whole number.
fn changed(key: &Key, change: impl Fn(&mut Operation)) -> Key {
    let mut key = key.clone();
    for operation in &mut key.operations {
        operation.start *= 2;
        operation.end = if operation.end < NEVER { 2 * operation.end } else { NEVER };
        change(operation);
    }
    key
}

fn stretched(key: &Key, by: i64) -> Key {
    changed(key, |operation| {
        operation.start -= by;
        operation.end = if operation.end < NEVER { operation.end + by } else { NEVER };
    })
}

fn earlier(key: &Key, by: i64) -> Key {
    changed(key, |operation| operation.start -= if matches!(operation.did, Did::Read(_)) { 2 * by } else { 0 })
}

/// Writes and reads of what is written, at any time.
fn chaos(random: &mut Random, count_max: usize) -> Key {
    let count = 2 + random.below(count_max - 1);
    let writes = 1 + random.below(count / 2);
    let operation = |number: usize| {
        let start = random.below(20) as i64;
        let end = start + random.below(8) as i64;
        let value = Value(if number < writes { number as u32 + 1 } else { random.below(writes + 1) as u32 });
        let did = if number < writes { Did::Write(value) } else { Did::Read(Seen::One(value)) };
        let end = if number < writes && random.chance(10) { NEVER } else { end };
        Operation { process: 0, source: number as u64, start, end, did }
    };
    Key { operations: (0..count).map(operation).collect(), ..Key::default() }
}

#[test]
fn gamma_and_delta_are_the_least_that_repair_a_history() {
    let least = |repaired: &dyn Fn(i64) -> Key| {
        (0..200).find(|by| brute::is_linearizable(&repaired(*by), Model::Register)).expect("repaired by then")
    };
    let [mut judged, mut positive] = [0, 0];
    for seed in 0..histories() {
        let key = chaos(&mut Random(seed), 6);
        let Some(found) = atomicity::of(&key) else { continue };
        let expected = (least(&|by| stretched(&key, by)), least(&|by| earlier(&key, by)));
        assert_eq!((found.gamma(), found.delta), expected, "seed {seed}: {key:#?}");
        assert_eq!(found.worst.is_empty(), found.gamma() == 0);
        judged += 1;
        positive += u64::from(found.gamma() > 0);
    }
    assert!(judged > histories() / 4 && positive > histories() / 10, "{judged} judged, {positive} with a Gamma");
}

#[test]
fn the_worst_pair_alone_has_the_same_gamma() {
    let mut positive = 0;
    for seed in 0..histories() {
        let key = chaos(&mut Random(seed), 20);
        let Some(found) = atomicity::of(&key).filter(|found| found.gamma() > 0) else { continue };
        let operations: Vec<_> = found.worst.iter().map(|place| key.operations[*place].clone()).collect();
        assert!(operations.len() <= 6);
        let alone = Key { operations, initial: key.initial, ..Key::default() };
        assert_eq!(atomicity::of(&alone).unwrap().gamma(), found.gamma(), "seed {seed}");
        positive += 1;
    }
    assert!(positive > 100, "{positive}");
}
