//! Hinted handoff: states kept for a primary that could not be reached, until that primary has them.
//! Follows Dynamo (SOSP 2007) 4.6, with a byte budget for each target.
//! Invariants: a hint is deleted only if what is stored is exactly what its target acknowledged; none is for this node.
//! Not here: who is chosen as a fallback (`coordinator`), what the owner does with the state (`replica`).

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};

use crate::causality::State;
use crate::effect::Event;
use crate::id::{Incarnation, Key};
use crate::message::{Message, Purpose, Refusal, Replicate};
use crate::node::{Hold, Node};
use crate::planted::{Bug, planted};
use crate::record::{Record, Stored};
use crate::store::{Space, Store, StoreError};
use crate::time::Time;

/// Unanswered handoffs to one target.
const HANDOFFS_MAX: usize = 64;
/// Their bytes, after which no further one begins.
const HANDOFF_BYTES_MAX: u64 = 4 << 20;
/// Records read at once: each may be large.
const SCAN_CHUNK: usize = 16;
/// Bytes of the target at the front of a hint's key.
const TARGET_BYTES: usize = 8;

/// What is held for whom, and what is on its way.
#[derive(Debug)]
pub(crate) struct Hints {
    bytes_max: u64,
    /// Only targets that have hints.
    targets: BTreeMap<Incarnation, Target>,
    /// By operation, hence oldest first.
    in_flight: BTreeMap<u64, Handoff>,
    next_pass: Time,
}

#[derive(Debug, Default)]
struct Target {
    count: u64,
    bytes: u64,
    /// Where the running pass goes on; `None`: no pass is running.
    cursor: Option<Bytes>,
    /// Storage keys in flight, and their bytes.
    sent: BTreeSet<Bytes>,
    sent_bytes: u64,
}

#[derive(Debug)]
struct Handoff {
    target: Incarnation,
    storage_key: Bytes,
    hash: u64,
    bytes: u64,
    sent_at: Time,
}

impl Hints {
    /// Counts what is stored. `bytes_max`: the budget of one target. Errors: the store failed or holds no hint there.
    pub(crate) fn open(store: &dyn Store, bytes_max: u64) -> Result<Hints, StoreError> {
        let mut hints =
            Hints { bytes_max, targets: BTreeMap::new(), in_flight: BTreeMap::new(), next_pass: Time::default() };
        let mut from = Bytes::new();
        loop {
            let pairs = store.scan(Space::Hints, &from, None, SCAN_CHUNK)?;
            for (key, value) in &pairs {
                let (target, _) = parse(key)?;
                hints.account(target, 0, size(key, value));
            }
            match pairs.last() {
                Some((last, _)) if pairs.len() == SCAN_CHUNK => from = after(last),
                _ => return Ok(hints),
            }
        }
    }

