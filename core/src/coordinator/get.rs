//! Reads R replicas and folds what they show: for a client's get, or for a put that must read first.
//! Follows Dynamo (SOSP 2007) 4.5; fallbacks follow 4.6.
//! Invariants: one node counts once; a stand-in that holds nothing of the key counts only when nobody else is waited for, since the
//! write that it does not know of may be with an owner that is about to answer.
//! Not here: who must hold the fold before or after the answer (`repair`).

mod repair;

use std::collections::{BTreeMap, VecDeque};

use super::put::PutStart;
use super::{Role, Waiting};
use crate::causality::State;
use crate::effect::{Achieved, Event, Failure, Get, Origin, Reply};
use crate::id::{CommitNo, Incarnation, Key, PartitionId, RequestId};
use crate::message::{Fetch, FetchReply, Message};
use crate::node::{Hold, Node};
use crate::planted::{Bug, planted};
use crate::quorum::Quorum;
use crate::record::state_hash;
use crate::store::{Store, StoreError};
use crate::time::Time;

/// Who wants the fold.
#[derive(Debug)]
enum Reader {
    Client { token: u64, is_monotonic: bool },
    Put(Box<PutStart>),
}

impl Reader {
    fn origin(&self) -> Origin {
        match self {
            Reader::Client { token, .. } => Origin::Client(*token),
            Reader::Put(start) => start.origin,
        }
    }
}

#[derive(Debug)]
enum Phase {
    Asking,
    /// Monotonic: which primaries hold the fold.
    Repairing {
        holders: Quorum,
        achieved: Achieved,
    },
    /// Answered; late answers still tell what to repair.
    Answered,
}

/// One read of R replicas.
#[derive(Debug)]
pub(crate) struct FetchOp {
    reader: Reader,
    phase: Phase,
    key: Key,
    partition: PartitionId,
    request: Option<RequestId>,
    quorum: Quorum,
    fold: State,
    known_hash: u64,
    was_applied: bool,
    /// What each primary showed.
    shown: BTreeMap<Incarnation, u64>,
    /// Some of the fold came from a stand-in.
    has_stand_in: bool,
    /// Stand-ins that showed nothing, each with its owner.
    idle: Vec<(Incarnation, Incarnation)>,
    pub(crate) waiting: Waiting,
    fallbacks: VecDeque<Incarnation>,
    deadline: Time,
    /// Our own state is in the fold, or the fold in our store: `gate` must be synced.
    is_local_shown: bool,
    pub(crate) gate: Option<CommitNo>,
}

impl FetchOp {
    fn is_monotonic(&self) -> bool {
        matches!(self.reader, Reader::Client { is_monotonic: true, .. })
    }

    /// Counts an answer of `node`, whose state has this hash; that of a stand-in which holds nothing waits for [`Self::count_idle`].
    fn count(&mut self, node: Incarnation, stands_for: Option<Incarnation>, hash: u64) {
        self.has_stand_in |= stands_for.is_some();
        match stands_for {
            Some(owner) if hash == 0 => self.idle.push((node, owner)),
            _ => self.quorum.add(node, stands_for),
        }
    }

    /// Nobody is waited for, or there is no time to: stand-ins count whatever they showed. `patience_ms`: until an owner is late.
    fn count_idle(&mut self, now: Time, patience_ms: u64) {
        if self.waiting.is_patient() || now.plus(patience_ms) >= self.deadline {
            self.idle.drain(..).for_each(|(node, owner)| self.quorum.add(node, Some(owner)));
        }
    }

    /// Every primary that answered showed the fold.
    fn is_agreed(&self) -> bool {
        let mut hashes = self.shown.values();
        let first = hashes.next();
        !self.has_stand_in && hashes.all(|hash| Some(hash) == first)
    }
}

impl Node {
    pub(crate) fn start_get(
        &mut self,
        store: &mut dyn Store,
        token: u64,
        at: Time,
        get: Get,
    ) -> Result<(), StoreError> {
        let r = self.check_key(&get.key).and_then(|()| self.quorum_of("r", get.r, self.settings.cluster.read_quorum));
        let r = match r {
            Ok(r) => r,
            Err(failure) => {
                self.respond(Origin::Client(token), Hold::Now, Err(failure));
                return Ok(());
            }
        };
        let majority = self.majority();
        let needed = if get.is_monotonic { r.max(majority) } else { r };
        let quorum = Quorum::new(needed, self.is_sloppy() && !get.is_monotonic);
        let deadline = self.deadline(at, get.timeout_ms);
        let reader = Reader::Client { token, is_monotonic: get.is_monotonic };
        self.fetch(store, reader, get.key, None, quorum, deadline)
    }

    pub(crate) fn fetch_for_put(&mut self, store: &mut dyn Store, start: PutStart) -> Result<(), StoreError> {
        let quorum = Quorum::new(start.put.r, self.is_sloppy());
        let (key, deadline) = (start.put.key.clone(), start.deadline);
        let request = start.put.is_retry.then_some(start.put.request);
        self.fetch(store, Reader::Put(Box::new(start)), key, request, quorum, deadline)
    }

