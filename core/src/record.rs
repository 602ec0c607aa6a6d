//! One stored record: a key's state, its hash, and the only epoch this node may mint under for the key.
//! Follows design.md, Causality: `own_epoch`. Hints use the same form without an epoch.
//! Invariants: a record that does not match its checksum is never used; the store error stops the node. The checksum covers
//! the place the record lies in: one that a damaged index shows under another key is as useless as one with flipped bits.

use bytes::{BufMut, Bytes, BytesMut};
use twox_hash::XxHash3_64;

use crate::causality::{Epoch, State};
use crate::codec::{Malformed, Reader};
use crate::store::StoreError;

const VERSION: u8 = 2;
/// version | checksum | state hash | has epoch | epoch
const HEADER: usize = 1 + 8 + 8 + 1 + 12;

/// What is stored under one key.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Record {
    /// The epoch in which this node's history of the key is complete; `None`: the next put takes a fresh one.
    pub own_epoch: Option<Epoch>,
    /// Everything known of the key.
    pub state: State,
}

/// A record as bytes, with the canonical state it holds.
pub struct Encoded {
    /// For the store.
    pub record: Bytes,
    /// Canonical state, sharing the buffer.
    pub state: Bytes,
    /// Its hash.
    pub hash: u64,
}

/// Hash of a canonical state encoding; 0 for the empty state.
pub fn state_hash(state: &[u8]) -> u64 {
    if state.is_empty() { 0 } else { XxHash3_64::oneshot(state).max(1) }
}

/// A record as the store holds it: checked, its state not decoded.
#[derive(Clone, Debug)]
pub struct Stored {
    /// As in [`Record`].
    pub own_epoch: Option<Epoch>,
    /// Hash of the state.
    pub hash: u64,
    /// Canonical state.
    pub state: Bytes,
}

impl Stored {
    /// Reads the record stored under `place`. Errors: the disk holds what we did not write there.
    pub fn read(place: &[u8], bytes: Bytes) -> Result<Stored, StoreError> {
        let len = bytes.len();
        let mut r = Reader::new(bytes);
        let (version, sum, stored) = header(&mut r).map_err(|malformed| damaged(len, malformed.0))?;
        if version != VERSION {
            return Err(damaged(len, "unknown record version"));
        }
        if sum != checksum(place, stored.hash, stored.own_epoch) || state_hash(&stored.state) != stored.hash {
            return Err(damaged(len, "checksum mismatch"));
        }
        Ok(stored)
    }

    /// The same with its state decoded. Errors: as `read`.
    pub fn record(self) -> Result<Record, StoreError> {
        let len = self.state.len();
        let state = State::decode(self.state).map_err(|malformed| damaged(len, malformed.0))?;
        Ok(Record { own_epoch: self.own_epoch, state })
    }
}

fn header(r: &mut Reader) -> Result<(u8, u64, Stored), Malformed> {
    let (version, sum, hash, has_epoch) = (r.u8()?, r.u64()?, r.u64()?, r.u8()?);
    let epoch = Epoch { boot: r.u32()?, number: r.u64()? };
    let own_epoch = match has_epoch {
        0 => None,
        1 => Some(epoch),
        _ => return Err(Malformed("unknown epoch mark")),
    };
    Ok((version, sum, Stored { own_epoch, hash, state: r.rest() }))
}

fn damaged(bytes: usize, what: &str) -> StoreError {
    StoreError(format!("damaged record of {bytes} bytes: {what}"))
}

impl Record {
    /// The stored form. `place`: the key in the store that it will lie under.
    pub fn encode(&self, place: &[u8]) -> Encoded {
        let mut body = BytesMut::with_capacity(HEADER + self.state.size());
        body.put_bytes(0, HEADER);
        self.state.encode_into(&mut body);
        let hash = state_hash(body.get(HEADER..).unwrap_or_default());
        if let Some(mut header) = body.get_mut(..HEADER) {
            let epoch = self.own_epoch.unwrap_or(Epoch { boot: 0, number: 0 });
            header.put_u8(VERSION);
            header.put_u64(checksum(place, hash, self.own_epoch));
            header.put_u64(hash);
            header.put_u8(u8::from(self.own_epoch.is_some()));
            header.put_u32(epoch.boot);
            header.put_u64(epoch.number);
        }
        let record = body.freeze();
        Encoded { state: record.slice(HEADER..), record, hash }
    }

    /// Reads the record stored under `place`. Errors: the disk holds what we did not write there.
    pub fn decode(place: &[u8], bytes: Bytes) -> Result<Record, StoreError> {
        Stored::read(place, bytes)?.record()
    }

    /// The state hash out of a record's header, without decoding the state.
    pub fn hash_of(bytes: &Bytes) -> u64 {
        bytes.get(9..17).and_then(|b| b.try_into().ok()).map_or(0, u64::from_be_bytes)
    }
}

/// The state is covered by its own hash; the rest, and where it lies, by this.
fn checksum(place: &[u8], hash: u64, own_epoch: Option<Epoch>) -> u64 {
    let epoch = own_epoch.map_or(u128::MAX, |e| u128::from(e.boot) << 64 | u128::from(e.number));
    let mut header = [0; 24];
    let (state, own) = header.split_at_mut(8);
    state.copy_from_slice(&hash.to_be_bytes());
    own.copy_from_slice(&epoch.to_be_bytes());
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(&header), place)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::causality::{Actor, Dot, Payload};
    use crate::id::{Incarnation, RequestId};

    fn record() -> Record {
        let epoch = Epoch { boot: 3, number: 4 };
        let mut state = State::default();
        let dot = Dot { actor: Actor { incarnation: Incarnation(1), epoch }, counter: 1 };
        state.add(dot, Payload { request: RequestId(9), value: Some(Bytes::from_static(b"value")) });
        Record { own_epoch: Some(epoch), state }
    }

    #[test]
    fn a_record_reads_back_and_shows_its_hash_in_the_header() {
        let encoded = record().encode(b"k");
        assert_eq!(Record::decode(b"k", encoded.record.clone()).unwrap(), record());
        assert_eq!(Record::hash_of(&encoded.record), record().state.hash());
        assert_eq!(encoded.state, record().state.encode());
    }

    #[test]
    fn any_changed_byte_is_found() {
        let bytes = record().encode(b"k").record.to_vec();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            let read = Record::decode(b"k", Bytes::from(damaged));
            assert!(read.is_err(), "byte {at}");
        }
        for len in 0..bytes.len() {
            assert!(Record::decode(b"k", Bytes::from(bytes[..len].to_vec())).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_record_under_another_key_is_refused() {
        let bytes = record().encode(b"k").record;
        for place in [b"".as_slice(), b"l", b"kk"] {
            assert!(Record::decode(place, bytes.clone()).is_err(), "{place:?}");
        }
    }
}
