//! Linearizability of sets that only grow, exactly and in O(n log n) of what was read and added.
//! Reads bring all that is there, so in any order they form a chain by inclusion, and where an add has its place is known: right before the first
//! read in the chain that has its element (only the first add of an element; others of it may come at any time after), or after all reads if none has.
//! Operations of one place are in any order. So there is an order if and only if no operation that ended before another began must come after it.
//! An add of unknown outcome that no read shows is dropped: to leave it out is always possible; of several adds of one element the one that began
//! first is taken for the first, since whatever must precede it must precede the others.
//! Not here: reads without an answer (they say nothing), removals.

use std::collections::{BTreeSet, HashMap};

use super::account::{Did, Key, NIL, Seen, Value};

/// Why there is no order, with places among the key's operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A read brought what was never added.
    Phantom { read: usize, element: Value },
    /// A read misses what was there at first.
    Initial { read: usize, element: Value },
    /// Each of two reads has something that the other has not.
    Apart(usize, usize),
    /// The first ended before the second began, and must come after it; beside them the reads that say so.
    Order { before: usize, after: usize, because: Vec<usize> },
}

/// Where an operation has its place in the chain: reads have even numbers, adds odd ones.
struct Placed {
    place: usize,
    at: usize,
    start: i64,
    end: i64,
    /// Not later either.
    is_fixed: bool,
}

/// Whether some order explains `key`: `None` in `Ok` is yes. `Err`: it has operations of another kind.
pub(super) fn check(key: &Key) -> Result<Option<Fault>, ()> {
    let is_known = |did: &Did| matches!(did, Did::Add(_) | Did::Read(Seen::Many(_) | Seen::Anything));
    if !key.operations.iter().all(|operation| is_known(&operation.did)) {
        return Err(());
    }
    let chain = match Chain::of(key) {
        Ok(chain) => chain,
        Err(fault) => return Ok(Some(fault)),
    };
    Ok(chain.conflict(key))
}

struct Chain<'a> {
    /// Place and elements, the smaller first.
    reads: Vec<(usize, &'a [Value])>,
    /// Of each read its number in the chain, from 1; equal reads have one.
    ranks: Vec<usize>,
    /// The rank of the first read that has an element; 0: it was there at first.
    first: HashMap<Value, usize>,
}

impl<'a> Chain<'a> {
    fn of(key: &'a Key) -> Result<Self, Fault> {
        let mut reads: Vec<(usize, &[Value])> = Vec::new();
        for (place, operation) in key.operations.iter().enumerate() {
            if let Did::Read(Seen::Many(values)) = &operation.did {
                reads.push((place, values));
            }
        }
        reads.sort_by_key(|(_, values)| values.len());
        let initial: BTreeSet<Value> =
            key.initial_elements.iter().copied().chain((key.initial != NIL).then_some(key.initial)).collect();
        if let Some((read, values)) = reads.first()
            && let Some(element) = initial.iter().find(|element| values.binary_search(element).is_err())
        {
            return Err(Fault::Initial { read: *read, element: *element });
        }
        let mut first: HashMap<Value, usize> = initial.into_iter().map(|element| (element, 0)).collect();
        let (mut ranks, mut rank) = (Vec::new(), 0);
        let mut last: Option<(usize, &[Value])> = None;
        for (place, values) in &reads {
            if last.is_none_or(|(_, smaller)| smaller != *values) {
                if let Some((other, smaller)) = last
                    && !includes(values, smaller)
                {
                    return Err(Fault::Apart(other, *place));
                }
                rank += 1;
                values.iter().for_each(|element| {
                    first.entry(*element).or_insert(rank);
                });
            }
            ranks.push(rank);
            last = Some((*place, values));
        }
        Ok(Self { reads, ranks, first })
    }

