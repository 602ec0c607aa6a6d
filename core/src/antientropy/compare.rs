//! What differs between two owners of a partition: key ranges, lists of keys with their hashes, and their comparison.
//! Invariant: reads are bounded in bytes as well as in keys; what a round leaves out, a later one begins with.
//! Not here: the messages (`antientropy`), the trees (`trees`).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::hints::after;
use crate::id::{Key, PartitionId};
use crate::record::Record;
use crate::store::{Pair, Space, Store, StoreError};
use crate::tree::{LEAVES, PrefixRange, leaf_range};

/// Differing leaves looked into in one round: each is a scan.
pub(super) const PARTS_MAX: usize = 256;
/// Keys in one `TreeKeys` or `TreeWant`, and states pushed for one of them.
pub(super) const KEYS_MAX: usize = 512;
/// Bytes after which no further state is pushed in a round.
pub(super) const PUSH_BYTES_MAX: usize = 4 << 20;
/// Bytes of records one message of a round makes this node read.
pub(super) const ROUND_BYTES_MAX: usize = 16 << 20;
/// Most records read at once.
pub(super) const SCAN_CHUNK: usize = 32;
/// About so many bytes are read at once, as far as the last records tell.
pub(super) const SCAN_BYTES: usize = 1 << 20;
/// Slices of a leaf that holds too many keys for one list. In `TreeKeys` a slice is named `LEAVES + leaf * SLICES + slice`.
pub(super) const SLICES: u32 = 64;

/// A storage key and the hash of its state.
pub(super) type KeyHash = (Bytes, u64);

pub(super) fn is_key_of(storage_key: &Bytes, partition: PartitionId, q: u32) -> bool {
    Key::from_storage_key(storage_key).is_some_and(|key| key.partition(q) == partition)
}

/// Where the keys of a leaf, or of a slice of one, lie; `None` if there is no such part.
pub(super) fn part_range(partition: PartitionId, q: u32, part: u32) -> Option<PrefixRange> {
    let leaves = LEAVES as u32;
    let Some(slice) = part.checked_sub(leaves) else {
        return Some(leaf_range(partition, q, part as u16));
    };
    let (leaf, slice) = (slice / SLICES, slice % SLICES);
    if leaf >= leaves {
        return None;
    }
    let (start, end) = leaf_range(partition, q, leaf as u16);
    let slice_bits = q.trailing_zeros() + leaves.trailing_zeros() + SLICES.trailing_zeros();
    let width = 1u128.checked_shl(u128::BITS.checked_sub(slice_bits)?)?;
    let first = u128::from_be_bytes(start).saturating_add(width.saturating_mul(u128::from(slice)));
    let end = if slice + 1 == SLICES { end } else { Some(first.saturating_add(width).to_be_bytes()) };
    Some((first.to_be_bytes(), end))
}

pub(super) fn bytes_of(pairs: &[Pair]) -> usize {
    pairs.iter().map(|(key, value)| key.len().saturating_add(value.len())).sum()
}

/// How many records to read next, by the size of these.
pub(super) fn chunk_after(pairs: &[Pair]) -> usize {
    SCAN_BYTES.saturating_mul(pairs.len()).checked_div(bytes_of(pairs)).unwrap_or(SCAN_CHUNK).clamp(1, SCAN_CHUNK)
}

/// Calls `each` on the records of a range in order, until it says `false`.
pub(super) fn visit(
    store: &dyn Store,
    (start, end): PrefixRange,
    mut each: impl FnMut(Pair) -> bool,
) -> Result<(), StoreError> {
    let (mut from, mut chunk) = (Bytes::copy_from_slice(&start), SCAN_CHUNK);
    loop {
        let pairs = store.scan(Space::Data, &from, end.as_ref().map(<[u8; 16]>::as_slice), chunk)?;
        let is_over = pairs.len() < chunk;
        chunk = chunk_after(&pairs);
        for pair in pairs {
            from = after(&pair.0);
            if !each(pair) {
                return Ok(());
            }
        }
        if is_over {
            return Ok(());
        }
    }
}

/// The first `limit` keys of a range with their state hashes.
pub(super) fn hashes(store: &dyn Store, range: PrefixRange, limit: usize) -> Result<Vec<KeyHash>, StoreError> {
    let mut found = Vec::new();
    visit(store, range, |(key, value)| {
        found.push((key, Record::hash_of(&value)));
        found.len() < limit
    })?;
    Ok(found)
}

/// As many of `leaves` as fit a message, with all their keys. It begins at another leaf each round; if the first alone
/// is too large, at another slice of it.
pub(super) fn list_keys(
    store: &dyn Store,
    partition: PartitionId,
    q: u32,
    round: u64,
    leaves: BTreeSet<u32>,
) -> Result<(Vec<u32>, Vec<KeyHash>), StoreError> {
    let begin = round.checked_rem(leaves.len() as u64).unwrap_or(0) as usize;
    let (mut parts, mut keys) = (Vec::new(), Vec::new());
    for leaf in leaves.iter().skip(begin).chain(leaves.iter().take(begin)).take(PARTS_MAX) {
        let room = KEYS_MAX.saturating_sub(keys.len());
        let Some(range) = part_range(partition, q, *leaf) else { continue };
        let found = hashes(store, range, room + 1)?;
        if found.len() <= room {
            parts.push(*leaf);
            keys.extend(found);
            continue;
        }
        if parts.is_empty() {
            // Not of the low bits alone: which leaf comes first depends on them too.
            let slice = (round ^ round >> 6 ^ round >> 12) as u32 % SLICES;
            let part = LEAVES as u32 + leaf * SLICES + slice;
            if let Some(range) = part_range(partition, q, part) {
                parts.push(part);
                keys = hashes(store, range, KEYS_MAX)?;
            }
        }
        break;
    }
    Ok((parts, keys))
}

#[derive(Debug, Default)]
pub(super) struct Differences {
    pub(super) push: Vec<Pair>,
    pub(super) want: Vec<Bytes>,
}

/// Compares what is stored in `ranges` with `theirs`: what differs is pushed and wanted, what one side lacks goes there.
/// Stops at the bounds of one round and leaves the keys behind that point undecided.
pub(super) fn differences(
    store: &dyn Store,
    ranges: BTreeSet<PrefixRange>,
    mut theirs: BTreeMap<Bytes, u64>,
) -> Result<Differences, StoreError> {
    let mut found = Differences::default();
    let (mut bytes, mut read, mut is_full) = (0usize, 0usize, false);
    for range in ranges {
        visit(store, range, |(key, value)| {
            let their_hash = theirs.remove(&key);
            let is_same = their_hash == Some(Record::hash_of(&value));
            read = read.saturating_add(value.len());
            if !is_same {
                found.want.extend(their_hash.map(|_| key.clone()));
                bytes = bytes.saturating_add(value.len());
            }
            is_full = read >= ROUND_BYTES_MAX || bytes >= PUSH_BYTES_MAX || found.push.len() + 1 >= KEYS_MAX;
            if is_full {
                theirs.retain(|their_key, _| *their_key < key);
            }
            if !is_same {
                found.push.push((key, value));
            }
            !is_full
        })?;
        if is_full {
            break;
        }
    }
    found.want.extend(theirs.into_keys());
    Ok(found)
}
