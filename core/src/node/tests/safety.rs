//! The fence, and what a node must not say or keep.

use super::{Net, five, key, member, put_of, value};
use crate::causality::{Actor, Context, Epoch, State};
use crate::config::ClusterConfig;
use crate::effect::{Effect, Failure, Input, Intent, Put, Reply};
use crate::fence::BootMark;
use crate::id::{ClusterId, CommitNo, Incarnation};
use crate::layout::{Layout, Member};
use crate::message::{Envelope, Message, Purpose, Refusal, Replicate};
use crate::node::{Node, Settings};
use crate::store::{MemStore, Space, Store};
use crate::time::Time;

fn envelope(boot: u32, message: Message) -> Envelope {
    Envelope { layout_version: 1, boot, synced: CommitNo(1), trace: None, message }
}

#[test]
fn a_disk_restored_to_the_end_of_an_earlier_boot_stops_its_node_for_good() {
    let mut net = five();
    let copy = net.stores[0].clone();
    net.restart(0, copy.clone());
    net.pass(100);
    assert!(net.nodes[0].is_serving());
    net.halts.insert(0, None);
    net.restart(0, copy);
    assert_eq!(net.nodes[0].boot(), 2, "the same count once more");
    let why = net.halts[&0].clone().unwrap();
    assert!(why.contains("rolled back") && why.contains("keep the others running") && !why.contains("empty"), "{why}");
    net.put(0, 1, put_of("v", 1));
    assert!(net.replies[&1].is_err());
    for _ in 0..3 {
        net.halts.insert(0, None);
        let store = net.stores[0].clone();
        net.restart(0, store);
        net.pass(500);
        assert!(net.halts[&0].is_some() && !net.nodes[0].is_serving());
    }
}

#[test]
fn a_disk_that_lost_commits_its_node_had_announced_stops_it() {
    let mut net = five();
    let copy = net.stores[0].clone();
    net.put(0, 1, put_of("v", 1));
    net.put(0, 2, put_of("w", 2));
    net.pass(100);
    net.halts.insert(0, None);
    net.restart(0, copy);
    assert!(net.halts[&0].is_some());
}

#[test]
fn a_crash_that_kept_what_was_announced_passes_the_fence() {
    let mut net = five();
    for boot in 2..40 {
        net.put(0, boot, put_of("v", u128::from(boot)));
        let mut store = net.stores[0].clone();
        store.crash(0);
        net.restart(0, store);
        net.pass(20);
        assert!(net.nodes[0].is_serving(), "boot {boot}: {:?}", net.nodes[0].not_ready());
    }
}

#[test]
fn a_member_that_did_not_answer_is_asked_again_after_a_majority_has() {
    let mut net = five();
    net.cut.insert(4);
    let store = net.stores[0].clone();
    net.restart(0, store);
    net.pass(300);
    assert!(net.nodes[0].is_serving());
    net.sent.clear();
    net.pass(1_000);
    let asked = |net: &Net| {
        let asks = |(from, _, m): &&(usize, Incarnation, Message)| *from == 0 && matches!(m, Message::FenceAsk { .. });
        net.sent.iter().filter(asks).map(|(_, to, _)| to.0).collect::<Vec<_>>()
    };
    assert!(asked(&net).len() > 2 && asked(&net).iter().all(|to| *to == 5), "{:?}", asked(&net));
    net.cut.clear();
    net.pass(1_000);
    net.sent.clear();
    net.pass(1_000);
    assert!(asked(&net).is_empty());
}

#[test]
fn nothing_leaves_before_the_boot_count_is_on_disk() {
    let mut store = MemStore::default();
    let mut node = Node::open(Settings::new(Incarnation(1), ClusterConfig::default()), &mut store, Time(0)).unwrap();
    let up = Input::LinkUp { peer: Incarnation(2), boot: 1, synced: CommitNo(1) };
    let (effects, commit) = node.run_batch(&mut store, Time(1), [up]).unwrap();
    assert!(effects.is_empty(), "{effects:?}");
    assert!(node.not_ready().unwrap().contains("boot count"));
    let effects = node.synced(commit);
    let asks = effects
        .iter()
        .filter(|e| matches!(e, Effect::Send { envelope, .. } if matches!(envelope.message, Message::FenceAsk { .. })));
    assert_eq!(asks.count(), 1);
}

