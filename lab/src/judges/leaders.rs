//! Whether a store with leaders was split (research/lab.md 3.12): a term has one leader at most, and once a higher term has one, the older
//! leader must acknowledge nothing, serve no old value, and nothing it acknowledged may be gone.
//! Evidence that a node led a term at some moment between two times: an answered operation that carries the term, or a sample of the node's role.
//! Without samples the verdict is the client's alone. Terms are of the whole store: one with several groups of leaders has a history a group.
//! Invariants: moments are compared only where one was certainly over before the other began; equal stamps prove nothing.
//! Not here: whether a majority was asked, which no client sees, and what a commit index proves.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::account::{Account, Did, Names, Value};

mod harm;
mod moments;

pub use harm::{Lost, Overlooked};
use moments::overtaken;
pub use moments::{At, Moment, Overtaken};

/// What is known of the leaders beside the operations.
#[derive(Clone, Debug, Default)]
pub struct Leaders {
    /// By the source of an answered operation: who answered.
    pub answered: HashMap<u64, Led>,
    /// What nodes said of themselves: of each node in the order in which it was asked.
    pub samples: Vec<Sample>,
    /// What the nodes are called.
    pub nodes: Names,
}

/// A leader of a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Led {
    /// Greater ones are newer.
    pub term: u64,
    /// By its number among the nodes' names; `None`: the client was not told.
    pub node: Option<Value>,
}

/// One answer of a node about itself, on the scale of the operations' times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Where it is in its file.
    pub source: u64,
    /// Who answered.
    pub node: Value,
    /// When it was asked.
    pub start: i64,
    /// When its answer was there.
    pub end: i64,
    /// It said that it leads.
    pub is_leader: bool,
    /// The term that it knows.
    pub term: u64,
}

/// The verdict; the greater the worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitBrain {
    /// Terms followed each other.
    #[default]
    None,
    /// A leader of an older term still answered as one, and no client was harmed.
    StaleLeader,
    /// A client was harmed.
    SplitBrain,
    /// Two nodes led one term.
    SafetyViolation,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// Operations whose term is known.
    pub answered: u64,
    /// Terms that somebody led.
    pub terms: u64,
    /// Of each term that two nodes led: a moment of either.
    pub rivals: Vec<(Moment, Moment)>,
    /// Moments of leaders after a higher term had one.
    pub stale: Vec<Overtaken>,
    /// The longest for which two nodes certainly led at once, by samples: from an answer as a leader to the next question that was answered so.
    pub together: i64,
    /// Acknowledged writes that began after one of a higher term had been acknowledged.
    pub late: Vec<Overtaken>,
    /// Reads answered by the older leader that miss a write of a higher term.
    pub overlooked: Vec<Overlooked>,
    /// Acknowledged writes that a higher term's leader did not have, and that nobody saw again.
    pub lost: Vec<Lost>,
}

impl Leadership {
    /// The worst of it.
    pub fn verdict(&self) -> SplitBrain {
        match () {
            () if !self.rivals.is_empty() => SplitBrain::SafetyViolation,
            () if self.harmed_writes() > 0 || !self.overlooked.is_empty() => SplitBrain::SplitBrain,
            () if !self.stale.is_empty() => SplitBrain::StaleLeader,
            () => SplitBrain::None,
        }
    }

    /// Writes that are lost, or that an older leader acknowledged: each once.
    pub fn harmed_writes(&self) -> u64 {
        let late = self.late.iter().map(|late| late.old.at);
        let lost = self.lost.iter().map(|lost| At::Operation { key: lost.key, place: lost.write });
        late.chain(lost).collect::<BTreeSet<At>>().len() as u64
    }
}

/// Judges all keys together.
///
/// Cost: O(n log n), and for each key as many steps a read as the key has terms.
pub fn check(account: &Account, leaders: &Leaders) -> Leadership {
    let answered = answers(account, leaders);
    let is_write = |moment: &&Moment| match moment.at {
        At::Operation { key, place } => {
            let operation = account.keys.get(key).and_then(|key| key.operations.get(place));
            operation.is_some_and(|operation| matches!(operation.did, Did::Replace { .. }))
        }
        At::Sample(_) => false,
    };
    let writes: Vec<Moment> = answered.iter().filter(is_write).copied().collect();
    let count = answered.len() as u64;
    let moments = [answered, moments::sampled(&leaders.samples)].concat();
    let (overlooked, lost) = harm::of_keys(account, &leaders.answered);
    Leadership {
        answered: count,
        terms: moments.iter().map(|moment| moment.led.term).collect::<BTreeSet<u64>>().len() as u64,
        rivals: rivals(&moments),
        stale: overtaken(&moments),
        together: moments::together(&leaders.samples),
        late: overtaken(&writes),
        overlooked,
        lost,
    }
}

/// The operations of which it is known who answered: whoever did led at some moment of them.
fn answers(account: &Account, leaders: &Leaders) -> Vec<Moment> {
    let mut moments = Vec::new();
    for (key, operations) in account.keys.iter().map(|key| &key.operations).enumerate() {
        for (place, operation) in operations.iter().enumerate().filter(|(_, operation)| operation.is_known()) {
            let Some(led) = leaders.answered.get(&operation.source) else { continue };
            let at = At::Operation { key, place };
            moments.push(Moment { at, led: *led, start: operation.start, end: operation.end });
        }
    }
    moments
}

/// Of each term with more than one leader, the first moment of one and of another.
fn rivals(moments: &[Moment]) -> Vec<(Moment, Moment)> {
    let mut first: BTreeMap<u64, Moment> = BTreeMap::new();
    let mut found: BTreeMap<u64, (Moment, Moment)> = BTreeMap::new();
    for moment in moments.iter().filter(|moment| moment.led.node.is_some()) {
        let other = *first.entry(moment.led.term).or_insert(*moment);
        if other.led.node != moment.led.node {
            found.entry(moment.led.term).or_insert((other, *moment));
        }
    }
    found.into_values().collect()
}
