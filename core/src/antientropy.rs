//! Anti-entropy: the hash trees of the partitions this node owns, and the exchange that finds and mends differences.
//! Follows Dynamo (SOSP 2007) 4.7. The asker drives a round (`message.rs` has the arrows); the other side keeps no memory of it.
//! Invariant: a built tree is that of the stored records; one in building covers exactly the keys before its cursor.
//! Not here: the tree itself (`tree`), merging what is pushed (`replica`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;

use crate::effect::{AdminReply, Event};
use crate::hints::after;
use crate::id::{Incarnation, Key, PartitionId};
use crate::message::{Message, Purpose, Replicate};
use crate::node::{Hold, Node};
use crate::planted::{Bug, planted};
use crate::record::Record;
use crate::store::{Pair, Space, Store, StoreError};
use crate::time::Time;
use crate::tree::{FANOUT, LEAVES, PrefixRange, Tree, leaf_range, partition_range};

/// Rounds this node has open at once.
const EXCHANGES_MAX: usize = 8;
/// Keys in one `TreeKeys` or `TreeWant`, and states pushed for one of them.
const KEYS_MAX: usize = 512;
/// Differing leaves looked into in one round: each is a scan.
const PARTS_MAX: usize = 256;
/// Bytes after which no further state is pushed in a round.
const PUSH_BYTES_MAX: usize = 4 << 20;
/// What is read in an interval for building, in records; a partition without any counts as one, a large record as many.
const BUILD_RECORDS: usize = 512;
/// Bytes that cost as much as a record.
const RECORD_BYTES: usize = 8 << 10;
/// Most records read at once.
const SCAN_CHUNK: usize = 32;
/// About so many bytes are read at once, as far as the last records tell.
const SCAN_BYTES: usize = 1 << 20;
/// Bytes of records one message of a round makes this node read.
const ROUND_BYTES_MAX: usize = 16 << 20;
/// Pairs a turn looks at before it waits for the next.
const PAIRS_LOOKED_AT: u64 = 256;
/// Slices of a leaf that holds too many keys for one list. In `TreeKeys` a slice is named `LEAVES + leaf * SLICES + slice`.
const SLICES: u32 = 64;

/// A storage key and the hash of its state.
type KeyHash = (Bytes, u64);

/// The trees of the owned partitions, and the rounds in which they are compared.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    slots: BTreeMap<PartitionId, Slot>,
    /// To be built, or rebuilt in the shadow.
    pending: BTreeSet<PartitionId>,
    /// Marked by others; spread over the co-owners on the next turn.
    marked: BTreeSet<PartitionId>,
    /// Known or likely to differ.
    dirty: BTreeSet<(PartitionId, Incarnation)>,
    last_dirty: (PartitionId, Incarnation),
    was_dirty: bool,
    turn: u64,
    exchanges: BTreeMap<u64, Exchange>,
    rounds: BTreeMap<Incarnation, u64>,
    next_exchange: Time,
    next_build: Time,
    next_verify: Option<Time>,
    last_verified: Option<PartitionId>,
}

#[derive(Debug, Default)]
struct Slot {
    ready: Option<Tree>,
    build: Option<Build>,
}

#[derive(Debug)]
struct Build {
    tree: Tree,
    cursor: Bytes,
    chunk: usize,
}

#[derive(Debug)]
struct Exchange {
    partition: PartitionId,
    peer: Incarnation,
    since: Time,
}

impl Trees {
    /// Keeps trees for these partitions only; the ticks build what is new.
    pub(crate) fn set_partitions(&mut self, owned: &[PartitionId]) {
        let owned: BTreeSet<PartitionId> = owned.iter().copied().collect();
        self.slots.retain(|partition, _| owned.contains(partition));
        for partition in owned {
            self.slots.entry(partition).or_default();
        }
        self.pending = self.slots.iter().filter(|(_, slot)| slot.ready.is_none()).map(|(p, _)| *p).collect();
        self.dirty.retain(|(partition, _)| self.slots.contains_key(partition));
        self.exchanges.retain(|_, exchange| self.slots.contains_key(&exchange.partition));
        self.slots.values_mut().filter(|slot| slot.ready.is_some()).for_each(|slot| slot.build = None);
    }

