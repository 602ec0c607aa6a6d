//! Anti-entropy: the exchange between two owners of a partition that finds and mends differences.
//! Follows Dynamo (SOSP 2007) 4.7. The asker drives a round (`message.rs` has the arrows); the other side keeps no memory of it.
//! Invariant: a message of a round is taken only from an owner, and an answer only while its round is open.
//! Not here: the trees (`antientropy/trees`), what differs (`antientropy/compare`), merging what is pushed (`replica`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;

use crate::effect::{AdminReply, Event};
use crate::id::{Incarnation, Key, PartitionId};
use crate::message::{Message, Purpose, Replicate};
use crate::node::{Hold, Node};
use crate::planted::{Bug, planted};
use crate::record::Stored;
use crate::store::{Pair, Space, Store, StoreError};
use crate::time::Time;
use crate::tree::{FANOUT, LEAVES, PrefixRange, Tree};

mod compare;
#[cfg(test)]
mod tests;
mod trees;

use compare::{KEYS_MAX, KeyHash, PARTS_MAX, PUSH_BYTES_MAX, differences, is_key_of, list_keys, part_range};
pub(crate) use trees::Trees;
use trees::{BUILD_RECORDS, Exchange};

/// Rounds this node has open at once.
const EXCHANGES_MAX: usize = 8;
/// Pairs a turn looks at before it waits for the next.
const PAIRS_LOOKED_AT: u64 = 256;

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
        let rounds = self.trees.rounds_due();
        if now >= self.trees.last_exchange.plus(self.settings.tree_interval_ms.saturating_mul(rounds)) {
            self.trees.last_exchange = now;
            for _ in 0..rounds.min(EXCHANGES_MAX.saturating_sub(self.trees.exchanges.len()) as u64) {
                self.begin_round();
            }
        }
        Ok(())
    }

    /// When the trees want a tick at the latest. Soon if something is to be built or mended; else rarely, as each
    /// wake of an idle node costs.
    pub(crate) fn next_tree_wake(&self) -> Time {
        self.now.plus(self.settings.tree_interval_ms.saturating_mul(self.trees.rounds_due()))
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
            let state = Stored::read(&storage_key, value)?.state;
            let purpose = Purpose::AntiEntropy;
            let replicate = Replicate { op: 0, key, state, hint_for: None, remaining_ms: 0, purpose };
            self.send(Hold::Batch, to, Message::Replicate(replicate));
            self.observe(Event::AntiEntropyPush(to));
        }
        Ok(())
    }
}
