//! A whole node that a peer says nonsense to: SWIM messages, layouts, states, keys of hash trees, forwards, in any mixture.
//! Invariant: it neither panics nor fails on its own store, however its peer's bytes look; the most it may do is halt, if it
//! is told that its disk is behind.

use std::cell::RefCell;

use bytes::Bytes;
use driftkv_core::effect::Input;
use driftkv_node::convert;
use driftkv_proto::v1;
use proptest::prelude::any;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use prost::Message as _;

use crate::memory::bounded;
use crate::mutate::{apply, edits};
use crate::talk::{self, NODES, Talk};

/// Cases after which the nodes are made anew.
const CASES_A_TALK: usize = 64;

#[test]
fn a_peers_nonsense_never_stops_a_node() {
    let envelopes: Vec<Bytes> =
        talk::envelopes().iter().map(|one| convert::to_wire(one.clone()).encode_to_vec().into()).collect();
    let talk = RefCell::new((0_usize, Talk::new()));
    let case = (0..NODES, 1..NODES, any::<Index>(), edits());
    let mut runner = TestRunner::new(Config::default());
    let ran = runner.run(&case, |(node, distance, which, edits)| {
        let bytes = apply(&envelopes, which, &edits);
        let Ok(Ok(envelope)) = v1::Envelope::decode(bytes).map(convert::from_wire) else { return Ok(()) };
        let (cases, talk) = &mut *talk.borrow_mut();
        *cases += 1;
        if cases.is_multiple_of(CASES_A_TALK) {
            *talk = Talk::new();
        }
        let from = talk::id((node + distance) % NODES);
        bounded(|| {
            talk.input(node, Input::Peer { from, at: talk.now, envelope });
            talk.tick(30);
            talk.sent.clear();
        });
        Ok(())
    });
    ran.unwrap_or_else(|why| panic!("{why}"));
}
