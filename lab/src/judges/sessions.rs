//! The four session guarantees (Terry et al. 1994), from what each write had seen (research/lab.md 3.8), key by key; the latter two also from
//! one key to another (`across`).
//! Read your writes: an own acknowledged write before a read is in down(read). Monotonic reads: so is every version that an earlier read of the
//! session brought. Monotonic writes: whoever sees a write sees what its session had written before, and had acknowledged. Writes follow
//! reads: ... and what its session had read before.
//! A write of unknown outcome obliges nobody until it is seen. What a write that replaced everything may have seen excuses, and obliges nobody. "Before" is in real time: what overlaps obliges nobody.

use std::collections::BTreeMap;

use serde::Serialize;

use super::account::{Account, Key};
use super::bits::Bits;
use super::causal::{Causes, Read, Write};

mod across;

use across::Across;

/// One guarantee, over all sessions and keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Guarantee {
    /// How often it could have been broken.
    pub opportunities: u64,
    /// How often it was.
    pub violations: u64,
    /// The longest time, from the acknowledgement of the write that is missed to the start of the read that misses it.
    pub worst_age: i64,
    /// Some of the violations.
    pub shown: Vec<Violation>,
}

/// A read that misses a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Of which key.
    pub key: String,
    /// The read, by its place among the key's operations.
    pub read: usize,
    /// The write that it misses.
    pub missed: usize,
    /// The write that makes it miss that, of the latter two guarantees.
    pub seen: Option<usize>,
    /// The same if it is of another key: which, and its place there.
    pub beside: Option<(String, usize)>,
}

/// How many violations of each guarantee are kept.
pub const SHOWN_MAX: usize = 10;

/// What sessions were given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sessions {
    /// Own writes are seen.
    pub read_your_writes: Guarantee,
    /// What was seen stays seen.
    pub monotonic_reads: Guarantee,
    /// Writes of a session are seen in their order.
    pub monotonic_writes: Guarantee,
    /// A write is seen with what its writer had read.
    pub writes_follow_reads: Guarantee,
    /// Keys with too many writes to be judged.
    pub undecided_keys: u64,
    /// Keys that were not compared with others, since all together are too much.
    pub undecided_across: u64,
}

impl Guarantee {
    /// Violations in a million opportunities; `None`: there were none.
    pub fn per_million(&self) -> Option<f64> {
        (self.opportunities > 0).then(|| self.violations as f64 * 1e6 / self.opportunities as f64)
    }

    fn broken(&mut self, key: &Key, causes: &Causes, read: &Read, missed: usize, seen: Option<usize>) {
        let Some(write) = causes.writes.get(missed) else { return };
        let seen = seen.and_then(|seen| causes.writes.get(seen)).map(|seen| seen.place);
        let violation = Violation { key: key.name.clone(), read: read.place, missed: write.place, seen, beside: None };
        self.add(violation, write, read);
    }

    fn add(&mut self, violation: Violation, missed: &Write, read: &Read) {
        self.violations += 1;
        if missed.is_acknowledged() {
            self.worst_age = self.worst_age.max(read.start.saturating_sub(missed.end));
        }
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(violation);
        }
    }
}

/// Judges all keys.
pub fn check(account: &Account) -> Sessions {
    let (mut sessions, mut across) = (Sessions::default(), Across::default());
    for key in &account.keys {
        let Some(causes) = Causes::new(key) else {
            sessions.undecided_keys += 1;
            continue;
        };
        let reads = causes.reads(key);
        sessions.judge(key, &causes, &reads);
        across.add(key, causes, reads);
    }
    sessions.undecided_across = across.judge(&mut sessions, account.keys.len() as u64);
    sessions
}

impl Sessions {
    fn judge(&mut self, key: &Key, causes: &Causes, reads: &[Read]) {
        for histories in by_process(causes, reads).into_values() {
            self.own(key, causes, &histories);
        }
        let needs = Needs::new(causes, reads);
        for read in reads {
            needs.written.judge(&mut self.monotonic_writes, key, causes, read);
            needs.read.judge(&mut self.writes_follow_reads, key, causes, read);
        }
    }

