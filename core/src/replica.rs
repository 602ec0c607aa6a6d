//! What a replica does for a coordinator: keeps whole states, shows them, and remembers which puts it has seen.
//! Follows Dynamo (SOSP 2007) 4.5 and 4.6; `own_epoch` rules of design.md, Causality.
//! Invariant: a stored state only grows (merge), and its hash tree entry changes in the same batch.

use bytes::Bytes;

use crate::causality::{Actor, Context, Payload, State};
use crate::effect::{Event, Peeked};
use crate::id::{Incarnation, Key, RequestId};
use crate::message::{Fetch, FetchReply, Message, Purpose, Refusal, Replicate};
use crate::node::{Hold, Node};
use crate::planted::{Bug, planted};
use crate::record::{Encoded, Record, Stored, state_hash};
use crate::store::{Space, Store, StoreError};
use crate::time::Time;

/// What this node holds of a key, as an operation found it.
#[derive(Debug, Default)]
pub(crate) struct Local {
    pub(crate) record: Record,
    /// Of the record's state.
    pub(crate) hash: u64,
    /// The key has a record.
    is_present: bool,
}

impl Node {
    /// The record of `key` as it is stored, if there is one.
    fn stored(&self, store: &dyn Store, key: &Key) -> Result<Option<Stored>, StoreError> {
        let place = key.storage_key();
        store.get(Space::Data, &place)?.map(|bytes| Stored::read(&place, bytes)).transpose()
    }

    /// The record of `key`; an empty one if there is none.
    pub(crate) fn load(&self, store: &dyn Store, key: &Key) -> Result<Local, StoreError> {
        let Some(stored) = self.stored(store, key)? else { return Ok(Local::default()) };
        Ok(Local { hash: stored.hash, record: stored.record()?, is_present: true })
    }

    fn save(&mut self, store: &mut dyn Store, key: &Key, old_hash: u64, record: &Record) -> Encoded {
        let storage_key = key.storage_key();
        let encoded = record.encode(&storage_key);
        if let Some(ring) = &self.ring {
            let partition = ring.partition_of(key);
            self.trees.on_write(partition, &storage_key, old_hash, encoded.hash);
            if record.state.corrupt_dots() > 0 {
                self.observe(Event::DotCorrupt(partition));
            }
        }
        store.put(Space::Data, storage_key, encoded.record.clone());
        encoded
    }

    /// Merges `incoming` into what is stored, which is `local`; returns the result.
    pub(crate) fn merge_data(
        &mut self,
        store: &mut dyn Store,
        key: &Key,
        local: Local,
        incoming: &State,
    ) -> Result<Local, StoreError> {
        let Local { mut record, hash, is_present } = local;
        let me = self.me();
        let own_epoch = record.own_epoch.filter(|epoch| {
            let actor = Actor { incarnation: me, epoch: *epoch };
            incoming.top(actor) <= record.state.top(actor)
        });
        let is_same_epoch = own_epoch == record.own_epoch;
        record.own_epoch = own_epoch;
        if !record.state.merge(incoming) && is_same_epoch {
            return Ok(Local { record, hash, is_present });
        }
        let hash = self.save(store, key, hash, &record).hash;
        Ok(Local { record, hash, is_present: true })
    }

    /// Mints a dot for `payload` on this primary's record, which is `local`; returns the whole new state.
    pub(crate) fn mint_data(
        &mut self,
        store: &mut dyn Store,
        key: &Key,
        local: Local,
        cover: &Context,
        payload: Payload,
    ) -> (State, Encoded) {
        let Local { mut record, hash, is_present } = local;
        let lone = payload.clone();
        if planted(Bug::CoversUnseen) {
            let all = record.state.context();
            record.state.cover(&all);
        }
        if self.minting.mint(&mut record, is_present, cover, payload) {
            self.observe(Event::FreshEpoch);
        }
        let mut encoded = self.save(store, key, hash, &record);
        if planted(Bug::LoneValue) {
            lone_value(&record.state, &lone, &mut encoded);
        }
        (record.state, encoded)
    }

    fn remember_requests(&mut self, state: &State) {
        for (dot, payload) in state.dots() {
            self.minting.applied.remember(payload.request, dot);
        }
    }

    /// Whether `state` holds this put, shown or covered, as far as its dot is remembered. To remember the request alone
    /// is not enough: a hint that was handed over, or had no room, leaves nothing here that an answer could rest on.
    pub(crate) fn was_applied(&self, state: &State, request: RequestId) -> bool {
        let is_remembered = self.minting.applied.dot_of(request).is_some_and(|dot| state.knows(dot));
        is_remembered || state.dots().any(|(_, p)| p.request == request)
    }

    pub(crate) fn on_replicate(
        &mut self,
        store: &mut dyn Store,
        from: Incarnation,
        at: Time,
        replicate: Replicate,
    ) -> Result<(), StoreError> {
        let op = replicate.op;
        let answer = match self.keep(store, at, &replicate)? {
            Ok(()) if op == 0 => return Ok(()),
            Ok(()) => Message::ReplicateAck { op, state_hash: state_hash(&replicate.state) },
            Err(reason) => {
                if reason == Refusal::Malformed {
                    self.observe(Event::MalformedMessage(from));
                }
                self.send(Hold::Now, from, Message::ReplicateRefused { op, reason });
                return Ok(());
            }
        };
        self.send(Hold::Batch, from, answer);
        Ok(())
    }

