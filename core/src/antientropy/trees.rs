//! The trees of the partitions a node owns: building, shadows, what is dirty, and which rounds are open.
//! Follows Dynamo (SOSP 2007) 4.7. Invariant: a built tree is that of the stored records; one in building covers exactly the
//! keys before its cursor.
//! Not here: the tree itself (`tree`), the messages of a round (`antientropy`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;

use super::compare::{SCAN_CHUNK, bytes_of, chunk_after};
use crate::effect::PartitionDigest;
use crate::hints::after;
use crate::id::{Incarnation, PartitionId};
use crate::record::Record;
use crate::store::{Space, Store, StoreError};
use crate::time::Time;
use crate::tree::{Tree, partition_range};

/// What is read in an interval for building, in records; a partition without any counts as one, a large record as many.
pub(super) const BUILD_RECORDS: usize = 512;
/// Bytes that cost as much as a record.
pub(super) const RECORD_BYTES: usize = 8 << 10;
/// Rounds that begin together on a node with nothing to mend.
const IDLE_ROUNDS: u64 = 5;

/// The trees of the owned partitions, and the rounds in which they are compared.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    pub(super) slots: BTreeMap<PartitionId, Slot>,
    /// To be built, or rebuilt in the shadow.
    pub(super) pending: BTreeSet<PartitionId>,
    /// Marked by others; spread over the co-owners on the next turn.
    pub(super) marked: BTreeSet<PartitionId>,
    /// Known or likely to differ.
    pub(super) dirty: BTreeSet<(PartitionId, Incarnation)>,
    pub(super) last_dirty: (PartitionId, Incarnation),
    pub(super) was_dirty: bool,
    pub(super) turn: u64,
    pub(super) exchanges: BTreeMap<u64, Exchange>,
    pub(super) rounds: BTreeMap<Incarnation, u64>,
    pub(super) last_exchange: Time,
    pub(super) next_build: Time,
    pub(super) next_verify: Option<Time>,
    pub(super) last_verified: Option<PartitionId>,
}

#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) ready: Option<Tree>,
    pub(super) build: Option<Build>,
}

#[derive(Debug)]
pub(super) struct Build {
    pub(super) tree: Tree,
    pub(super) cursor: Bytes,
    pub(super) chunk: usize,
}

#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) partition: PartitionId,
    pub(super) peer: Incarnation,
    pub(super) since: Time,
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

    /// Partitions known or likely to differ from a co-owner's.
    pub(crate) fn count_dirty(&self) -> u32 {
        let dirty = self.dirty.iter().map(|(partition, _)| partition).chain(&self.marked);
        dirty.collect::<BTreeSet<_>>().len() as u32
    }

    /// What is held of each owned partition.
    pub(crate) fn digests(&self) -> impl Iterator<Item = PartitionDigest> {
        self.slots.iter().map(|(partition, slot)| {
            let (root, keys) = slot.ready.as_ref().map_or((0, 0), |tree| (tree.root(), tree.keys()));
            PartitionDigest { partition: *partition, root, keys, is_built: slot.ready.is_some() }
        })
    }

    /// Keys in the built trees.
    pub(crate) fn keys(&self) -> u64 {
        self.slots.values().filter_map(|slot| slot.ready.as_ref()).map(Tree::keys).sum()
    }

    /// Rounds with `peer` that this node began and that came to their end.
    pub(crate) fn rounds(&self, peer: Incarnation) -> u64 {
        self.rounds.get(&peer).copied().unwrap_or(0)
    }

    pub(super) fn ready(&self, partition: PartitionId) -> Option<&Tree> {
        self.slots.get(&partition)?.ready.as_ref()
    }

    /// Reads one chunk for the tree of `partition`. Gives its cost in records (at least 1) and whether a
    /// finished shadow differs from the tree that it replaces.
    pub(super) fn build_step(
        &mut self,
        store: &dyn Store,
        partition: PartitionId,
        q: u32,
    ) -> Result<(usize, bool), StoreError> {
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

    /// How many intervals' rounds begin together: one where something is to be built or mended, else
    /// [`IDLE_ROUNDS`], which look at as many pairs a second with fewer wakes.
    pub(super) fn rounds_due(&self) -> u64 {
        let is_idle = self.pending.is_empty() && self.dirty.is_empty() && self.marked.is_empty();
        if is_idle { IDLE_ROUNDS } else { 1 }
    }

    /// Has the next built partition rebuilt if it is time.
    pub(super) fn verify_next(&mut self, now: Time, interval_ms: u64) {
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

    pub(super) fn may_begin(&self, partition: PartitionId, peer: Incarnation) -> bool {
        let is_open = self.exchanges.values().any(|e| (e.partition, e.peer) == (partition, peer));
        !is_open && self.ready(partition).is_some()
    }

    pub(super) fn is_open(&self, round: u64, partition: PartitionId, peer: Incarnation) -> bool {
        self.exchanges.get(&round).is_some_and(|e| (e.partition, e.peer) == (partition, peer))
    }

    pub(super) fn complete(&mut self, round: u64) {
        if let Some(exchange) = self.exchanges.remove(&round) {
            *self.rounds.entry(exchange.peer).or_default() += 1;
        }
    }
}
