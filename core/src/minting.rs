//! Who may mint which dot: the boot count, epochs, and the clean-stop marker that lets epochs outlive a boot.
//! Follows design.md, Causality: epochs belong to a boot; `own_epoch` of an earlier boot is valid only if every boot from it on ended cleanly.
//! Invariant: a dot that left before its sync and was lost in a crash is never minted again.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::causality::{Actor, Context, Dot, Epoch, Payload, State};
use crate::id::{Incarnation, Key, RequestId};
use crate::planted::{Bug, planted};
use crate::record::Record;
use crate::store::{Space, Store, StoreError};

const BOOT: &[u8] = b"boot";
const CLEAN_SINCE: &[u8] = b"clean_since";
const CLEAN_STOP: &[u8] = b"clean_stop";
const FALLBACK_KEYS_MAX: usize = 10_000;
const APPLIED_MAX: usize = 65_536;
/// No counter grows this far by minting; a context that says more is forged, and an epoch that shows more is left.
pub(crate) const COUNTER_MAX: u64 = 1 << 48;

/// Mints the dots of one boot.
#[derive(Debug)]
pub(crate) struct Minting {
    pub(crate) incarnation: Incarnation,
    pub(crate) boot: u32,
    clean_since: u32,
    next_epoch: u64,
    /// Where we coordinated as a fallback: the epoch and its last counter.
    fallback: BTreeMap<Key, (Epoch, u64)>,
    pub(crate) applied: Applied,
}

impl Minting {
    /// Starts a new boot in the open batch.
    pub(crate) fn boot(incarnation: Incarnation, store: &mut dyn Store) -> Result<Minting, StoreError> {
        let last = number(store, BOOT)?;
        let was_clean = last == 0 || number(store, CLEAN_STOP)? == last;
        let boot = last + 1;
        let clean_since = if was_clean { number(store, CLEAN_SINCE)?.max(1) } else { boot };
        put_number(store, BOOT, boot);
        put_number(store, CLEAN_SINCE, clean_since);
        store.delete(Space::Meta, Bytes::from_static(CLEAN_STOP));
        Ok(Minting {
            incarnation,
            boot,
            clean_since,
            next_epoch: 1,
            fallback: BTreeMap::new(),
            applied: Applied::default(),
        })
    }

    /// The last write of a boot that ends cleanly.
    pub(crate) fn mark_clean_stop(&self, store: &mut dyn Store) {
        put_number(store, CLEAN_STOP, self.boot);
    }

    /// Covers what `cover` has seen and adds `payload` under a new dot. Says whether it took a fresh epoch.
    /// `is_present`: the key had a record.
    pub(crate) fn mint(&mut self, record: &mut Record, is_present: bool, cover: &Context, payload: Payload) -> bool {
        let valid = record.own_epoch.filter(|epoch| {
            let actor = self.actor(*epoch);
            let top = record.state.top(actor);
            let is_known = cover.0.get(&actor).is_none_or(|seen| *seen <= top) && top < COUNTER_MAX;
            let is_clean = epoch.boot >= self.clean_since || planted(Bug::EpochSurvivesCrash);
            is_present && is_known && is_clean
        });
        record.state.cover(cover);
        let epoch = valid.unwrap_or_else(|| self.fresh_epoch(&record.state, is_present));
        self.add(record, epoch, payload);
        record.own_epoch = Some(epoch);
        valid.is_none()
    }

    /// The same on the merge of hints, which may vanish when they are handed over: the epoch is kept in memory,
    /// and only while the merge shows exactly what we minted last.
    pub(crate) fn mint_as_fallback(&mut self, key: &Key, record: &mut Record, cover: &Context, payload: Payload) {
        let remembered = self.fallback.get(key).copied();
        let is_present = !record.state.is_empty();
        record.state.cover(cover);
        let valid = remembered.filter(|(epoch, counter)| record.state.top(self.actor(*epoch)) == *counter);
        let epoch = valid.map_or_else(|| self.fresh_epoch(&record.state, is_present), |(epoch, _)| epoch);
        let dot = self.add(record, epoch, payload);
        if self.fallback.len() >= FALLBACK_KEYS_MAX {
            self.fallback.pop_first();
        }
        self.fallback.insert(key.clone(), (epoch, dot.counter));
    }

    fn add(&mut self, record: &mut Record, epoch: Epoch, mut payload: Payload) -> Dot {
        let actor = self.actor(epoch);
        let dot = Dot { actor, counter: record.state.top(actor) + 1 };
        self.applied.remember(payload.request, dot);
        if planted(Bug::RequestIdLost) {
            payload.request = RequestId(u128::from(dot.counter) << 64 | u128::from(self.incarnation.0));
        }
        record.state.add(dot, payload);
        dot
    }

