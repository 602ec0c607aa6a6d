//! Coordinates one put: the local write, its replication, and the moment the client may be told.
//! Follows Dynamo (SOSP 2007) 4.5; fallbacks and hints follow 4.6; intents and request ids are design.md, Put.
//! Invariant: no success leaves before `w` distinct replicas have the write on disk; ours counts when its commit is synced.
//! A failed put may still become visible later: replicas keep what they took.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Role, Route, Waiting};
use crate::causality::{Context, Payload, State};
use crate::effect::{Event, Failure, Intent, Origin, Put, Reply};
use crate::id::{CommitNo, Incarnation, Key, PartitionId};
use crate::message::{Message, Purpose, Replicate};
use crate::node::{Hold, Node};
use crate::planted::{Bug, planted};
use crate::quorum::Quorum;
use crate::record::state_hash;
use crate::replica::Local;
use crate::store::{Store, StoreError};
use crate::time::Time;

/// A put under way: checked, and with its deadline.
#[derive(Clone, Debug)]
pub(crate) struct PutStart {
    pub(crate) origin: Origin,
    pub(crate) put: Put,
    pub(crate) context: Context,
    pub(crate) role: Role,
    pub(crate) deadline: Time,
}

/// A put whose state travels.
#[derive(Debug)]
pub(crate) struct PutOp {
    origin: Origin,
    key: Key,
    partition: PartitionId,
    state: Bytes,
    hash: u64,
    quorum: Quorum,
    pub(crate) waiting: Waiting,
    fallbacks: VecDeque<Incarnation>,
    is_local_pending: bool,
    /// Whose copy ours is, if we are no owner.
    stands_for: Option<Incarnation>,
    has_replied: bool,
    deadline: Time,
    context: Bytes,
    siblings: u32,
    was_applied: bool,
    pub(crate) gate: Option<CommitNo>,
}

impl PutOp {
    /// Nothing more can come of it. Once the client has its answer, who is late has been replaced.
    fn is_over(&self) -> bool {
        if self.has_replied { self.waiting.is_patient() } else { self.waiting.is_empty() && !self.is_local_pending }
    }
}

impl Node {
    pub(crate) fn start_put(
        &mut self,
        store: &mut dyn Store,
        token: u64,
        at: Time,
        mut put: Put,
    ) -> Result<(), StoreError> {
        let origin = Origin::Client(token);
        let context = match self.check_put(&mut put) {
            Ok(context) => context,
            Err(failure) => {
                self.respond(origin, Hold::Now, Err(failure));
                return Ok(());
            }
        };
        let deadline = self.deadline(at, put.timeout_ms);
        match self.route(self.partition_of(&put.key)) {
            Route::Here(role) => self.coordinate(store, PutStart { origin, put, context, role, deadline })?,
            Route::Forward(to) => self.forward(origin, put, to, deadline),
            Route::Nowhere => self.respond(origin, Hold::Now, Err(unsent(&put))),
        }
        Ok(())
    }

    /// Reads first if the intent or a retry asks for it, else mints at once.
    pub(crate) fn coordinate(&mut self, store: &mut dyn Store, mut start: PutStart) -> Result<(), StoreError> {
        // Known here, it is a retry whatever it says: minted twice, it could come back after it was covered.
        let is_known = self.minting.applied.has(start.put.request);
        start.put.is_retry |= is_known;
        let put = &start.put;
        if is_known && start.role == Role::Primary {
            let local = self.read_local(store, &put.key)?;
            if self.was_applied(&local.record.state, put.request) {
                return self.put_read(store, start, State::default(), true);
            }
        }
        if put.is_retry || matches!(put.intent, Intent::CreateOnly | Intent::OverwriteAll) {
            return self.fetch_for_put(store, start);
        }
        self.put_minted(store, start, &State::default(), None)
    }

    /// R replicas showed `seen`; `was_applied`: what one of them showed knows this very request.
    pub(crate) fn put_read(
        &mut self,
        store: &mut dyn Store,
        start: PutStart,
        seen: State,
        was_applied: bool,
    ) -> Result<(), StoreError> {
        // Another attempt may have minted here while this one was reading.
        let local = self.read_local(store, &start.put.key)?;
        let is_known_here = self.was_applied(&local.record.state, start.put.request);
        if was_applied || is_known_here && !planted(Bug::DoubledForwardRunsTwice) {
            self.observe(Event::RetryRecognised);
            let state = match start.role {
                Role::Primary => self.merge_data(store, &start.put.key, local, &seen)?.record.state,
                Role::Fallback => {
                    let mut state = local.record.state;
                    state.merge(&seen);
                    state
                }
            };
            let encoded = state.encode();
            return self.replicate(store, start, &state, encoded, true);
        }
        self.put_minted(store, start, &seen, Some(local))
    }

