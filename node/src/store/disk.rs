//! The disk behind the core's `Store`: fjall, with the newest commits in memory until they are synced.
//! Follows design.md, Storage: commits wait in an overlay, the sync thread writes all of them as one fjall batch and syncs it.
//! Invariant: after a crash fjall holds a whole prefix of the commits, and its number; reads never wait for a sync.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use driftkv_core::id::CommitNo;
use driftkv_core::store::{Pair, Space, Store, StoreError};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::dir::DataDir;

/// Hidden from reads: the number of the last commit that is in fjall.
const LAST_COMMIT: &[u8] = b"\0last_commit";

type Place = (Space, Bytes);
type Writes = BTreeMap<Place, Option<Bytes>>;

/// Commits that fjall does not hold durably yet.
#[derive(Default)]
struct Overlay {
    newest: BTreeMap<Place, (CommitNo, Option<Bytes>)>,
    commits: VecDeque<(CommitNo, Writes)>,
    /// Of all writes that are not durable yet.
    bytes: usize,
}

#[derive(Clone)]
struct Engine {
    db: Database,
    meta: Keyspace,
    data: Keyspace,
    hints: Keyspace,
}

impl Engine {
    fn space(&self, space: Space) -> &Keyspace {
        match space {
            Space::Meta => &self.meta,
            Space::Data => &self.data,
            Space::Hints => &self.hints,
        }
    }
}

/// The store of one node; lives on its engine thread.
pub struct DiskStore {
    engine: Engine,
    overlay: Arc<Mutex<Overlay>>,
    batch: Writes,
    last: CommitNo,
}

/// Makes commits durable; lives on the sync thread.
pub struct Syncer {
    engine: Engine,
    overlay: Arc<Mutex<Overlay>>,
    durable: CommitNo,
    last: Written,
}

/// What one sync made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Keys written or deleted; one that several commits wrote counts for each.
    pub records: u64,
    /// Of keys and values.
    pub bytes: u64,
}

fn failed(what: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError(format!("{what}: {error}"))
}

/// A panic elsewhere cannot leave the overlay half changed: every change to it is one insertion.
fn lock(overlay: &Mutex<Overlay>) -> MutexGuard<'_, Overlay> {
    overlay.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the database in `dir`. `memtable_bytes`: of each of the three spaces.
/// Errors: the database cannot be opened, or holds a damaged commit number.
pub fn open(dir: &DataDir, memtable_bytes: u64) -> Result<(DiskStore, Syncer), StoreError> {
    let db = Database::builder(dir.path().join("db")).open().map_err(|e| failed("opening the database", e))?;
    let space = |name: &str| {
        let options = || KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes);
        db.keyspace(name, options).map_err(|e| failed("opening a keyspace", e))
    };
    let engine = Engine { meta: space("meta")?, data: space("data")?, hints: space("hints")?, db: db.clone() };
    let last = match engine.meta.get(LAST_COMMIT).map_err(|e| failed("reading", e))? {
        None => CommitNo(0),
        Some(bytes) => {
            let bytes: &[u8] = &bytes;
            let bytes: [u8; 8] = bytes.try_into().map_err(|_| StoreError("damaged commit number".to_owned()))?;
            CommitNo(u64::from_be_bytes(bytes))
        }
    };
    let overlay = Arc::new(Mutex::new(Overlay::default()));
    let store = DiskStore { engine: engine.clone(), overlay: overlay.clone(), batch: Writes::new(), last };
    Ok((store, Syncer { engine, overlay, durable: last, last: Written::default() }))
}

