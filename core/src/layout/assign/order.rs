//! Orders the owners of each partition, place by place: every member is first in a fair share of its partitions,
//! then second in a fair share of what is left, and so on. An owner stays at its place of before where it can.
//! The search is a bipartite flow: places are first filled up to the rounded-down share, then to the rounded-up one;
//! an augmenting path never takes a place from a member, so that both bounds hold in the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Returns the rows with their owners ordered; `None` only for rows that do not have `factor` owners each.
pub(super) fn order(
    rows: &[Vec<usize>],
    factor: usize,
    members: usize,
    old: &[Option<usize>],
) -> Option<Vec<Vec<usize>>> {
    let mut left: Vec<Vec<usize>> = rows.to_vec();
    let mut ordered: Vec<Vec<usize>> = vec![Vec::with_capacity(factor); rows.len()];
    for place in 0..factor {
        let before: Vec<Option<usize>> =
            (0..rows.len()).map(|row| old.get(row * factor + place).copied().flatten()).collect();
        let chosen = Place::new(&left, factor - place, members).choose(&before)?;
        for ((row, ordered), member) in left.iter_mut().zip(&mut ordered).zip(chosen) {
            row.retain(|m| *m != member);
            ordered.push(member);
        }
    }
    Some(ordered)
}

/// One place of the preference list, for all partitions.
struct Place<'a> {
    rows: &'a [Vec<usize>],
    bounds: Vec<usize>,
    uppers: Vec<usize>,
    chosen: Vec<Option<usize>>,
    holds: Vec<BTreeSet<usize>>,
}

impl<'a> Place<'a> {
    fn new(rows: &'a [Vec<usize>], places_left: usize, members: usize) -> Self {
        let mut tokens = vec![0usize; members];
        for member in rows.iter().flatten() {
            if let Some(count) = tokens.get_mut(*member) {
                *count += 1;
            }
        }
        Place {
            rows,
            bounds: tokens.iter().map(|t| t / places_left).collect(),
            uppers: tokens.iter().map(|t| t.div_ceil(places_left)).collect(),
            chosen: vec![None; rows.len()],
            holds: vec![BTreeSet::new(); members],
        }
    }

    fn choose(mut self, before: &[Option<usize>]) -> Option<Vec<usize>> {
        for round in 0..2 {
            if round == 1 {
                self.bounds = std::mem::take(&mut self.uppers);
            }
            for (row, member) in before.iter().enumerate() {
                let member = member.filter(|m| self.is_open(row) && self.has_room(*m) && self.owns(row, *m));
                if let Some(member) = member {
                    self.give(row, member);
                }
            }
            let mut room: usize = self.bounds.iter().zip(&self.holds).map(|(b, h)| b.saturating_sub(h.len())).sum();
            for row in 0..self.rows.len() {
                if room > 0 && self.is_open(row) && self.augment(row) {
                    room -= 1;
                }
            }
        }
        self.chosen.into_iter().collect()
    }

    fn is_open(&self, row: usize) -> bool {
        self.chosen.get(row).is_some_and(Option::is_none)
    }

    fn owns(&self, row: usize, member: usize) -> bool {
        self.rows.get(row).is_some_and(|owners| owners.contains(&member))
    }

    fn has_room(&self, member: usize) -> bool {
        let count = self.holds.get(member).map_or(0, BTreeSet::len);
        self.bounds.get(member).is_some_and(|bound| count < *bound)
    }

    fn give(&mut self, row: usize, member: usize) {
        let Some(place) = self.chosen.get_mut(row) else { return };
        let before = place.replace(member);
        if let Some(rows) = before.and_then(|m| self.holds.get_mut(m)) {
            rows.remove(&row);
        }
        if let Some(rows) = self.holds.get_mut(member) {
            rows.insert(row);
        }
    }

    /// Gives `row` a member, moving others' choices along a shortest path. False, and nothing done: there is no such path, nor will there be.
    fn augment(&mut self, row: usize) -> bool {
        let mut reached: BTreeMap<usize, usize> = BTreeMap::new();
        let mut queue = VecDeque::from([row]);
        let mut end = None;
        while let Some(next) = queue.pop_front() {
            let owners = self.rows.get(next).map_or(&[][..], Vec::as_slice);
            let fullness = |m: &usize| self.holds.get(*m).map_or(0, BTreeSet::len);
            end = owners.iter().copied().filter(|m| self.has_room(*m)).min_by_key(fullness);
            if let Some(member) = end {
                reached.entry(member).or_insert(next);
                break;
            }
            for member in owners {
                if !reached.contains_key(member) {
                    reached.insert(*member, next);
                    queue.extend(self.holds.get(*member).into_iter().flatten().copied());
                }
            }
        }
        let mut member = end;
        while let Some(taker) = member.and_then(|m| reached.get(&m).copied()) {
            let released = self.chosen.get(taker).copied().flatten();
            if let Some(member) = member {
                self.give(taker, member);
            }
            member = released;
        }
        end.is_some()
    }
}
