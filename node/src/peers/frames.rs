//! Envelopes to frames and back: many small ones share a frame, one that is too large travels in fragments.
//! Invariants: a frame never exceeds what a stream accepts; what is being put together is bounded; forged fragments end the
//! stream and nothing else.

use bytes::{Bytes, BytesMut};
use driftkv_core::message::Envelope;
use driftkv_proto::v1::{self, Fragment, PeerFrame};
use prost::Message as _;

use crate::convert::{self, Malformed};

/// Bytes after which a frame is closed.
const FRAME_BYTES: usize = 1 << 20;
/// The largest piece of an envelope that does not fit a frame.
const FRAGMENT_BYTES: usize = 1 << 20;
/// The largest envelope that is put together: the most that the siblings of one key may add up to, and its keys.
const ENVELOPE_BYTES_MAX: usize = driftkv_core::config::STATE_BYTES_CEILING as usize + (16 << 20);

/// Turns envelopes into frames, in their order.
#[derive(Debug, Default)]
pub struct Framer {
    next_fragment: u64,
}

impl Framer {
    /// Frames that carry all of `envelopes`.
    pub fn frames(&mut self, envelopes: Vec<Envelope>) -> Vec<PeerFrame> {
        let mut frames = Vec::with_capacity(1);
        let (mut open, mut bytes) = (Vec::with_capacity(envelopes.len()), 0);
        for envelope in envelopes {
            let wire = convert::to_wire(envelope);
            let len = wire.encoded_len();
            if !open.is_empty() && bytes + len > FRAME_BYTES {
                frames.push(PeerFrame { envelopes: std::mem::take(&mut open), ..PeerFrame::default() });
                bytes = 0;
            }
            if len > FRAME_BYTES {
                self.split(&wire, &mut frames);
                continue;
            }
            bytes += len;
            open.push(wire);
        }
        if !open.is_empty() {
            frames.push(PeerFrame { envelopes: open, ..PeerFrame::default() });
        }
        frames
    }

    fn split(&mut self, wire: &v1::Envelope, frames: &mut Vec<PeerFrame>) {
        self.next_fragment += 1;
        let id = self.next_fragment;
        let whole = Bytes::from(wire.encode_to_vec());
        let count = whole.len().div_ceil(FRAGMENT_BYTES);
        for index in 0..count {
            let (from, to) = (index * FRAGMENT_BYTES, ((index + 1) * FRAGMENT_BYTES).min(whole.len()));
            let fragment = Fragment { id, index: index as u32, count: count as u32, data: whole.slice(from..to) };
            frames.push(PeerFrame { fragment: Some(fragment), ..PeerFrame::default() });
        }
    }
}

/// Puts together what arrives on one stream.
#[derive(Debug, Default)]
pub struct Assembly {
    id: u64,
    next: u32,
    parts: BytesMut,
}

impl Assembly {
    /// The envelopes that `frame` completes. Errors: fragments out of order or too large; end the stream.
    pub fn take(&mut self, frame: PeerFrame) -> Result<Vec<v1::Envelope>, Malformed> {
        let mut envelopes = frame.envelopes;
        if let Some(fragment) = frame.fragment
            && let Some(whole) = self.add(&fragment)?
        {
            envelopes.push(v1::Envelope::decode(whole).map_err(|_| Malformed("fragments are no envelope"))?);
        }
        Ok(envelopes)
    }

    fn add(&mut self, fragment: &Fragment) -> Result<Option<Bytes>, Malformed> {
        if fragment.index == 0 {
            (self.id, self.next) = (fragment.id, 0);
            self.parts.clear();
        }
        if fragment.id != self.id || fragment.index != self.next || fragment.index >= fragment.count {
            return Err(Malformed("fragment out of order"));
        }
        if self.parts.len() + fragment.data.len() > ENVELOPE_BYTES_MAX {
            return Err(Malformed("envelope larger than any state may be"));
        }
        self.parts.extend_from_slice(&fragment.data);
        self.next += 1;
        Ok((self.next == fragment.count).then(|| self.parts.split().freeze()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use driftkv_core::id::{CommitNo, Incarnation, Key};
    use driftkv_core::message::{Message, Purpose, Replicate};

    use super::{Assembly, Envelope, FRAME_BYTES, Framer, PeerFrame, convert};
    use bytes::Bytes;

    fn envelope(op: u64, bytes: usize) -> Envelope {
        let state = Bytes::from(vec![op as u8; bytes]);
        let hint_for = Some(Incarnation(4));
        let key = Key::new("b", "k");
        let replicate = Replicate { op, key, state, hint_for, remaining_ms: 9, purpose: Purpose::Put };
        Envelope {
            layout_version: 1,
            boot: 2,
            synced: CommitNo(3),
            trace: None,
            message: Message::Replicate(replicate),
        }
    }

    fn read(assembly: &mut Assembly, frames: Vec<PeerFrame>) -> Vec<Envelope> {
        let wire = frames.into_iter().flat_map(|frame| assembly.take(frame).unwrap());
        wire.map(|envelope| convert::from_wire(envelope).unwrap()).collect()
    }

    #[test]
    fn small_envelopes_share_a_frame_and_large_ones_travel_in_fragments() {
        let sent: Vec<Envelope> =
            [10, 10, 600 << 10, 600 << 10, 5 << 20, 10].into_iter().zip(1..).map(|(n, op)| envelope(op, n)).collect();
        let frames = Framer::default().frames(sent.clone());
        assert!(frames.iter().all(|frame| prost::Message::encoded_len(frame) <= FRAME_BYTES + 1024));
        assert_eq!(frames[0].envelopes.len(), 3);
        assert_eq!(frames.iter().filter(|frame| frame.fragment.is_some()).count(), 6);
        assert_eq!(read(&mut Assembly::default(), frames), sent);
    }

    #[test]
    fn forged_fragments_end_the_stream() {
        let frames = Framer::default().frames(vec![envelope(1, 3 << 20)]);
        assert!(Assembly::default().take(frames[1].clone()).is_err());
        let mut assembly = Assembly::default();
        assembly.take(frames[0].clone()).unwrap();
        assert!(assembly.take(frames[2].clone()).is_err());
        let mut assembly = Assembly::default();
        for index in [0, 1] {
            assembly.take(frames[index].clone()).unwrap();
        }
        let mut other = frames[2].clone();
        other.fragment.as_mut().unwrap().id += 1;
        assert!(assembly.take(other).is_err());
    }
}
