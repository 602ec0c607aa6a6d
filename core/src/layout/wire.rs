//! A layout as bytes: gossiped, stored, hashed.
//! `1 (u8) | version | cluster id | Q | N | members | Q*N owner indices (u16)`, big endian.
//! Invariant: `decode` accepts exactly what `encode` writes for a layout that keeps every rule of `layout`.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Layout, Member, check};
use crate::codec::{Malformed, Reader};
use crate::id::{ClusterId, Incarnation};

const FORMAT: u8 = 1;
/// Incarnation, capacity and five lengths.
const MEMBER_BYTES_MIN: usize = 8 + 4 + 5 * 4;

impl Layout {
    /// The canonical bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64 + self.members.len() * 128 + self.owners.len() * 2);
        out.put_u8(FORMAT);
        out.put_u64(self.version);
        out.put_u128(self.cluster_id.0);
        out.put_u32(self.partitions);
        out.put_u32(self.replication_factor);
        out.put_u32(self.members.len() as u32);
        for member in &self.members {
            put_member(&mut out, member);
        }
        for index in &self.owners {
            out.put_u16(*index);
        }
        out.freeze()
    }

    /// Reads a layout back and checks every rule a layout keeps, but not whether it is balanced.
    pub fn decode(bytes: Bytes) -> Result<Layout, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != FORMAT {
            return Err(Malformed("layout: unknown format"));
        }
        let version = reader.u64()?;
        let cluster_id = ClusterId(reader.u128()?);
        let partitions = reader.u32()?;
        let replication_factor = reader.u32()?;
        let count = reader.count(MEMBER_BYTES_MIN)?;
        let members = (0..count).map(|_| read_member(&mut reader)).collect::<Result<Vec<_>, _>>()?;
        let owners = read_owners(reader.rest())?;
        let layout = Layout { version, cluster_id, partitions, replication_factor, members, owners };
        layout.check_decoded()?;
        Ok(layout)
    }

    fn check_decoded(&self) -> Result<(), Malformed> {
        if self.version == 0 {
            return Err(Malformed("layout: version 0"));
        }
        let sorted = check(self.partitions, self.replication_factor, self.members.clone());
        if sorted.map_err(|_| Malformed("layout: bad parameters or members"))? != self.members {
            return Err(Malformed("layout: members not sorted"));
        }
        if self.owners.len() as u64 != u64::from(self.partitions) * u64::from(self.replication_factor) {
            return Err(Malformed("layout: wrong number of owners"));
        }
        for row in self.owners.chunks(self.replication_factor.max(1) as usize) {
            let is_distinct = row.iter().enumerate().all(|(i, owner)| !row.iter().skip(i + 1).any(|o| o == owner));
            if !is_distinct || row.iter().any(|owner| usize::from(*owner) >= self.members.len()) {
                return Err(Malformed("layout: owners of a partition"));
            }
        }
        Ok(())
    }
}

fn put_member(out: &mut BytesMut, member: &Member) {
    out.put_u64(member.incarnation.0);
    out.put_u32(member.capacity);
    for text in [&member.name, &member.zone, &member.client_address, &member.peer_address, &member.admin_address] {
        out.put_u32(text.len() as u32);
        out.put_slice(text.as_bytes());
    }
}

fn read_member(reader: &mut Reader) -> Result<Member, Malformed> {
    Ok(Member {
        incarnation: Incarnation(reader.u64()?),
        capacity: reader.u32()?,
        name: read_text(reader)?,
        zone: read_text(reader)?,
        client_address: read_text(reader)?,
        peer_address: read_text(reader)?,
        admin_address: read_text(reader)?,
    })
}

fn read_text(reader: &mut Reader) -> Result<String, Malformed> {
    let bytes = reader.bytes()?;
    std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| Malformed("layout: text is not UTF-8"))
}

fn read_owners(bytes: Bytes) -> Result<Vec<u16>, Malformed> {
    let (pairs, odd) = bytes.as_chunks::<2>();
    if !odd.is_empty() {
        return Err(Malformed("layout: half an owner"));
    }
    Ok(pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect())
}
