//! A store in memory that can lose what was not synced, exactly as a disk may: the simulator's disk.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;

use super::{Pair, Space, Store, StoreError};
use crate::id::CommitNo;

type Place = (Space, Bytes);

#[derive(Clone, Debug, Default)]
struct Commit {
    number: CommitNo,
    /// What each written place held before, to be able to undo.
    before: Vec<(Place, Option<Bytes>)>,
}

/// An ordered map with numbered commits of which only a synced prefix survives [`MemStore::crash`].
#[derive(Clone, Debug, Default)]
pub struct MemStore {
    pairs: BTreeMap<Place, Bytes>,
    batch: Vec<(Place, Option<Bytes>)>,
    unsynced: VecDeque<Commit>,
    last: CommitNo,
}

impl MemStore {
    /// Everything up to `commit` now survives a crash.
    pub fn sync_to(&mut self, commit: CommitNo) {
        while self.unsynced.front().is_some_and(|c| c.number <= commit) {
            self.unsynced.pop_front();
        }
    }

    /// How many commits a crash may lose.
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Loses the open batch and all but the first `keep` unsynced commits.
    pub fn crash(&mut self, keep: usize) {
        let batch = std::mem::take(&mut self.batch);
        self.undo(batch);
        while self.unsynced.len() > keep {
            if let Some(commit) = self.unsynced.pop_back() {
                self.last = CommitNo(commit.number.0.saturating_sub(1));
                self.undo(commit.before);
            }
        }
        self.unsynced.clear();
    }

    fn undo(&mut self, before: Vec<(Place, Option<Bytes>)>) {
        for (place, old) in before.into_iter().rev() {
            match old {
                Some(value) => self.pairs.insert(place, value),
                None => self.pairs.remove(&place),
            };
        }
    }

    fn write(&mut self, place: Place, value: Option<Bytes>) {
        let old = match value {
            Some(value) => self.pairs.insert(place.clone(), value),
            None => self.pairs.remove(&place),
        };
        self.batch.push((place, old));
    }
}

impl Store for MemStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.pairs.get(&(space, Bytes::copy_from_slice(key))).cloned())
    }

    fn put(&mut self, space: Space, key: Bytes, value: Bytes) {
        self.write((space, key), Some(value));
    }

    fn delete(&mut self, space: Space, key: Bytes) {
        self.write((space, key), None);
    }

    fn scan(&self, space: Space, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, StoreError> {
        let start = Bound::Included((space, Bytes::copy_from_slice(from)));
        Ok(self
            .pairs
            .range((start, Bound::Unbounded))
            .take_while(|((s, key), _)| *s == space && to.is_none_or(|to| key.as_ref() < to))
            .take(limit)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }

    fn commit(&mut self) -> Result<CommitNo, StoreError> {
        if !self.batch.is_empty() {
            self.last.0 += 1;
            let before = std::mem::take(&mut self.batch);
            self.unsynced.push_back(Commit { number: self.last, before });
        }
        Ok(self.last)
    }

    fn last_commit(&self) -> CommitNo {
        self.last
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn passes_the_contract() {
        super::super::contract::check(MemStore::default).unwrap();
    }

    #[test]
    fn a_crash_keeps_a_prefix_of_the_unsynced_commits() {
        let mut store = MemStore::default();
        for n in 1..=4u8 {
            store.put(Space::Data, Bytes::from_static(b"k"), Bytes::from(vec![n]));
            store.put(Space::Data, Bytes::from(vec![n]), Bytes::from(vec![n]));
            store.commit().unwrap();
        }
        store.sync_to(CommitNo(1));
        store.put(Space::Data, Bytes::from_static(b"k"), Bytes::from_static(b"open"));
        store.crash(1);
        assert_eq!(store.last_commit(), CommitNo(2));
        assert_eq!(store.get(Space::Data, b"k").unwrap().unwrap().as_ref(), [2]);
        assert!(store.get(Space::Data, &[3]).unwrap().is_none());
    }
}