    /// `(target, hints, bytes)` of each target that has hints.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Incarnation, u64, u64)> {
        self.targets.iter().map(|(target, held)| (*target, held.count, held.bytes))
    }

    /// Whether the budget allows a hint of `old` bytes to become one of `new` bytes. What does not grow always fits.
    fn admits(&self, target: Incarnation, old: u64, new: u64) -> bool {
        let held = self.targets.get(&target).map_or(0, |t| t.bytes);
        new <= old || held.saturating_sub(old).saturating_add(new) <= self.bytes_max
    }

    /// A hint of `old` bytes now has `new`; 0 stands for absent. Says whether it was the target's last one.
    fn account(&mut self, target: Incarnation, old: u64, new: u64) -> bool {
        let held = self.targets.entry(target).or_default();
        held.bytes = held.bytes.saturating_sub(old).saturating_add(new);
        held.count = match (old, new) {
            (0, 1..) => held.count.saturating_add(1),
            (1.., 0) => held.count.saturating_sub(1),
            _ => held.count,
        };
        let is_last = held.count == 0;
        if is_last {
            self.targets.remove(&target);
        }
        is_last
    }

    /// Where to read next and how many; `None`: no pass is running, or enough is in flight.
    fn next_chunk(&self, target: Incarnation) -> Option<(Bytes, usize)> {
        let held = self.targets.get(&target)?;
        let room = HANDOFFS_MAX.saturating_sub(held.sent.len());
        (room > 0 && held.sent_bytes < HANDOFF_BYTES_MAX)
            .then(|| held.cursor.clone())
            .flatten()
            .map(|cursor| (cursor, room.min(SCAN_CHUNK)))
    }

    /// Notes that a hint is on its way; `false`: it already was.
    fn begin(&mut self, op: u64, handoff: Handoff) -> bool {
        let held = self.targets.entry(handoff.target).or_default();
        let is_new = held.sent.insert(handoff.storage_key.clone());
        if is_new {
            held.sent_bytes = held.sent_bytes.saturating_add(handoff.bytes);
            self.in_flight.insert(op, handoff);
        }
        is_new
    }

    fn end(&mut self, op: u64) -> Option<Handoff> {
        let handoff = self.in_flight.remove(&op)?;
        if let Some(held) = self.targets.get_mut(&handoff.target)
            && held.sent.remove(&handoff.storage_key)
        {
            held.sent_bytes = held.sent_bytes.saturating_sub(handoff.bytes);
        }
        Some(handoff)
    }

    /// Gives up what is on its way to `target`, whose link is gone: the pass on the next link must not wait for it.
    pub(crate) fn lose(&mut self, target: Incarnation) {
        self.in_flight.retain(|_, handoff| handoff.target != target);
        if let Some(held) = self.targets.get_mut(&target) {
            held.sent.clear();
            held.sent_bytes = 0;
            held.cursor = None;
        }
    }

    /// Gives up what was sent at least `age_ms` ago; a later pass sends it again.
    fn expire(&mut self, now: Time, age_ms: u64) {
        while let Some((op, handoff)) = self.in_flight.first_key_value()
            && handoff.sent_at.plus(age_ms) <= now
        {
            let op = *op;
            self.end(op);
        }
    }
}

impl Node {
    /// Merges `incoming` into what is held for `target`; gives the hash of `incoming`, or why it is not kept.
    pub(crate) fn store_hint(
        &mut self,
        store: &mut dyn Store,
        target: Incarnation,
        key: &Key,
        incoming: &State,
    ) -> Result<Result<u64, Refusal>, StoreError> {
        if target == self.me() {
            return Ok(Err(Refusal::NotOwner));
        }
        let place = hint_key(target, &key.storage_key());
        let old = store.get(Space::Hints, &place)?;
        let old_bytes = old.as_ref().map_or(0, |value| size(&place, value));
        let old = old.map(|bytes| Record::decode(&place, bytes)).transpose()?.unwrap_or_default();
        let mut record = Record { own_epoch: None, ..old };
        if !record.state.merge(incoming) {
            return Ok(Ok(incoming.hash()));
        }
        let value = record.encode(&place).record;
        let bytes = size(&place, &value);
        if !self.hints.admits(target, old_bytes, bytes) {
            self.observe(Event::HintRefused(target));
            return Ok(Err(Refusal::HintsFull));
        }
        self.hints.account(target, old_bytes, bytes);
        store.put(Space::Hints, place, value);
        self.observe(Event::HintStored(target));
        Ok(Ok(incoming.hash()))
    }

    /// The merge of what is held of `key` for anybody.
    pub(crate) fn read_hints(&self, store: &dyn Store, key: &Key) -> Result<State, StoreError> {
        let storage_key = key.storage_key();
        let mut state = State::default();
        for target in self.hints.targets.keys() {
            let place = hint_key(*target, &storage_key);
            if let Some(value) = store.get(Space::Hints, &place)? {
                state.merge(&Record::decode(&place, value)?.state);
            }
        }
        Ok(state)
    }

    /// Gives up handoffs that were not answered, and at times starts a pass over what is held for reachable targets.
    pub(crate) fn tick_hints(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        self.hints.expire(self.now, self.settings.replica_timeout_ms.saturating_mul(10));
        if self.now < self.hints.next_pass {
            return Ok(());
        }
        self.hints.next_pass = self.now.plus(self.settings.hint_interval_ms);
        let targets: Vec<Incarnation> = self.hints.targets.keys().copied().collect();
        for target in targets {
            self.drain_hints(store, target)?;
        }
        Ok(())
    }

    /// Starts a pass over the hints for `target`, or goes on with the running one; nothing if it is not reachable.
    pub(crate) fn drain_hints(&mut self, store: &dyn Store, target: Incarnation) -> Result<(), StoreError> {
        if let Some(held) = self.hints.targets.get_mut(&target) {
            held.cursor.get_or_insert_with(Bytes::new);
        }
        self.continue_pass(store, target)
    }

