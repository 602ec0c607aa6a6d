//! The wire contract: what clients, operators and peers send, as protobuf bytes and as what they become.

use bytes::Bytes;
use driftkv_core::id::Key;
use driftkv_node::convert::{self, client};
use driftkv_node::peers::frames::{Assembly, Framer};
use driftkv_proto::v1;
use proptest::prelude::any;
use proptest::proptest;
use proptest::sample::Index;
use prost::Message as _;

use crate::memory::bounded;
use crate::mutate::{apply, edits};
use crate::talk;

fn requests() -> Vec<Bytes> {
    let options = Some(v1::Options { r: 2, w: 2, timeout_ms: 100 });
    let get = v1::GetRequest { bucket: "b".to_owned(), key: Bytes::from_static(b"k"), mode: 1, options };
    let put = v1::PutRequest {
        bucket: "b".to_owned(),
        key: Bytes::from_static(b"k"),
        value: Bytes::from(vec![7; 100]),
        context: Bytes::from(vec![1; 40]),
        intent: 1,
        request_id: Bytes::from(vec![5; 16]),
        is_retry: true,
        options,
    };
    vec![get.encode_to_vec().into(), put.encode_to_vec().into()]
}

fn bootstrap() -> Bytes {
    let members = talk::layout().members.into_iter().map(|member| v1::Member {
        incarnation: member.incarnation.0,
        name: member.name,
        zone: member.zone,
        capacity: member.capacity,
        client_address: member.client_address,
        peer_address: member.peer_address,
        admin_address: member.admin_address,
    });
    let request = v1::BootstrapRequest {
        cluster_id: Bytes::from(vec![1; 16]),
        partitions: 64,
        replication_factor: 3,
        members: members.collect(),
    };
    request.encode_to_vec().into()
}

proptest! {
    #[test]
    fn what_clients_and_operators_send(which in any::<Index>(), edits in edits()) {
        let bytes = apply(&requests(), which, &edits);
        bounded(|| {
            let _ = v1::GetRequest::decode(bytes.clone()).map(client::get);
            let _ = v1::PutRequest::decode(bytes.clone()).map(client::put);
            let _ = v1::DeleteRequest::decode(bytes.clone()).map(client::delete);
        });
        let bytes = apply(&[bootstrap()], which, &edits);
        let _ = bounded(|| v1::BootstrapRequest::decode(bytes).map(convert::admin::bootstrap));
    }

    #[test]
    fn what_peers_send(which in any::<Index>(), edits in edits()) {
        let envelopes: Vec<Bytes> =
            talk::envelopes().iter().map(|one| convert::to_wire(one.clone()).encode_to_vec().into()).collect();
        let bytes = apply(&envelopes, which, &edits);
        if let Ok(Ok(envelope)) = bounded(|| v1::Envelope::decode(bytes).map(convert::from_wire)) {
            assert_eq!(convert::from_wire(convert::to_wire(envelope.clone())), Ok(envelope));
        }
    }

    #[test]
    fn frames_and_fragments(picks in proptest::collection::vec((any::<Index>(), edits()), 1..6)) {
        let mut large = talk::envelopes()[0].clone();
        large.message = driftkv_core::message::Message::Swim(Bytes::from(vec![3; 3 << 20]));
        let sent = talk::envelopes().iter().take(20).cloned().chain([large]).collect();
        let frames: Vec<Bytes> = Framer::default().frames(sent).iter().map(|frame| frame.encode_to_vec().into()).collect();
        let mut assembly = Assembly::default();
        for (which, edits) in picks {
            let bytes = apply(&frames, which, &edits);
            if let Ok(frame) = v1::PeerFrame::decode(bytes) {
                let _ = bounded(|| assembly.take(frame));
            }
        }
    }
}

/// Flipped bits seldom make a message whose fields do not fit together; here they never fit.
#[test]
fn leaves_of_hash_trees_without_their_indices_are_refused() {
    for (indices, leaves) in [(0, 1), (1, 0), (1, 2), (2, 1), (3, 3)] {
        let message = v1::TreeLeaves { index: vec![1; indices], leaf: vec![7; leaves], ..v1::TreeLeaves::default() };
        let envelope = v1::Envelope {
            layout_version: 1,
            boot: 1,
            synced_commit: 1,
            message: Some(v1::envelope::Message::TreeLeaves(message)),
            ..v1::Envelope::default()
        };
        assert_eq!(convert::from_wire(envelope).is_ok(), indices == leaves, "{indices} and {leaves}");
    }
}

/// fjall's keys end at 65,535 bytes, and it panics on longer ones: no peer may bring one in, by whatever message.
#[test]
fn keys_longer_than_a_store_takes_are_refused() {
    let long = |bytes: usize| Bytes::from(vec![b'k'; bytes]);
    let fetch = |key: Bytes| v1::Envelope {
        layout_version: 1,
        boot: 1,
        synced_commit: 1,
        message: Some(v1::envelope::Message::Fetch(v1::Fetch { key, ..v1::Fetch::default() })),
        ..v1::Envelope::default()
    };
    let longest = driftkv_core::config::KEY_BYTES_CEILING as usize;
    assert!(convert::from_wire(fetch(long(longest))).is_ok());
    assert!(convert::from_wire(fetch(long(longest + 1))).is_err());
    let stored = |bytes: usize| Key::new(long(bytes), long(bytes)).storage_key();
    assert!(stored(longest).len() + 8 < 1 << 16, "with a hint's target before it");
    assert!(Key::from_storage_key(&stored(longest)).is_some());
    assert!(Key::from_storage_key(&stored(longest + 1)).is_none());
}
