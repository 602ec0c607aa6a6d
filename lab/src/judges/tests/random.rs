//! Random small histories: some of an honest store, some of one that lies a little, some of pure chance.

use std::collections::BTreeSet;

use crate::judges::account::{Covers, Did, Key, NEVER, NIL, Operation, Seen, Value};
use crate::judges::linearizable::Model;

/// SplitMix64.
pub(super) struct Random(pub u64);

impl Random {
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound.max(1) as u64) as usize
    }

    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// How many random histories a test judges.
pub(super) fn histories() -> u64 {
    std::env::var("JUDGE_HISTORIES").ok().map_or(10_000, |words| words.parse().expect("JUDGE_HISTORIES: a number"))
}

/// A history of up to `count_max` operations. Values of a register are unique if `is_unique`.
pub(super) fn key(random: &mut Random, model: Model, count_max: usize, is_unique: bool) -> Key {
    let (count, lies) = (1 + random.below(count_max), [0, 10, 60][random.below(3)]);
    let (mut key, ..) = history(random, model, count, is_unique, lies);
    // In no particular order.
    for place in (1..key.operations.len()).rev() {
        key.operations.swap(place, random.below(place + 1));
    }
    key
}

/// `count` operations, of which `lies` percent are not done or not told as they should be; with the store at the end, and a time after all.
pub(super) fn history(
    random: &mut Random,
    model: Model,
    count: usize,
    is_unique: bool,
    lies: usize,
) -> (Key, Store, i64) {
    let (span, lost) = (2 + random.below(14), [0, 25][random.below(2)]);
    let mut key = Key::default();
    if random.chance(30) && model != Model::Append {
        key.initial = Value(90);
    }
    // The store itself: each operation takes effect in this order, at a time of its own.
    let mut store = Store { one: key.initial, past: vec![key.initial], text: Value(0), set: BTreeSet::new() };
    store.set.extend((key.initial != NIL).then_some(key.initial));
    let mut at = 0;
    for number in 0..count {
        at += random.below(3) as i64;
        let wrong = random.chance(lies);
        let fresh = Value(if is_unique { number as u32 + 100 } else { 1 + random.below(3) as u32 });
        let did = store.act(random, &mut key, model, fresh, wrong);
        let start = at - random.below(span) as i64;
        let end = at + random.below(span) as i64;
        let is_unknown = !did.only_observes() && random.chance(lost);
        let end = if is_unknown { NEVER } else { end };
        key.operations.push(Operation { process: number as u32, source: number as u64, start, end, did });
    }
    (key, store, at + span as i64)
}

/// An honest store, unless it is told to lie.
pub(super) struct Store {
    pub(super) one: Value,
    /// All that it ever held, and some that it lost.
    pub(super) past: Vec<Value>,
    pub(super) text: Value,
    pub(super) set: BTreeSet<Value>,
}

impl Store {
    fn act(&mut self, random: &mut Random, key: &mut Key, model: Model, fresh: Value, wrong: bool) -> Did {
        self.past.push(fresh);
        // An operation whose effect was lost: acknowledged, and not there.
        let keep = !(wrong && random.chance(50));
        match (model, random.below(10)) {
            (Model::Register | Model::CasRegister, 0..5) => Did::Read(Seen::One(self.any(random, wrong))),
            (Model::CasRegister, 5) => Did::Differs(Value(self.one.0 + 1 + u32::from(wrong) * random.below(3) as u32)),
            (Model::CasRegister, 6..8) => {
                let from = self.any(random, wrong);
                self.one = if keep { fresh } else { self.one };
                Did::Swap { from, to: fresh }
            }
            (Model::Register | Model::CasRegister, _) => {
                self.one = if keep { fresh } else { self.one };
                Did::Write(fresh)
            }
            (Model::Append, 0..5) => {
                let seen = if wrong { key.texts.append(Value(0), &[random.below(3) as u32]) } else { self.text };
                Did::Read(Seen::One(seen))
            }
            (Model::Append, 5) => {
                let text = key.texts.append(Value(0), &[fresh.0]);
                self.text = if keep { text } else { self.text };
                Did::Write(text)
            }
            (Model::Append, _) => {
                let symbols: Vec<u32> = (0..1 + random.below(2)).map(|_| random.below(3) as u32).collect();
                let text = key.texts.append(self.text, &symbols);
                self.text = if keep { text } else { self.text };
                Did::Append(symbols.into())
            }
            (_, 0..5) => {
                let mut seen: BTreeSet<Value> = self.set.clone();
                if wrong && !seen.remove(&fresh) {
                    seen.insert(Value([1, 100][random.below(2)] + random.below(4) as u32));
                }
                Did::Read(Seen::Many(seen.into_iter().collect()))
            }
            (Model::Set, _) => {
                if keep {
                    self.set.insert(fresh);
                }
                Did::Add(fresh)
            }
            (_, kind) => {
                let covers: Box<[Value]> = self.set.iter().copied().filter(|_| random.chance(70)).collect();
                let covers = if random.chance(15) { Covers::Everything } else { Covers::These(covers) };
                let is_delete = kind == 9;
                if keep {
                    self.set.retain(|held| matches!(&covers, Covers::These(covers) if !covers.contains(held)));
                    self.set.extend((!is_delete).then_some(fresh));
                }
                Did::Replace { id: fresh, is_delete, covers }
            }
        }
    }

    fn any(&self, random: &mut Random, wrong: bool) -> Value {
        match wrong {
            true if random.chance(80) => self.past[random.below(self.past.len())],
            true => Value(100 + random.below(8) as u32),
            false => self.one,
        }
    }
}