    /// Compares this partition with all co-owners soon. Nothing if this node does not own it.
    pub(crate) fn mark_dirty(&mut self, partition: PartitionId) {
        if self.slots.contains_key(&partition) {
            self.marked.insert(partition);
        }
    }

    /// The state hash of a stored key changes from `old` to `new`; 0 stands for absent.
    pub(crate) fn on_write(&mut self, partition: PartitionId, storage_key: &Bytes, old: u64, new: u64) {
        let Some(slot) = self.slots.get_mut(&partition) else { return };
        if let Some(tree) = &mut slot.ready {
            tree.replace(storage_key, old, new);
        }
        if let Some(build) = &mut slot.build
            && *storage_key < build.cursor
        {
            build.tree.replace(storage_key, old, new);
        }
    }

    /// Partitions whose tree is built.
    pub(crate) fn built(&self) -> u32 {
        self.slots.values().filter(|slot| slot.ready.is_some()).count() as u32
    }

    /// Keys in the built trees.
    pub(crate) fn keys(&self) -> u64 {
        self.slots.values().filter_map(|slot| slot.ready.as_ref()).map(Tree::keys).sum()
    }

    /// Rounds with `peer` that this node began and that came to their end.
    pub(crate) fn rounds(&self, peer: Incarnation) -> u64 {
        self.rounds.get(&peer).copied().unwrap_or(0)
    }

    fn ready(&self, partition: PartitionId) -> Option<&Tree> {
        self.slots.get(&partition)?.ready.as_ref()
    }

    /// Reads one chunk for the tree of `partition`. Gives its cost in records (at least 1) and whether a
    /// finished shadow differs from the tree that it replaces.
    fn build_step(&mut self, store: &dyn Store, partition: PartitionId, q: u32) -> Result<(usize, bool), StoreError> {
        let (start, end) = partition_range(partition, q);
        let Some(slot) = self.slots.get_mut(&partition) else {
            self.pending.remove(&partition);
            return Ok((1, false));
        };
        let build = slot.build.get_or_insert_with(|| Build {
            tree: Tree::new(q),
            cursor: Bytes::copy_from_slice(&start),
            chunk: SCAN_CHUNK,
        });
        let pairs = store.scan(Space::Data, &build.cursor, end.as_ref().map(<[u8; 16]>::as_slice), build.chunk)?;
        let is_over = pairs.len() < build.chunk;
        let cost = pairs.len().max(bytes_of(&pairs) / RECORD_BYTES).max(1);
        build.chunk = chunk_after(&pairs);
        for (key, value) in &pairs {
            build.tree.replace(key, 0, Record::hash_of(value));
            build.cursor = after(key);
        }
        if !is_over {
            return Ok((cost, false));
        }
        let built = slot.build.take().map(|build| build.tree);
        let is_mismatch = slot.ready.as_ref().zip(built.as_ref()).is_some_and(|(old, new)| old.root() != new.root());
        slot.ready = built;
        self.pending.remove(&partition);
        Ok((cost, is_mismatch))
    }

    /// Has the next built partition rebuilt if it is time.
    fn verify_next(&mut self, now: Time, interval_ms: u64) {
        if now < *self.next_verify.get_or_insert(now.plus(interval_ms)) {
            return;
        }
        self.next_verify = Some(now.plus(interval_ms));
        let from = self.last_verified.map_or(Bound::Unbounded, Bound::Excluded);
        let following = self.slots.range((from, Bound::Unbounded)).chain(&self.slots);
        let mut built = following.filter(|(_, slot)| slot.ready.is_some()).map(|(partition, _)| *partition);
        self.last_verified = built.next();
        self.pending.extend(self.last_verified);
    }

    fn may_begin(&self, partition: PartitionId, peer: Incarnation) -> bool {
        let is_open = self.exchanges.values().any(|e| (e.partition, e.peer) == (partition, peer));
        !is_open && self.ready(partition).is_some()
    }

    fn is_open(&self, round: u64, partition: PartitionId, peer: Incarnation) -> bool {
        self.exchanges.get(&round).is_some_and(|e| (e.partition, e.peer) == (partition, peer))
    }

    fn complete(&mut self, round: u64) {
        if let Some(exchange) = self.exchanges.remove(&round) {
            *self.rounds.entry(exchange.peer).or_default() += 1;
        }
    }
}

