//! `driftkv ring [KEY]`: the layout as a picture, and where one key lives in it.
//! Position and partition follow Dynamo (SOSP 2007) 4.2 with strategy 3 of 6.2: MD5, top bits. Owners come from the
//! node's layout; fallbacks are the owners met by walking on around the ring, as nodes do it.
//! Not here: who is reachable at the moment (`status`).

use driftkv_proto::v1::{Layout, Member};
use md5::{Digest, Md5};
use serde_json::{Value, json};

use crate::admin;
use crate::args::{Output, RingArgs};
use crate::endpoints::Endpoints;
use crate::error::Failure;
use crate::style::{self, Paint, hex, one_line};

/// Longest list of fallbacks, as in the nodes.
const FALLBACKS_MAX: usize = 64;
const STRIP_COLUMNS: u32 = 64;
const BAR_COLUMNS: u64 = 30;

/// Where a key lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// On the ring: MD5 of bucket and key, each after its length.
    pub position: u128,
    /// The slice of the ring that holds it.
    pub partition: u32,
    /// Owners, first primary first.
    pub primaries: Vec<Member>,
    /// Who stands in, nearest first.
    pub fallbacks: Vec<Member>,
}

/// Runs the command.
pub async fn run(args: &RingArgs, endpoints: &Endpoints) -> Result<(), Failure> {
    let layout = admin::layout(&endpoints.admin).await?;
    let place = args.key.as_ref().map(|key| place(&layout, &args.bucket, key));
    match args.output {
        Output::Json | Output::Yaml => style::print_value(args.output, &json(&layout, place.as_ref())),
        Output::Text => {
            let paint = Paint::stdout();
            let mut out = picture(paint, &layout, place.as_ref());
            if let (Some(place), Some(key)) = (&place, &args.key) {
                out += &format!("\n{}", describe(paint, &layout, place, &args.bucket, key));
            }
            style::print(out)
        }
    }
}

/// Where `key` lives under `layout`.
pub fn place(layout: &Layout, bucket: &str, key: &str) -> Place {
    let mut md5 = Md5::new();
    for part in [bucket, key] {
        md5.update((part.len() as u32).to_be_bytes());
        md5.update(part);
    }
    let position = u128::from_be_bytes(md5.finalize().into());
    let bits = layout.partitions.max(1).ilog2();
    let partition = if bits == 0 { 0 } else { (position >> (128 - bits)) as u32 };
    let primaries = owners(layout, partition).to_vec();
    Place {
        position,
        partition,
        fallbacks: fallbacks(layout, partition, &primaries),
        primaries: primaries.into_iter().filter_map(|index| member(layout, index)).cloned().collect(),
    }
}

/// Indices of the owners of `partition`; empty if there is no such partition.
fn owners(layout: &Layout, partition: u32) -> &[u32] {
    let count = layout.replication_factor as usize;
    let start = partition as usize * count;
    layout.owners.get(start..start + count).unwrap_or_default()
}

fn member(layout: &Layout, index: u32) -> Option<&Member> {
    layout.members.get(index as usize)
}

fn fallbacks(layout: &Layout, partition: u32, primaries: &[u32]) -> Vec<Member> {
    let count = layout.partitions.max(1);
    let walk = (1..=count).flat_map(|step| owners(layout, (partition + step) % count)).copied();
    let mut met: Vec<u32> = Vec::new();
    for index in walk.chain(0..layout.members.len() as u32) {
        if met.len() == FALLBACKS_MAX.min(layout.members.len()) {
            break;
        }
        if !primaries.contains(&index) && !met.contains(&index) {
            met.push(index);
        }
    }
    met.into_iter().filter_map(|index| member(layout, index)).cloned().collect()
}

/// Tokens (partition copies) of each member, and of how many it is the first primary.
pub fn tokens(layout: &Layout, index: u32) -> (u64, u64) {
    let all = layout.owners.iter().filter(|owner| **owner == index).count();
    let first = (0..layout.partitions).filter(|partition| owners(layout, *partition).first() == Some(&index)).count();
    (all as u64, first as u64)
}

/// Indices of members by zone, then name.
fn sorted(layout: &Layout) -> Vec<(u32, &Member)> {
    let mut members: Vec<(u32, &Member)> = (0..).zip(&layout.members).collect();
    members.sort_by_key(|(_, member)| (&member.zone, &member.name));
    members
}

