//! What the sessions of a run have seen: for each key the newest context, and the operation that brought it.
//! Bounded: a session that knows too many keys forgets all of them, which costs it reads and no correctness.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Contexts of all sessions together, about 150 bytes each.
const CONTEXTS_MAX: usize = 1 << 20;
const CONTEXTS_OF_A_SESSION_MIN: usize = 1 << 10;

/// All sessions of a run. Clones share them, and a later run may go on with them.
#[derive(Clone, Debug)]
pub struct Sessions {
    seen: Arc<Vec<Mutex<HashMap<u64, Seen>>>>,
    contexts_max: usize,
}

/// What a session knows of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// As the store gave it.
    pub(super) context: Bytes,
    /// The run and the operation whose answer carried it.
    pub(super) run: u64,
    pub(super) seq: u64,
}

impl Sessions {
    /// `count` sessions that have seen nothing.
    pub fn new(count: u32) -> Self {
        let contexts_max = (CONTEXTS_MAX / (count as usize).max(1)).max(CONTEXTS_OF_A_SESSION_MIN);
        Self { seen: Arc::new((0..count).map(|_| Mutex::default()).collect()), contexts_max }
    }

    pub(super) fn count(&self) -> usize {
        self.seen.len()
    }

    pub(super) fn of(&self, session: u32, key: u64) -> Option<Seen> {
        self.lock(session)?.get(&key).cloned()
    }

    /// Takes note of an answer; an empty context says that the store holds what this session has not seen.
    pub(super) fn learn(&self, session: u32, key: u64, context: &Bytes, (run, seq): (u64, u64)) {
        let Some(mut seen) = self.lock(session) else { return };
        if context.is_empty() {
            seen.remove(&key);
            return;
        }
        if seen.len() >= self.contexts_max && !seen.contains_key(&key) {
            seen.clear();
        }
        // The reply's bytes are a slice of a whole frame: a copy lets that go.
        seen.insert(key, Seen { context: Bytes::copy_from_slice(context), run, seq });
    }

    /// After a write with an unknown outcome nobody knows what the old context still covers.
    pub(super) fn forget(&self, session: u32, key: u64) {
        if let Some(mut seen) = self.lock(session) {
            seen.remove(&key);
        }
    }

    fn lock(&self, session: u32) -> Option<MutexGuard<'_, HashMap<u64, Seen>>> {
        self.seen.get(session as usize).map(|seen| seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