impl Node {
    /// What an operator compares between owners. Refused if this node does not own the partition.
    pub(crate) fn digest(&self, partition: PartitionId) -> AdminReply {
        let Some(slot) = self.trees.slots.get(&partition) else {
            return AdminReply::Refused(format!("this node does not own partition {}", partition.0));
        };
        let (root, keys) = slot.ready.as_ref().map_or((0, 0), |tree| (tree.root(), tree.keys()));
        AdminReply::Digest { root, keys, is_built: slot.ready.is_some() }
    }

    /// Builds a little, and begins a round if it is time.
    pub(crate) fn tick_trees(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let age_ms = self.settings.replica_timeout_ms.saturating_mul(10);
        let now = self.now;
        self.trees.exchanges.retain(|_, exchange| exchange.since.plus(age_ms) > now);
        self.trees.verify_next(now, self.settings.verify_interval_ms);
        // Under load there is a tick with every batch: each would pay for it.
        let is_due = now >= self.trees.next_build;
        let mut budget = if is_due { BUILD_RECORDS } else { 0 };
        if is_due {
            self.trees.next_build = now.plus(self.settings.tree_interval_ms);
        }
        while budget > 0
            && let Some(partition) = self.trees.pending.first().copied()
        {
            let (read, is_mismatch) = self.trees.build_step(store, partition, self.tree_partitions())?;
            budget = budget.saturating_sub(read);
            if is_mismatch {
                self.observe(Event::TreeMismatch(partition));
            }
        }
        if now >= self.trees.next_exchange && self.trees.exchanges.len() < EXCHANGES_MAX {
            self.trees.next_exchange = now.plus(self.settings.tree_interval_ms);
            self.begin_round();
        }
        Ok(())
    }

    /// Q.
    fn tree_partitions(&self) -> u32 {
        self.layout.as_ref().map_or(self.settings.cluster.partitions, |layout| layout.partitions)
    }

    fn begin_round(&mut self) {
        let Some((partition, peer)) = self.next_pair() else { return };
        let Some(root) = self.trees.ready(partition).map(Tree::root) else { return };
        let round = self.new_op();
        self.trees.exchanges.insert(round, Exchange { partition, peer, since: self.now });
        self.send(Hold::Batch, peer, Message::TreeRoot { partition, round, root });
    }

    /// Whom to compare what with: dirty pairs first, but each second turn goes round all pairs so that none starves.
    fn next_pair(&mut self) -> Option<(PartitionId, Incarnation)> {
        let (me, ring) = (self.me(), self.ring.as_ref()?);
        for partition in std::mem::take(&mut self.trees.marked) {
            let peers = ring.primaries(partition).iter().filter(|peer| **peer != me);
            self.trees.dirty.extend(peers.map(|peer| (partition, *peer)));
        }
        let trees = &self.trees;
        let may = |partition, peer| self.is_reachable(peer) && trees.may_begin(partition, peer);
        if !trees.was_dirty {
            let following = trees.dirty.range((Bound::Excluded(trees.last_dirty), Bound::Unbounded));
            let mut pairs = following.chain(trees.dirty.range(..=trees.last_dirty));
            if let Some(pair) = pairs.find(|(partition, peer)| may(*partition, *peer)).copied() {
                self.trees.dirty.remove(&pair);
                self.trees.last_dirty = pair;
                self.trees.was_dirty = true;
                return Some(pair);
            }
        }
        let owned = ring.owned_by(me);
        let factor = u64::from(self.settings.cluster.replication_factor).max(1);
        let pair_of = |turn: u64| {
            let at = (turn / factor).checked_rem(owned.len() as u64)?;
            let partition = *owned.get(at as usize)?;
            let peer = *ring.primaries(partition).get((turn % factor) as usize)?;
            (peer != me && may(partition, peer)).then_some((partition, peer))
        };
        let turns = trees.turn..trees.turn.saturating_add(PAIRS_LOOKED_AT);
        let found = turns.clone().find_map(|turn| pair_of(turn).map(|pair| (turn, pair)));
        self.trees.turn = found.map_or(turns.end, |(turn, _)| turn.saturating_add(1));
        self.trees.was_dirty = false;
        found.map(|(_, pair)| pair)
    }

