//! What the judges found, as it is told: counts, shares with their intervals, spreads, and examples with their lines in the history.

use std::ops::Add;

use serde::Serialize;

use crate::judges::account::{Account, Key};
use crate::judges::atomicity::{self, Atomicity};
use crate::judges::linearizable::{Shown, shown};
use crate::judges::staleness::{Stale, Staleness};

/// What reads brought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Values {
    /// Reads that were answered.
    pub reads: u64,
    /// Reads that brought what was never written, or was refused.
    pub phantom: u64,
    /// Reads that ended before the write of what they brought began.
    pub future: u64,
    /// Reads that brought what a write had replaced that was acknowledged before they began.
    pub revived: u64,
    /// Reads that brought more than one value.
    pub conflicts: u64,
}

/// Some numbers of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// The middle one.
    pub p50: u64,
    /// One in a hundred is greater.
    pub p99: u64,
    /// The greatest.
    pub max: u64,
}

/// Stale reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StaleReads {
    /// Reads with an acknowledged write before them.
    pub reads: u64,
    /// Of these.
    pub stale: u64,
    /// Not of the stale: reads that brought something older, which a delete may explain.
    pub maybe_deleted: u64,
    /// The share of stale ones; `None`: there were no reads.
    pub rate: Option<f64>,
    /// Where that share lies with 95 % (Wilson).
    pub rate_interval: Option<(f64, f64)>,
    /// How old: from the end of the first missed write to the start of the read, in nanoseconds. `None`: none was stale.
    pub age_ns: Option<Spread>,
    /// How many versions behind, at least.
    pub versions_behind: Option<Spread>,
    /// The same at most: with the writes that overlap one of the two.
    pub versions_behind_at_most: Option<Spread>,
    /// Some of them.
    pub examples: Vec<Example>,
}

/// Operations that show what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// Of which key.
    pub key: String,
    /// In words.
    pub why: String,
    /// Which; `source` is the line of the history.
    pub operations: Vec<Shown>,
}

/// How far the registers are from linearizable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Distance {
    /// Keys that have these numbers: plain registers without phantom and future reads.
    pub keys: u64,
    /// Of these, how many are not linearizable.
    pub positive_keys: u64,
    /// Writes with their reads.
    pub clusters: u64,
    /// Of these, how many are in conflict with another.
    pub positive_clusters: u64,
    /// Of these clusters: their Gamma in nanoseconds; the greatest is the run's.
    pub gamma_ns: Option<Spread>,
    /// Of the keys that are not linearizable: their Delta in nanoseconds; the greatest is the run's.
    pub delta_ns: Option<Spread>,
    /// The two clusters of the greatest Gamma.
    pub worst: Option<Example>,
    /// Of each of these keys: its Gamma in nanoseconds, the greatest first.
    #[serde(skip)]
    pub gammas: Vec<u64>,
}

impl Spread {
    /// Of all `numbers`; `None`: there are none.
    pub(crate) fn of(mut numbers: Vec<u64>) -> Option<Self> {
        numbers.sort_unstable();
        let at = |percent: usize| numbers.get((numbers.len().max(1) - 1) * percent / 100).copied();
        Some(Self { p50: at(50)?, p99: at(99)?, max: at(100)? })
    }
}

impl Values {
    pub(super) fn of(staleness: &Staleness) -> Self {
        let Staleness { reads, phantom, future, revived, conflicts, .. } = *staleness;
        Self { reads, phantom, future, revived, conflicts }
    }
}

impl Add for Values {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            reads: self.reads + other.reads,
            phantom: self.phantom + other.phantom,
            future: self.future + other.future,
            revived: self.revived + other.revived,
            conflicts: self.conflicts + other.conflicts,
        }
    }
}