#[test]
fn a_node_that_is_still_fencing_takes_puts_but_no_handoff() {
    let mut net = five();
    let (owners, _) = net.owners();
    let owner = owners[0];
    net.cut.insert(owner);
    let store = net.stores[owner].clone();
    net.restart(owner, store);
    let replicate = |purpose| Replicate {
        op: 7,
        key: key(),
        state: State::default().encode(),
        hint_for: None,
        remaining_ms: 0,
        purpose,
    };
    for purpose in [Purpose::Handoff, Purpose::Put] {
        let input = Input::Peer {
            from: Incarnation(owners[1] as u64 + 1),
            at: net.now,
            envelope: envelope(1, Message::Replicate(replicate(purpose))),
        };
        net.sent.clear();
        net.input(owner, input);
        let answers: Vec<&Message> = net.sent.iter().map(|(_, _, m)| m).collect();
        match purpose {
            Purpose::Put => assert!(matches!(answers[..], [Message::ReplicateAck { op: 7, .. }]), "{answers:?}"),
            _ => assert_eq!(answers, [&Message::ReplicateRefused { op: 7, reason: Refusal::NotReady }]),
        }
    }
}

#[test]
fn a_suspect_that_only_talks_is_a_suspect_until_it_answers() {
    let mut net = five();
    let peer = Incarnation(2);
    net.nodes[0].suspect(peer);
    let boots = vec![BootMark { boot: 1, nonce: 2, end: CommitNo(0) }];
    let talk = [Message::Swim(bytes::Bytes::from_static(b"x")), Message::LayoutAsk, Message::FenceAsk { boots }];
    for message in talk {
        net.input(0, Input::Peer { from: peer, at: net.now, envelope: envelope(1, message) });
        assert!(!net.nodes[0].is_reachable(peer));
    }
    net.pass(300);
    assert!(net.nodes[0].is_reachable(peer), "the probe was answered");
}

#[test]
fn a_layout_from_a_peer_is_taken_only_if_it_is_the_first_and_fits() {
    let members: Vec<Member> = (0..5).map(member).collect();
    let first = |partitions| Layout::first(ClusterId(9), partitions, 3, members.clone()).unwrap();
    let cluster = ClusterConfig { replicas: 5, partitions: 16, ..ClusterConfig::default() };
    let given = |from: u64, layout: &Layout| {
        let mut store = MemStore::default();
        let mut node = Node::open(Settings::new(Incarnation(1), cluster), &mut store, Time(0)).unwrap();
        let up = Input::LinkUp { peer: Incarnation(from), boot: 1, synced: CommitNo(1) };
        let give = Message::LayoutGive(layout.encode());
        let give = Input::Peer { from: Incarnation(from), at: Time(0), envelope: envelope(1, give) };
        node.run_batch(&mut store, Time(0), [up, give]).unwrap();
        node.layout.is_some()
    };
    assert!(given(2, &first(16)));
    assert!(!given(2, &first(32)), "another number of partitions");
    assert!(!given(9, &first(16)), "from who is not in it");
    let mut second = first(16);
    second.version = 2;
    assert!(!given(2, &second), "not the first");
}

#[test]
fn a_stranger_is_neither_kept_nor_remembered_on_disk() {
    let mut net = five();
    for stranger in 100..110 {
        let peer = Incarnation(stranger);
        net.input(0, Input::LinkUp { peer, boot: 7, synced: CommitNo(1_000) });
        let boots = vec![BootMark { boot: 7, nonce: 2, end: CommitNo(0) }];
        net.input(0, Input::Peer { from: peer, at: net.now, envelope: envelope(7, Message::FenceAsk { boots }) });
    }
    net.pass(2_000);
    let saved = net.stores[0].scan(Space::Meta, b"seen/", Some(b"seen0"), 100).unwrap();
    assert_eq!(saved.len(), 4);
    assert_eq!(net.nodes[0].peer_statuses().len(), 14);
    (100..110).for_each(|peer| net.input(0, Input::LinkDown { peer: Incarnation(peer) }));
    assert_eq!(net.nodes[0].peer_statuses().len(), 4);
}

#[test]
fn a_cluster_at_rest_writes_nothing() {
    let mut net = five();
    net.put(0, 1, put_of("v", 1));
    net.pass(5_000);
    let before: Vec<CommitNo> = net.stores.iter().map(Store::last_commit).collect();
    net.pass(20_000);
    assert_eq!(net.stores.iter().map(Store::last_commit).collect::<Vec<_>>(), before);
    assert_eq!(net.get(0, 2, false).0, [value("v")]);
}

