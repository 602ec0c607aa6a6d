//! Chooses the owners of every partition: exact shares by capacity, zones apart, few moves from before.
//! The search is a maximum flow (partitions to members, with a bound per zone in a partition) grown by shortest
//! augmenting paths from what is kept, as in Garage's layout. A path is a chain of legal replacements of one owner.
//! Invariant: the shares of `shares` are feasible (every partition could take the same fraction), so a path exists.
//! Not here: any randomness; ties are broken by a hash of (partition, incarnation), so that replica sets differ.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{LayoutError, Member};

mod order;
mod shares;

/// The assignment while it is worked on. Members and zones are indices.
struct Assignment<'a> {
    members: &'a [Member],
    zone_of: Vec<usize>,
    /// Most owners of one partition from one zone.
    zone_owners_max: usize,
    factor: usize,
    rows: Vec<Vec<usize>>,
    /// Tokens a member should have.
    shares: Vec<usize>,
    /// Partitions a member has, in scrambled order, so that those given away are spread over the ring.
    tokens: Vec<BTreeSet<(u32, usize)>>,
}

/// Returns N member indices a partition. `old` has the same shape, with `None` for members that left; or is empty.
pub(super) fn assign(
    partitions: u32,
    replication_factor: u32,
    members: &[Member],
    old: &[Option<usize>],
) -> Result<Vec<u16>, LayoutError> {
    let (partitions, factor) = (partitions as usize, replication_factor as usize);
    let mut assignment = Assignment::empty(partitions, factor, members);
    for (partition, row) in old.chunks(factor).enumerate() {
        for member in row.iter().flatten() {
            if assignment.may_own(partition, *member, None) {
                assignment.add(partition, *member);
            }
        }
    }
    let kept: Vec<usize> = assignment.tokens.iter().map(BTreeSet::len).collect();
    assignment.shares =
        shares::shares(partitions, factor, assignment.zone_owners_max, &assignment.zone_of, members, &kept);
    assignment.fill()?;
    assignment.level()?;
    let rows = order::order(&assignment.rows, factor, members.len(), old).ok_or(LayoutError::Unsatisfiable(0))?;
    Ok(rows.into_iter().flatten().map(|member| member as u16).collect())
}

impl<'a> Assignment<'a> {
    fn empty(partitions: usize, factor: usize, members: &'a [Member]) -> Self {
        let names: BTreeSet<&str> = members.iter().map(|m| m.zone.as_str()).collect();
        let index: BTreeMap<&str, usize> = names.into_iter().enumerate().map(|(i, name)| (name, i)).collect();
        let zone_of: Vec<usize> = members.iter().filter_map(|m| index.get(m.zone.as_str()).copied()).collect();
        Assignment {
            zone_owners_max: zone_owners_max(&zone_of, factor),
            members,
            zone_of,
            factor,
            rows: vec![Vec::with_capacity(factor); partitions],
            shares: vec![0; members.len()],
            tokens: vec![BTreeSet::new(); members.len()],
        }
    }

    fn row(&self, partition: usize) -> &[usize] {
        self.rows.get(partition).map_or(&[], Vec::as_slice)
    }

    fn zone(&self, member: usize) -> usize {
        self.zone_of.get(member).copied().unwrap_or_default()
    }

    fn tokens_of(&self, member: usize) -> usize {
        self.tokens.get(member).map_or(0, BTreeSet::len)
    }

    fn share_of(&self, member: usize) -> usize {
        self.shares.get(member).copied().unwrap_or_default()
    }

    fn has_room(&self, member: usize) -> bool {
        self.tokens_of(member) < self.share_of(member)
    }

    /// Whether `member` can join the owners of `partition` once `leaving` is gone.
    fn may_own(&self, partition: usize, member: usize, leaving: Option<usize>) -> bool {
        let zone = self.zone(member);
        let mut in_zone = 0;
        for owner in self.row(partition) {
            if *owner == member {
                return false;
            }
            if Some(*owner) != leaving && self.zone(*owner) == zone {
                in_zone += 1;
            }
        }
        in_zone < self.zone_owners_max
    }

    fn add(&mut self, partition: usize, member: usize) {
        if let (Some(row), Some(tokens)) = (self.rows.get_mut(partition), self.tokens.get_mut(member)) {
            row.push(member);
            tokens.insert(scrambled(partition));
        }
    }

