//! Laws of the conversions between nodes: what core sent comes back equal through its bytes; forged messages are refused.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod admins;
mod clients;

use bytes::Bytes;
use driftkv_core::fence::BootMark;
use driftkv_core::id::{CommitNo, Incarnation, Key, PartitionId, RequestId};
use driftkv_core::message::{Envelope, Fetch, FetchReply, Message, Purpose, Refusal, Replicate, Trace};
use driftkv_proto::v1;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use prost::Message as _;
use v1::envelope::Message as Wire;

use super::{Malformed, from_wire, to_wire};

fn bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn key() -> impl Strategy<Value = Key> {
    (bytes(), bytes()).prop_map(|(bucket, key)| Key::new(bucket, key))
}

fn partition() -> impl Strategy<Value = PartitionId> {
    any::<u32>().prop_map(PartitionId)
}

fn purpose() -> impl Strategy<Value = Purpose> {
    prop_oneof![Just(Purpose::Put), Just(Purpose::Repair), Just(Purpose::Handoff), Just(Purpose::AntiEntropy)]
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        Just(Refusal::NotReady),
        Just(Refusal::NotOwner),
        Just(Refusal::HintsFull),
        Just(Refusal::Expired),
        Just(Refusal::Malformed)
    ]
}

fn replicate() -> impl Strategy<Value = Message> {
    let hint_for = proptest::option::of((1..=u64::MAX).prop_map(Incarnation));
    (any::<u64>(), key(), bytes(), hint_for, any::<u32>(), purpose()).prop_map(
        |(op, key, state, hint_for, remaining_ms, purpose)| {
            Message::Replicate(Replicate { op, key, state, hint_for, remaining_ms, purpose })
        },
    )
}

fn fetch() -> impl Strategy<Value = Message> {
    let request = proptest::option::of(any::<u128>().prop_map(RequestId));
    (any::<u64>(), key(), any::<u64>(), request, any::<u32>(), any::<bool>()).prop_map(
        |(op, key, known_hash, request, remaining_ms, as_fallback)| {
            Message::Fetch(Fetch { op, key, known_hash, request, remaining_ms, as_fallback })
        },
    )
}

fn fetch_reply() -> impl Strategy<Value = Message> {
    (any::<u64>(), proptest::option::of(bytes()), any::<bool>(), any::<bool>()).prop_map(
        |(op, state, was_applied, as_fallback)| Message::FetchReply(FetchReply { op, state, was_applied, as_fallback }),
    )
}

fn small() -> impl Strategy<Value = Message> {
    let op = any::<u64>;
    prop_oneof![
        proptest::collection::vec((any::<u32>(), op(), op()), 0..9).prop_map(|boots| {
            let mark = |(boot, nonce, end)| BootMark { boot, nonce, end: CommitNo(end) };
            Message::FenceAsk { boots: boots.into_iter().map(mark).collect() }
        }),
        (any::<u32>(), any::<bool>(), any::<u32>(), op()).prop_map(|(asked_boot, is_behind, seen_boot, seen)| {
            Message::FenceAnswer { asked_boot, is_behind, seen_boot, seen_commit: CommitNo(seen) }
        }),
        bytes().prop_map(Message::Swim),
        Just(Message::LayoutAsk),
        bytes().prop_map(Message::LayoutGive),
        (op(), bytes(), any::<u32>()).prop_map(|(op, put, remaining_ms)| Message::Forward { op, put, remaining_ms }),
        (op(), bytes()).prop_map(|(op, outcome)| Message::ForwardReply { op, outcome }),
        (op(), op()).prop_map(|(op, state_hash)| Message::ReplicateAck { op, state_hash }),
        (op(), refusal()).prop_map(|(op, reason)| Message::ReplicateRefused { op, reason }),
        (op(), refusal()).prop_map(|(op, reason)| Message::FetchRefused { op, reason }),
    ]
}

