#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::{Just, ProptestConfig, Strategy, any};
use proptest::{collection, prop_assert, prop_assert_eq, proptest};

use super::{Layout, LayoutError, Member};
use crate::id::{ClusterId, Incarnation, PartitionId};

/// Member number `index`; its incarnation has nothing to do with its place.
fn member(index: u64, zone: &str, capacity: u32) -> Member {
    Member {
        incarnation: Incarnation(twox_hash::XxHash3_64::oneshot(&index.to_be_bytes())),
        name: format!("demo-{index}"),
        zone: zone.to_owned(),
        capacity,
        client_address: format!("10.0.0.{index}:7400"),
        peer_address: format!("10.0.0.{index}:7401"),
        admin_address: format!("10.0.0.{index}:7402"),
    }
}

/// Each in a zone of its own.
fn members(count: u64) -> Vec<Member> {
    (0..count).map(|i| member(i, &format!("z{i}"), 1)).collect()
}

fn first(partitions: u32, factor: u32, members: Vec<Member>) -> Layout {
    Layout::first(ClusterId(7), partitions, factor, members).unwrap()
}

fn row(layout: &Layout, partition: u32) -> Vec<Incarnation> {
    layout.owners_of(PartitionId(partition)).map(|m| m.incarnation).collect()
}

/// How often each member is at each place.
fn places(layout: &Layout) -> BTreeMap<Incarnation, Vec<f64>> {
    let empty = vec![0.0; layout.replication_factor as usize];
    let mut counts: BTreeMap<_, _> = layout.members.iter().map(|m| (m.incarnation, empty.clone())).collect();
    for partition in 0..layout.partitions {
        for (place, owner) in row(layout, partition).iter().enumerate() {
            counts.get_mut(owner).unwrap()[place] += 1.0;
        }
    }
    counts
}

/// Tokens that someone holds in `after` and not in `before`.
fn moved(before: &Layout, after: &Layout) -> usize {
    (0..before.partitions).map(|p| row(after, p).iter().filter(|m| !row(before, p).contains(m)).count()).sum()
}

fn tokens(layout: &Layout, incarnation: Incarnation) -> usize {
    places(layout)[&incarnation].iter().sum::<f64>() as usize
}

/// N distinct owners everywhere, and no zone used more often than it must be.
fn check_rows(layout: &Layout) {
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    for member in &layout.members {
        *zones.entry(&member.zone).or_default() += 1;
    }
    let factor = layout.replication_factor as usize;
    let most = (1..=factor).find(|k| zones.values().map(|s| s.min(k)).sum::<usize>() >= factor).unwrap();
    for partition in 0..layout.partitions {
        assert_eq!(row(layout, partition).into_iter().collect::<BTreeSet<_>>().len(), factor);
        let mut used: BTreeMap<&str, usize> = BTreeMap::new();
        for owner in layout.owners_of(PartitionId(partition)) {
            *used.entry(&owner.zone).or_default() += 1;
        }
        assert!(used.values().all(|count| *count <= most), "{used:?} of {zones:?}");
    }
}

/// Every place is shared as fairly as the tokens are.
fn check_places(layout: &Layout) {
    for counts in places(layout).values() {
        let ideal = counts.iter().sum::<f64>() / counts.len() as f64;
        assert!(counts.iter().all(|count| (count - ideal).abs() <= 2.5), "{counts:?}");
    }
}

/// Members alone in their zones, of such capacities that none could own more than each partition.
fn check_shares(capacities: &[u32]) {
    let total: u32 = capacities.iter().sum();
    let numbered = capacities.iter().enumerate();
    let layout = first(256, 3, numbered.map(|(i, w)| member(i as u64, &format!("z{i}"), *w)).collect());
    for (incarnation, counts) in places(&layout) {
        let share = f64::from(layout.member(incarnation).unwrap().capacity) / f64::from(total);
        assert!((counts.iter().sum::<f64>() - share * 768.0).abs() < 1.0, "{counts:?} {share}");
        assert!((counts[0] - share * 256.0).abs() < 2.0, "{counts:?} {share}");
    }
}

