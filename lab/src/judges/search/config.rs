//! A configuration of the search, changed and changed back in place.
//! Known operations lie in the order of their starts; all before `base` have taken effect, so that only a window of them needs bits.

use std::collections::BTreeMap;

use crate::judges::account::{Did, Key, NEVER, Operation, Seen};
use crate::judges::states::{Model, States};

/// How many of the next reads a state is held against.
const READS_AHEAD: usize = 4;

/// What takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// A known operation, by its place in the order of starts.
    Known(u32),
    /// The next of a group of unknown ones.
    Unknown(u32),
}

/// A configuration to come back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    trail: usize,
    base: usize,
    top: usize,
    state: u32,
}

pub(super) struct Config<'a> {
    operations: &'a [Operation],
    /// Places of known operations by their start.
    order: Vec<usize>,
    groups: Vec<Vec<usize>>,
    /// Which known operations are reads, and which replace the whole state.
    reads: Vec<usize>,
    resets: Vec<usize>,
    done: Vec<u64>,
    /// How many of each group took effect; those of which none did are left out.
    used: BTreeMap<u32, u32>,
    base: usize,
    /// Nothing from here on has taken effect.
    top: usize,
    state: u32,
    trail: Vec<Move>,
}

impl<'a> Config<'a> {
    pub(super) fn new(key: &'a Key, model: Model, state: u32) -> Self {
        let operations = &key.operations[..];
        let mut order: Vec<usize> = (0..operations.len()).collect();
        order.retain(|place| operations.get(*place).is_some_and(|operation| operation.end < NEVER));
        order.sort_by_key(|place| operations.get(*place).map(|operation| (operation.start, operation.end)));
        let done = vec![0; order.len().div_ceil(64)];
        let groups = super::groups(operations, model);
        let of = |wanted: fn(&Did) -> bool| -> Vec<usize> {
            let is_wanted = |place: &usize| operations.get(*place).is_some_and(|operation| wanted(&operation.did));
            order.iter().enumerate().filter(|(_, place)| is_wanted(place)).map(|(number, _)| number).collect()
        };
        // Only texts and sets are looked ahead for.
        let is_growing = matches!(model, Model::Append | Model::Set);
        let reads = if is_growing { of(|did| matches!(did, Did::Read(_))) } else { Vec::new() };
        let resets = if is_growing { of(|did| matches!(did, Did::Write(_))) } else { Vec::new() };
        Self {
            operations,
            order,
            groups,
            reads,
            resets,
            done,
            used: BTreeMap::new(),
            base: 0,
            top: 0,
            state,
            trail: Vec::new(),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.base >= self.order.len()
    }

    pub(super) fn state(&self) -> u32 {
        self.state
    }

    pub(super) fn ordered(&self) -> usize {
        self.trail.len()
    }

    /// Lets known operations take effect that only observe, until there are none, and adds the others that are possible to `candidates`.
    pub(super) fn observe(&mut self, states: &mut States, candidates: &mut Vec<(Move, u32)>) {
        let from = candidates.len();
        let horizon = loop {
            candidates.truncate(from);
            let (horizon, has_taken) = self.pass(states, candidates);
            if !has_taken {
                break horizon;
            }
        };
        // The stack is taken from its top: known ones first, the earliest of them before the others.
        let known = candidates.split_off(from);
        for (number, group) in self.groups.iter().enumerate() {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let next = group.get(self.used.get(&number).copied().unwrap_or_default() as usize);
            let Some(operation) = next.and_then(|place| self.operations.get(*place)) else { continue };
            let after = (operation.start <= horizon).then(|| states.step(self.state, &operation.did)).flatten();
            candidates.extend(after.filter(|after| *after != self.state).map(|after| (Move::Unknown(number), after)));
        }
        candidates.extend(known.into_iter().rev());
        self.drop_what_leads_nowhere(states, candidates, from);
    }

    /// Leaves out candidates, from the place `from` on, whose state the next known reads contradict.
    fn drop_what_leads_nowhere(&self, states: &States, candidates: &mut Vec<(Move, u32)>, from: usize) {
        let Some(first) = self.left(&self.reads).next() else { return };
        let unknown = self.groups.iter().enumerate().filter_map(|(number, group)| {
            let used = u32::try_from(number).ok().and_then(|number| self.used.get(&number));
            self.operations.get(*group.get(used.copied().unwrap_or_default() as usize)?)
        });
        let unknown =
            unknown.filter(|operation| matches!(operation.did, Did::Write(_))).map(|operation| operation.start).min();
        let reset = self.left(&self.resets).next().map(|operation| operation.start).into_iter().chain(unknown).min();
        // What may be replaced before a read says nothing about that read.
        let ahead = std::iter::once(first).chain(self.left(&self.reads).skip(1)).take(READS_AHEAD);
        let ahead: Vec<&Seen> =
            ahead.filter(|read| reset.is_none_or(|reset| read.end < reset)).filter_map(seen).collect();
        let mut place = from;
        while let Some((_, after)) = candidates.get(place) {
            if ahead.iter().all(|seen| states.leads_to(*after, seen)) {
                place += 1;
            } else {
                candidates.remove(place);
            }
        }
    }

    /// The first known read that has not taken effect: no order gets beyond it.
    pub(super) fn next_read(&self) -> Option<usize> {
        let left = self.reads.iter().find(|number| !self.is_taken(**number))?;
        self.order.get(*left).copied()
    }

    /// Those of `numbers` that have not taken effect.
    fn left<'b>(&'b self, numbers: &'b [usize]) -> impl Iterator<Item = &'b Operation> + 'b {
        let from = numbers.partition_point(|number| *number < self.base);
        let left = numbers.get(from..).unwrap_or_default().iter().filter(|number| !self.is_taken(**number));
        left.filter_map(|number| self.operations.get(*self.order.get(*number)?))
    }

