//! Rounds between two stores, and trees against what they should cover.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::compare::{SCAN_BYTES, SCAN_CHUNK, SLICES, hashes};
use super::trees::RECORD_BYTES;
use super::*;
use crate::record::Record;
use crate::store::MemStore;
use crate::time::Time;
use crate::tree::partition_range;

const ONLY: PartitionId = PartitionId(0);
const PEER: Incarnation = Incarnation(2);

/// Of the only partition: in this leaf, spread over its slices by `n`.
fn key(leaf: u32, n: u16) -> Bytes {
    let position = u128::from(leaf) << 116 | u128::from(n.wrapping_mul(32)) << 100 | u128::from(n);
    Bytes::copy_from_slice(&position.to_be_bytes())
}

/// All that is read of a record here is its hash.
fn put(store: &mut MemStore, key: &Bytes, hash: u64) {
    let value = [&[0; 9], hash.to_be_bytes().as_slice()].concat();
    store.put(Space::Data, key.clone(), Bytes::from(value));
}

fn all(store: &MemStore) -> Vec<Pair> {
    store.scan(Space::Data, &[], None, usize::MAX).unwrap()
}

fn tree_of(store: &MemStore) -> Tree {
    let mut tree = Tree::new(1);
    for (key, value) in all(store) {
        tree.replace(&key, 0, Record::hash_of(&value));
    }
    tree
}

/// One round, `a` asks; the larger hash stands for the merge. Says what `b` listed.
fn round(a: &mut MemStore, b: &mut MemStore, round: u64) -> Vec<u32> {
    let (ours, theirs) = (tree_of(a), tree_of(b));
    let leaves = |tree: &Tree| (0..FANOUT).flat_map(|branch| tree.leaves(branch)).collect::<Vec<_>>();
    let (ours, theirs) = (leaves(&ours), leaves(&theirs));
    let differing = (0..LEAVES as u32).filter(|at| ours[*at as usize] != theirs[*at as usize]).collect();
    let (parts, keys) = list_keys(b, ONLY, 1, round, differing).unwrap();
    assert!(keys.len() <= KEYS_MAX && parts.len() <= PARTS_MAX);
    let ranges = parts.iter().map(|part| part_range(ONLY, 1, *part).unwrap()).collect();
    let found = differences(a, ranges, keys.into_iter().collect()).unwrap();
    assert!(found.push.len() <= KEYS_MAX && found.want.len() <= KEYS_MAX);
    let wanted: Vec<Pair> = found.want.iter().map(|k| (k.clone(), b.get(Space::Data, k).unwrap().unwrap())).collect();
    for (store, records) in [(b, found.push), (a, wanted)] {
        for (key, value) in records {
            let held = store.get(Space::Data, &key).unwrap().map_or(0, |held| Record::hash_of(&held));
            put(store, &key, Record::hash_of(&value).max(held));
        }
    }
    parts
}

#[test]
fn large_records_are_read_in_small_chunks_and_a_few_a_turn() {
    let mut store = MemStore::default();
    for n in 0..100 {
        let value = [vec![0; 9], 1u64.to_be_bytes().to_vec(), vec![0; 512 << 10]].concat();
        store.put(Space::Data, key(n, 0), Bytes::from(value));
    }
    let mut trees = Trees::default();
    trees.set_partitions(&[ONLY]);
    let (cost, _) = trees.build_step(&store, ONLY, 1).unwrap();
    assert!(cost >= BUILD_RECORDS, "one chunk is a turn's work: {cost}");
    let (cost, _) = trees.build_step(&store, ONLY, 1).unwrap();
    assert!(cost <= SCAN_BYTES / RECORD_BYTES, "{cost}");
    let all = BTreeSet::from([partition_range(ONLY, 1)]);
    let theirs = hashes(&store, partition_range(ONLY, 1), 100).unwrap().into_iter().collect();
    let found = differences(&store, all, theirs).unwrap();
    assert!(found.push.is_empty() && found.want.is_empty(), "what was not read is left undecided");
}

#[test]
fn one_round_mends_a_few_differences_both_ways() {
    let (mut a, mut b) = (MemStore::default(), MemStore::default());
    for leaf in 0..40 {
        put(&mut a, &key(leaf, 1), 5);
        put(&mut b, &key(leaf, 1), if leaf % 8 == 0 { u64::from(leaf) } else { 5 });
    }
    put(&mut a, &key(3, 9), 1);
    put(&mut b, &key(4000, 9), 1);
    assert_eq!(round(&mut a, &mut b, 7).len(), 7);
    assert_eq!(all(&a), all(&b));
    assert_eq!(all(&a).len(), 42);
    assert!(round(&mut a, &mut b, 8).is_empty());
}