/// A partition all of whose owners were first often enough already used up the turn of another.
#[test]
fn who_is_first_is_fair_where_some_partitions_find_all_their_owners_served() {
    check_shares(&[3, 3, 2, 1, 1, 1, 4, 1, 1, 1, 3, 3, 2, 1, 3, 1, 1, 1]);
}

fn any_members() -> impl Strategy<Value = (u32, u32, Vec<Member>)> {
    let shape = (0u32..9, 1u32..5, 1usize..6);
    shape.prop_flat_map(|(bits, factor, zones)| {
        let one = (0..zones, 1u32..5);
        (Just(1 << bits), Just(factor), collection::vec(one, factor as usize..12).prop_map(to_members))
    })
}

fn to_members(shapes: Vec<(usize, u32)>) -> Vec<Member> {
    let number = |(i, (zone, capacity)): (usize, (usize, u32))| member(i as u64, &format!("z{zone}"), capacity);
    shapes.into_iter().enumerate().map(number).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn equal_members_get_equal_shares(count in 3u64..20, bits in 4u32..10, factor in 1u32..4) {
        let layout = first(1 << bits, factor, members(count));
        check_rows(&layout);
        for counts in places(&layout).values() {
            let ideal = f64::from(layout.partitions) / count as f64;
            prop_assert!((counts.iter().sum::<f64>() - ideal * f64::from(factor)).abs() < 1.0, "{counts:?}");
            prop_assert!(counts.iter().all(|c| (c - ideal).abs() < 2.0), "{counts:?} {ideal}");
        }
    }

    #[test]
    fn shares_follow_capacity_where_no_bound_is_hit(weights in collection::vec(1u32..5, 12..24)) {
        check_shares(&weights);
    }

    #[test]
    fn owners_are_distinct_and_in_distinct_zones_if_there_are_enough((q, n, members) in any_members()) {
        let layout = first(q, n, members);
        check_rows(&layout);
        check_places(&layout);
    }

    #[test]
    fn the_order_of_members_does_not_matter((q, n, members) in any_members(), turn in 0usize..12) {
        let mut turned = members.clone();
        turned.reverse();
        turned.rotate_left(turn % members.len());
        prop_assert_eq!(first(q, n, members).encode(), first(q, n, turned).encode());
    }

    #[test]
    fn unchanged_members_move_nothing((q, n, members) in any_members()) {
        let before = first(q, n, members.clone());
        let after = before.next(members).unwrap();
        prop_assert_eq!(after.version, 2);
        prop_assert_eq!(after.owners, before.owners);
    }

    #[test]
    fn a_replacement_takes_over_exactly_what_its_predecessor_had((q, n, members) in any_members(), which in 0usize..12) {
        let which = which % members.len();
        let before = first(q, n, members.clone());
        let mut changed = members.clone();
        let gone = changed.remove(which);
        let new = member(99, &gone.zone, gone.capacity);
        changed.push(new.clone());
        let after = before.next(changed).unwrap();
        prop_assert_eq!(moved(&before, &after), tokens(&before, gone.incarnation));
        prop_assert_eq!(tokens(&after, new.incarnation), tokens(&before, gone.incarnation));
        check_rows(&after);
        check_places(&after);
    }

    #[test]
    fn an_added_member_takes_its_share_and_nothing_else_moves(count in 4u64..12, bits in 4u32..9) {
        let before = first(1 << bits, 3, members(count));
        let after = before.next(members(count + 1)).unwrap();
        let added = member(count, "", 1).incarnation;
        prop_assert_eq!(moved(&before, &after), tokens(&after, added));
        check_rows(&after);
        check_places(&after);
    }

    #[test]
    fn an_arbitrary_change_gives_a_layout_as_balanced_as_a_fresh_one(
        (q, n, members) in any_members(), shapes in collection::vec((0usize..5, 1u32..5), 5..12),
    ) {
        let changed = to_members(shapes);
        let after = first(q, n, members).next(changed.clone()).unwrap();
        check_rows(&after);
        check_places(&after);
        for (incarnation, counts) in places(&first(q, n, changed)) {
            let difference = counts.iter().sum::<f64>() - tokens(&after, incarnation) as f64;
            prop_assert!(difference.abs() <= 3.0, "{difference}");
        }
    }

    #[test]
    fn encoding_and_back_is_the_identity((q, n, members) in any_members()) {
        let layout = first(q, n, members);
        let back = Layout::decode(layout.encode()).unwrap();
        prop_assert_eq!(back.hash(), layout.hash());
        prop_assert_eq!(back, layout);
    }

    #[test]
    fn random_bytes_are_never_a_layout(bytes in collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Layout::decode(Bytes::from(bytes)).is_err());
    }

    #[test]
    fn what_decodes_after_damage_is_still_canonical(
        (q, n, members) in any_members(), at in any::<usize>(), with in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut bytes = first(q, n, members).encode().to_vec();
        let at = at % bytes.len();
        bytes[at] = with;
        if cut {
            bytes.truncate(at);
        }
        if let Ok(layout) = Layout::decode(Bytes::from(bytes.clone())) {
            prop_assert_eq!(layout.encode(), Bytes::from(bytes));
        }
    }
}

