//! SWIM messages as bytes: a header, then, where the message carries news, a u16 count and that many members.
//! Identity: `incarnation | boot | renewals | address`; header: `src | foca incarnation | dst | tag | what it needs`.
//! Invariant: nothing is written that does not fit, for foca hands over a buffer that panics when it overflows.

use std::collections::BTreeSet;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use foca::{Codec, Header, Member, Message, State};

use super::PeerIdentity;
use crate::codec::{Malformed, Reader};
use crate::id::Incarnation;

/// Longest address.
const ADDRESS_BYTES_MAX: usize = 255;
const IDENTITY_BYTES_MAX: usize = 8 + 4 + 4 + 4 + ADDRESS_BYTES_MAX;
/// Three identities and some numbers.
const ITEM_BYTES_MAX: usize = 3 * IDENTITY_BYTES_MAX + 16;

/// The nodes that a message names.
pub(super) struct Named {
    pub(super) sender: Incarnation,
    pub(super) all: BTreeSet<Incarnation>,
}

/// Reads a whole message, strictly, before any of it is applied.
pub(super) fn named(data: Bytes) -> Result<Named, Malformed> {
    let mut reader = Reader::new(data);
    let header = read_header(&mut reader)?;
    let mut all = BTreeSet::from([header.src.incarnation]);
    let news = reader.rest();
    if !news.is_empty() {
        if matches!(header.message, Message::Announce | Message::TurnUndead) {
            return Err(Malformed("news where none belongs"));
        }
        let mut reader = Reader::new(news);
        let count = u16::from_be_bytes([reader.u8()?, reader.u8()?]);
        for _ in 0..count {
            all.insert(read_member(&mut reader)?.id().incarnation);
        }
        reader.end()?;
    }
    Ok(Named { sender: header.src.incarnation, all })
}

/// The codec that `foca` calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire;

impl Codec<PeerIdentity> for Wire {
    type Error = Malformed;

    fn encode_header(&mut self, header: &Header<PeerIdentity>, buf: impl BufMut) -> Result<(), Malformed> {
        let mut out = BytesMut::with_capacity(128);
        put_identity(&mut out, &header.src)?;
        out.put_u32(header.src_incarnation.into());
        put_identity(&mut out, &header.dst)?;
        put_message(&mut out, &header.message)?;
        put_all(&out, buf)
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<PeerIdentity>, Malformed> {
        read_one(buf, read_header)
    }

    fn encode_member(&mut self, member: &Member<PeerIdentity>, buf: impl BufMut) -> Result<(), Malformed> {
        let mut out = BytesMut::with_capacity(64);
        put_identity(&mut out, member.id())?;
        out.put_u32(member.incarnation().into());
        out.put_u8(match member.state() {
            State::Alive => 0,
            State::Suspect => 1,
            State::Down => 2,
        });
        put_all(&out, buf)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Member<PeerIdentity>, Malformed> {
        read_one(buf, read_member)
    }
}

fn put_all(item: &[u8], mut buf: impl BufMut) -> Result<(), Malformed> {
    if buf.remaining_mut() < item.len() {
        return Err(Malformed("message is full"));
    }
    buf.put_slice(item);
    Ok(())
}

fn put_identity(out: &mut BytesMut, id: &PeerIdentity) -> Result<(), Malformed> {
    if id.address.len() > ADDRESS_BYTES_MAX {
        return Err(Malformed("address is too long"));
    }
    out.put_u64(id.incarnation.0);
    out.put_u32(id.boot);
    out.put_u32(id.renewals);
    out.put_u32(id.address.len() as u32);
    out.put_slice(id.address.as_bytes());
    Ok(())
}

/// Tag, probe number (0 where there is none), and the third party where there is one.
fn put_message(out: &mut BytesMut, message: &Message<PeerIdentity>) -> Result<(), Malformed> {
    let (tag, probe_number, third) = match message {
        Message::Ping(number) => (0, *number, None),
        Message::Ack(number) => (1, *number, None),
        Message::PingReq { target, probe_number } => (2, *probe_number, Some(target)),
        Message::IndirectPing { origin, probe_number } => (3, *probe_number, Some(origin)),
        Message::IndirectAck { target, probe_number } => (4, *probe_number, Some(target)),
        Message::ForwardedAck { origin, probe_number } => (5, *probe_number, Some(origin)),
        Message::Announce => (6, 0, None),
        Message::Feed => (7, 0, None),
        Message::Gossip => (8, 0, None),
        Message::TurnUndead => (9, 0, None),
        Message::Broadcast => return Err(Malformed("custom broadcasts are not used")),
    };
    out.put_u8(tag);
    out.put_u8(probe_number);
    third.map_or(Ok(()), |id| put_identity(out, id))
}

/// Reads one item off a buffer that goes on after it.
fn read_one<T>(mut buf: impl Buf, read: fn(&mut Reader) -> Result<T, Malformed>) -> Result<T, Malformed> {
    let chunk = buf.chunk();
    let bytes = Bytes::copy_from_slice(chunk.get(..ITEM_BYTES_MAX).unwrap_or(chunk));
    let len = bytes.len();
    let mut reader = Reader::new(bytes);
    let item = read(&mut reader)?;
    buf.advance(len - reader.rest().len());
    Ok(item)
}

fn read_header(reader: &mut Reader) -> Result<Header<PeerIdentity>, Malformed> {
    Ok(Header {
        src: read_identity(reader)?,
        src_incarnation: read_u16(reader)?,
        dst: read_identity(reader)?,
        message: read_message(reader)?,
    })
}

fn read_member(reader: &mut Reader) -> Result<Member<PeerIdentity>, Malformed> {
    let id = read_identity(reader)?;
    let incarnation = read_u16(reader)?;
    let state = match reader.u8()? {
        0 => State::Alive,
        1 => State::Suspect,
        2 => State::Down,
        _ => return Err(Malformed("unknown member state")),
    };
    Ok(Member::new(id, incarnation, state))
}

fn read_u16(reader: &mut Reader) -> Result<u16, Malformed> {
    u16::try_from(reader.u32()?).map_err(|_| Malformed("number out of range"))
}

fn read_identity(reader: &mut Reader) -> Result<PeerIdentity, Malformed> {
    let (incarnation, boot, renewals) = (Incarnation(reader.u64()?), reader.u32()?, reader.u32()?);
    let address = reader.bytes()?;
    if address.len() > ADDRESS_BYTES_MAX {
        return Err(Malformed("address is too long"));
    }
    let address = std::str::from_utf8(&address).map_err(|_| Malformed("address is not UTF-8"))?.to_owned();
    Ok(PeerIdentity { incarnation, boot, renewals, address })
}

fn read_message(reader: &mut Reader) -> Result<Message<PeerIdentity>, Malformed> {
    let (tag, probe_number) = (reader.u8()?, reader.u8()?);
    Ok(match tag {
        0 => Message::Ping(probe_number),
        1 => Message::Ack(probe_number),
        2 => Message::PingReq { target: read_identity(reader)?, probe_number },
        3 => Message::IndirectPing { origin: read_identity(reader)?, probe_number },
        4 => Message::IndirectAck { target: read_identity(reader)?, probe_number },
        5 => Message::ForwardedAck { origin: read_identity(reader)?, probe_number },
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        9 => Message::TurnUndead,
        _ => return Err(Malformed("unknown message")),
    })
}
