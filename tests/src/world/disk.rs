//! The simulated disk: an ordered store of which a crash keeps the synced commits and a prefix of the rest.
//! Follows design.md, Storage: each commit is whole or absent. It passes the same contract suite as the real one.
//! Invariant: `synced` is exactly what every crash keeps; the judge reads durability from it, not from the node.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use driftkv_core::id::CommitNo;
use driftkv_core::store::{Pair, Space, Store, StoreError};

/// One place that a commit changed.
#[derive(Clone, Debug)]
pub struct Write {
    /// In which space.
    pub space: Space,
    /// Under which key.
    pub key: Bytes,
    /// What was there before.
    pub old: Option<Bytes>,
    /// What is there now; `None`: deleted.
    pub new: Option<Bytes>,
}

type Map = BTreeMap<Bytes, Bytes>;

/// What is stored, by space.
#[derive(Clone, Debug, Default)]
struct Spaces([Map; 3]);

impl Spaces {
    fn of(&self, space: Space) -> &Map {
        &self.0[space as usize]
    }

    fn set(&mut self, space: Space, key: Bytes, value: Option<Bytes>) -> Option<Bytes> {
        let map = &mut self.0[space as usize];
        match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        }
    }

    fn apply(&mut self, writes: &[Write]) {
        for write in writes {
            self.set(write.space, write.key.clone(), write.new.clone());
        }
    }
}

/// One disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    view: Spaces,
    synced: Spaces,
    batch: Vec<Write>,
    unsynced: VecDeque<(CommitNo, Vec<Write>)>,
    last: CommitNo,
    last_synced: CommitNo,
}

impl Disk {
    /// Everything up to `commit` now survives a crash; returns what that made durable, in order.
    pub fn sync_to(&mut self, commit: CommitNo) -> Vec<Write> {
        let mut durable = Vec::new();
        while self.unsynced.front().is_some_and(|(number, _)| *number <= commit) {
            let Some((number, writes)) = self.unsynced.pop_front() else { break };
            self.synced.apply(&writes);
            self.last_synced = number;
            durable.extend(writes);
        }
        durable
    }

    /// How many commits a crash may lose.
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The newest commit that every crash keeps.
    pub fn last_synced(&self) -> CommitNo {
        self.last_synced
    }

    /// What the newest commit wrote, if it is not synced yet.
    pub fn last_writes(&self) -> &[Write] {
        self.unsynced.back().map_or(&[], |(_, writes)| writes)
    }

    /// Loses the open batch and all but the first `keep` unsynced commits; returns what was kept of those.
    pub fn crash(&mut self, keep: usize) -> Vec<Write> {
        self.batch.clear();
        let kept = keep.checked_sub(1).and_then(|at| self.unsynced.get(at)).map(|(number, _)| *number);
        let durable = kept.map_or_else(Vec::new, |commit| self.sync_to(commit));
        self.unsynced.clear();
        self.last = self.last_synced;
        self.view = self.synced.clone();
        durable
    }

    fn write(&mut self, space: Space, key: Bytes, new: Option<Bytes>) {
        let old = self.view.set(space, key.clone(), new.clone());
        self.batch.push(Write { space, key, old, new });
    }
}

impl Store for Disk {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.view.of(space).get(key).cloned())
    }

    fn put(&mut self, space: Space, key: Bytes, value: Bytes) {
        self.write(space, key, Some(value));
    }

    fn delete(&mut self, space: Space, key: Bytes) {
        self.write(space, key, None);
    }

    fn scan(&self, space: Space, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, StoreError> {
        let pairs = self.view.of(space).range(Bytes::copy_from_slice(from)..);
        let until = pairs.take_while(|(key, _)| to.is_none_or(|to| key.as_ref() < to));
        Ok(until.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn commit(&mut self) -> Result<CommitNo, StoreError> {
        if !self.batch.is_empty() {
            self.last.0 += 1;
            self.unsynced.push_back((self.last, std::mem::take(&mut self.batch)));
        }
        Ok(self.last)
    }

    fn last_commit(&self) -> CommitNo {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_the_contract() {
        driftkv_core::store::contract::check(Disk::default).expect("the contract");
    }

    #[test]
    fn a_crash_keeps_a_prefix_of_the_unsynced_commits_each_whole_or_absent() {
        let mut disk = Disk::default();
        for n in 1..=4u8 {
            disk.put(Space::Data, Bytes::from_static(b"k"), Bytes::from(vec![n]));
            disk.put(Space::Data, Bytes::from(vec![n]), Bytes::from(vec![n]));
            disk.commit().expect("a commit");
        }
        assert_eq!(disk.sync_to(CommitNo(1)).len(), 2);
        disk.put(Space::Data, Bytes::from_static(b"k"), Bytes::from_static(b"open"));
        assert_eq!(disk.crash(1).len(), 2);
        assert_eq!((disk.last_commit(), disk.last_synced()), (CommitNo(2), CommitNo(2)));
        assert_eq!(disk.get(Space::Data, b"k").expect("a read").expect("a value").as_ref(), [2]);
        assert!(disk.get(Space::Data, &[3]).expect("a read").is_none());
    }
}
