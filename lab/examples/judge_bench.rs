//! How fast the judges are, and how much memory they take:
//! `cargo run --release -p driftkv-lab --example judge_bench [OPERATIONS]` (a million by default).
//! Histories come from an honest register or text whose operations overlap; of each there is also one with a single planted violation.

use std::fs;
use std::time::{Duration, Instant};

use driftkv_lab::judges::account::{Account, Did, Key, NEVER, NIL, Operation, Seen, Value};
use driftkv_lab::judges::linearizable::{Choice, Model, check};
use driftkv_lab::judges::{Budget, Verdict};

/// xorshift64*: enough for load.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound.max(1)
    }
}

fn main() {
    let count = std::env::args().nth(1).and_then(|words| words.parse().ok()).unwrap_or(1_000_000);
    let keys = [1, count / 100];
    for keys in keys {
        for plant in [false, true] {
            let account = register(count, keys.max(1), plant);
            judge(&format!("register, zones, {keys} keys"), &account, Model::Register, Choice::Fastest, plant);
        }
    }
    for plant in [false, true] {
        judge(
            "register, search, 10 keys",
            &register(count / 10, 10, plant),
            Model::Register,
            Choice::SearchOnly,
            plant,
        );
        for clients in [10, 50] {
            let what = format!("append, search, {clients} clients");
            judge(&what, &append(2_000, clients, plant), Model::Append, Choice::Fastest, plant);
        }
    }
    println!("peak memory of the whole: {} MiB", peak_mib());
}

fn judge(what: &str, account: &Account, model: Model, choice: Choice, plant: bool) {
    let begun = Instant::now();
    let report = check(account, model, &Budget { time: Duration::from_secs(20), ..Budget::default() }, choice);
    let took = begun.elapsed().as_secs_f64();
    let expected = if plant { Verdict::Invalid } else { Verdict::Valid };
    let word = if report.verdict == expected { "as planted" } else { "NOT AS PLANTED" };
    println!(
        "{what:36} {:>9} operations {:8.3} s  {:?}, {word}; peak {} MiB",
        report.operations,
        took,
        report.verdict,
        peak_mib()
    );
}

/// Operations that take effect one after the other, each up to 40 steps long before and after: about 40 at a time on one key.
fn operation(random: &mut Random, number: u64, did: Did) -> Operation {
    let at = i64::try_from(number).unwrap_or_default();
    let mut reach = || i64::try_from(random.below(40)).unwrap_or_default();
    let (start, end) = (at - reach(), at + reach());
    let is_unknown = !did.only_observes() && random.below(200) == 0;
    let end = if is_unknown { NEVER } else { end };
    Operation { process: u32::try_from(number % 64).unwrap_or_default(), source: number, start, end, did }
}

fn register(count: u64, keys: u64, plant: bool) -> Account {
    let mut random = Random(7);
    let keys_made = (0..keys).map(|number| Key { name: format!("key-{number:09}"), ..Key::default() }).collect();
    let mut account = Account { keys: keys_made, ..Account::default() };
    let mut held = vec![NIL; account.keys.len()];
    let mut before = held.clone();
    for number in 0..count {
        let place = usize::try_from(random.below(keys)).unwrap_or_default();
        let (Some(key), Some(held), Some(before)) =
            (account.keys.get_mut(place), held.get_mut(place), before.get_mut(place))
        else {
            continue;
        };
        let did = if random.below(2) == 0 {
            *before = *held;
            *held = Value(u32::try_from(number + 1).unwrap_or(u32::MAX));
            Did::Write(*held)
        } else {
            Did::Read(Seen::One(*held))
        };
        key.operations.push(operation(&mut random, number, did));
    }
    // What was written at the end is read, and then what was there long before.
    if plant && let Some(key) = account.keys.first_mut() {
        let old = key.operations.iter().find_map(|operation| match operation.did {
            Did::Write(value) if operation.is_known() => Some(value),
            _ => None,
        });
        let start = i64::try_from(2 * count).unwrap_or_default();
        let did = Did::Read(Seen::One(old.unwrap_or(Value(u32::MAX))));
        key.operations.push(Operation { process: 0, source: count, start, end: start + 1, did });
    }
    account
}

fn append(count: u64, clients: u64, plant: bool) -> Account {
    let mut random = Random(clients);
    let mut key = Key::default();
    let mut text = NIL;
    let reach = i64::try_from(clients / 2).unwrap_or_default();
    for number in 0..count {
        let did = if random.below(2) == 0 {
            let symbols: Vec<u32> = format!("x {} {number} y", number % clients).chars().map(u32::from).collect();
            text = key.texts.append(text, &symbols);
            Did::Append(symbols.into())
        } else if plant && number == count / 2 {
            let lost: Vec<u32> = key.texts.symbols(text).into_iter().skip(7).collect();
            Did::Read(Seen::One(key.texts.append(NIL, &lost)))
        } else {
            Did::Read(Seen::One(text))
        };
        let at = i64::try_from(number).unwrap_or_default();
        let far = |random: &mut Random| i64::try_from(random.below(clients)).unwrap_or_default().min(reach);
        let (start, end) = (at - far(&mut random), at + far(&mut random));
        key.operations.push(Operation { process: 0, source: number, start, end, did });
    }
    if plant {
        let start = i64::try_from(2 * count).unwrap_or_default();
        key.operations.push(Operation { process: 0, source: count, start, end: start, did: Did::Read(Seen::One(NIL)) });
    }
    Account { keys: vec![key], ..Account::default() }
}

/// Of this process so far, as Linux counts it.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    peak.unwrap_or_default() / 1024
}