    /// `local`: what this node holds, if that is known already.
    fn put_minted(
        &mut self,
        store: &mut dyn Store,
        mut start: PutStart,
        seen: &State,
        local: Option<Local>,
    ) -> Result<(), StoreError> {
        if self.now >= start.deadline {
            let failure = Quorum::new(start.put.w, self.is_sloppy()).failure(true, false);
            self.respond(start.origin, Hold::Now, Err(failure));
            return Ok(());
        }
        let key = start.put.key.clone();
        let local = local.map_or_else(|| self.read_local(store, &key), Ok)?;
        let (live, live_seen) = (local.record.state.live_count() as u32, seen.live_count() as u32);
        match start.put.intent {
            Intent::WithContext => {}
            Intent::AddSibling => start.context = Context::default(),
            Intent::CreateOnly if live.max(live_seen) > 0 => {
                let failure = Failure::AlreadyExists { siblings: live.max(live_seen) };
                self.respond(start.origin, Hold::Batch, Err(failure));
                return Ok(());
            }
            Intent::CreateOnly | Intent::OverwriteAll => start.context = seen.context(),
        }
        // Tombstones and repeats are held and travel as well. A put that covers at least one does not add to them.
        let siblings_max = self.settings.cluster.limits.siblings_max;
        let siblings = local.record.state.dots().count() as u32;
        if siblings >= siblings_max && !local.record.state.dots().any(|(dot, _)| start.context.covers(dot)) {
            self.respond(start.origin, Hold::Batch, Err(Failure::TooManySiblings { siblings, siblings_max }));
            return Ok(());
        }
        let payload = Payload { request: start.put.request, value: start.put.value.clone() };
        if start.role == Role::Primary {
            let local = self.merge_data(store, &key, local, seen)?;
            let (state, encoded) = self.mint_data(store, &key, local, &start.context, payload);
            return self.replicate(store, start, &state, encoded.state, false);
        }
        let mut record = local.record;
        record.state.merge(seen);
        self.minting.mint_as_fallback(&key, &mut record, &start.context, payload);
        let encoded = record.state.encode();
        self.replicate(store, start, &record.state, encoded, false)
    }

    /// Sends the whole state to every other primary, or to who stands in for it.
    fn replicate(
        &mut self,
        store: &mut dyn Store,
        start: PutStart,
        state: &State,
        encoded: Bytes,
        was_applied: bool,
    ) -> Result<(), StoreError> {
        let PutStart { origin, put, role, deadline, .. } = start;
        let partition = self.partition_of(&put.key);
        let is_alone = state.live().iter().all(|p| p.request == put.request);
        let context = if is_alone { state.context().to_token(self.cluster_id(), &put.key) } else { Bytes::new() };
        let mut fallbacks: VecDeque<Incarnation> = self.fallbacks(partition).into();
        fallbacks.retain(|node| *node != self.me());
        let mut op = PutOp {
            origin,
            partition,
            hash: state_hash(&encoded),
            quorum: Quorum::new(put.w, self.is_sloppy()),
            waiting: Waiting::default(),
            fallbacks,
            is_local_pending: true,
            stands_for: None,
            has_replied: false,
            deadline,
            context,
            siblings: state.live_count() as u32,
            was_applied,
            gate: None,
            state: encoded,
            key: put.key.clone(),
        };
        let mut missing: Vec<Incarnation> = Vec::new();
        let primaries = self.primaries(partition);
        let id = self.new_op();
        self.runs(origin, id);
        let hold = if was_applied { Hold::Batch } else { Hold::Now };
        let me = self.me();
        for primary in primaries.iter().copied().filter(|p| *p != me) {
            if self.is_reachable(primary) {
                self.ask_replica(&mut op, id, primary, None, hold);
            } else {
                missing.push(primary);
            }
        }
        if role == Role::Fallback {
            let target = if missing.is_empty() { primaries.first().copied() } else { Some(missing.remove(0)) };
            let Some(target) = target else { return Ok(()) };
            op.stands_for = Some(target);
            if self.store_hint(store, target, &op.key, state)?.is_err() {
                // Our own hint is what the write would rest on; without it we are not a replica of this put.
                op.is_local_pending = false;
            }
        }
        self.opened_in_batch(id);
        for target in missing {
            self.ask_fallback(store, &mut op, id, target, hold)?;
        }
        self.puts.insert(id, op);
        self.advance_put(id);
        Ok(())
    }

    fn ask_replica(&mut self, op: &mut PutOp, id: u64, to: Incarnation, hint_for: Option<Incarnation>, hold: Hold) {
        let replicate = Replicate {
            op: id,
            key: op.key.clone(),
            state: op.state.clone(),
            hint_for,
            remaining_ms: self.remaining(op.deadline),
            purpose: Purpose::Put,
        };
        op.waiting.ask(to, self.now, hint_for);
        self.send(hold, to, Message::Replicate(replicate));
    }

