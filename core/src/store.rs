//! What the protocol needs of a disk: a small ordered store whose commits are atomic and numbered.
//! Two implementations, [`MemStore`] here and the disk in `node`, pass one suite (`store/contract.rs`).
//! Invariants: reads see the current batch's own writes; commits survive a crash as a prefix, each whole or absent.
//! Not here: making a commit durable. The driver syncs and then calls `Node::synced`.

use bytes::Bytes;

use crate::id::CommitNo;

pub mod contract;
mod mem;
pub use mem::MemStore;

/// What kind of record a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Small facts of this node: boots, layout, fence memories.
    Meta,
    /// `storage key -> record` of the partitions it owns.
    Data,
    /// `target incarnation (8) | storage key -> record` held for others.
    Hints,
}

/// The disk failed or holds what we did not write. The node must stop: it may not acknowledge from this store again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("store failed: {0}")]
pub struct StoreError(pub String);

/// One key and its value, in key order.
pub type Pair = (Bytes, Bytes);

/// A synchronous ordered store; every method may block on a disk.
pub trait Store {
    /// The value under `key`, this batch's writes included.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError>;
    /// Writes in the current batch.
    fn put(&mut self, space: Space, key: Bytes, value: Bytes);
    /// Deletes in the current batch.
    fn delete(&mut self, space: Space, key: Bytes);
    /// Up to `limit` pairs from `from` (inclusive) to `to` (exclusive; `None`: to the end), in key order.
    fn scan(&self, space: Space, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Pair>, StoreError>;
    /// Ends the batch atomically and numbers it; an empty batch keeps the last number. Not yet durable.
    fn commit(&mut self) -> Result<CommitNo, StoreError>;
    /// The number of the newest commit, durable or not.
    fn last_commit(&self) -> CommitNo;
}