    fn majority(&self) -> u32 {
        self.layout.as_ref().map_or(1, |l| l.replication_factor / 2 + 1)
    }

    fn fetch(
        &mut self,
        store: &mut dyn Store,
        reader: Reader,
        key: Key,
        request: Option<RequestId>,
        quorum: Quorum,
        deadline: Time,
    ) -> Result<(), StoreError> {
        let partition = self.partition_of(&key);
        let id = self.new_op();
        self.runs(reader.origin(), id);
        let mut op = FetchOp {
            phase: Phase::Asking,
            partition,
            request,
            quorum,
            fold: State::default(),
            known_hash: 0,
            was_applied: false,
            shown: BTreeMap::new(),
            has_stand_in: false,
            idle: Vec::new(),
            waiting: Waiting::default(),
            is_local_shown: false,
            fallbacks: self.fallbacks(partition).into(),
            deadline,
            gate: None,
            reader,
            key,
        };
        let (primaries, me) = (self.primaries(partition), self.me());
        let is_missing = |p: &&Incarnation| **p != me && !self.is_reachable(**p);
        let missing: Vec<Incarnation> = primaries.iter().filter(is_missing).copied().collect();
        let mut stood_for = None;
        if primaries.contains(&me) {
            self.show_local(store, &mut op, None)?;
        } else if matches!(&op.reader, Reader::Put(start) if start.role == Role::Fallback) {
            stood_for = missing.first().or(primaries.first()).copied();
            self.show_local(store, &mut op, stood_for)?;
        }
        for primary in primaries.into_iter().filter(|p| *p != me) {
            if !missing.contains(&primary) {
                self.ask(&mut op, id, primary, None);
            } else if stood_for != Some(primary) {
                // Order: never a second stand-in for the owner we stand in for; it would add no copy and use up a fallback.
                self.ask_other(store, &mut op, id, primary)?;
            }
        }
        if op.is_local_shown {
            self.opened_in_batch(id);
        }
        self.fetches.insert(id, op);
        self.advance_fetch(store, id)
    }

    fn show_local(
        &mut self,
        store: &dyn Store,
        op: &mut FetchOp,
        stands_for: Option<Incarnation>,
    ) -> Result<(), StoreError> {
        let local = self.read_local(store, &op.key)?;
        let (state, me) = (local.record.state, self.me());
        op.was_applied |= op.request.is_some_and(|id| self.was_applied(&state, id));
        op.count(me, stands_for, local.hash);
        if stands_for.is_none() {
            op.known_hash = local.hash;
            op.shown.insert(me, op.known_hash);
        }
        op.is_local_shown = true;
        op.gate = None;
        op.fallbacks.retain(|node| *node != me);
        op.fold.merge(&state);
        Ok(())
    }

    fn ask(&mut self, op: &mut FetchOp, id: u64, to: Incarnation, stands_for: Option<Incarnation>) {
        let fetch = Fetch {
            op: id,
            key: op.key.clone(),
            known_hash: op.known_hash,
            request: op.request,
            remaining_ms: self.remaining(op.deadline),
            as_fallback: stands_for.is_some(),
        };
        op.waiting.ask(to, self.now, stands_for);
        self.send(Hold::Now, to, Message::Fetch(fetch));
    }

    /// In place of `owner`, which does not answer: the next live fallback, if fallbacks count.
    fn ask_other(
        &mut self,
        store: &dyn Store,
        op: &mut FetchOp,
        id: u64,
        owner: Incarnation,
    ) -> Result<(), StoreError> {
        if !self.is_sloppy() || op.is_monotonic() || !matches!(op.phase, Phase::Asking) {
            return Ok(());
        }
        while let Some(node) = op.fallbacks.pop_front() {
            if node == self.me() {
                self.opened_in_batch(id);
                return self.show_local(store, op, Some(owner));
            }
            if self.is_reachable(node) {
                self.ask(op, id, node, Some(owner));
                return Ok(());
            }
        }
        Ok(())
    }

    pub(crate) fn on_fetch_reply(
        &mut self,
        store: &mut dyn Store,
        from: Incarnation,
        reply: FetchReply,
    ) -> Result<(), StoreError> {
        let Some(op) = self.fetches.get_mut(&reply.op) else { return Ok(()) };
        let hash = match reply.state {
            None => op.known_hash,
            Some(bytes) => {
                let hash = state_hash(&bytes);
                let Ok(state) = State::decode(bytes) else {
                    self.observe(Event::MalformedMessage(from));
                    return self.replace_in_fetch(store, reply.op, from, true);
                };
                if matches!(op.phase, Phase::Asking | Phase::Answered) {
                    op.fold.merge(&state);
                }
                hash
            }
        };
        let asked = op.waiting.remove(from);
        if asked.is_none() && !planted(Bug::AnswersCountedTwice) {
            return Ok(());
        }
        op.was_applied |= reply.was_applied;
        let is_primary = self.ring.as_ref().is_some_and(|r| r.is_primary(op.partition, from));
        let stands_for = asked.and_then(|asked| asked.stands_for);
        op.count(from, stands_for, hash);
        if is_primary {
            op.shown.insert(from, hash);
            if matches!(op.phase, Phase::Repairing { .. }) {
                self.repair_holder(reply.op, from, hash);
            }
        }
        self.advance_fetch(store, reply.op)
    }