    fn conflict(&self, key: &Key) -> Option<Fault> {
        let mut placed = Vec::new();
        for ((place, _), rank) in self.reads.iter().zip(&self.ranks) {
            let operation = key.operations.get(*place)?;
            placed.push(Placed {
                place: *place,
                at: 2 * rank,
                start: operation.start,
                end: operation.end,
                is_fixed: true,
            });
        }
        let mut adds: Vec<(usize, Value, i64, i64)> = Vec::new();
        for (place, operation) in key.operations.iter().enumerate() {
            if let Did::Add(element) = operation.did {
                adds.push((place, element, operation.start, operation.end));
            }
        }
        adds.sort_by_key(|(.., start, _)| *start);
        let mut added: BTreeSet<Value> = BTreeSet::new();
        let after_all = 2 * self.ranks.last().copied().unwrap_or_default() + 1;
        for (place, element, start, end) in adds {
            let is_first = added.insert(element);
            let (at, is_fixed) = match self.first.get(&element) {
                Some(0) => continue,
                Some(rank) => (2 * rank - 1, is_first),
                None => (after_all, false),
            };
            placed.push(Placed { place, at, start, end, is_fixed });
        }
        let phantom = |(read, values): &(usize, &[Value])| {
            let is_unknown = |element: &&Value| self.first.get(element) != Some(&0) && !added.contains(element);
            values.iter().find(is_unknown).map(|element| Fault::Phantom { read: *read, element: *element })
        };
        self.reads.iter().find_map(phantom).or_else(|| self.out_of_order(&placed))
    }

    /// By the starts of what may not come later: whether anything that ended before must.
    fn out_of_order(&self, placed: &[Placed]) -> Option<Fault> {
        let mut by_end: Vec<&Placed> = placed.iter().collect();
        by_end.sort_by_key(|placed| placed.end);
        let mut by_start: Vec<&Placed> = placed.iter().filter(|placed| placed.is_fixed).collect();
        by_start.sort_by_key(|placed| placed.start);
        let (mut ended, mut latest): (_, Option<&Placed>) = (by_end.into_iter().peekable(), None);
        for after in by_start {
            while let Some(before) = ended.next_if(|before| before.end < after.start) {
                latest = latest.filter(|latest| latest.at >= before.at).or(Some(before));
            }
            if let Some(before) = latest.filter(|before| before.at > after.at) {
                // An add comes after the last read without it, and before the first with it.
                let without = (before.at % 2 == 1).then(|| self.read_of(before.at / 2)).flatten();
                let with = (after.at % 2 == 1).then(|| self.read_of(after.at.div_ceil(2))).flatten();
                let reads: BTreeSet<usize> = without.into_iter().chain(with).collect();
                let because = reads.into_iter().filter(|read| ![before.place, after.place].contains(read)).collect();
                return Some(Fault::Order { before: before.place, after: after.place, because });
            }
        }
        None
    }

    fn read_of(&self, rank: usize) -> Option<usize> {
        self.ranks.iter().position(|other| *other == rank).and_then(|at| self.reads.get(at)).map(|(place, _)| *place)
    }
}

/// Whether all of `smaller` is in `larger`; both ascending.
fn includes(larger: &[Value], smaller: &[Value]) -> bool {
    let mut rest = larger.iter();
    smaller.iter().all(|element| rest.any(|other| other == element))
}

impl Fault {
    /// The operations that it is about: four at most.
    pub(super) fn witness(&self) -> Vec<usize> {
        match self {
            Self::Phantom { read, .. } | Self::Initial { read, .. } => vec![*read],
            Self::Apart(one, other) => vec![*one, *other],
            Self::Order { before, after, because } => {
                [*before, *after].into_iter().chain(because.iter().copied()).collect()
            }
        }
    }

    /// In words. `name`: what elements are called.
    pub(super) fn words(&self, name: &dyn Fn(Value) -> String) -> String {
        match self {
            Self::Phantom { element, .. } => format!("{} was read and never added", name(*element)),
            Self::Initial { element, .. } => format!("{} was there at first and is missing", name(*element)),
            Self::Apart(..) => "each of two reads has something that the other has not".to_owned(),
            Self::Order { .. } => {
                "the first of these had ended before the second began, and what was read says that it came after it"
                    .to_owned()
            }
        }
    }
}
