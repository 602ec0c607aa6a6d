//! Edits of a valid encoding, as proptest draws and shrinks them.

use bytes::Bytes;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::sample::Index;

/// One change of some bytes.
#[derive(Clone, Debug)]
pub enum Edit {
    Flip(Index, u8),
    Truncate(Index),
    /// Takes a piece out.
    Cut(Index, u8),
    /// Puts a piece of another sample in.
    Splice(Index, Index, Index, u8),
    /// Writes a large number where a length may be.
    Raise(Index, u32),
    Append(Vec<u8>),
}

pub fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let large = prop_oneof![0u32..64, 1u32 << 16..1 << 24, 1u32 << 28..=u32::MAX];
    let index = any::<Index>;
    let edit = prop_oneof![
        4 => (index(), 0u8..8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        1 => index().prop_map(Edit::Truncate),
        1 => (index(), any::<u8>()).prop_map(|(at, len)| Edit::Cut(at, len)),
        2 => (index(), index(), index(), any::<u8>()).prop_map(|(other, from, to, len)| Edit::Splice(other, from, to, len)),
        3 => (index(), large).prop_map(|(at, number)| Edit::Raise(at, number)),
        1 => proptest::collection::vec(any::<u8>(), 0..32).prop_map(Edit::Append),
    ];
    proptest::collection::vec(edit, 1..6)
}

/// One of `samples` after `edits`.
pub fn apply(samples: &[Bytes], which: Index, edits: &[Edit]) -> Bytes {
    let mut bytes = which.get(samples).to_vec();
    for edit in edits {
        let at = |index: &Index| if bytes.is_empty() { 0 } else { index.index(bytes.len()) };
        match edit {
            Edit::Flip(index, bit) => {
                let at = at(index);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            Edit::Truncate(index) => bytes.truncate(at(index)),
            Edit::Cut(index, len) => {
                let from = at(index);
                bytes.drain(from..(from + usize::from(*len)).min(bytes.len()));
            }
            Edit::Splice(other, from, to, len) => {
                let other = other.get(samples);
                let from = if other.is_empty() { 0 } else { from.index(other.len()) };
                let piece = &other[from..(from + usize::from(*len)).min(other.len())];
                let at = at(to);
                bytes.splice(at..at, piece.iter().copied());
            }
            Edit::Raise(index, number) => {
                let from = at(index);
                let room = bytes.len().saturating_sub(from).min(4);
                bytes[from..from + room].copy_from_slice(&number.to_be_bytes()[..room]);
            }
            Edit::Append(tail) => bytes.extend_from_slice(tail),
        }
    }
    Bytes::from(bytes)
}