impl StaleReads {
    pub(super) fn of(account: &Account, stale: &Stale) -> Self {
        let behind = |choose: fn(&(u64, u64)) -> u64| Spread::of(stale.behind.iter().map(choose).collect());
        // Both lists begin with the same reads.
        let examples = stale.shown.iter().zip(&stale.ages).zip(&stale.behind);
        Self {
            reads: stale.reads,
            stale: stale.stale,
            maybe_deleted: stale.maybe_deleted,
            rate: stale.rate(),
            rate_interval: wilson(stale.stale, stale.reads),
            age_ns: Spread::of(stale.ages.iter().map(|age| natural(*age)).collect()),
            versions_behind: behind(|(least, _)| *least),
            versions_behind_at_most: behind(|(_, most)| *most),
            examples: examples
                .map(|(((key, place), age), (least, _))| {
                    let why = format!("{least} or more versions behind, {:.3} ms old", *age as f64 / 1e6);
                    example(account, key, why, &[missed(account, key, *place, *age), Some(*place)])
                })
                .collect(),
        }
    }
}

impl Distance {
    /// Of all `keys` of `account`.
    pub(super) fn of(account: &Account) -> Self {
        let mut distance = Self::default();
        let (mut gammas, mut deltas, mut worst) = (Vec::new(), Vec::new(), None::<(i64, &Key, Atomicity)>);
        for key in &account.keys {
            let Some(found) = atomicity::of(key) else { continue };
            distance.keys += 1;
            distance.clusters += found.clusters as u64;
            distance.positive_clusters += found.scores.len() as u64;
            let gamma = found.gamma();
            distance.gammas.push(natural(gamma));
            if gamma == 0 {
                continue;
            }
            distance.positive_keys += 1;
            gammas.extend(found.scores.iter().map(|score| natural(*score)));
            deltas.push(natural(found.delta));
            if worst.as_ref().is_none_or(|(greatest, ..)| gamma > *greatest) {
                worst = Some((gamma, key, found));
            }
        }
        distance.gammas.sort_unstable_by(|one, other| other.cmp(one));
        (distance.gamma_ns, distance.delta_ns) = (Spread::of(gammas), Spread::of(deltas));
        distance.worst = worst.map(|(gamma, key, found)| {
            let why = format!("all intervals would have to be longer by {:.3} ms", gamma as f64 / 1e6);
            example_of(account, key, why, &found.worst)
        });
        distance
    }
}

/// The first write that the read at `place` misses: it had ended `age` before.
fn missed(account: &Account, key: &str, place: usize, age: i64) -> Option<usize> {
    let key = named(account, key)?;
    let end = key.operations.get(place)?.start - age;
    key.operations.iter().position(|other| other.end == end && !other.did.only_observes())
}

fn named<'a>(account: &'a Account, key: &str) -> Option<&'a Key> {
    // Keys are in the order of their names.
    account.keys.get(account.keys.binary_search_by(|other| other.name.as_str().cmp(key)).ok()?)
}

/// Operations of `key`, by their places.
pub(super) fn example(account: &Account, key: &str, why: String, places: &[Option<usize>]) -> Example {
    let places: Vec<usize> = places.iter().flatten().copied().collect();
    match named(account, key) {
        Some(key) => example_of(account, key, why, &places),
        None => Example { key: key.to_owned(), why, operations: Vec::new() },
    }
}

fn example_of(account: &Account, key: &Key, why: String, places: &[usize]) -> Example {
    Example { key: key.name.clone(), why, operations: shown(account, key, places) }
}

fn natural(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// Where the share of `hits` among `all` lies with 95 %, after Wilson; `None`: there are none.
pub(crate) fn wilson(hits: u64, all: u64) -> Option<(f64, f64)> {
    const Z: f64 = 1.959_964;
    if all == 0 {
        return None;
    }
    let (all, share) = (all as f64, hits as f64 / all as f64);
    let scale = 1.0 + Z * Z / all;
    let middle = share + Z * Z / (2.0 * all);
    let half = Z * (share * (1.0 - share) / all + Z * Z / (4.0 * all * all)).sqrt();
    Some((((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0)))
}