/// The whole ring: a bar of tokens a node, by zone, and what stretch of the ring each owns.
pub fn picture(paint: Paint, layout: &Layout, place: Option<&Place>) -> String {
    let members = sorted(layout);
    let total = layout.owners.len().max(1) as u64;
    let most = members.iter().map(|(index, _)| tokens(layout, *index).0).max().unwrap_or(0).max(1);
    let (q, n) = (layout.partitions, layout.replication_factor);
    let mut out = format!("cluster {}, layout {}\n", hex(&layout.cluster_id), layout.version);
    let nodes = style::count(members.len() as u64, "node");
    out += &format!("{q} partitions x {n} copies = {total} tokens on {nodes}\n\n");
    let rows = members.iter().map(|(index, member)| {
        let (all, first) = tokens(layout, *index);
        let bar = "█".repeat((all * BAR_COLUMNS).div_ceil(most) as usize);
        let share = format!("{:.1}%", all as f64 * 100.0 / total as f64);
        vec![one_line(&member.zone), one_line(&member.name), all.to_string(), share, first.to_string(), bar]
    });
    let headings = ["ZONE", "NODE", "TOKENS", "SHARE", "FIRST", "TOKENS AS A BAR"];
    out += &style::table(paint, &headings, &rows.collect::<Vec<_>>());
    out + "\n" + &strips(paint, layout, &members, place)
}

/// One strip a node; the ring runs from left to right.
fn strips(paint: Paint, layout: &Layout, members: &[(u32, &Member)], place: Option<&Place>) -> String {
    let columns = layout.partitions.clamp(1, STRIP_COLUMNS);
    let width = members.iter().map(|(_, member)| one_line(&member.name).chars().count()).max().unwrap_or(0);
    let mut out =
        format!("{}\n", paint.bold(&format!("{:width$}  partitions 0 to {}", "", layout.partitions.saturating_sub(1))));
    for (index, member) in members {
        let strip: String = (0..columns).map(|column| shade(layout, *index, column, columns)).collect();
        let strip = match place {
            Some(place) if !place.primaries.contains(member) => paint.dim(&strip),
            _ => strip,
        };
        out += &format!("{:width$}  {strip}\n", one_line(&member.name));
    }
    if let Some(place) = place {
        let column = u64::from(place.partition) * u64::from(columns) / u64::from(layout.partitions.max(1));
        out += &format!("{:width$}  {}^ partition {}\n", "", " ".repeat(column as usize), place.partition);
    }
    out
}

/// How much of a column's partitions the member owns.
fn shade(layout: &Layout, index: u32, column: u32, columns: u32) -> char {
    let per_column = layout.partitions / columns;
    let range = column * per_column..(column + 1) * per_column;
    let owned = range.filter(|partition| owners(layout, *partition).contains(&index)).count() as u32;
    match owned * 4 / per_column.max(1) {
        0 if owned == 0 => '·',
        0 | 1 => '░',
        2 => '▒',
        3 => '▓',
        _ => '█',
    }
}

/// The place of one key in words, with its preference list.
pub fn describe(paint: Paint, layout: &Layout, place: &Place, bucket: &str, key: &str) -> String {
    let percent = place.position as f64 / u128::MAX as f64 * 100.0;
    let title = format!("key \"{}\" of bucket \"{}\"", one_line(key), one_line(bucket));
    let mut out = format!("{}\n", paint.bold(&title));
    out += &format!("position   {:032x}, {percent:.1}% around the ring\n", place.position);
    out += &format!("partition  {} of {}\n\n", place.partition, layout.partitions);
    let primaries = place.primaries.iter().map(|member| ("primary", member));
    let roles = primaries.chain(place.fallbacks.iter().map(|member| ("fallback", member)));
    let rows = (1..).zip(roles).map(|(number, (role, member)): (u32, _)| {
        let texts = [&member.name, &member.zone, &member.client_address].map(|text| one_line(text));
        [vec![number.to_string(), role.to_owned()], texts.to_vec()].concat()
    });
    out + &style::table(paint, &["#", "PREFERENCE LIST", "NODE", "ZONE", "CLIENT"], &rows.collect::<Vec<_>>())
}