fn tree() -> impl Strategy<Value = Message> {
    use proptest::collection::vec;
    let (hash, round) = (any::<u64>, any::<u64>);
    prop_oneof![
        (partition(), round(), hash()).prop_map(|(partition, round, root)| Message::TreeRoot {
            partition,
            round,
            root
        }),
        (partition(), round()).prop_map(|(partition, round)| Message::TreeSame { partition, round }),
        (partition(), round(), vec(hash(), 0..9)).prop_map(|(partition, round, branches)| Message::TreeBranches {
            partition,
            round,
            branches
        }),
        (partition(), round(), vec((any::<u32>(), hash()), 0..9))
            .prop_map(|(partition, round, leaves)| Message::TreeLeaves { partition, round, leaves }),
        (partition(), round(), vec(any::<u32>(), 0..9), vec((bytes(), hash()), 0..9))
            .prop_map(|(partition, round, leaves, keys)| Message::TreeKeys { partition, round, leaves, keys }),
        (partition(), round(), vec(bytes(), 0..9)).prop_map(|(partition, round, keys)| Message::TreeWant {
            partition,
            round,
            keys
        }),
    ]
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let message = prop_oneof![3 => small(), 1 => replicate(), 1 => fetch(), 1 => fetch_reply(), 2 => tree()];
    let trace = proptest::option::of((1..u128::MAX, 1..u64::MAX).prop_map(|(id, span)| Box::new(Trace { id, span })));
    let envelope = (any::<u64>(), any::<u32>(), any::<u64>(), trace, message);
    envelope.prop_map(|(layout_version, boot, synced, trace, message)| Envelope {
        layout_version,
        boot,
        synced: CommitNo(synced),
        trace,
        message,
    })
}

proptest! {
    #[test]
    fn what_core_sent_comes_back_equal_through_its_bytes(envelope in envelope()) {
        let bytes = to_wire(envelope.clone()).encode_to_vec();
        let read = v1::Envelope::decode(bytes.as_slice()).unwrap();
        assert_eq!(from_wire(read), Ok(envelope));
    }

    #[test]
    fn damaged_bytes_are_read_or_refused_without_a_panic(
        envelope in envelope(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = to_wire(envelope).encode_to_vec();
        for (place, byte) in damage {
            if let Some(hit) = (!bytes.is_empty()).then(|| place.index(bytes.len())) {
                bytes[hit] = byte;
            }
        }
        let _ = v1::Envelope::decode(bytes.as_slice()).map(from_wire);
    }
}

fn refused(message: Wire) -> &'static str {
    let Malformed(why) = from_wire(v1::Envelope { message: Some(message), ..Default::default() }).unwrap_err();
    why
}

#[test]
fn an_envelope_without_a_message_is_refused() {
    assert_eq!(from_wire(v1::Envelope::default()), Err(Malformed("envelope without a known message")));
}

#[test]
fn boot_counts_beyond_32_bits_are_refused_wherever_they_stand() {
    let ask = Some(Wire::FenceAsk(v1::FenceAsk::default()));
    assert!(from_wire(v1::Envelope { boot: 1 << 32, message: ask, ..Default::default() }).is_err());
    refused(Wire::FenceAnswer(v1::FenceAnswer { asked_boot: u64::MAX, ..Default::default() }));
    refused(Wire::FenceAsk(v1::FenceAsk { boots: vec![v1::BootMark { boot: 1 << 32, nonce: 1, end: 1 }] }));
    refused(Wire::FenceAnswer(v1::FenceAnswer { seen_boot: 1 << 32, ..Default::default() }));
}

#[test]
fn unknown_numbers_and_wrong_lengths_are_refused() {
    for reason in [0, 6, u32::MAX] {
        refused(Wire::ReplicateRefused(v1::ReplicateRefused { op: 1, reason }));
        refused(Wire::FetchRefused(v1::FetchRefused { op: 1, reason }));
    }
    refused(Wire::Replicate(v1::Replicate { purpose: 4, ..Default::default() }));
    for length in [1, 15, 17] {
        refused(Wire::Fetch(v1::Fetch { request_id: vec![7; length].into(), ..Default::default() }));
    }
    refused(Wire::TreeLeaves(v1::TreeLeaves { index: vec![1, 2], leaf: vec![3], ..Default::default() }));
}