    /// Any message of a round. Ignored unless both sides own the partition and the tree here is built; answers also
    /// unless the round is open.
    pub(crate) fn on_tree(&mut self, store: &dyn Store, from: Incarnation, message: Message) -> Result<(), StoreError> {
        let (partition, round, is_answer) = match &message {
            Message::TreeSame { partition, round }
            | Message::TreeBranches { partition, round, .. }
            | Message::TreeKeys { partition, round, .. } => (*partition, *round, true),
            Message::TreeRoot { partition, round, .. }
            | Message::TreeLeaves { partition, round, .. }
            | Message::TreeWant { partition, round, .. } => (*partition, *round, false),
            _ => return Ok(()),
        };
        let me = self.me();
        let is_shared =
            self.ring.as_ref().is_some_and(|r| r.is_primary(partition, me) && r.is_primary(partition, from));
        let is_expected = !is_answer || self.trees.is_open(round, partition, from);
        if self.not_ready().is_some() || !is_shared || !is_expected {
            return Ok(());
        }
        let Some(tree) = self.trees.ready(partition) else { return Ok(()) };
        let is_well_formed = match message {
            Message::TreeRoot { root, .. } => {
                let answer = if tree.root() == root {
                    Message::TreeSame { partition, round }
                } else {
                    Message::TreeBranches { partition, round, branches: tree.branches() }
                };
                self.send(Hold::Batch, from, answer);
                true
            }
            Message::TreeSame { .. } => {
                self.trees.complete(round);
                true
            }
            Message::TreeBranches { branches, .. } => self.on_tree_branches(from, partition, round, &branches),
            Message::TreeLeaves { leaves, .. } => self.on_tree_leaves(store, from, partition, round, &leaves)?,
            Message::TreeKeys { leaves, keys, .. } => {
                self.on_tree_keys(store, from, partition, round, &leaves, keys)?
            }
            Message::TreeWant { keys, .. } => self.on_tree_want(store, from, partition, &keys)?,
            _ => true,
        };
        if !is_well_formed {
            self.observe(Event::MalformedMessage(from));
        }
        Ok(())
    }

    fn on_tree_branches(&mut self, from: Incarnation, partition: PartitionId, round: u64, theirs: &[u64]) -> bool {
        if theirs.len() != FANOUT {
            return false;
        }
        let Some(tree) = self.trees.ready(partition) else { return true };
        let ours = tree.branches();
        let differing = (0..FANOUT).filter(|branch| ours.get(*branch) != theirs.get(*branch));
        let leaves: Vec<(u32, u64)> = differing
            .flat_map(|branch| (branch * FANOUT..).zip(tree.leaves(branch)))
            .map(|(leaf, hash)| (leaf as u32, hash))
            .collect();
        if leaves.is_empty() {
            self.trees.complete(round);
        } else {
            self.send(Hold::Batch, from, Message::TreeLeaves { partition, round, leaves });
        }
        true
    }

    fn on_tree_leaves(
        &mut self,
        store: &dyn Store,
        from: Incarnation,
        partition: PartitionId,
        round: u64,
        theirs: &[(u32, u64)],
    ) -> Result<bool, StoreError> {
        if theirs.len() > LEAVES || theirs.iter().any(|(leaf, _)| *leaf as usize >= LEAVES) {
            return Ok(false);
        }
        let Some(tree) = self.trees.ready(partition) else { return Ok(true) };
        let mut branches: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        let mut differing = BTreeSet::new();
        for (leaf, hash) in theirs {
            let (branch, at) = (*leaf as usize / FANOUT, *leaf as usize % FANOUT);
            let ours = branches.entry(branch).or_insert_with(|| tree.leaves(branch));
            if ours.get(at) != Some(hash) {
                differing.insert(*leaf);
            }
        }
        let (leaves, keys) = list_keys(store, partition, self.tree_partitions(), round, differing)?;
        self.send(Hold::Batch, from, Message::TreeKeys { partition, round, leaves, keys });
        Ok(true)
    }