    /// The next live fallback holds the state for `target`. If there is none, or no time left, we keep a surplus hint,
    /// which never counts.
    fn ask_fallback(
        &mut self,
        store: &mut dyn Store,
        op: &mut PutOp,
        id: u64,
        target: Incarnation,
        hold: Hold,
    ) -> Result<(), StoreError> {
        while self.now < op.deadline
            && let Some(node) = op.fallbacks.pop_front()
        {
            if self.is_reachable(node) {
                self.ask_replica(op, id, node, Some(target), hold);
                return Ok(());
            }
        }
        if target == self.me() {
            return Ok(());
        }
        let state = State::decode(op.state.clone()).unwrap_or_default();
        if self.store_hint(store, target, &op.key, &state)?.is_err() {
            self.observe(Event::HintDropped(target));
            self.trees.mark_dirty(op.partition);
        }
        Ok(())
    }

    pub(crate) fn on_put_stored_here(&mut self, id: u64) {
        let me = self.me();
        let Some(op) = self.puts.get_mut(&id) else { return };
        if std::mem::take(&mut op.is_local_pending) {
            op.quorum.add(me, op.stands_for);
        }
        self.advance_put(id);
    }

    pub(crate) fn on_put_ack(&mut self, from: Incarnation, id: u64, hash: u64) {
        let Some(op) = self.puts.get_mut(&id) else { return };
        if op.hash != hash {
            return;
        }
        let asked = op.waiting.remove(from);
        if asked.is_some() || planted(Bug::AnswersCountedTwice) {
            op.quorum.add(from, asked.and_then(|asked| asked.stands_for));
        }
        self.advance_put(id);
    }

    /// `from` is late, or will not keep it: whoever it stood for gets another stand-in.
    pub(crate) fn replace_in_put(
        &mut self,
        store: &mut dyn Store,
        id: u64,
        from: Incarnation,
        is_gone: bool,
    ) -> Result<(), StoreError> {
        let Some(mut op) = self.puts.remove(&id) else { return Ok(()) };
        if let Some(target) = op.waiting.replace(from, is_gone) {
            self.ask_fallback(store, &mut op, id, target, Hold::Batch)?;
        }
        self.puts.insert(id, op);
        self.advance_put(id);
        Ok(())
    }

    /// Replies when decided; forgets the operation when nothing more can come of it.
    fn advance_put(&mut self, id: u64) {
        let Some(op) = self.puts.get(&id) else { return };
        if !op.has_replied {
            if op.quorum.is_reached() && self.is_synced(op.gate) {
                let (context, siblings, was_applied) = (op.context.clone(), op.siblings, op.was_applied);
                let achieved = op.quorum.achieved();
                self.reply_to_put(id, Ok(Reply::Put { context, siblings, achieved, was_applied }));
            } else if op.is_over() && !op.quorum.is_reached() {
                let failure = op.quorum.failure(false, true);
                self.reply_to_put(id, Err(failure));
            }
        }
        let Some(op) = self.puts.get(&id) else { return };
        if op.has_replied && op.is_over() {
            self.puts.remove(&id);
            self.answered.remove(&id);
            self.timers.remove(id);
            return;
        }
        let late_at = op.waiting.next_late(self.settings.replica_timeout_ms);
        let next = if op.has_replied { late_at } else { Some(late_at.map_or(op.deadline, |at| at.min(op.deadline))) };
        if let Some(at) = next {
            self.timers.set(id, at);
        }
    }

    fn reply_to_put(&mut self, id: u64, outcome: Result<Reply, Failure>) {
        let Some(op) = self.puts.get_mut(&id) else { return };
        op.has_replied = true;
        let origin = op.origin;
        self.answered.insert(id);
        self.respond(origin, Hold::Now, outcome);
    }

    pub(crate) fn on_put_timer(&mut self, store: &mut dyn Store, id: u64) -> Result<(), StoreError> {
        let Some(op) = self.puts.get(&id) else { return Ok(()) };
        let late = op.waiting.late(self.now, self.settings.replica_timeout_ms);
        if self.now >= op.deadline && !op.has_replied {
            let failure = op.quorum.failure(true, true);
            self.reply_to_put(id, Err(failure));
        }
        for (node, since) in late {
            self.miss(node, since);
            self.replace_in_put(store, id, node, false)?;
        }
        self.advance_put(id);
        Ok(())
    }
}

fn unsent(put: &Put) -> Failure {
    Failure::QuorumNotReached { needed: put.w, primaries: 0, fallbacks: 0, maybe_applied: false }
}
