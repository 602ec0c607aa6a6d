//! Runs client requests: who coordinates, what is valid, and when an operation looks at the clock.
//! Follows Dynamo (SOSP 2007) 4.5. Puts, gets and forwards each have their file below.
//! Invariant: every operation has a deadline and ends by it.

use crate::causality::Context;
use crate::effect::{Failure, Origin, Put, Reply, Request};
use crate::id::{ClusterId, CommitNo, Incarnation, Key, PartitionId};
use crate::message::Message;
use crate::minting::COUNTER_MAX;
use crate::node::{Hold, Node};
use crate::planted::{Bug, planted};
use crate::quorum::Quorum;
use crate::store::{Store, StoreError};
use crate::time::Time;

mod forward;
mod get;
mod put;
mod waiting;
pub(crate) use forward::{ForwardOp, ForwardedHere};
pub use forward::{decode_forwarded_outcome, decode_forwarded_put};
pub(crate) use get::FetchOp;
pub(crate) use put::PutOp;
pub(crate) use waiting::{Timers, Waiting};

/// Writers in a context: a key gets a new one for each node and unclean boot that wrote it.
const CONTEXT_ACTORS_MAX: usize = 4_096;

/// In which part this node coordinates a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Primary,
    Fallback,
}

/// Who should coordinate a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Here(Role),
    Forward(Incarnation),
    Nowhere,
}

impl Node {
    pub(crate) fn partition_of(&self, key: &Key) -> PartitionId {
        self.ring.as_ref().map_or(PartitionId(0), |ring| ring.partition_of(key))
    }

    pub(crate) fn primaries(&self, partition: PartitionId) -> Vec<Incarnation> {
        self.ring.as_ref().map_or_else(Vec::new, |ring| ring.primaries(partition).to_vec())
    }

    pub(crate) fn fallbacks(&self, partition: PartitionId) -> Vec<Incarnation> {
        self.ring.as_ref().map_or_else(Vec::new, |ring| ring.fallbacks(partition).to_vec())
    }

    pub(crate) fn is_primary(&self, partition: PartitionId, node: Incarnation) -> bool {
        self.ring.as_ref().is_some_and(|ring| ring.is_primary(partition, node))
    }

    pub(crate) fn is_sloppy(&self) -> bool {
        self.settings.cluster.sloppy
    }

    pub(crate) fn cluster_id(&self) -> ClusterId {
        self.layout.as_ref().map_or(ClusterId(0), |l| l.cluster_id)
    }

    pub(crate) fn route(&self, partition: PartitionId) -> Route {
        if self.is_primary(partition, self.me()) {
            return Route::Here(Role::Primary);
        }
        let primary = self.primaries(partition).into_iter().find(|p| self.is_reachable(*p));
        if let Some(primary) = primary {
            return Route::Forward(primary);
        }
        if !self.is_sloppy() {
            return Route::Nowhere;
        }
        let live = |node: &Incarnation| *node == self.me() || self.is_reachable(*node);
        match self.fallbacks(partition).into_iter().find(live) {
            Some(node) if node != self.me() => Route::Forward(node),
            Some(_) => Route::Here(Role::Fallback),
            None => Route::Nowhere,
        }
    }

    pub(crate) fn deadline(&self, at: Time, timeout_ms: u32) -> Time {
        let timeout = if timeout_ms == 0 { self.settings.timeout_ms } else { timeout_ms };
        at.plus(u64::from(timeout.min(self.settings.timeout_ms_max)))
    }

    /// The failure of a request whose time was over before it was begun.
    pub(crate) fn expired(&self, at: Time, request: &Request) -> Option<Failure> {
        let cluster = &self.settings.cluster;
        let (timeout_ms, asked, default) = match request {
            Request::Get(get) => (get.timeout_ms, get.r, cluster.read_quorum),
            Request::Put(put) => (put.timeout_ms, put.w, cluster.write_quorum),
        };
        let needed = if asked == 0 { default } else { asked };
        (self.now >= self.deadline(at, timeout_ms)).then(|| Quorum::new(needed, true).failure(true, false))
    }

    /// Time left for a message, at least 1 ms: 0 would mean no limit.
    pub(crate) fn remaining(&self, deadline: Time) -> u32 {
        u32::try_from(self.now.until(deadline)).unwrap_or(u32::MAX).max(1)
    }

    pub(crate) fn respond(&mut self, origin: Origin, hold: Hold, outcome: Result<Reply, Failure>) {
        if outcome.is_ok() {
            self.pace.ended();
        }
        match origin {
            Origin::Client(token) => self.reply(hold, token, outcome),
            Origin::Forwarded { from, op } => {
                let outcome = forward::encode_outcome(&outcome);
                self.send(hold, from, Message::ForwardReply { op, outcome });
            }
        }
    }

    pub(crate) fn check_key(&self, key: &Key) -> Result<(), Failure> {
        if key.key().is_empty() {
            return Err(Failure::InvalidArgument("the key is empty; it needs at least one byte".to_owned()));
        }
        let bytes_max = u64::from(self.settings.cluster.limits.key_bytes_max);
        for (what, part) in [("the key", key.key()), ("the bucket", key.bucket())] {
            if part.len() as u64 > bytes_max {
                return Err(Failure::TooLarge { what: what.to_owned(), bytes: part.len() as u64, bytes_max });
            }
        }
        Ok(())
    }