    fn actor(&self, epoch: Epoch) -> Actor {
        Actor { incarnation: self.incarnation, epoch }
    }

    /// One of which `state` shows nothing. Only a forged context can show something of an epoch not made yet; each
    /// such epoch is passed over once.
    fn fresh_epoch(&mut self, state: &State, is_present: bool) -> Epoch {
        if !is_present && planted(Bug::NoFreshEpochOnAbsentKey) {
            return Epoch { boot: self.boot, number: 0 };
        }
        loop {
            let epoch = Epoch { boot: self.boot, number: self.next_epoch };
            self.next_epoch += 1;
            if state.top(self.actor(epoch)) == 0 {
                return epoch;
            }
        }
    }

    /// Whether this node can have minted under `epoch`.
    pub(crate) fn has_made(&self, epoch: Epoch) -> bool {
        epoch.boot < self.boot || (epoch.boot == self.boot && epoch.number < self.next_epoch)
    }
}

/// A bounded memory of puts seen in this boot and a dot of each; the oldest are forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    known: BTreeMap<RequestId, Dot>,
    order: VecDeque<RequestId>,
}

impl Applied {
    pub(crate) fn remember(&mut self, request: RequestId, dot: Dot) {
        if let Entry::Vacant(place) = self.known.entry(request) {
            place.insert(dot);
            self.order.push_back(request);
        }
        if self.order.len() > APPLIED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(crate) fn has(&self, request: RequestId) -> bool {
        self.known.contains_key(&request)
    }

    /// The first dot seen of it.
    pub(crate) fn dot_of(&self, request: RequestId) -> Option<Dot> {
        self.known.get(&request).copied()
    }
}

fn number(store: &dyn Store, name: &'static [u8]) -> Result<u32, StoreError> {
    let Some(bytes) = store.get(Space::Meta, name)? else { return Ok(0) };
    let bytes: [u8; 4] = bytes.as_ref().try_into().map_err(|_| StoreError("damaged boot facts".to_owned()))?;
    Ok(u32::from_be_bytes(bytes))
}

fn put_number(store: &mut dyn Store, name: &'static [u8], value: u32) {
    store.put(Space::Meta, Bytes::from_static(name), Bytes::copy_from_slice(&value.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::MemStore;

    fn payload(n: u128) -> Payload {
        Payload { request: RequestId(n), value: None }
    }

    fn minted(m: &mut Minting, record: &mut Record, present: bool) -> Epoch {
        m.mint(record, present, &Context::default(), payload(1));
        record.own_epoch.unwrap()
    }

    #[test]
    fn an_epoch_outlives_a_clean_stop_and_no_crash() {
        let mut store = MemStore::default();
        let mut first = Minting::boot(Incarnation(1), &mut store).unwrap();
        let mut record = Record::default();
        let epoch = minted(&mut first, &mut record, false);
        first.mark_clean_stop(&mut store);
        let mut second = Minting::boot(Incarnation(1), &mut store).unwrap();
        assert_eq!(minted(&mut second, &mut record, true), epoch);
        let mut third = Minting::boot(Incarnation(1), &mut store).unwrap();
        assert_ne!(minted(&mut third, &mut record, true), epoch);
        assert_eq!((second.boot, third.boot), (2, 3));
    }

    #[test]
    fn an_absent_key_takes_a_fresh_epoch() {
        let mut minting = Minting::boot(Incarnation(1), &mut MemStore::default()).unwrap();
        let first = minted(&mut minting, &mut Record::default(), false);
        assert_ne!(minted(&mut minting, &mut Record::default(), false), first);
    }

    #[test]
    fn epochs_of_which_a_state_shows_something_are_passed_over() {
        let mut minting = Minting::boot(Incarnation(1), &mut MemStore::default()).unwrap();
        let mut forged = Context::default();
        for number in 0..9 {
            forged.0.insert(Actor { incarnation: Incarnation(1), epoch: Epoch { boot: 1, number } }, u64::MAX);
        }
        for is_fallback in [false, true] {
            let mut record = Record::default();
            if is_fallback {
                minting.mint_as_fallback(&Key::new("b", "k"), &mut record, &forged, payload(1));
            } else {
                minting.mint(&mut record, false, &forged, payload(1));
            }
            assert_eq!(record.state.dots().count(), 1, "the write is there");
        }
    }

    #[test]
    fn a_context_that_knows_more_of_us_than_we_do_ends_the_epoch() {
        let mut minting = Minting::boot(Incarnation(1), &mut MemStore::default()).unwrap();
        let mut record = Record::default();
        let epoch = minted(&mut minting, &mut record, false);
        let actor = Actor { incarnation: Incarnation(1), epoch };
        let context = Context(BTreeMap::from([(actor, 5)]));
        assert!(minting.mint(&mut record, true, &context, payload(2)));
    }
}