#[test]
fn an_empty_replica_is_filled_from_either_side_in_bounded_rounds() {
    for is_asker_empty in [false, true] {
        let (mut full, mut empty) = (MemStore::default(), MemStore::default());
        (0..1500).for_each(|n| put(&mut full, &key(u32::from(n) % 500, n), 1 + u64::from(n)));
        for n in 0..12 {
            let (a, b) = if is_asker_empty { (&mut empty, &mut full) } else { (&mut full, &mut empty) };
            round(a, b, n);
        }
        assert_eq!(all(&full), all(&empty));
    }
}

#[test]
fn a_leaf_too_large_for_one_list_is_mended_slice_by_slice() {
    let (mut a, mut b) = (MemStore::default(), MemStore::default());
    for n in 0..2000 {
        put(if n % 3 == 0 { &mut a } else { &mut b }, &key(9, n), 1);
    }
    put(&mut a, &key(9, 1), 2);
    for n in 0..u64::from(SLICES) {
        assert!(round(&mut a, &mut b, n).iter().all(|part| *part >= LEAVES as u32));
    }
    assert_eq!(all(&a), all(&b));
}

#[test]
fn the_slices_of_a_leaf_tile_it() {
    let (leaves, at) = (LEAVES as u32, PartitionId(15));
    for leaf in [0, 7, leaves - 1] {
        let slices: Vec<PrefixRange> =
            (0..SLICES).map(|slice| part_range(at, 16, leaves + leaf * SLICES + slice).unwrap()).collect();
        let (start, end) = part_range(at, 16, leaf).unwrap();
        assert_eq!((slices[0].0, slices[SLICES as usize - 1].1), (start, end));
        assert!(slices.windows(2).all(|two| two[0].1 == Some(two[1].0) && two[0].0 < two[1].0));
    }
    assert!(part_range(at, 16, leaves + leaves * SLICES - 1).is_some());
    assert!(part_range(at, 16, leaves + leaves * SLICES).is_none());
    assert!(part_range(at, 16, u32::MAX).is_none());
}

#[test]
fn writes_while_a_tree_is_built_are_in_it_once() {
    let mut store = MemStore::default();
    (0..100).for_each(|n| put(&mut store, &key(n, 0), 1));
    let mut trees = Trees::default();
    trees.set_partitions(&[ONLY]);
    assert_eq!(trees.build_step(&store, ONLY, 1).unwrap(), (SCAN_CHUNK, false));
    for (leaf, n, old) in [(2, 0, 1), (2, 5, 0), (31, 0, 1), (31, 1, 0), (32, 0, 1), (90, 7, 0)] {
        trees.on_write(ONLY, &key(leaf, n), old, 77);
        put(&mut store, &key(leaf, n), 77);
    }
    assert_eq!((trees.built(), trees.keys()), (0, 0));
    while !trees.pending.is_empty() {
        trees.build_step(&store, ONLY, 1).unwrap();
    }
    assert_eq!((trees.built(), trees.keys()), (1, 103));
    trees.on_write(ONLY, &key(50, 0), 1, 2);
    put(&mut store, &key(50, 0), 2);
    assert_eq!(trees.ready(ONLY).unwrap(), &tree_of(&store));
}

#[test]
fn a_shadow_finds_a_tree_that_is_not_that_of_the_records() {
    let mut store = MemStore::default();
    put(&mut store, &key(1, 1), 1);
    let mut trees = Trees::default();
    trees.set_partitions(&[ONLY]);
    assert_eq!(trees.build_step(&store, ONLY, 1).unwrap(), (1, false));
    let mut verify = |store: &MemStore, at: u64| {
        trees.verify_next(Time(at), 100);
        if trees.pending.is_empty() { None } else { Some(trees.build_step(store, ONLY, 1).unwrap().1) }
    };
    assert_eq!(verify(&store, 1), None);
    assert_eq!(verify(&store, 101), Some(false));
    put(&mut store, &key(1, 2), 1);
    assert_eq!(verify(&store, 150), None);
    assert_eq!(verify(&store, 201), Some(true));
    assert_eq!(verify(&store, 301), Some(false));
}

#[test]
fn only_own_partitions_are_marked_and_a_round_counts_once() {
    let mut trees = Trees::default();
    trees.set_partitions(&[ONLY]);
    trees.mark_dirty(ONLY);
    trees.mark_dirty(PartitionId(1));
    assert_eq!(trees.marked, BTreeSet::from([ONLY]));
    trees.exchanges.insert(5, Exchange { partition: ONLY, peer: PEER, since: Time(0) });
    assert!(trees.is_open(5, ONLY, PEER) && !trees.is_open(5, ONLY, Incarnation(3)));
    trees.complete(5);
    trees.complete(5);
    assert_eq!((trees.rounds(PEER), trees.rounds(Incarnation(3))), (1, 0));
    trees.set_partitions(&[]);
    assert!(trees.pending.is_empty() && trees.slots.is_empty());
}