/// All of it, for programs.
pub fn json(layout: &Layout, place: Option<&Place>) -> Value {
    let member = |member: &Member| json!({ "name": member.name, "zone": member.zone, "client": member.client_address });
    let members = sorted(layout).into_iter().map(|(index, member)| {
        let (tokens, first) = tokens(layout, index);
        json!({
            "name": member.name, "zone": member.zone, "capacity": member.capacity, "client": member.client_address,
            "incarnation": format!("{:016x}", member.incarnation), "tokens": tokens, "firstPrimaryOf": first,
        })
    });
    let key = place.map(|place| {
        json!({
            "position": format!("{:032x}", place.position),
            "partition": place.partition,
            "primaries": place.primaries.iter().map(member).collect::<Vec<_>>(),
            "fallbacks": place.fallbacks.iter().map(member).collect::<Vec<_>>(),
        })
    });
    json!({
        "clusterId": hex(&layout.cluster_id), "version": layout.version, "partitions": layout.partitions,
        "replicationFactor": layout.replication_factor, "members": members.collect::<Vec<_>>(), "key": key,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{describe, picture, place};
    use crate::style::Paint;
    use driftkv_proto::v1::{Layout, Member};

    /// Four nodes in a row: partition p belongs to nodes p and p + 1.
    fn layout() -> Layout {
        let member = |i: u32| Member {
            incarnation: i.into(),
            name: format!("n{i}"),
            zone: if i.is_multiple_of(2) { "a" } else { "b" }.to_owned(),
            client_address: format!("h:{i}"),
            ..Member::default()
        };
        let owners = (0..8).flat_map(|p| [p % 4, (p + 1) % 4]).collect();
        let members = (0..4).map(member).collect();
        Layout { version: 1, partitions: 8, replication_factor: 2, members, owners, ..Layout::default() }
    }

    #[test]
    fn a_key_lies_where_its_md5_says() {
        // printf '\0\0\0\7default\0\0\0\1k' | md5sum
        let place = place(&layout(), "default", "k");
        assert_eq!(format!("{:032x}", place.position), "a5673a3dde530ad80ff09e48a01ecebd");
        assert_eq!(u128::from(place.partition), place.position >> 125);
    }

    #[test]
    fn fallbacks_are_met_by_walking_on_from_the_owners() {
        let place = place(&layout(), "default", "k");
        let p = place.partition;
        let names = |members: &[Member]| members.iter().map(|m| m.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&place.primaries), [format!("n{}", p % 4), format!("n{}", (p + 1) % 4)]);
        assert_eq!(names(&place.fallbacks), [format!("n{}", (p + 2) % 4), format!("n{}", (p + 3) % 4)]);
    }

    #[test]
    fn the_picture_shows_each_nodes_tokens_and_stretch() {
        let layout = layout();
        let text = picture(Paint::off(), &layout, None);
        assert!(text.starts_with("cluster , layout 1\n8 partitions x 2 copies = 16 tokens on 4 nodes\n"), "{text}");
        assert!(text.contains("a     n0    4       25.0%  2      ██████████████████████████████\n"), "{text}");
        let strips: Vec<&str> = text.lines().rev().take(4).collect();
        assert_eq!(strips, ["n3  ··██··██", "n1  ██··██··", "n2  ·██··██·", "n0  █··██··█"]);
    }

    #[test]
    fn a_key_is_marked_under_its_partition_and_listed_with_its_nodes() {
        let layout = layout();
        let place = place(&layout, "default", "k");
        let text = picture(Paint::off(), &layout, Some(&place));
        let mark = text.lines().last().unwrap();
        assert_eq!(mark.find('^'), Some(4 + place.partition as usize), "{text}");
        let words = describe(Paint::off(), &layout, &place, "default", "k");
        assert!(words.contains("PREFERENCE LIST"), "{words}");
        assert_eq!(words.matches("primary").count(), 2);
        assert_eq!(words.matches("fallback").count(), 2);
    }

    #[test]
    fn one_partition_is_a_ring_too() {
        let layout = Layout { partitions: 1, owners: vec![0, 1], ..layout() };
        let place = place(&layout, "b", "k");
        assert_eq!(place.partition, 0);
        assert_eq!(place.fallbacks.len(), 2);
        assert!(picture(Paint::off(), &layout, Some(&place)).contains("partitions 0 to 0"));
    }
}
