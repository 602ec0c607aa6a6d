//! The hash tree of one partition: 4096 leaves under 64 branches under a root, each the XOR of what is below.
//! Follows Dynamo (SOSP 2007) 4.7 in purpose; XOR instead of Merkle's concatenation, so that a write updates it in O(1).
//! Invariant: a tree is a function of the set of (storage key, state hash) pairs, whatever order they came in.
//! Not here: the exchange (`antientropy`); no defence against forged collisions, for peers are trusted.

use crate::id::PartitionId;

/// Branches of a tree, and leaves of a branch.
pub const FANOUT: usize = 64;
/// Leaves of a tree.
pub const LEAVES: usize = FANOUT * FANOUT;
/// Bits of the ring position that name a leaf, after those that name the partition.
const LEAF_BITS: u32 = LEAVES.trailing_zeros();

/// A half-open range of storage-key prefixes; no end: to the end of the ring.
pub type PrefixRange = ([u8; 16], Option<[u8; 16]>);

/// What one replica holds of one partition, as hashes. Empty branches take no memory.
#[derive(Clone, Debug)]
pub struct Tree {
    partitions: u32,
    root: u64,
    keys: u64,
    branches: Vec<Branch>,
}

#[derive(Clone, Debug, Default)]
struct Branch {
    hash: u64,
    leaves: Option<Box<[u64; FANOUT]>>,
}

impl Tree {
    /// An empty tree of one of `partitions` (Q) partitions.
    pub fn new(partitions: u32) -> Tree {
        Tree { partitions, root: 0, keys: 0, branches: vec![Branch::default(); FANOUT] }
    }

    /// Says that the state hash of a key changed from `old` to `new`; 0 stands for absent.
    pub fn replace(&mut self, storage_key: &[u8], old: u64, new: u64) {
        if old == new {
            return;
        }
        let change = item_hash(storage_key, old) ^ item_hash(storage_key, new);
        self.keys = match (old, new) {
            (0, _) => self.keys.saturating_add(1),
            (_, 0) => self.keys.saturating_sub(1),
            _ => self.keys,
        };
        self.root ^= change;
        let leaf = usize::from(leaf_of(storage_key, self.partitions));
        let Some(branch) = self.branches.get_mut(leaf / FANOUT) else { return };
        branch.hash ^= change;
        if let Some(hash) = branch.leaves.get_or_insert_with(|| Box::new([0; FANOUT])).get_mut(leaf % FANOUT) {
            *hash ^= change;
        }
    }

    /// The hash of everything; 0 when empty.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// The hashes of the branches.
    pub fn branches(&self) -> Vec<u64> {
        self.branches.iter().map(|branch| branch.hash).collect()
    }

    /// The hashes of the leaves of one branch; leaf `i` of it is leaf `branch * 64 + i` of the tree.
    pub fn leaves(&self, branch: usize) -> Vec<u64> {
        let leaves = self.branches.get(branch).and_then(|branch| branch.leaves.as_ref());
        leaves.map_or_else(|| vec![0; FANOUT], |leaves| leaves.to_vec())
    }

    /// Keys present.
    pub fn keys(&self) -> u64 {
        self.keys
    }
}

impl PartialEq for Tree {
    /// Equal content; whether an empty branch has memory does not matter.
    fn eq(&self, other: &Self) -> bool {
        (self.partitions, self.root, self.keys) == (other.partitions, other.root, other.keys)
            && (0..FANOUT).all(|branch| self.leaves(branch) == other.leaves(branch))
    }
}

impl Eq for Tree {}

/// `xxh3_64(storage key | state hash)`; 0 for an absent key.
fn item_hash(storage_key: &[u8], state_hash: u64) -> u64 {
    if state_hash == 0 {
        return 0;
    }
    twox_hash::XxHash3_64::oneshot(&[storage_key, &state_hash.to_be_bytes()].concat())
}

/// The leaf of a key within its partition: the 12 bits of the ring position after the partition's.
pub fn leaf_of(storage_key: &[u8], partitions: u32) -> u16 {
    let position = storage_key.first_chunk::<16>().map_or(0, |position| u128::from_be_bytes(*position));
    let leaf = position.checked_shl(partitions.trailing_zeros()).unwrap_or_default() >> (u128::BITS - LEAF_BITS);
    leaf as u16
}

/// Where the storage keys of one leaf lie.
pub fn leaf_range(partition: PartitionId, partitions: u32, leaf: u16) -> PrefixRange {
    let number = u64::from(partition.0) << LEAF_BITS | u64::from(leaf) & (LEAVES as u64 - 1);
    slice(number, partitions.trailing_zeros() + LEAF_BITS)
}

/// Where the storage keys of one partition lie.
pub fn partition_range(partition: PartitionId, partitions: u32) -> PrefixRange {
    slice(u64::from(partition.0), partitions.trailing_zeros())
}

