//! The identities of the protocol: data directories, clusters, keys, partitions, requests.
//! Ring position follows Dynamo (SOSP 2007) 4.2 with strategy 3 of 6.2: MD5, fixed partitions.
//! Invariant: a storage key starts with the key's MD5, so a partition, and a leaf of its hash tree, is one range.

use bytes::{BufMut, Bytes, BytesMut};
use md5::{Digest, Md5};

use crate::config::KEY_BYTES_CEILING;

/// Identity of a data directory: random, made and synced with it, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation(pub u64);

impl std::fmt::Display for Incarnation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Identity of a cluster, chosen at bootstrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ClusterId(pub u128);

/// Identity of one client put across its retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RequestId(pub u128);

/// Number of a store commit; grows by one a commit, also across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CommitNo(pub u64);

/// One of Q fixed slices of the MD5 ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PartitionId(pub u32);

/// A bucket and a key in it, with the MD5 of both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    ring: [u8; 16],
    bucket: Bytes,
    key: Bytes,
}

/// The position, a length, and bucket and key of the longest that may be configured.
const STORAGE_KEY_BYTES_MAX: usize = 20 + 2 * KEY_BYTES_CEILING as usize;

impl Key {
    /// Hashes `bucket` and `key`, each prefixed with its length (u32, big endian).
    pub fn new(bucket: impl Into<Bytes>, key: impl Into<Bytes>) -> Self {
        let (bucket, key) = (bucket.into(), key.into());
        let mut md5 = Md5::new();
        md5.update((bucket.len() as u32).to_be_bytes());
        md5.update(&bucket);
        md5.update((key.len() as u32).to_be_bytes());
        md5.update(&key);
        Key { ring: md5.finalize().into(), bucket, key }
    }

    /// The bucket's bytes.
    pub fn bucket(&self) -> &Bytes {
        &self.bucket
    }

    /// The key's bytes.
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// Position on the ring.
    pub fn position(&self) -> u128 {
        u128::from_be_bytes(self.ring)
    }

    /// The partition among `partitions` (a power of two) that holds this key: the top bits.
    pub fn partition(&self, partitions: u32) -> PartitionId {
        let bits = partitions.trailing_zeros();
        if bits == 0 {
            return PartitionId(0);
        }
        PartitionId((self.position() >> (128 - bits)) as u32)
    }

    /// `md5 (16) | bucket length (u32) | bucket | key`: what the store orders records by.
    pub fn storage_key(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(20 + self.bucket.len() + self.key.len());
        out.put_slice(&self.ring);
        out.put_u32(self.bucket.len() as u32);
        out.put_slice(&self.bucket);
        out.put_slice(&self.key);
        out.freeze()
    }

    /// Reads a storage key back; `None` if it is not one (too short, longer than any may be, or the MD5 does not match).
    pub fn from_storage_key(bytes: &Bytes) -> Option<Self> {
        let bucket_len = u32::from_be_bytes(bytes.get(16..20)?.try_into().ok()?) as usize;
        let split = 20usize.checked_add(bucket_len)?;
        if bytes.len() < split || bytes.len() > STORAGE_KEY_BYTES_MAX {
            return None;
        }
        let key = Key::new(bytes.slice(20..split), bytes.slice(split..));
        (bytes.get(..16)? == key.ring).then_some(key)
    }
}