    fn replace(&mut self, partition: usize, leaving: usize, member: usize) {
        let Some(place) = self.rows.get_mut(partition).and_then(|row| row.iter_mut().find(|m| **m == leaving)) else {
            return;
        };
        *place = member;
        if let Some(tokens) = self.tokens.get_mut(leaving) {
            tokens.remove(&scrambled(partition));
        }
        if let Some(tokens) = self.tokens.get_mut(member) {
            tokens.insert(scrambled(partition));
        }
    }

    /// Gives every partition its N owners.
    fn fill(&mut self) -> Result<(), LayoutError> {
        for partition in 0..self.rows.len() {
            while self.row(partition).len() < self.factor {
                let allowed: Vec<usize> =
                    (0..self.members.len()).filter(|m| self.may_own(partition, *m, None)).collect();
                let with_room = allowed.iter().copied().filter(|m| self.has_room(*m));
                match with_room.min_by_key(|m| self.preference(partition, *m)) {
                    Some(member) => self.add(partition, member),
                    None => {
                        let first = self.shift(&allowed).ok_or(LayoutError::Unsatisfiable(partition as u32))?;
                        self.add(partition, first);
                    }
                }
            }
        }
        Ok(())
    }

    /// Who should take the next token: the one that lacks the largest fraction of its share.
    fn preference(&self, partition: usize, member: usize) -> (Reverse<u64>, u64) {
        let share = self.share_of(member).max(1) as u64;
        let missing = share.saturating_sub(self.tokens_of(member) as u64);
        let incarnation = self.members.get(member).map_or(0, |m| m.incarnation.0);
        let tie = twox_hash::XxHash3_64::oneshot_with_seed(partition as u64, &incarnation.to_be_bytes());
        (Reverse((missing << 32) / share), tie)
    }

    /// Moves tokens until every member has exactly its share.
    fn level(&mut self) -> Result<(), LayoutError> {
        let excess = |a: &Self, m: usize| a.tokens_of(m).saturating_sub(a.share_of(m));
        while let Some(over) =
            (0..self.members.len()).filter(|m| excess(self, *m) > 0).max_by_key(|m| (excess(self, *m), Reverse(*m)))
        {
            self.shift(&[over]).ok_or(LayoutError::Unsatisfiable(0))?;
        }
        Ok(())
    }

    /// Frees one token of one of `starts` along a shortest chain of replacements; returns which.
    ///
    /// A shortest chain never passes twice through one partition in a way that interferes, for it could be cut short.
    fn shift(&mut self, starts: &[usize]) -> Option<usize> {
        // From whom, in which partition, a member would take over.
        let mut taken_from: BTreeMap<usize, Option<(usize, usize)>> = starts.iter().map(|m| (*m, None)).collect();
        let mut queue: VecDeque<usize> = starts.iter().copied().collect();
        let mut end = starts.iter().copied().find(|m| self.has_room(*m));
        while end.is_none() {
            let member = queue.pop_front()?;
            for (_, partition) in self.tokens.get(member)? {
                let unreached = (0..self.members.len()).filter(|m| !taken_from.contains_key(m));
                let next: Vec<usize> = unreached.filter(|m| self.may_own(*partition, *m, Some(member))).collect();
                taken_from.extend(next.iter().map(|m| (*m, Some((member, *partition)))));
                queue.extend(&next);
                end = next
                    .iter()
                    .copied()
                    .filter(|m| self.has_room(*m))
                    .max_by_key(|m| self.share_of(*m) - self.tokens_of(*m));
                if end.is_some() {
                    break;
                }
            }
        }
        let mut member = end?;
        while let Some((leaving, partition)) = *taken_from.get(&member)? {
            self.replace(partition, leaving, member);
            member = leaving;
        }
        Some(member)
    }
}

/// A fixed permutation of partitions.
fn scrambled(partition: usize) -> (u32, usize) {
    ((partition as u32).wrapping_mul(0x9E37_79B1), partition)
}

/// The smallest number of owners per zone with which N owners can be found: 1 when there are N zones.
fn zone_owners_max(zone_of: &[usize], factor: usize) -> usize {
    let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
    for zone in zone_of {
        *sizes.entry(*zone).or_default() += 1;
    }
    (1..=factor).find(|max| sizes.values().map(|size| size.min(max)).sum::<usize>() >= factor).unwrap_or(factor)
}
