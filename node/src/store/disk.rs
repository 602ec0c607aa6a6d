//! The disk behind the core's `Store`: fjall, with the newest commits in memory until they are synced.
//! Follows design.md, Storage: commits wait in an overlay, the sync thread writes all of them as one fjall batch and syncs it.
//! Invariants: after a crash fjall holds a whole prefix of the commits, and its number; reads never wait for a sync; damaged
//! files are an error and never a panic, though fjall may panic on them (`journal` looks at its journals first).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use driftkv_core::id::CommitNo;
use driftkv_core::store::{Pair, Space, Store, StoreError};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::LOST;
use super::dir::{self, DataDir};
use super::journal;

/// Hidden from reads: the numbers of the first and the last commit of the last batch that is in fjall. Every batch writes it in
/// each space that it writes to, and among the facts: so a space whose tables are ahead of a damaged journal shows.
pub(super) const LAST_COMMIT: &[u8] = b"\0last_commit";

/// The commits that one batch of fjall holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitRange {
    /// The number of its first.
    pub first: u64,
    /// And of its last.
    pub last: u64,
}

impl CommitRange {
    fn encode(self) -> [u8; 16] {
        (u128::from(self.first) << 64 | u128::from(self.last)).to_be_bytes()
    }

    /// `None`: not what `encode` wrote.
    pub(super) fn decode(bytes: &[u8]) -> Option<CommitRange> {
        let both = u128::from_be_bytes(bytes.try_into().ok()?);
        Some(CommitRange { first: (both >> 64) as u64, last: both as u64 })
    }
}

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
    /// The data directory, until its first commit is durable.
    unmarked: Option<PathBuf>,
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
    let text = error.to_string();
    // What fjall says for good once a write or a sync has failed.
    let cause = if text.ends_with("Poisoned") {
        " (a write or sync before failed, often for want of space: the log above has the first error; free space, then restart the node)"
    } else {
        ""
    };
    StoreError(format!("{what}: {text}{cause}"))
}

/// A panic elsewhere cannot leave the overlay half changed: every change to it is one insertion.
fn lock(overlay: &Mutex<Overlay>) -> MutexGuard<'_, Overlay> {
    overlay.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does what asks fjall something; its panic, which only damaged files bring about, is an error like any other.
pub(crate) fn guarded<T>(what: &str, ask: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| Err(failed(what, "the database engine panicked, see above")))
}

/// What the engine may keep in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Newest writes of each of the three spaces, before they become a table on disk.
    pub memtable_bytes: u64,
    /// Blocks of tables that were read, of all spaces together.
    pub cache_bytes: u64,
}

/// Opens the database in `dir`.
/// Errors: the database cannot be opened, is damaged or holds a damaged commit number.
pub fn open(dir: &DataDir, memory: Memory) -> Result<(DiskStore, Syncer), StoreError> {
    let path = dir.path().join("db");
    let unseen = |error: std::io::Error| {
        StoreError(format!(
            "the database in {} cannot be looked at: {error}; may this process read it?",
            path.display()
        ))
    };
    let gone = || {
        StoreError(format!(
            "the database in {} is gone or empty, but this node has written to it: put its files back as they were; without them: {LOST}",
            path.display()
        ))
    };
    let is_written = dir.is_written().map_err(unseen)?;
    // Order: before the engine makes what is missing anew.
    if is_written && !path.join("keyspaces").try_exists().map_err(unseen)? {
        return Err(gone());
    }
    journal::check(&path)?;
    let (store, mut syncer) = guarded("opening", || open_engine(&path, memory)).map_err(|StoreError(why)| {
        StoreError(format!(
            "the database in {} cannot be opened: {why}. If the disk answers again, start once more; if it does not, or says the same: {LOST}",
            path.display()
        ))
    })?;
    match (is_written, store.last) {
        (true, CommitNo(0)) => return Err(gone()),
        (false, CommitNo(0)) => syncer.unmarked = Some(dir.path().to_owned()),
        // Of a version that did not mark, or of one that ended in between.
        (false, _) => dir::mark_written(dir.path()).map_err(unseen)?,
        (true, _) => {}
    }
    Ok((store, syncer))
}