#[test]
fn three_zones_of_five_nodes_hold_one_owner_each() {
    let zones = ["a", "b", "c", "a", "b"];
    let layout = first(256, 3, zones.iter().enumerate().map(|(i, z)| member(i as u64, z, 1)).collect());
    check_rows(&layout);
    let by_name = |name: &str| tokens(&layout, layout.member_by_name(name).unwrap().incarnation);
    assert_eq!(["demo-0", "demo-3", "demo-2"].map(by_name), [128, 128, 256]);
}

#[test]
fn the_largest_layout_is_made_and_changed() {
    let before = first(65_536, 3, members(100));
    let after = before.next(members(101)).unwrap();
    assert!(moved(&before, &after) <= 65_536 * 3 / 101 + 1);
    check_places(&after);
}

#[test]
fn bad_parameters_and_members_are_refused_by_name() {
    let make = |q, n, members| Layout::first(ClusterId(7), q, n, members).unwrap_err();
    assert_eq!(make(256, 3, members(2)), LayoutError::TooFewMembers { needed: 3, got: 2 });
    assert_eq!(make(100, 3, members(3)), LayoutError::BadPartitions { partitions: 100, max: 65_536 });
    assert_eq!(make(256, 0, members(3)), LayoutError::BadReplicationFactor { replication_factor: 0, max: 7 });
    let changed = |change: fn(&mut Vec<Member>)| {
        let mut members = members(4);
        change(&mut members);
        make(256, 3, members).to_string()
    };
    assert_eq!(changed(|m| m[1].incarnation = m[0].incarnation), "two members have the incarnation c77b3abb6f87acd9");
    assert_eq!(changed(|m| m[1].name = "demo-0".into()), "two members have the name demo-0");
    assert_eq!(
        changed(|m| m[3].peer_address = "10.0.0.2:7401".into()),
        "two members have the peer_address 10.0.0.2:7401"
    );
    assert!(changed(|m| m[1].name.clear()).ends_with("(\"\"): bad name"));
    assert!(changed(|m| m[1].capacity = 0).ends_with("(\"demo-1\"): bad capacity"));
}

#[test]
fn an_unknown_partition_or_member_is_nobody() {
    let layout = first(4, 1, members(1));
    assert_eq!(layout.owners_of(PartitionId(4)).count(), 0);
    assert_eq!(layout.owners_of(PartitionId(u32::MAX)).count(), 0);
    assert_eq!(layout.member(Incarnation(1)), None);
    assert_eq!(layout.member_by_name("demo-1"), None);
}

#[test]
fn unsorted_members_and_double_owners_are_malformed() {
    let mut layout = first(4, 2, members(3));
    layout.owners[1] = layout.owners[0];
    assert!(Layout::decode(layout.encode()).is_err());
    let mut layout = first(4, 2, members(3));
    layout.members.swap(0, 1);
    assert!(Layout::decode(layout.encode()).is_err());
}
