//! What a replica does for a coordinator: keeps whole states, shows them, and remembers which puts it has seen.
//! Follows Dynamo (SOSP 2007) 4.5 and 4.6; `own_epoch` rules of design.md, Causality.
//! Invariant: a stored state only grows (merge), and its hash tree entry changes in the same batch.

use bytes::Bytes;

use crate::causality::{Context, Payload, State};
use crate::effect::Event;
use crate::id::{Incarnation, Key, RequestId};
use crate::message::{Fetch, FetchReply, Message, Purpose, Refusal, Replicate};
use crate::node::{Hold, Node};
use crate::planted::{Bug, planted};
use crate::record::{Encoded, Record, state_hash};
use crate::store::{Space, Store, StoreError};
use crate::time::Time;

impl Node {
    /// The record of `key`, if there is one.
    pub(crate) fn load(&self, store: &dyn Store, key: &Key) -> Result<Option<Record>, StoreError> {
        let place = key.storage_key();
        store.get(Space::Data, &place)?.map(|bytes| Record::decode(&place, bytes)).transpose()
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

    /// Merges `incoming` into what is stored; returns the result.
    pub(crate) fn merge_data(
        &mut self,
        store: &mut dyn Store,
        key: &Key,
        incoming: &State,
    ) -> Result<Record, StoreError> {
        let Some(old) = self.load(store, key)? else {
            let record = Record { own_epoch: None, state: incoming.clone() };
            if !incoming.is_empty() {
                self.save(store, key, 0, &record);
            }
            return Ok(record);
        };
        let mut record = old.clone();
        record.state.merge(incoming);
        let me = self.me();
        record.own_epoch = old.own_epoch.filter(|epoch| {
            let actor = crate::causality::Actor { incarnation: me, epoch: *epoch };
            incoming.top(actor) <= old.state.top(actor)
        });
        if record != old {
            self.save(store, key, old.state.hash(), &record);
        }
        Ok(record)
    }

    /// Mints a dot for `payload` on this primary's record; returns the whole new state.
    pub(crate) fn mint_data(
        &mut self,
        store: &mut dyn Store,
        key: &Key,
        cover: &Context,
        payload: Payload,
    ) -> Result<(State, Encoded), StoreError> {
        let old = self.load(store, key)?;
        let is_present = old.is_some();
        let old_hash = old.as_ref().map_or(0, |r| r.state.hash());
        let mut record = old.unwrap_or_default();
        let lone = payload.clone();
        if planted(Bug::CoversUnseen) {
            let all = record.state.context();
            record.state.cover(&all);
        }
        if self.minting.mint(&mut record, is_present, cover, payload) {
            self.observe(Event::FreshEpoch);
        }
        let mut encoded = self.save(store, key, old_hash, &record);
        if planted(Bug::LoneValue) {
            lone_value(&record.state, &lone, &mut encoded);
        }
        Ok((record.state, encoded))
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
            let old = self.load(store, &replicate.key)?.map_or(0, |r| r.state.hash());
            self.save(store, &replicate.key, old, &Record { own_epoch: None, state: incoming });
        } else {
            self.merge_data(store, &replicate.key, &incoming)?;
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
        let (state, encoded) = self.read_local(store, &fetch.key)?;
        let is_same = state_hash(&encoded) == fetch.known_hash;
        let reply = FetchReply {
            op: fetch.op,
            state: (!is_same).then_some(encoded),
            was_applied: fetch.request.is_some_and(|id| self.was_applied(&state, id)),
            as_fallback: !is_owner,
        };
        self.send(Hold::Batch, from, Message::FetchReply(reply));
        Ok(())
    }

    /// What this node holds of a key: its record if it is a primary, else the merge of its hints.
    pub(crate) fn read_local(&self, store: &dyn Store, key: &Key) -> Result<(State, Bytes), StoreError> {
        let is_owner = self.ring.as_ref().is_some_and(|ring| ring.is_primary(ring.partition_of(key), self.me()));
        let state = if is_owner {
            self.load(store, key)?.map(|r| r.state).unwrap_or_default()
        } else {
            self.read_hints(store, key)?
        };
        let encoded = state.encode();
        Ok((state, encoded))
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