#[test]
fn a_context_that_covers_what_was_never_written_is_refused() {
    let mut net = five();
    let (owners, _) = net.owners();
    let me = Incarnation(owners[0] as u64 + 1);
    let other = Incarnation(owners[1] as u64 + 1);
    let actor = |incarnation, boot, number| Actor { incarnation, epoch: Epoch { boot, number } };
    let forged = [
        vec![(actor(Incarnation(77), 1, 1), 1)],
        vec![(actor(me, 1, 1), 1)],
        vec![(actor(me, 2, 0), 1)],
        vec![(actor(other, 1, 1), u64::MAX)],
        (0..5_000).map(|number| (actor(other, 1, number), 1)).collect(),
    ];
    for (token, map) in forged.into_iter().enumerate() {
        let context = Context(map.into_iter().collect()).to_token(ClusterId(9), &key());
        net.put(owners[0], token as u64, Put { context, ..put_of("v", token as u128) });
        let reply = &net.replies[&(token as u64)];
        assert!(matches!(reply, Err(Failure::BadContext(_))), "{token}: {reply:?}");
    }
    net.put(owners[0], 50, put_of("v", 50));
    let context = net.get(owners[0], 51, false).1;
    net.put(owners[0], 52, Put { context, ..put_of("w", 52) });
    assert_eq!(net.get(1, 53, true).0, [value("w")]);
}

#[test]
fn an_epoch_that_was_covered_before_it_was_made_hides_no_write() {
    let mut net = five();
    let (owners, _) = net.owners();
    let actor = |number| Actor { incarnation: Incarnation(owners[1] as u64 + 1), epoch: Epoch { boot: 1, number } };
    let map = (0..20).map(|number| (actor(number), 1_000)).collect();
    let context = Context(map).to_token(ClusterId(9), &key());
    net.put(owners[0], 1, Put { context, ..put_of("a", 1) });
    net.put(owners[1], 2, put_of("b", 2));
    assert_eq!(net.get(0, 3, false).0, [value("a"), value("b")]);
}

#[test]
fn a_late_primary_and_its_stand_in_are_one_copy() {
    let mut net = five();
    let (owners, _) = net.owners();
    net.cut.extend([owners[1], owners[2]]);
    net.put(owners[0], 1, Put { w: 3, ..put_of("v", 1) });
    net.pass(520);
    assert!(matches!(net.replies[&1], Ok(Reply::Put { .. })), "two stand-ins, for two owners: {:?}", net.replies[&1]);

    let mut net = five();
    net.cut.extend([owners[1], owners[2]]);
    net.put(owners[0], 1, Put { w: 3, timeout_ms: 700, ..put_of("v", 1) });
    let late = net.sent.iter().find(|(_, to, m)| to.0 == owners[1] as u64 + 1 && matches!(m, Message::Replicate(_)));
    let (_, _, message) = late.unwrap().clone();
    net.cut.remove(&owners[1]);
    let from = Incarnation(owners[0] as u64 + 1);
    net.input(owners[1], Input::Peer { from, at: net.now, envelope: envelope(1, message) });
    net.cut.extend(net.owners().1);
    net.pass(720);
    let Err(Failure::DeadlineExceeded { needed: 3, primaries: 2, fallbacks: 0, .. }) = &net.replies[&1] else {
        panic!("{:?}", net.replies[&1]);
    };
}

#[test]
fn a_fallback_that_coordinates_is_no_copy_beside_the_owner_it_stands_for() {
    let mut net = five();
    let (owners, fallbacks) = net.owners();
    owners.iter().for_each(|owner| net.cut(*owner));
    let put = Put { intent: Intent::OverwriteAll, ..put_of("v", 1) };
    net.put(fallbacks[0], 1, Put { r: 1, ..put });
    assert!(matches!(net.replies[&1], Ok(Reply::Put { .. })), "{:?}", net.replies[&1]);
    // The first owner is back while the others are not, and it is the one whose hint the coordinator holds.
    net.heal(owners[0]);
    net.pass(2_000);
    let hints = net.nodes[fallbacks[0]].hints.iter().map(|(target, ..)| target.0 as usize - 1).collect::<Vec<_>>();
    assert!(!hints.contains(&owners[0]), "{hints:?}");
}