    /// The first two guarantees, of one session.
    fn own(&mut self, key: &Key, causes: &Causes, session: &Session<'_>) {
        let mut written = Seen::new(causes, session.written(causes));
        let mut read_before = Seen::new(causes, session.read());
        for read in &session.reads {
            let duties = [(&mut self.read_your_writes, &mut written), (&mut self.monotonic_reads, &mut read_before)];
            for (guarantee, seen) in duties {
                let due = seen.before(read.start);
                guarantee.opportunities += u64::from(!due.is_empty());
                if let Some(missed) = due.first_outside(&read.down) {
                    guarantee.broken(key, causes, read, missed, None);
                }
            }
        }
    }
}

/// What one session did to a key.
#[derive(Default)]
struct Session<'a> {
    /// Numbers of its writes, in the order of their starts.
    writes: Vec<usize>,
    reads: Vec<&'a Read>,
}

impl<'a> Session<'a> {
    /// Its acknowledged writes, with their ends.
    fn written(&self, causes: &Causes) -> Vec<(i64, Bits)> {
        let one = |number: usize| {
            let mut bits = causes.none();
            bits.insert(number);
            bits
        };
        let ended = |number: &usize| {
            Some((causes.writes.get(*number).filter(|write| write.is_acknowledged())?.end, one(*number)))
        };
        self.writes.iter().filter_map(ended).collect()
    }

    /// What its reads brought, with their ends.
    fn read(&self) -> Vec<(i64, Bits)> {
        self.reads.iter().map(|read| (read.end, read.shown.clone())).collect()
    }
}

fn by_process<'a>(causes: &Causes, reads: &'a [Read]) -> BTreeMap<u32, Session<'a>> {
    let mut sessions: BTreeMap<u32, Session<'a>> = BTreeMap::new();
    for (number, write) in causes.writes.iter().enumerate() {
        sessions.entry(write.process).or_default().writes.push(number);
    }
    for read in reads {
        sessions.entry(read.process).or_default().reads.push(read);
    }
    sessions
}

/// What had ended before a time that only grows.
struct Seen {
    /// The last to end first.
    left: Vec<(i64, Bits)>,
    sum: Bits,
}

impl Seen {
    fn new(causes: &Causes, mut ended: Vec<(i64, Bits)>) -> Self {
        ended.sort_by_key(|(end, _)| std::cmp::Reverse(*end));
        Self { left: ended, sum: causes.none() }
    }

    fn before(&mut self, time: i64) -> &Bits {
        while let Some((_, bits)) = self.left.pop_if(|(end, _)| *end < time) {
            self.sum.insert_all(&bits);
        }
        &self.sum
    }
}

/// What must be seen by whoever sees a write.
struct Need {
    /// The writes that need something.
    some: Bits,
    /// Of those whose need is not within what they had seen themselves: number and need.
    open: Vec<(usize, Bits)>,
}

struct Needs {
    written: Need,
    read: Need,
}

impl Needs {
    fn new(causes: &Causes, reads: &[Read]) -> Self {
        let new = || Need { some: causes.none(), open: Vec::new() };
        let mut needs = Self { written: new(), read: new() };
        for session in by_process(causes, reads).into_values() {
            let mut written = Seen::new(causes, session.written(causes));
            let mut read = Seen::new(causes, session.read());
            for number in &session.writes {
                let Some(start) = causes.writes.get(*number).map(|write| write.start) else { continue };
                needs.written.add(causes, *number, written.before(start));
                needs.read.add(causes, *number, read.before(start));
            }
        }
        needs
    }
}

impl Need {
    fn add(&mut self, causes: &Causes, number: usize, need: &Bits) {
        if !need.is_empty() {
            self.some.insert(number);
        }
        if causes.down(number).is_some_and(|down| need.first_outside(down).is_some()) {
            self.open.push((number, need.clone()));
        }
    }

    fn judge(&self, guarantee: &mut Guarantee, key: &Key, causes: &Causes, read: &Read) {
        // What may have been seen is not seen: only what was brought, and what that had certainly seen, obliges.
        let mut seen = causes.none();
        for number in read.shown.outside(&causes.none()) {
            causes.certain(number).into_iter().for_each(|certain| seen.insert_all(certain));
        }
        guarantee.opportunities += self.some.shared(&seen);
        for (number, need) in self.open.iter().filter(|(number, _)| seen.contains(*number)) {
            if let Some(missed) = need.first_outside(&read.down) {
                guarantee.broken(key, causes, read, missed, Some(*number));
            }
        }
    }
}