    fn continue_pass(&mut self, store: &dyn Store, target: Incarnation) -> Result<(), StoreError> {
        if planted(Bug::HintsNeverDrain) || self.not_ready().is_some() || !self.is_reachable(target) {
            return Ok(());
        }
        while let Some((cursor, limit)) = self.hints.next_chunk(target) {
            let end = end_of(target);
            let pairs = store.scan(Space::Hints, &hint_key(target, &cursor), end.as_deref(), limit)?;
            let is_over = pairs.len() < limit;
            let mut next = cursor;
            for (place, value) in pairs {
                let (_, storage_key) = parse(&place)?;
                next = after(&storage_key);
                self.hand_off(target, storage_key, value)?;
            }
            if let Some(held) = self.hints.targets.get_mut(&target) {
                held.cursor = (!is_over).then_some(next);
            }
        }
        Ok(())
    }

    fn hand_off(&mut self, target: Incarnation, storage_key: Bytes, value: Bytes) -> Result<(), StoreError> {
        let Some(key) = Key::from_storage_key(&storage_key) else {
            return Err(StoreError(format!("damaged hint key for {target}")));
        };
        let state = Stored::read(&hint_key(target, &storage_key), value.clone())?.state;
        let op = self.new_op();
        let (hash, bytes) = (Record::hash_of(&value), value.len() as u64);
        let handoff = Handoff { target, storage_key, hash, bytes, sent_at: self.now };
        if self.hints.begin(op, handoff) {
            let purpose = Purpose::Handoff;
            let replicate = Replicate { op, key, state, hint_for: None, remaining_ms: 0, purpose };
            self.send(Hold::Batch, target, Message::Replicate(replicate));
        }
        Ok(())
    }

    /// `from` has made `op` durable. Deletes the hint if it is still what was sent, and sends more.
    /// Says whether `op` was a handoff.
    pub(crate) fn on_handoff_ack(
        &mut self,
        store: &mut dyn Store,
        from: Incarnation,
        op: u64,
        state_hash: u64,
    ) -> Result<bool, StoreError> {
        if self.hints.in_flight.get(&op).is_some_and(|handoff| handoff.target != from) {
            self.observe(Event::MalformedMessage(from));
            return Ok(true);
        }
        let Some(handoff) = self.hints.end(op) else { return Ok(false) };
        let place = hint_key(from, &handoff.storage_key);
        if let Some(value) = store.get(Space::Hints, &place)? {
            let is_same = state_hash == handoff.hash && state_hash == Record::hash_of(&value);
            if is_same || planted(Bug::HintDeletedUnchecked) {
                let bytes = size(&place, &value);
                store.delete(Space::Hints, place);
                self.observe(Event::HintDelivered(from));
                if self.hints.account(from, bytes, 0) {
                    self.observe(Event::HintsDrained(from));
                }
            }
        }
        self.continue_pass(store, from)?;
        Ok(true)
    }

    /// The target did not take `op`; a later pass tries again. Says whether `op` was a handoff.
    pub(crate) fn on_handoff_refused(&mut self, op: u64) -> bool {
        self.hints.end(op).is_some()
    }
}

/// The first key after `key`.
pub(crate) fn after(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len().saturating_add(1));
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}

fn hint_key(target: Incarnation, storage_key: &[u8]) -> Bytes {
    let mut place = BytesMut::with_capacity(TARGET_BYTES.saturating_add(storage_key.len()));
    place.put_u64(target.0);
    place.put_slice(storage_key);
    place.freeze()
}

/// The end of the hints for `target`; `None`: the end of all.
fn end_of(target: Incarnation) -> Option<Bytes> {
    target.0.checked_add(1).map(|next| hint_key(Incarnation(next), &[]))
}

fn parse(place: &Bytes) -> Result<(Incarnation, Bytes), StoreError> {
    let Some(target) = place.first_chunk::<TARGET_BYTES>() else {
        return Err(StoreError(format!("damaged hint key of {} bytes", place.len())));
    };
    Ok((Incarnation(u64::from_be_bytes(*target)), place.slice(TARGET_BYTES..)))
}