/// Slice `number` of the ring cut into `2^bits`; the empty range at the end of the ring if there is no such slice.
fn slice(number: u64, bits: u32) -> PrefixRange {
    let start = |number: u64| {
        let is_inside = bits < u64::BITS && number >> bits == 0;
        is_inside.then(|| u128::from(number).checked_shl(u128::BITS - bits).unwrap_or_default().to_be_bytes())
    };
    match start(number) {
        Some(first) => (first, start(number + 1)),
        None => ([u8::MAX; 16], Some([u8::MAX; 16])),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::collections::BTreeMap;

    use bytes::Bytes;
    use proptest::prelude::{ProptestConfig, Strategy, any};
    use proptest::{collection, prop_assert, prop_assert_eq, proptest};

    use super::{FANOUT, LEAVES, PrefixRange, Tree, leaf_of, leaf_range, partition_range};
    use crate::id::{Key, PartitionId};

    const PARTITIONS: u32 = 4;

    fn storage_key(number: u16) -> Bytes {
        Key::new("bucket", number.to_be_bytes().to_vec()).storage_key()
    }

    fn tree_of(items: impl IntoIterator<Item = (u16, u64)>) -> Tree {
        let mut tree = Tree::new(PARTITIONS);
        for (number, hash) in items {
            tree.replace(&storage_key(number), 0, hash);
        }
        tree
    }

    fn items() -> impl Strategy<Value = BTreeMap<u16, u64>> {
        collection::btree_map(any::<u16>(), 1u64.., 0..60)
    }

    fn holds((start, end): PrefixRange, position: &[u8]) -> bool {
        position >= start.as_slice() && end.is_none_or(|end| position < end.as_slice())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_order_of_writes_and_what_was_overwritten_do_not_matter(items in items(), other in 1u64..) {
            let forward = tree_of(items.clone());
            let mut backward = tree_of(items.keys().rev().map(|number| (*number, other)));
            for (number, hash) in &items {
                backward.replace(&storage_key(*number), other, *hash);
            }
            prop_assert_eq!(&forward, &backward);
            prop_assert_eq!(forward.keys(), items.len() as u64);
        }

        #[test]
        fn removing_everything_leaves_an_empty_tree(items in items()) {
            let mut tree = tree_of(items.clone());
            for (number, hash) in items {
                tree.replace(&storage_key(number), hash, 0);
            }
            prop_assert_eq!((tree.root(), tree.keys()), (0, 0));
            prop_assert_eq!(tree, Tree::new(PARTITIONS));
        }

        #[test]
        fn different_sets_differ_in_the_root_and_in_the_branch_and_leaf(items in items(), number: u16, hash in 1u64..) {
            let before = tree_of(items.clone());
            let mut after = before.clone();
            let old = items.get(&number).copied().unwrap_or(0);
            let key = storage_key(number);
            after.replace(&key, old, hash);
            let leaf = usize::from(leaf_of(&key, PARTITIONS));
            prop_assert_eq!(before.root() == after.root(), old == hash);
            for branch in 0..FANOUT {
                let is_same = branch != leaf / FANOUT || old == hash;
                prop_assert_eq!(before.branches()[branch] == after.branches()[branch], is_same);
                for (at, (a, b)) in before.leaves(branch).iter().zip(after.leaves(branch)).enumerate() {
                    prop_assert_eq!(*a == b, is_same || at != leaf % FANOUT);
                }
            }
        }

        #[test]
        fn each_level_is_the_xor_of_the_one_below(items in items()) {
            let tree = tree_of(items);
            let xor = |hashes: Vec<u64>| hashes.into_iter().fold(0, |a, b| a ^ b);
            prop_assert_eq!(xor(tree.branches()), tree.root());
            prop_assert!((0..FANOUT).all(|branch| xor(tree.leaves(branch)) == tree.branches()[branch]));
        }

        #[test]
        fn every_key_lies_in_the_range_of_its_leaf_and_its_partition(number: u16, bits in 0u32..=16) {
            let partitions = 1 << bits;
            let key = Key::new("bucket", number.to_be_bytes().to_vec());
            let (partition, bytes) = (key.partition(partitions), key.storage_key());
            let leaf = leaf_of(&bytes, partitions);
            prop_assert!(holds(leaf_range(partition, partitions, leaf), &bytes));
            prop_assert!(holds(partition_range(partition, partitions), &bytes));
        }

        #[test]
        fn leaves_tile_their_partition_and_partitions_the_ring(bits in 0u32..=16, at: u32) {
            let (partitions, at) = (1 << bits, PartitionId(at & ((1 << bits) - 1)));
            let (start, end) = partition_range(at, partitions);
            prop_assert_eq!(leaf_range(at, partitions, 0).0, start);
            prop_assert_eq!(leaf_range(at, partitions, LEAVES as u16 - 1).1, end);
            prop_assert_eq!(leaf_range(at, partitions, 7).1, Some(leaf_range(at, partitions, 8).0));
            prop_assert_eq!(end.is_none(), at.0 == partitions - 1);
            if let Some(end) = end {
                prop_assert_eq!(end, partition_range(PartitionId(at.0 + 1), partitions).0);
            }
        }
    }

    #[test]
    fn a_partition_that_does_not_exist_has_an_empty_range() {
        let (start, end) = partition_range(PartitionId(4), 4);
        assert_eq!(Some(start), end);
        assert_eq!(leaf_range(PartitionId(u32::MAX), 4, 0).0, start);
        assert_eq!(partition_range(PartitionId(0), 1), ([0; 16], None));
    }

    #[test]
    fn a_short_key_and_a_branch_that_does_not_exist_are_harmless() {
        assert_eq!(leaf_of(b"short", 256), 0);
        assert_eq!(Tree::new(256).leaves(64), vec![0; FANOUT]);
    }
}