    pub(crate) fn on_fetch_refused(
        &mut self,
        store: &mut dyn Store,
        from: Incarnation,
        id: u64,
    ) -> Result<(), StoreError> {
        self.replace_in_fetch(store, id, from, true)
    }

    /// `from` is late, or will not answer.
    pub(crate) fn replace_in_fetch(
        &mut self,
        store: &mut dyn Store,
        id: u64,
        from: Incarnation,
        is_gone: bool,
    ) -> Result<(), StoreError> {
        let Some(mut op) = self.fetches.remove(&id) else { return Ok(()) };
        if let Some(owner) = op.waiting.replace(from, is_gone) {
            self.ask_other(store, &mut op, id, owner)?;
        }
        self.fetches.insert(id, op);
        self.advance_fetch(store, id)
    }

    fn advance_fetch(&mut self, store: &mut dyn Store, id: u64) -> Result<(), StoreError> {
        let (now, patience_ms) = (self.now, self.settings.replica_timeout_ms);
        let Some(op) = self.fetches.get_mut(&id) else { return Ok(()) };
        if matches!(op.phase, Phase::Asking) {
            op.count_idle(now, patience_ms);
            if op.quorum.is_reached() {
                if matches!(op.reader, Reader::Put(_)) {
                    return self.end_fetch(id).map_or(Ok(()), |op| self.begin_put(store, op));
                }
                if op.is_monotonic() {
                    self.begin_monotonic(store, id)?;
                } else {
                    self.answer_if_synced(id);
                }
            } else if op.waiting.is_empty() {
                let failure = op.quorum.failure(false, false);
                self.fail_fetch(id, failure);
            }
        }
        let Some(op) = self.fetches.get(&id) else { return Ok(()) };
        if matches!(op.phase, Phase::Answered) && op.waiting.is_patient() {
            return self.repair_shown(store, id);
        }
        let late_at = op.waiting.next_late(self.settings.replica_timeout_ms);
        let mut at = late_at.map_or(op.deadline, |at| at.min(op.deadline));
        if matches!(op.phase, Phase::Asking) && !op.idle.is_empty() {
            at = at.min(Time(op.deadline.0.saturating_sub(patience_ms)));
        }
        self.timers.set(id, at);
        Ok(())
    }

    fn end_fetch(&mut self, id: u64) -> Option<FetchOp> {
        self.answered.remove(&id);
        self.timers.remove(id);
        self.fetches.remove(&id)
    }

    fn begin_put(&mut self, store: &mut dyn Store, op: FetchOp) -> Result<(), StoreError> {
        match op.reader {
            Reader::Put(start) => self.put_read(store, *start, op.fold, op.was_applied),
            Reader::Client { .. } => Ok(()),
        }
    }

    /// R have answered an eventual read: so does it, once what we showed ourselves is synced.
    fn answer_if_synced(&mut self, id: u64) {
        let Some(op) = self.fetches.get(&id) else { return };
        let Reader::Client { token, .. } = op.reader else { return };
        if op.is_local_shown && !self.is_synced(op.gate) {
            return;
        }
        let (key, fold, achieved) = (op.key.clone(), op.fold.clone(), op.quorum.achieved());
        self.answer(token, Hold::Now, &key, &fold, achieved);
        self.answered.insert(id);
        if let Some(op) = self.fetches.get_mut(&id) {
            op.phase = Phase::Answered;
        }
    }

    fn answer(&mut self, token: u64, hold: Hold, key: &Key, fold: &State, achieved: Achieved) {
        let context = fold.context();
        let context = if context.0.is_empty() { bytes::Bytes::new() } else { context.to_token(self.cluster_id(), key) };
        self.respond(Origin::Client(token), hold, Ok(Reply::Get { siblings: fold.live(), context, achieved }));
    }

    fn fail_fetch(&mut self, id: u64, failure: Failure) {
        let Some(op) = self.end_fetch(id) else { return };
        match op.reader {
            Reader::Client { token, .. } if !matches!(op.phase, Phase::Answered) => {
                self.reply(Hold::Now, token, Err(failure));
            }
            Reader::Client { .. } => {}
            Reader::Put(start) => self.respond(start.origin, Hold::Now, Err(failure)),
        }
    }

    pub(crate) fn on_fetch_timer(&mut self, store: &mut dyn Store, id: u64) -> Result<(), StoreError> {
        let Some(op) = self.fetches.get(&id) else { return Ok(()) };
        if self.now >= op.deadline {
            if matches!(op.phase, Phase::Answered) {
                return self.repair_shown(store, id);
            }
            let failure = op.quorum.failure(true, false);
            self.fail_fetch(id, failure);
            return Ok(());
        }
        for (node, since) in op.waiting.late(self.now, self.settings.replica_timeout_ms) {
            self.miss(node, since);
            self.replace_in_fetch(store, id, node, false)?;
        }
        self.advance_fetch(store, id)
    }
}