impl Store for DiskStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let place = (space, Bytes::copy_from_slice(key));
        if let Some(value) = self.batch.get(&place) {
            return Ok(value.clone());
        }
        if let Some((_, value)) = lock(&self.overlay).newest.get(&place) {
            return Ok(value.clone());
        }
        let value = self.engine.space(space).get(key).map_err(|e| failed("reading", e))?;
        Ok(value.map(Bytes::from))
    }

    fn put(&mut self, space: Space, key: Bytes, value: Bytes) {
        self.batch.insert((space, key), Some(value));
    }

    fn delete(&mut self, space: Space, key: Bytes) {
        self.batch.insert((space, key), None);
    }

    fn scan(&self, space: Space, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, StoreError> {
        let start = Bytes::copy_from_slice(from);
        let range = (Bound::Included((space, start.clone())), Bound::Unbounded);
        let is_in = |(s, key): &Place| *s == space && to.is_none_or(|to| key.as_ref() < to);
        let mut newer: BTreeMap<Bytes, Option<Bytes>> = BTreeMap::new();
        {
            let overlay = lock(&self.overlay);
            let hits = overlay.newest.range(range.clone()).take_while(|(place, _)| is_in(place));
            newer.extend(hits.map(|((_, key), (_, value))| (key.clone(), value.clone())));
        }
        let hits = self.batch.range(range).take_while(|(place, _)| is_in(place));
        newer.extend(hits.map(|((_, key), value)| (key.clone(), value.clone())));
        let end = to.map_or(Bound::Unbounded, Bound::Excluded);
        if to.is_some_and(|to| to <= from) {
            return Ok(Vec::new());
        }
        // Order: fjall after the overlay. A commit that reaches fjall in between is seen twice, never missed.
        let mut disk = self.engine.space(space).range::<&[u8], _>((Bound::Included(from), end)).map(|guard| {
            let (key, value) = guard.into_inner().map_err(|e| failed("scanning", e))?;
            Ok((Bytes::from(key), Bytes::from(value)))
        });
        merge(&mut disk, newer, limit)
    }

    fn commit(&mut self) -> Result<CommitNo, StoreError> {
        if self.batch.is_empty() {
            return Ok(self.last);
        }
        self.last.0 += 1;
        let writes = std::mem::take(&mut self.batch);
        let mut overlay = lock(&self.overlay);
        overlay.bytes += bytes_of(&writes);
        for (place, value) in &writes {
            overlay.newest.insert(place.clone(), (self.last, value.clone()));
        }
        overlay.commits.push_back((self.last, writes));
        Ok(self.last)
    }

    fn last_commit(&self) -> CommitNo {
        self.last
    }
}

impl DiskStore {
    /// Bytes of keys and values that are committed and not yet durable.
    pub fn unsynced_bytes(&self) -> usize {
        lock(&self.overlay).bytes
    }
}

fn bytes_of(writes: &Writes) -> usize {
    writes.iter().map(|((_, key), value)| key.len() + value.as_ref().map_or(0, Bytes::len)).sum()
}

/// Joins two ordered sources; where both have a key, `newer` wins.
fn merge(
    disk: &mut dyn Iterator<Item = Result<Pair, StoreError>>,
    newer: BTreeMap<Bytes, Option<Bytes>>,
    limit: usize,
) -> Result<Vec<Pair>, StoreError> {
    let mut out = Vec::new();
    let mut newer = newer.into_iter().peekable();
    let mut older = disk.next().transpose()?;
    while out.len() < limit {
        match (newer.peek(), &older) {
            (None, None) => break,
            (Some((key, _)), Some((old, _))) if key > old => {
                out.extend(older.take().filter(|(key, _)| key.as_ref() != LAST_COMMIT));
                older = disk.next().transpose()?;
            }
            (None, Some(_)) => {
                out.extend(older.take().filter(|(key, _)| key.as_ref() != LAST_COMMIT));
                older = disk.next().transpose()?;
            }
            (Some((key, _)), old) => {
                if old.as_ref().is_some_and(|(old, _)| old == key) {
                    older = disk.next().transpose()?;
                }
                if let Some((key, Some(value))) = newer.next() {
                    out.push((key, value));
                }
            }
        }
    }
    Ok(out)
}

impl Syncer {
    /// Makes every commit made so far durable and returns the newest. Errors: the disk failed; abort, never retry.
    pub fn sync(&mut self) -> Result<CommitNo, StoreError> {
        self.last = Written::default();
        let commits: Vec<(CommitNo, Writes)> = lock(&self.overlay).commits.drain(..).collect();
        let Some((last, _)) = commits.last() else { return Ok(self.durable) };
        let last = *last;
        let mut batch = self.engine.db.batch().durability(None);
        for ((space, key), value) in commits.iter().flat_map(|(_, writes)| writes) {
            let space = self.engine.space(*space);
            match value {
                Some(value) => batch.insert(space, key.clone(), value.clone()),
                None => batch.remove(space, key.clone()),
            }
        }
        batch.insert(&self.engine.meta, LAST_COMMIT, last.0.to_be_bytes());
        batch.commit().map_err(|e| failed("writing", e))?;
        self.engine.db.persist(PersistMode::SyncData).map_err(|e| failed("syncing", e))?;
        let mut overlay = lock(&self.overlay);
        for place in commits.iter().flat_map(|(_, writes)| writes.keys()) {
            if overlay.newest.get(place).is_some_and(|(commit, _)| *commit <= last) {
                overlay.newest.remove(place);
            }
        }
        let synced: usize = commits.iter().map(|(_, writes)| bytes_of(writes)).sum();
        overlay.bytes = overlay.bytes.saturating_sub(synced);
        self.durable = last;
        let records = commits.iter().map(|(_, writes)| writes.len() as u64).sum();
        self.last = Written { records, bytes: synced as u64 };
        Ok(last)
    }

    /// What the last sync made durable: nothing if there was nothing to do.
    pub fn last(&self) -> Written {
        self.last
    }
}