/// The last commit that all three spaces know of.
///
/// Errors: a space is ahead of the facts. The engine syncs its journal before it writes tables, so a crash does not do that.
fn last_commit(engine: &Engine) -> Result<u64, StoreError> {
    let in_space = |space: Space| match engine.space(space).get(LAST_COMMIT).map_err(|e| failed("reading", e))? {
        None => Ok(0),
        Some(bytes) => match CommitRange::decode(&bytes) {
            Some(range) => Ok(range.last),
            None => Err(StoreError("damaged commit number".to_owned())),
        },
    };
    let (last, data, hints) = (in_space(Space::Meta)?, in_space(Space::Data)?, in_space(Space::Hints)?);
    if data.max(hints) > last {
        let ahead = data.max(hints);
        return Err(StoreError(format!("its journals end at commit {last}, but tables hold commit {ahead}")));
    }
    Ok(last)
}

fn open_engine(path: &Path, memory: Memory) -> Result<(DiskStore, Syncer), StoreError> {
    let db = Database::builder(path).cache_size(memory.cache_bytes).open().map_err(|e| failed("opening", e))?;
    let space = |name: &str| {
        let options = || KeyspaceCreateOptions::default().max_memtable_size(memory.memtable_bytes);
        db.keyspace(name, options).map_err(|e| failed("opening a keyspace", e))
    };
    let engine = Engine { meta: space("meta")?, data: space("data")?, hints: space("hints")?, db: db.clone() };
    let last = CommitNo(last_commit(&engine)?);
    let overlay = Arc::new(Mutex::new(Overlay::default()));
    let store = DiskStore { engine: engine.clone(), overlay: overlay.clone(), batch: Writes::new(), last };
    Ok((store, Syncer { engine, overlay, durable: last, last: Written::default(), unmarked: None }))
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
        let read = || self.engine.space(space).get(key).map_err(|e| failed("reading", e));
        Ok(guarded("reading", read)?.map(Bytes::from))
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
        guarded("scanning", || merge(&mut disk, newer, limit))
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
        self.sync_held(|| {})
    }

    /// The same, with `hold` between the write and the wait for the disk.
    pub fn sync_held(&mut self, hold: impl FnOnce()) -> Result<CommitNo, StoreError> {
        self.last = Written::default();
        let commits: Vec<(CommitNo, Writes)> = lock(&self.overlay).commits.drain(..).collect();
        let (Some((first, _)), Some((last, _))) = (commits.first(), commits.last()) else { return Ok(self.durable) };
        let (first, last) = (*first, *last);
        // In the system's hands before the wait for the disk begins, and not in a buffer of ours.
        let mut batch = self.engine.db.batch().durability(Some(PersistMode::Buffer));
        for ((space, key), value) in commits.iter().flat_map(|(_, writes)| writes) {
            let space = self.engine.space(*space);
            match value {
                Some(value) => batch.insert(space, key.clone(), value.clone()),
                None => batch.remove(space, key.clone()),
            }
        }
        let written = commits.iter().flat_map(|(_, writes)| writes.keys()).map(|(space, _)| *space);
        for space in written.chain([Space::Meta]).collect::<BTreeSet<_>>() {
            let range = CommitRange { first: first.0, last: last.0 };
            batch.insert(self.engine.space(space), LAST_COMMIT, range.encode());
        }
        batch.commit().map_err(|e| failed("writing", e))?;
        hold();
        self.engine.db.persist(PersistMode::SyncData).map_err(|e| failed("syncing", e))?;
        if let Some(path) = self.unmarked.take() {
            dir::mark_written(&path).map_err(|e| failed("marking the data directory", e))?;
        }
        // Before anything is acknowledged on its strength: what the log of a killed node shows last was durable.
        tracing::trace!(commit = last.0, "synced");
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
