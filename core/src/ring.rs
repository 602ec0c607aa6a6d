//! A layout made ready for the request path: every question is an array lookup.
//! Follows Dynamo (SOSP 2007) 4.3: the preference list is N primaries, then fallbacks met by walking on around the ring.
//! Invariant: primaries and fallbacks of a partition are disjoint, each node once; equal layouts give equal rings.
//! Not here: who is reachable (`membership`, the coordinator); choosing owners (`layout`).

use std::collections::BTreeMap;

use crate::id::{Incarnation, Key, PartitionId};
use crate::layout::Layout;

/// Longest list of fallbacks of one partition: the tables of a large cluster must stay small.
pub const FALLBACKS_MAX: usize = 64;

/// The preference lists of all partitions under one layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    partitions: u32,
    rows: Vec<Row>,
    owned: BTreeMap<Incarnation, Vec<PartitionId>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Row {
    primaries: Vec<Incarnation>,
    fallbacks: Vec<Incarnation>,
}

impl Ring {
    /// Precomputes everything; time in proportion to partitions times members.
    pub fn new(layout: &Layout) -> Ring {
        let mut rows: Vec<Row> = Vec::with_capacity(layout.partitions as usize);
        let mut owned: BTreeMap<Incarnation, Vec<PartitionId>> = BTreeMap::new();
        for partition in (0..layout.partitions).map(PartitionId) {
            let primaries: Vec<Incarnation> = layout.owners_of(partition).map(|m| m.incarnation).collect();
            for owner in &primaries {
                owned.entry(*owner).or_default().push(partition);
            }
            rows.push(Row { primaries, fallbacks: Vec::new() });
        }
        walk(&mut rows, layout.members.iter().map(|m| m.incarnation).collect());
        Ring { partitions: layout.partitions, rows, owned }
    }

    /// The partition that holds `key`.
    pub fn partition_of(&self, key: &Key) -> PartitionId {
        key.partition(self.partitions)
    }

    /// The N owners, first primary first; empty if there is no such partition.
    pub fn primaries(&self, partition: PartitionId) -> &[Incarnation] {
        self.rows.get(partition.0 as usize).map_or(&[], |row| &row.primaries)
    }

    /// Who stands in, nearest first: all other members, at most [`FALLBACKS_MAX`].
    pub fn fallbacks(&self, partition: PartitionId) -> &[Incarnation] {
        self.rows.get(partition.0 as usize).map_or(&[], |row| &row.fallbacks)
    }

    /// Whether `node` is one of the N owners.
    pub fn is_primary(&self, partition: PartitionId, node: Incarnation) -> bool {
        self.primaries(partition).contains(&node)
    }

    /// The partitions that `node` owns, ascending.
    pub fn owned_by(&self, node: Incarnation) -> &[PartitionId] {
        self.owned.get(&node).map_or(&[], Vec::as_slice)
    }
}

/// Fills in the fallbacks. `next`: all members, kept in the order in which a walk from here meets them.
///
/// Going backwards, that order changes by moving a partition's owners to the front. One turn brings it in order (a
/// member without tokens stays behind the others), the second one uses it.
fn walk(rows: &mut [Row], mut next: Vec<Incarnation>) {
    for turn in 0..2 {
        for row in rows.iter_mut().rev() {
            if turn == 1 {
                let others = next.iter().filter(|m| !row.primaries.contains(m));
                row.fallbacks = others.take(FALLBACKS_MAX).copied().collect();
            }
            next.retain(|m| !row.primaries.contains(m));
            next.splice(0..0, row.primaries.iter().copied());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::collections::BTreeSet;

    use super::Ring;
    use crate::id::{ClusterId, Incarnation, Key, PartitionId};
    use crate::layout::{Layout, Member};

    fn layout(members: u64, capacity_of_last: u32) -> Layout {
        let member = |i: u64| Member {
            incarnation: Incarnation(i),
            name: format!("demo-{i}"),
            zone: format!("z{}", i % 3),
            capacity: if i == members { capacity_of_last } else { 1000 },
            client_address: format!("c{i}"),
            peer_address: format!("p{i}"),
            admin_address: format!("a{i}"),
        };
        Layout::first(ClusterId(1), 64, 3, (1..=members).map(member).collect()).unwrap()
    }

    /// The definition: the owners of the following partitions in order, each once, then who owns nothing.
    fn walked(layout: &Layout, partition: u32) -> Vec<Incarnation> {
        let own: Vec<Incarnation> = layout.owners_of(PartitionId(partition)).map(|m| m.incarnation).collect();
        let following = (1..=layout.partitions).map(|step| PartitionId((partition + step) % layout.partitions));
        let met = following.flat_map(|p| layout.owners_of(p)).chain(&layout.members).map(|m| m.incarnation);
        let mut seen: BTreeSet<Incarnation> = own.into_iter().collect();
        met.filter(|m| seen.insert(*m)).collect()
    }

    #[test]
    fn fallbacks_are_met_by_walking_on_around_the_ring() {
        for layout in [layout(3, 1000), layout(7, 1000), layout(12, 300)] {
            let ring = Ring::new(&layout);
            for partition in 0..64 {
                assert_eq!(ring.fallbacks(PartitionId(partition)), walked(&layout, partition));
            }
        }
    }

    #[test]
    fn fallbacks_differ_between_partitions() {
        let ring = Ring::new(&layout(12, 1000));
        let firsts: BTreeSet<_> = (0..64).map(|p| ring.fallbacks(PartitionId(p))[0]).collect();
        assert!(firsts.len() > 8, "{firsts:?}");
    }

    #[test]
    fn a_member_without_tokens_is_still_the_last_fallback() {
        let layout = layout(6, 1);
        let ring = Ring::new(&layout);
        assert!(ring.owned_by(Incarnation(6)).is_empty());
        assert!((0..64).all(|p| ring.fallbacks(PartitionId(p)).last() == Some(&Incarnation(6))));
    }

    #[test]
    fn ownership_reads_the_same_from_both_sides() {
        let ring = Ring::new(&layout(5, 1000));
        for (node, partition) in (1..=5).flat_map(|m| (0..64).map(move |p| (Incarnation(m), PartitionId(p)))) {
            assert_eq!(ring.is_primary(partition, node), ring.owned_by(node).contains(&partition));
        }
    }

    #[test]
    fn a_key_finds_its_partition_and_a_wrong_partition_nobody() {
        let ring = Ring::new(&layout(5, 1000));
        let key = Key::new("bucket", "key");
        assert_eq!(ring.partition_of(&key), key.partition(64));
        assert!(ring.primaries(PartitionId(64)).is_empty());
        assert!(ring.fallbacks(PartitionId(u32::MAX)).is_empty());
    }
}
