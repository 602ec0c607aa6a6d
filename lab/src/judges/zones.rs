//! Linearizability of a register whose values are unique, exactly, in O(n log n) (Gibbons & Korach 1997; research/lab.md 3.5).
//! A cluster is a write with its reads; `f` is its smallest end, `s` its largest start. Phantom and future reads are refused first; then the
//! history is atomic unless two clusters are in conflict: each one's `f` lies before the other's `s`. That is the known test in one condition:
//! of two forward zones (f < s) it says that they overlap, of a forward and a backward one that the latter lies inside the former, and of two
//! backward ones it is never true, since f1 < s2 <= f2 < s1 <= f1 cannot be.
//! Unknown outcomes: a write that no read returned is dropped; any other has happened, and its end is never (0.2).
//! Invariant: the operations of a witness are themselves a history that is not atomic.

use std::collections::HashMap;

use super::account::{BEFORE_ALL, Did, Key, NEVER, Operation, Seen, Value};

/// A write with its reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// What was written.
    pub value: Value,
    /// The write, by its place among the key's operations; `None`: the initial value.
    pub write: Option<usize>,
    /// The smallest end, and whose it is.
    pub first_end: (i64, Option<usize>),
    /// The largest start, and whose it is.
    pub last_start: (i64, Option<usize>),
    /// How many reads.
    pub reads: usize,
}

/// Why a key cannot be judged this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit;

/// What is wrong with a history. Numbers are places among the key's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A read of what nobody wrote.
    Phantom(usize),
    /// A read that ended before its write began.
    Future {
        /// The read.
        read: usize,
        /// The write.
        write: usize,
    },
    /// Two clusters, by their places among the clusters: each had to be over before the other.
    Conflict(usize, usize),
}

/// The clusters of `key`, or the reads that can have none.
pub fn clusters(key: &Key) -> Result<(Vec<Cluster>, Option<Fault>), Unfit> {
    let mut found = vec![Cluster::initial(key.initial)];
    let mut places = HashMap::from([(key.initial, 0_usize)]);
    for (place, operation) in key.operations.iter().enumerate() {
        match &operation.did {
            Did::Write(value) => {
                // Two writes of one value: which of them a read returned is not told.
                if places.insert(*value, found.len()).is_some() {
                    return Err(Unfit);
                }
                found.push(Cluster::of(*value, place, operation));
            }
            Did::Read(Seen::One(_) | Seen::Anything) => {}
            _ => return Err(Unfit),
        }
    }
    let mut fault = None;
    for (place, operation) in key.operations.iter().enumerate() {
        let Did::Read(Seen::One(value)) = &operation.did else { continue };
        match places.get(value).and_then(|cluster| found.get_mut(*cluster)) {
            Some(cluster) => {
                cluster.add(place, operation);
                fault = fault.or_else(|| cluster.future(key, place, operation));
            }
            None => fault = fault.or(Some(Fault::Phantom(place))),
        }
    }
    found.retain(|cluster| cluster.reads > 0 || cluster.is_acknowledged(key));
    Ok((found, fault))
}

/// The first fault that is found; `None`: `key` is linearizable.
pub fn check(key: &Key) -> Result<(Vec<Cluster>, Option<Fault>), Unfit> {
    let (clusters, fault) = clusters(key)?;
    let fault = fault.or_else(|| conflict(&clusters));
    Ok((clusters, fault))
}

/// Two clusters in conflict, if there are any.
pub fn conflict(clusters: &[Cluster]) -> Option<Fault> {
    let ends = Ends::new(clusters);
    let ahead = |(place, cluster): (usize, &Cluster)| {
        let (start, other) = ends.latest_start(cluster.last_start.0, place)?;
        (start > cluster.first_end.0).then_some(Fault::Conflict(place, other))
    };
    clusters.iter().enumerate().find_map(ahead)
}

/// The operations that prove `fault`, in the order of their starts: six at most.
pub fn witness(key: &Key, clusters: &[Cluster], fault: Fault) -> Vec<usize> {
    let mut places = match fault {
        Fault::Phantom(read) => vec![read],
        Fault::Future { read, write } => vec![read, write],
        Fault::Conflict(one, other) => {
            let both = [one, other].into_iter().filter_map(|place| clusters.get(place));
            both.flat_map(|cluster| [cluster.write, cluster.first_end.1, cluster.last_start.1]).flatten().collect()
        }
    };
    places.sort_unstable_by_key(|place| (key.operations.get(*place).map(|operation| operation.start), *place));
    places.dedup();
    places
}

impl Cluster {
    fn initial(value: Value) -> Self {
        Self { value, write: None, first_end: (BEFORE_ALL, None), last_start: (BEFORE_ALL, None), reads: 0 }
    }

    fn of(value: Value, place: usize, write: &Operation) -> Self {
        let (first_end, last_start) = ((write.end, Some(place)), (write.start, Some(place)));
        Self { value, write: Some(place), first_end, last_start, reads: 0 }
    }

    fn add(&mut self, place: usize, read: &Operation) {
        self.reads += 1;
        if read.end < self.first_end.0 {
            self.first_end = (read.end, Some(place));
        }
        if read.start > self.last_start.0 {
            self.last_start = (read.start, Some(place));
        }
    }

    fn future(&self, key: &Key, place: usize, read: &Operation) -> Option<Fault> {
        let write = self.write?;
        let began = key.operations.get(write)?.start;
        (read.end < began).then_some(Fault::Future { read: place, write })
    }

    fn is_acknowledged(&self, key: &Key) -> bool {
        self.write.and_then(|write| key.operations.get(write)).is_none_or(|write| write.end < NEVER)
    }
}

/// Clusters by their first ends, with the latest starts of all up to each: whoever is in conflict with a cluster is found by a bisection.
pub struct Ends {
    by_end: Vec<i64>,
    /// Of the clusters so far, the two latest starts.
    latest: Vec<[(i64, usize); 2]>,
}

impl Ends {
    /// Sorts once.
    pub fn new(clusters: &[Cluster]) -> Self {
        let mut order: Vec<_> = clusters
            .iter()
            .enumerate()
            .map(|(place, cluster)| (cluster.first_end.0, cluster.last_start.0, place))
            .collect();
        order.sort_unstable();
        let mut two = [(i64::MIN, usize::MAX); 2];
        let mut latest = Vec::with_capacity(order.len());
        for (_, start, place) in &order {
            let [first, second] = two;
            two = match *start {
                start if start > first.0 => [(start, *place), first],
                start if start > second.0 => [first, (start, *place)],
                _ => two,
            };
            latest.push(two);
        }
        Self { by_end: order.into_iter().map(|(end, _, _)| end).collect(), latest }
    }

    /// The latest start among the clusters whose first end is before `time`, without the one at `except`.
    pub fn latest_start(&self, time: i64, except: usize) -> Option<(i64, usize)> {
        let count = self.by_end.partition_point(|end| *end < time);
        let two = self.latest.get(count.checked_sub(1)?)?;
        two.iter().copied().find(|(_, place)| *place != except && *place != usize::MAX)
    }
}