    /// The quorum asked for, or the cluster's.
    pub(crate) fn quorum_of(&self, name: &str, asked: u32, default: u32) -> Result<u32, Failure> {
        let replicas = self.layout.as_ref().map_or(0, |l| l.replication_factor);
        if asked > replicas {
            let text = format!("{name} = {asked} is more than the replication factor {replicas}");
            return Err(Failure::InvalidArgument(text));
        }
        Ok(if asked == 0 { default } else { asked })
    }

    pub(crate) fn check_put(&self, put: &mut Put) -> Result<Context, Failure> {
        self.check_key(&put.key)?;
        let limits = self.settings.cluster.limits;
        let bytes = put.value.as_ref().map_or(0, |v| v.len() as u64);
        let bytes_max = u64::from(limits.value_bytes_max);
        if bytes > bytes_max {
            return Err(Failure::TooLarge { what: "the value".to_owned(), bytes, bytes_max });
        }
        put.r = self.quorum_of("r", put.r, self.settings.cluster.read_quorum)?;
        put.w = self.quorum_of("w", put.w, self.settings.cluster.write_quorum)?;
        let context = Context::from_token(&put.context, self.cluster_id(), &put.key);
        let context = context.map_err(|e| Failure::BadContext(e.0.to_owned()))?;
        self.check_context(&context).map_err(|why| Failure::BadContext(why.to_owned()))?;
        Ok(context)
    }

    /// Anybody can compute a token's checksum. One that covers what was never written would cover what is written next.
    fn check_context(&self, context: &Context) -> Result<(), &'static str> {
        if context.0.len() > CONTEXT_ACTORS_MAX {
            return Err("it names more writers than any key has");
        }
        for (actor, top) in &context.0 {
            if self.layout.as_ref().is_none_or(|layout| layout.member(actor.incarnation).is_none()) {
                return Err("it names a writer that is no member of this cluster");
            }
            if actor.incarnation == self.me() && !self.minting.has_made(actor.epoch) {
                return Err("it covers writes of this node that were never made");
            }
            if *top > COUNTER_MAX {
                return Err("it covers more writes than can have been made");
            }
        }
        Ok(())
    }

    /// The commit that an operation read from, or wrote in, is synced. Only then may it answer, so that a disk that
    /// stalls ends it by its deadline.
    pub(crate) fn is_synced(&self, gate: Option<CommitNo>) -> bool {
        gate.is_some_and(|gate| gate <= self.synced || planted(Bug::EffectBeforeSync))
    }

    pub(crate) fn set_gate(&mut self, op: u64, commit: CommitNo) {
        if let Some(put) = self.puts.get_mut(&op) {
            put.gate.get_or_insert(commit);
        }
        if let Some(fetch) = self.fetches.get_mut(&op) {
            fetch.gate = Some(commit);
        }
    }

    pub(crate) fn on_local_ack(&mut self, op: u64) {
        self.on_put_stored_here(op);
        self.on_fold_stored_here(op);
    }

    pub(crate) fn on_timer(&mut self, store: &mut dyn Store, op: u64) -> Result<(), StoreError> {
        if planted(Bug::DeadlinesIgnored) {
            return Ok(());
        }
        self.on_put_timer(store, op)?;
        self.on_fetch_timer(store, op)?;
        self.on_forward_timer(op);
        Ok(())
    }

    /// Everything that waits for `peer` turns to someone else.
    pub(crate) fn on_peer_lost(&mut self, store: &mut dyn Store, peer: Incarnation) -> Result<(), StoreError> {
        let puts: Vec<u64> = self.puts.iter().filter(|(_, p)| p.waiting.waits_for(peer)).map(|(op, _)| *op).collect();
        for op in puts {
            self.replace_in_put(store, op, peer, true)?;
        }
        let fetches: Vec<u64> =
            self.fetches.iter().filter(|(_, f)| f.waiting.waits_for(peer)).map(|(op, _)| *op).collect();
        for op in fetches {
            self.replace_in_fetch(store, op, peer, true)?;
        }
        self.fail_forwards_to(peer);
        Ok(())
    }

    pub(crate) fn on_replicate_ack(
        &mut self,
        store: &mut dyn Store,
        from: Incarnation,
        op: u64,
        state_hash: u64,
    ) -> Result<(), StoreError> {
        if self.puts.contains_key(&op) {
            self.on_put_ack(from, op, state_hash);
        } else if self.fetches.contains_key(&op) {
            self.on_repair_ack(from, op, state_hash);
        } else {
            self.on_handoff_ack(store, from, op, state_hash)?;
        }
        Ok(())
    }

    pub(crate) fn on_replicate_refused(
        &mut self,
        store: &mut dyn Store,
        from: Incarnation,
        op: u64,
        _reason: crate::message::Refusal,
    ) -> Result<(), StoreError> {
        if self.puts.contains_key(&op) {
            self.replace_in_put(store, op, from, true)?;
        } else if self.fetches.contains_key(&op) {
            self.replace_in_fetch(store, op, from, true)?;
        } else {
            self.on_handoff_refused(op);
        }
        Ok(())
    }
}
