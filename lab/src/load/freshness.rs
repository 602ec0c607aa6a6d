//! How many reads are stale while a run goes on: an estimate in bounded memory of what `judges::staleness` says afterwards in real time.
//! A read is stale if a write of its key was acknowledged before it was sent, and was itself sent after the newest value that it brought was
//! acknowledged. Of that newest value only real time is known here, no contexts: of siblings the last to be acknowledged counts, of an empty
//! answer the last delete; a delete that had begun may have taken away what was sent before it was over.
//! Bounds: the first keys of a run, and the last writes of each; a value older than these is stale only if it must be. Tables are cut by
//! key, and locked for a look, never across a request. Not here: causes, values of other runs (their reads are not counted).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::verdict::Status;
use crate::plan::ValueId;

const SHARDS: usize = 64;
/// Keys that are followed in a shard: 65,536 in all, a kilobyte each at most.
const KEYS_MAX: usize = 1 << 10;
/// Writes of a key that are remembered when they are over.
const WRITES_MAX: usize = 16;

/// What a run knows of its keys. Times are nanoseconds since it began.
pub(super) struct Freshness {
    shards: Vec<Mutex<HashMap<u64, Key>>>,
}

/// What was known of a key when a read was about to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Before {
    /// When the last to be sent of the acknowledged writes was sent.
    newest_sent_ns: u64,
}

#[derive(Default)]
struct Key {
    writes: Vec<Write>,
    newest_sent_ns: Option<u64>,
    /// Whatever is no longer remembered had ended by then.
    forgotten_end_ns: u64,
    was_deleted: bool,
}

struct Write {
    id: ValueId,
    is_delete: bool,
    sent_ns: u64,
    /// When it was acknowledged; `None`: it was not yet, or its outcome is unknown.
    end_ns: Option<u64>,
    is_unknown: bool,
    /// By then it was read, though nobody had acknowledged it: of one of unknown outcome, that is its end.
    first_read_ns: Option<u64>,
}

impl Freshness {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// A write is about to be sent.
    pub(super) fn writing(&self, key: u64, id: ValueId, is_delete: bool, now_ns: u64) {
        let Some(mut shard) = self.shard(key) else { return };
        if shard.len() >= KEYS_MAX && !shard.contains_key(&key) {
            return;
        }
        let known = shard.entry(key).or_default();
        known.make_room(now_ns);
        known.was_deleted |= is_delete;
        known.writes.push(Write {
            id,
            is_delete,
            sent_ns: now_ns,
            end_ns: None,
            is_unknown: false,
            first_read_ns: None,
        });
    }

    /// It came to `status`; `sent_ns`: when it was sent, if it was.
    pub(super) fn wrote(&self, key: u64, id: ValueId, sent_ns: Option<u64>, end_ns: u64, status: Status) {
        let Some(mut shard) = self.shard(key) else { return };
        let Some(known) = shard.get_mut(&key) else { return };
        match (sent_ns, status) {
            (Some(sent_ns), Status::Ok) => {
                known.newest_sent_ns = known.newest_sent_ns.max(Some(sent_ns));
                for write in known.writes.iter_mut().filter(|write| write.id == id) {
                    (write.sent_ns, write.end_ns) = (sent_ns, Some(end_ns));
                }
            }
            (Some(_), Status::Info) => {
                for write in known.writes.iter_mut().filter(|write| write.id == id) {
                    write.is_unknown = true;
                }
            }
            _ => known.writes.retain(|write| write.id != id),
        }
    }

    /// A read is about to be sent; `None`: it cannot be stale, or the key is not followed.
    pub(super) fn reading(&self, key: u64) -> Option<Before> {
        let newest_sent_ns = self.shard(key)?.get(&key)?.newest_sent_ns?;
        Some(Before { newest_sent_ns })
    }

    /// Whether a read that brought `values` by `end_ns` is stale.
    pub(super) fn is_stale(&self, key: u64, before: Before, values: &[ValueId], end_ns: u64) -> Option<bool> {
        let mut shard = self.shard(key)?;
        let known = shard.get_mut(&key)?;
        let newest_end_ns = match values {
            [] => known.last_delete(end_ns),
            _ => values.iter().map(|id| known.end_of(*id, end_ns)).max().max(known.deletes_over(end_ns)),
        };
        Some(newest_end_ns.is_none_or(|newest_end_ns| before.newest_sent_ns > newest_end_ns))
    }

    fn shard(&self, key: u64) -> Option<MutexGuard<'_, HashMap<u64, Key>>> {
        let shard = self.shards.get((key % SHARDS as u64) as usize)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Key {
    /// Forgets the write that was over first. Those on their way stay: there are no more of them than the run has in flight.
    fn make_room(&mut self, now_ns: u64) {
        if self.writes.len() < WRITES_MAX {
            return;
        }
        let over = self.writes.iter().enumerate().filter(|(_, write)| write.end_ns.is_some() || write.is_unknown);
        let end = |write: &Write| write.end_ns.or(write.first_read_ns);
        let first = over.min_by_key(|(_, write)| (end(write).unwrap_or(u64::MAX), write.sent_ns));
        if let Some(place) = first.map(|(place, _)| place) {
            let gone = self.writes.swap_remove(place);
            self.forgotten_end_ns = self.forgotten_end_ns.max(end(&gone).unwrap_or(now_ns));
        }
    }

    /// When the write `id`, which was read by `read_ns`, was over: at the latest then.
    fn end_of(&mut self, id: ValueId, read_ns: u64) -> u64 {
        let Some(write) = self.writes.iter_mut().find(|write| write.id == id) else { return self.forgotten_end_ns };
        if let Some(end_ns) = write.end_ns {
            return end_ns;
        }
        let first_ns = write.first_read_ns.map_or(read_ns, |first_ns| first_ns.min(read_ns));
        write.first_read_ns = Some(first_ns);
        // What is still on its way is not over.
        if write.is_unknown { first_ns } else { read_ns }
    }

    /// When all deletes that had begun by `read_ns` were over: at the latest then; `None`: there were none.
    fn deletes_over(&self, read_ns: u64) -> Option<u64> {
        self.last_delete(read_ns).max(self.was_deleted.then_some(self.forgotten_end_ns))
    }

    /// The end of the last of the deletes that may explain an empty answer by `read_ns`; `None`: there was none.
    fn last_delete(&self, read_ns: u64) -> Option<u64> {
        let deletes = self.writes.iter().filter(|write| write.is_delete && write.sent_ns <= read_ns);
        let last = deletes.map(|write| write.end_ns.unwrap_or(u64::MAX)).max();
        last.or(self.was_deleted.then_some(self.forgotten_end_ns))
    }
}

#[cfg(test)]
mod tests;
