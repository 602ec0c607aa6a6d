//! How far a register is from linearizable: Gamma and Delta of a key (research/lab.md 3.5; Golab et al. 2011, 2014).
//! Gamma is the least total stretch of all intervals that makes the history atomic. Two clusters in conflict score
//! min(s1 - f2, s2 - f1), a cluster the greatest of its conflicts, a history the greatest of its clusters.
//! Delta: by how much reads would have to start earlier. A larger one repairs whatever a smaller one does, so it is found by bisection.
//! Both are of histories with unique values and without phantom and future reads; for others there is no number.

use super::account::{BEFORE_ALL, Did, Key, NEVER, Seen};
use super::zones::{self, Cluster, Ends};

/// The numbers of one key, in the unit of its times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Atomicity {
    /// Greatest first: the scores of the clusters that have one.
    pub scores: Vec<i64>,
    /// How many clusters there are.
    pub clusters: usize,
    /// The two clusters of the greatest score, as operations of the key.
    pub worst: Vec<usize>,
    /// The least Delta that repairs the key; 0: it needs none. There is always one: without future reads, clusters whose reads all start
    /// with their write are not in conflict.
    pub delta: i64,
}

impl Atomicity {
    /// The greatest score; 0: the key is linearizable.
    pub fn gamma(&self) -> i64 {
        self.scores.first().copied().unwrap_or_default()
    }
}

/// `None`: values are not unique, or a read is phantom or from the future.
pub fn of(key: &Key) -> Option<Atomicity> {
    let (clusters, None) = zones::clusters(key).ok()? else { return None };
    let ends = Ends::new(&clusters);
    let scored = |(place, cluster): (usize, &Cluster)| Some((score(&ends, place, cluster)?, place));
    let mut scores: Vec<(i64, usize)> = clusters.iter().enumerate().filter_map(scored).collect();
    scores.sort_unstable_by(|one, other| other.cmp(one));
    let worst = scores.first().and_then(|(score, place)| {
        let cluster = clusters.get(*place)?;
        let other = partner(&ends, *place, cluster, *score)?;
        Some(zones::witness(key, &clusters, zones::Fault::Conflict(*place, other)))
    });
    Some(Atomicity {
        scores: scores.iter().map(|(score, _)| *score).collect(),
        clusters: clusters.len(),
        worst: worst.unwrap_or_default(),
        delta: delta(key, &clusters),
    })
}

/// Whoever is in conflict with `cluster` by at least `score`.
fn partner(ends: &Ends, place: usize, cluster: &Cluster, score: i64) -> Option<usize> {
    let latest_end = cluster.last_start.0.saturating_sub(score);
    let (start, other) = ends.latest_start(latest_end.saturating_add(1), place)?;
    (start >= cluster.first_end.0.saturating_add(score)).then_some(other)
}

/// The greatest conflict of one cluster, by bisection: less is easier to find a partner for.
fn score(ends: &Ends, place: usize, cluster: &Cluster) -> Option<i64> {
    partner(ends, place, cluster, 1)?;
    let (mut low, mut high) = (1, NEVER - BEFORE_ALL);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if partner(ends, place, cluster, middle).is_some() { low = middle } else { high = middle }
    }
    Some(low)
}

fn delta(key: &Key, clusters: &[Cluster]) -> i64 {
    let repairs = |delta: i64| zones::conflict(&shifted(key, clusters, delta)).is_none();
    if repairs(0) {
        return 0;
    }
    let (mut low, mut high) = (0, NEVER - BEFORE_ALL);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if repairs(middle) { high = middle } else { low = middle }
    }
    high
}

/// The clusters if reads had started earlier by `delta`.
fn shifted(key: &Key, clusters: &[Cluster], delta: i64) -> Vec<Cluster> {
    let shift = |cluster: &Cluster| {
        let written = cluster.write.and_then(|write| key.operations.get(write)).map_or(BEFORE_ALL, |write| write.start);
        // The last start is that of a read, unless there is none, or none after the write's.
        let last = cluster.last_start.1.and_then(|last| key.operations.get(last));
        let read = last
            .filter(|last| matches!(last.did, Did::Read(Seen::One(_))))
            .map(|read| read.start.saturating_sub(delta));
        let start = read.map_or(written, |read| read.max(written));
        Cluster { last_start: (start, cluster.last_start.1), ..cluster.clone() }
    };
    clusters.iter().map(shift).collect()
}