    fn on_tree_keys(
        &mut self,
        store: &dyn Store,
        from: Incarnation,
        partition: PartitionId,
        round: u64,
        parts: &[u32],
        theirs: Vec<KeyHash>,
    ) -> Result<bool, StoreError> {
        let q = self.tree_partitions();
        let ranges: Option<BTreeSet<PrefixRange>> = parts.iter().map(|part| part_range(partition, q, *part)).collect();
        let is_small = parts.len() <= PARTS_MAX && theirs.len() <= KEYS_MAX;
        let (Some(ranges), true) = (ranges, is_small) else { return Ok(false) };
        if theirs.iter().any(|(key, _)| !is_key_of(key, partition, q)) {
            return Ok(false);
        }
        self.trees.complete(round);
        let found = differences(store, ranges, theirs.into_iter().collect())?;
        if found.push.is_empty() && found.want.is_empty() {
            return Ok(true);
        }
        // There may be more than one round takes: come back soon.
        self.trees.dirty.insert((partition, from));
        self.push_states(from, found.push)?;
        if !found.want.is_empty() {
            self.send(Hold::Batch, from, Message::TreeWant { partition, round, keys: found.want });
        }
        Ok(true)
    }

    fn on_tree_want(
        &mut self,
        store: &dyn Store,
        from: Incarnation,
        partition: PartitionId,
        keys: &[Bytes],
    ) -> Result<bool, StoreError> {
        let q = self.tree_partitions();
        if keys.len() > KEYS_MAX || keys.iter().any(|key| !is_key_of(key, partition, q)) {
            return Ok(false);
        }
        let (mut pairs, mut bytes) = (Vec::new(), 0usize);
        for key in keys {
            if bytes >= PUSH_BYTES_MAX {
                break;
            }
            if let Some(value) = store.get(Space::Data, key)? {
                bytes = bytes.saturating_add(value.len());
                pairs.push((key.clone(), value));
            }
        }
        self.push_states(from, pairs)?;
        Ok(true)
    }

    fn push_states(&mut self, to: Incarnation, records: Vec<Pair>) -> Result<(), StoreError> {
        if planted(Bug::AntiEntropySendsNothing) {
            return Ok(());
        }
        for (storage_key, value) in records {
            let Some(key) = Key::from_storage_key(&storage_key) else {
                return Err(StoreError(format!("damaged key of {} bytes", storage_key.len())));
            };
            let state = Record::decode(value)?.state.encode();
            let purpose = Purpose::AntiEntropy;
            let replicate = Replicate { op: 0, key, state, hint_for: None, remaining_ms: 0, purpose };
            self.send(Hold::Batch, to, Message::Replicate(replicate));
            self.observe(Event::AntiEntropyPush(to));
        }
        Ok(())
    }
}

fn is_key_of(storage_key: &Bytes, partition: PartitionId, q: u32) -> bool {
    Key::from_storage_key(storage_key).is_some_and(|key| key.partition(q) == partition)
}

/// Where the keys of a leaf, or of a slice of one, lie; `None` if there is no such part.
fn part_range(partition: PartitionId, q: u32, part: u32) -> Option<PrefixRange> {
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

fn bytes_of(pairs: &[Pair]) -> usize {
    pairs.iter().map(|(key, value)| key.len().saturating_add(value.len())).sum()
}

/// How many records to read next, by the size of these.
fn chunk_after(pairs: &[Pair]) -> usize {
    SCAN_BYTES.saturating_mul(pairs.len()).checked_div(bytes_of(pairs)).unwrap_or(SCAN_CHUNK).clamp(1, SCAN_CHUNK)
}

/// Calls `each` on the records of a range in order, until it says `false`.
fn visit(store: &dyn Store, (start, end): PrefixRange, mut each: impl FnMut(Pair) -> bool) -> Result<(), StoreError> {
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
fn hashes(store: &dyn Store, range: PrefixRange, limit: usize) -> Result<Vec<KeyHash>, StoreError> {
    let mut found = Vec::new();
    visit(store, range, |(key, value)| {
        found.push((key, Record::hash_of(&value)));
        found.len() < limit
    })?;
    Ok(found)
}

/// As many of `leaves` as fit a message, with all their keys. It begins at another leaf each round; if the first alone
/// is too large, at another slice of it.
fn list_keys(
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
struct Differences {
    push: Vec<Pair>,
    want: Vec<Bytes>,
}

/// Compares what is stored in `ranges` with `theirs`: what differs is pushed and wanted, what one side lacks goes there.
/// Stops at the bounds of one round and leaves the keys behind that point undecided.
fn differences(
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::store::MemStore;

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
        let wanted: Vec<Pair> =
            found.want.iter().map(|k| (k.clone(), b.get(Space::Data, k).unwrap().unwrap())).collect();
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
}