    fn keep(
        &mut self,
        store: &mut dyn Store,
        at: Time,
        replicate: &Replicate,
    ) -> Result<Result<(), Refusal>, StoreError> {
        if self.is_expired(at, replicate.remaining_ms) {
            return Ok(Err(Refusal::Expired));
        }
        let Ok(incoming) = State::decode(replicate.state.clone()) else {
            return Ok(Err(Refusal::Malformed));
        };
        // Its sender would delete its hint, and if this disk turns out to be rolled back, that was the last copy.
        if replicate.purpose == Purpose::Handoff && self.not_ready().is_some() {
            return Ok(Err(Refusal::NotReady));
        }
        // Not what repair and anti-entropy bring: old writes would crowd out those that are still retried.
        let is_recent = matches!(replicate.purpose, Purpose::Put | Purpose::Handoff);
        let (me, owner) = (self.me(), replicate.hint_for.unwrap_or(self.me()));
        let Some(ring) = &self.ring else { return Ok(Err(Refusal::NotReady)) };
        if !ring.is_primary(ring.partition_of(&replicate.key), owner) {
            return Ok(Err(Refusal::NotOwner));
        }
        if is_recent {
            self.remember_requests(&incoming);
        }
        if owner != me {
            return Ok(self.store_hint(store, owner, &replicate.key, &incoming)?.map(|_| ()));
        }
        if replicate.purpose == Purpose::Repair && planted(Bug::RepairOverwrites) {
            let old = self.load(store, &replicate.key)?.hash;
            self.save(store, &replicate.key, old, &Record { own_epoch: None, state: incoming });
        } else {
            let local = self.load(store, &replicate.key)?;
            self.merge_data(store, &replicate.key, local, &incoming)?;
        }
        Ok(Ok(()))
    }

    pub(crate) fn on_fetch(
        &mut self,
        store: &mut dyn Store,
        from: Incarnation,
        at: Time,
        fetch: Fetch,
    ) -> Result<(), StoreError> {
        let me = self.me();
        let is_owner = self.ring.as_ref().is_some_and(|ring| ring.is_primary(ring.partition_of(&fetch.key), me));
        let refusal = if self.not_ready().is_some() {
            Some(Refusal::NotReady)
        } else if self.is_expired(at, fetch.remaining_ms) {
            Some(Refusal::Expired)
        } else {
            (!is_owner && !fetch.as_fallback).then_some(Refusal::NotOwner)
        };
        if let Some(reason) = refusal {
            self.send(Hold::Now, from, Message::FetchRefused { op: fetch.op, reason });
            return Ok(());
        }
        let (hash, encoded) = match is_owner {
            true => self.stored(store, &fetch.key)?.map_or((0, Bytes::new()), |stored| (stored.hash, stored.state)),
            false => {
                let encoded = self.read_hints(store, &fetch.key)?.encode();
                (state_hash(&encoded), encoded)
            }
        };
        let was_applied = match fetch.request {
            Some(id) => {
                let state = State::decode(encoded.clone()).map_err(|malformed| StoreError(malformed.0.to_owned()))?;
                self.was_applied(&state, id)
            }
            None => false,
        };
        let state = (hash != fetch.known_hash).then_some(encoded);
        let reply = FetchReply { op: fetch.op, state, was_applied, as_fallback: !is_owner };
        self.send(Hold::Batch, from, Message::FetchReply(reply));
        Ok(())
    }

    /// What this node holds of a key: its record if it is a primary, else the merge of its hints.
    pub(crate) fn read_local(&self, store: &dyn Store, key: &Key) -> Result<Local, StoreError> {
        if self.is_owner(key) {
            return self.load(store, key);
        }
        let state = self.read_hints(store, key)?;
        Ok(Local { hash: state.hash(), record: Record { own_epoch: None, state }, is_present: false })
    }

    /// What this node stores of keys that it owns: nobody is asked, and nothing is repaired.
    pub(crate) fn peek(&self, store: &dyn Store, keys: &[Key]) -> Result<Vec<Peeked>, StoreError> {
        let one = |key: &Key| {
            if !self.is_owner(key) {
                return Ok(Peeked::default());
            }
            let local = self.load(store, key)?;
            let values = local.record.state.live().into_iter().filter_map(|payload| payload.value).collect();
            Ok(Peeked { is_owned: true, is_known: local.is_present, values })
        };
        keys.iter().map(one).collect()
    }

    fn is_owner(&self, key: &Key) -> bool {
        self.ring.as_ref().is_some_and(|ring| ring.is_primary(ring.partition_of(key), self.me()))
    }

    pub(crate) fn is_expired(&self, at: Time, remaining_ms: u32) -> bool {
        remaining_ms > 0 && at.plus(u64::from(remaining_ms)) < self.now
    }
}

/// The planted bug: what is sent is the new value alone, without what the state knows beside it.
fn lone_value(state: &State, payload: &Payload, encoded: &mut Encoded) {
    let mut lone = State::default();
    for (dot, _) in state.dots().filter(|(_, p)| *p == payload) {
        lone.add(dot, payload.clone());
    }
    encoded.state = lone.encode();
    encoded.hash = lone.hash();
}
