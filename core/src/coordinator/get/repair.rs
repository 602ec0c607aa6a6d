//! Gives the fold of a read to primaries that showed less: after the answer, or, for a monotonic one, before it.
//! Follows Dynamo (SOSP 2007) 4.5 for read repair, and ABD (JACM 1995) for `monotonic`.
//! Invariant: a monotonic answer is held by a majority of primaries when it leaves.

use super::{Phase, Reader};
use crate::effect::Event;
use crate::id::Incarnation;
use crate::message::{Message, Purpose, Replicate};
use crate::node::{Hold, Node};
use crate::planted::{Bug, planted};
use crate::quorum::Quorum;
use crate::store::{Store, StoreError};

impl Node {
    /// Fixes the fold and makes sure that a majority of primaries holds it.
    pub(super) fn begin_monotonic(&mut self, store: &mut dyn Store, id: u64) -> Result<(), StoreError> {
        let majority = self.majority();
        let Some(op) = self.fetches.get_mut(&id) else { return Ok(()) };
        let achieved = op.quorum.achieved();
        op.phase = Phase::Repairing { holders: Quorum::new(majority, false), achieved };
        let shown: Vec<(Incarnation, u64)> = op.shown.iter().map(|(n, h)| (*n, *h)).collect();
        let (key, fold, me) = (op.key.clone(), op.fold.clone(), self.settings.incarnation);
        let mut merged_here = false;
        if shown.iter().any(|(_, hash)| *hash != fold.hash()) {
            self.observe(Event::StaleRead);
        }
        for (node, hash) in shown {
            if node == me && hash != fold.hash() {
                let local = self.load(store, &key)?;
                self.merge_data(store, &key, local, &fold)?;
                merged_here = true;
            } else {
                self.repair_holder(id, node, hash);
            }
        }
        if merged_here {
            self.opened_in_batch(id);
            if let Some(op) = self.fetches.get_mut(&id) {
                op.is_local_shown = true;
                op.gate = None;
            }
        }
        self.finish_monotonic(id);
        Ok(())
    }

    /// A primary showed `hash`: it holds the fold already, or is sent it.
    pub(super) fn repair_holder(&mut self, id: u64, node: Incarnation, hash: u64) {
        let now = self.now;
        let Some(op) = self.fetches.get_mut(&id) else { return };
        let Phase::Repairing { holders, .. } = &mut op.phase else { return };
        if hash == op.fold.hash() {
            holders.add(node, None);
            self.finish_monotonic(id);
            return;
        }
        let replicate = Replicate {
            op: id,
            key: op.key.clone(),
            state: op.fold.encode(),
            hint_for: None,
            remaining_ms: u32::try_from(now.until(op.deadline)).unwrap_or(u32::MAX).max(1),
            purpose: Purpose::Repair,
        };
        op.waiting.ask(node, now, None);
        self.observe(Event::ReadRepair(node));
        self.send(Hold::Batch, node, Message::Replicate(replicate));
    }

    pub(crate) fn on_repair_ack(&mut self, from: Incarnation, id: u64, hash: u64) {
        let Some(op) = self.fetches.get_mut(&id) else { return };
        let fold_hash = op.fold.hash();
        let Phase::Repairing { holders, .. } = &mut op.phase else { return };
        if hash == fold_hash {
            op.waiting.remove(from);
            holders.add(from, None);
            self.finish_monotonic(id);
        }
    }

    pub(crate) fn on_fold_stored_here(&mut self, id: u64) {
        let me = self.me();
        let Some(op) = self.fetches.get_mut(&id) else { return };
        if op.gate.is_none_or(|gate| gate > self.synced) {
            return;
        }
        if let Phase::Repairing { holders, .. } = &mut op.phase {
            if op.shown.contains_key(&me) {
                holders.add(me, None);
            }
            return self.finish_monotonic(id);
        }
        let is_read = matches!(op.phase, Phase::Asking) && op.quorum.is_reached();
        if !is_read || !matches!(op.reader, Reader::Client { is_monotonic: false, .. }) {
            return;
        }
        self.answer_if_synced(id);
        let Some(op) = self.fetches.get(&id) else { return };
        if op.waiting.is_patient() && op.is_agreed() {
            self.end_fetch(id);
        } else if op.waiting.is_patient() {
            // The repair needs the store: the next tick does it.
            self.timers.set(id, self.now);
        }
    }

    fn finish_monotonic(&mut self, id: u64) {
        let Some(op) = self.fetches.get(&id) else { return };
        let (Phase::Repairing { holders, achieved }, Reader::Client { token, .. }) = (&op.phase, &op.reader) else {
            return;
        };
        let is_held = holders.is_reached() && (!op.is_local_shown || self.is_synced(op.gate));
        if !is_held && !planted(Bug::MonotonicSkipsRepair) {
            return;
        }
        let (token, achieved) = (*token, *achieved);
        if let Some(op) = self.end_fetch(id) {
            self.answer(token, Hold::Now, &op.key, &op.fold, achieved);
        }
    }

    /// After the answer: every primary that showed less gets the fold.
    pub(super) fn repair_shown(&mut self, store: &mut dyn Store, id: u64) -> Result<(), StoreError> {
        let Some(op) = self.end_fetch(id).filter(|op| !op.is_agreed()) else { return Ok(()) };
        let (hash, state) = (op.fold.hash(), op.fold.encode());
        if op.shown.values().any(|shown| *shown != hash) {
            self.observe(Event::StaleRead);
        }
        for (node, _) in op.shown.iter().filter(|(_, shown)| **shown != hash) {
            self.observe(Event::ReadRepair(*node));
            if *node == self.me() {
                let local = self.load(store, &op.key)?;
                self.merge_data(store, &op.key, local, &op.fold)?;
                continue;
            }
            let (key, state) = (op.key.clone(), state.clone());
            let purpose = Purpose::Repair;
            let replicate = Replicate { op: 0, key, state, hint_for: None, remaining_ms: 0, purpose };
            self.send(Hold::Batch, *node, Message::Replicate(replicate));
        }
        Ok(())
    }
}