fn size(place: &Bytes, value: &Bytes) -> u64 {
    place.len().saturating_add(value.len()) as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::MemStore;

    const A: Incarnation = Incarnation(7);
    const LAST: Incarnation = Incarnation(u64::MAX);

    fn handoff(target: Incarnation, n: u8, at: u64) -> Handoff {
        Handoff { target, storage_key: Bytes::from(vec![n]), hash: 1, bytes: 100, sent_at: Time(at) }
    }

    fn opened(each: u8, bytes_max: u64) -> Hints {
        let mut store = MemStore::default();
        for target in [A, LAST] {
            for n in 0..each {
                store.put(Space::Hints, hint_key(target, &[n]), Bytes::from_static(b"x"));
            }
        }
        Hints::open(&store, bytes_max).unwrap()
    }

    #[test]
    fn opening_counts_what_is_stored_for_each_target() {
        let hints = opened(40, 1000);
        assert_eq!(hints.iter().collect::<Vec<_>>(), [(A, 40, 400), (LAST, 40, 400)]);
        let mut store = MemStore::default();
        store.put(Space::Hints, Bytes::from_static(b"short"), Bytes::new());
        assert!(Hints::open(&store, 1000).is_err());
    }

    #[test]
    fn the_budget_is_for_each_target_and_refuses_only_growth() {
        let hints = opened(4, 45);
        assert!(hints.admits(A, 0, 5) && !hints.admits(A, 0, 6));
        assert!(hints.admits(A, 10, 15) && !hints.admits(A, 10, 16));
        assert!(hints.admits(Incarnation(8), 0, 45));
        assert!(opened(9, 45).admits(A, 50, 50));
    }

    #[test]
    fn a_target_without_hints_is_forgotten() {
        let mut hints = opened(2, 45);
        assert!(!hints.account(A, 10, 0));
        assert!(!hints.account(A, 10, 12));
        assert!(hints.account(A, 12, 0));
        assert_eq!(hints.iter().collect::<Vec<_>>(), [(LAST, 2, 20)]);
    }

    #[test]
    fn a_hint_is_in_flight_once_and_again_only_after_it_expired() {
        let mut hints = opened(3, 1000);
        assert!(hints.begin(1, handoff(A, 1, 100)));
        assert!(!hints.begin(2, handoff(A, 1, 150)));
        assert!(hints.begin(3, handoff(A, 2, 150)));
        hints.expire(Time(200), 100);
        assert!(hints.end(1).is_none());
        assert!(hints.begin(4, handoff(A, 1, 200)));
        assert!(!hints.begin(5, handoff(A, 2, 200)));
        assert_eq!(hints.end(3).unwrap().storage_key, Bytes::from(vec![2]));
    }

    #[test]
    fn large_handoffs_wait_for_each_other_and_a_lost_link_ends_them() {
        let mut hints = opened(3, 1000);
        hints.targets.get_mut(&A).unwrap().cursor = Some(Bytes::new());
        hints.begin(1, Handoff { bytes: HANDOFF_BYTES_MAX, ..handoff(A, 1, 0) });
        hints.begin(2, handoff(LAST, 1, 0));
        assert!(hints.next_chunk(A).is_none());
        hints.lose(A);
        hints.targets.get_mut(&A).unwrap().cursor = Some(Bytes::new());
        assert!(hints.next_chunk(A).is_some() && hints.begin(3, handoff(A, 1, 0)));
        assert!(hints.end(1).is_none() && hints.end(2).is_some());
    }

    #[test]
    fn reading_waits_while_enough_is_in_flight() {
        let mut hints = opened(3, 1000);
        assert!(hints.next_chunk(A).is_none(), "no pass is running");
        hints.targets.get_mut(&A).unwrap().cursor = Some(Bytes::new());
        for op in 0..HANDOFFS_MAX as u64 {
            assert!(hints.next_chunk(A).is_some());
            hints.begin(op, handoff(A, op as u8, 0));
        }
        assert!(hints.next_chunk(A).is_none());
        hints.end(5);
        assert_eq!(hints.next_chunk(A), Some((Bytes::new(), 1)));
    }

    #[test]
    fn the_hints_of_one_target_are_one_range() {
        let (key, next) = (hint_key(A, &[255; 20]), end_of(A).unwrap());
        assert!(hint_key(A, &[]) < key && key < after(&key) && after(&key) < next);
        assert_eq!(parse(&key).unwrap(), (A, Bytes::from(vec![255; 20])));
        assert!(end_of(LAST).is_none());
    }
}