    /// The smallest end of what is left, and whether anything took effect.
    fn pass(&mut self, states: &mut States, candidates: &mut Vec<(Move, u32)>) -> (i64, bool) {
        let (mut horizon, mut has_taken, mut place) = (NEVER, false, self.base);
        while let Some(operation) = self.order.get(place).and_then(|place| self.operations.get(*place)) {
            if operation.start > horizon {
                break;
            }
            if !self.is_taken(place) {
                let next = Move::Known(u32::try_from(place).unwrap_or(u32::MAX));
                match states.step(self.state, &operation.did) {
                    Some(after) if operation.did.only_observes() => {
                        self.apply(next, after);
                        has_taken = true;
                    }
                    after => {
                        horizon = horizon.min(operation.end);
                        candidates.extend(after.map(|after| (next, after)));
                    }
                }
            }
            place += 1;
        }
        (horizon, has_taken)
    }

    fn is_taken(&self, place: usize) -> bool {
        self.done.get(place / 64).is_some_and(|word| word & (1 << (place % 64)) != 0)
    }

    fn set(&mut self, place: usize, is_taken: bool) {
        if let Some(word) = self.done.get_mut(place / 64) {
            *word = if is_taken { *word | (1 << (place % 64)) } else { *word & !(1 << (place % 64)) };
        }
    }

    pub(super) fn apply(&mut self, next: Move, state: u32) {
        self.state = state;
        self.trail.push(next);
        match next {
            Move::Known(place) => {
                self.set(place as usize, true);
                self.top = self.top.max(place as usize + 1);
                while self.base < self.top && self.is_taken(self.base) {
                    self.base += 1;
                }
            }
            Move::Unknown(group) => *self.used.entry(group).or_default() += 1,
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { trail: self.trail.len(), base: self.base, top: self.top, state: self.state }
    }

    pub(super) fn back_to(&mut self, mark: &Mark) {
        for undone in self.trail.split_off(mark.trail) {
            match undone {
                Move::Known(place) => self.set(place as usize, false),
                Move::Unknown(group) => {
                    let left = self.used.get(&group).map_or(0, |used| used.saturating_sub(1));
                    match left {
                        0 => self.used.remove(&group),
                        left => self.used.insert(group, left),
                    };
                }
            }
        }
        (self.base, self.top, self.state) = (mark.base, mark.top, mark.state);
    }

    /// The configuration, the same words for the same one and for no other.
    pub(super) fn words(&self) -> Box<[u64]> {
        let window = self.done.get(self.base / 64..self.top.div_ceil(64).max(self.base / 64)).unwrap_or_default();
        let mut words = Vec::with_capacity(2 + self.used.len() + window.len());
        words.push(u64::from(self.state) << 32 | self.base as u64);
        words.push(self.used.len() as u64);
        words.extend(self.used.iter().map(|(group, used)| u64::from(*group) << 32 | u64::from(*used)));
        words.extend_from_slice(window);
        words.into()
    }

    /// The last operations that took effect, the newest last.
    pub(super) fn last(&self, count: usize) -> Vec<usize> {
        let from = self.trail.len().saturating_sub(count);
        // The trail says how many of a group took effect, not which: from its end the last one used comes first.
        let mut used = self.used.clone();
        let mut last: Vec<usize> = Vec::new();
        for next in self.trail.get(from..).unwrap_or_default().iter().rev() {
            let place = match next {
                Move::Known(place) => self.order.get(*place as usize),
                Move::Unknown(group) => {
                    let left = used.get_mut(group).map(|left| {
                        *left = left.saturating_sub(1);
                        *left as usize
                    });
                    left.and_then(|left| self.groups.get(*group as usize)?.get(left))
                }
            };
            last.extend(place);
        }
        last.reverse();
        last
    }

    /// The known operations that could come next by their time: those that must be over first come first.
    pub(super) fn waiting(&self, count: usize) -> Vec<usize> {
        let (mut horizon, mut place, mut waiting) = (NEVER, self.base, Vec::new());
        while let Some((number, operation)) =
            self.order.get(place).and_then(|at| Some((*at, self.operations.get(*at)?)))
        {
            if operation.start > horizon {
                break;
            }
            if !self.is_taken(place) {
                horizon = horizon.min(operation.end);
                waiting.push((operation.end, number));
            }
            place += 1;
        }
        waiting.sort_unstable();
        waiting.into_iter().take(count).map(|(_, number)| number).collect()
    }
}

/// `None`: it is no read.
fn seen(operation: &Operation) -> Option<&Seen> {
    match &operation.did {
        Did::Read(seen) => Some(seen),
        _ => None,
    }
}
