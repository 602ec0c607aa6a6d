//! Laws of merging, and random histories against an oracle of true causal history.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::id::Key;

/// One step of a history over three replicas of one key.
#[derive(Clone, Debug)]
enum Step {
    /// A client reads at a replica and keeps the context.
    Read { at: usize, client: usize },
    /// A client puts at a replica with the context it keeps (or none).
    Put { at: usize, client: usize, blind: bool, tombstone: bool },
    /// One replica sends its whole state to another.
    Sync { from: usize, to: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3usize, 0..2usize).prop_map(|(at, client)| Step::Read { at, client }),
        (0..3usize, 0..2usize, any::<bool>(), any::<bool>()).prop_map(|(at, client, blind, tombstone)| Step::Put {
            at,
            client,
            blind,
            tombstone
        }),
        (0..3usize, 0..3usize).prop_map(|(from, to)| Step::Sync { from, to }),
    ]
}

/// What is true: every event each replica has heard of, and what each event replaced.
#[derive(Clone, Default)]
struct Oracle {
    known: [BTreeSet<u128>; 3],
    seen: [BTreeSet<u128>; 2],
    covers: Vec<BTreeSet<u128>>,
}

impl Oracle {
    fn live_at(&self, at: usize) -> BTreeSet<u128> {
        let known = &self.known[at];
        let covered: BTreeSet<u128> = known.iter().flat_map(|e| self.covers[*e as usize].iter().copied()).collect();
        known.difference(&covered).copied().collect()
    }
}

struct World {
    replicas: [State; 3],
    contexts: [Context; 2],
    oracle: Oracle,
}

fn run(steps: &[Step]) -> World {
    let mut w = World { replicas: Default::default(), contexts: Default::default(), oracle: Oracle::default() };
    for step in steps {
        match *step {
            Step::Read { at, client } => {
                w.contexts[client].join(&w.replicas[at].context());
                let known = w.oracle.known[at].clone();
                w.oracle.seen[client].extend(known);
            }
            Step::Put { at, client, blind, tombstone } => put(&mut w, at, client, blind, tombstone),
            Step::Sync { from, to } => {
                let (state, known) = (w.replicas[from].clone(), w.oracle.known[from].clone());
                w.replicas[to].merge(&state);
                w.oracle.known[to].extend(known);
            }
        }
    }
    w
}

/// Events an event covers are heard of with it, as a context carries them.
fn put(w: &mut World, at: usize, client: usize, blind: bool, tombstone: bool) {
    let event = w.oracle.covers.len() as u128;
    let (context, seen) =
        if blind { Default::default() } else { (w.contexts[client].clone(), w.oracle.seen[client].clone()) };
    let actor = Actor { incarnation: Incarnation(at as u64), epoch: Epoch { boot: 1, number: 1 } };
    let state = &mut w.replicas[at];
    state.cover(&context);
    let dot = Dot { actor, counter: state.top(actor) + 1 };
    let value = (!tombstone).then(|| Bytes::from(event.to_string()));
    state.add(dot, Payload { request: RequestId(event), value });
    w.oracle.known[at].insert(event);
    w.oracle.known[at].extend(seen.iter().copied());
    w.oracle.covers.push(seen);
}

fn shown(state: &State) -> BTreeSet<u128> {
    state.dots().map(|(_, p)| p.request.0).collect()
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_revived(steps in prop::collection::vec(step(), 0..60)) {
        let w = run(&steps);
        for at in 0..3 {
            prop_assert_eq!(shown(&w.replicas[at]), w.oracle.live_at(at));
        }
    }

    #[test]
    fn merge_is_commutative_associative_and_idempotent(steps in prop::collection::vec(step(), 0..60)) {
        let [a, b, c] = run(&steps).replicas;
        let join = |x: &State, y: &State| { let mut z = x.clone(); z.merge(y); z };
        prop_assert_eq!(join(&a, &b).encode(), join(&b, &a).encode());
        prop_assert_eq!(join(&join(&a, &b), &c).encode(), join(&a, &join(&b, &c)).encode());
        prop_assert_eq!(join(&a, &a).encode(), a.encode());
    }

    #[test]
    fn a_state_reads_back_as_written(steps in prop::collection::vec(step(), 0..60)) {
        for state in run(&steps).replicas {
            prop_assert_eq!(State::decode(state.encode()).unwrap(), state);
        }
    }

    #[test]
    fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = State::decode(Bytes::from(bytes.clone()));
        let _ = Context::from_token(&Bytes::from(bytes), ClusterId(1), &Key::new("b", "k"));
    }

    #[test]
    fn a_changed_token_is_refused(at in 0usize..45, flip in 1u8..=255) {
        let actor = Actor { incarnation: Incarnation(7), epoch: Epoch { boot: 1, number: 2 } };
        let context = Context(BTreeMap::from([(actor, 9)]));
        let key = Key::new("b", "k");
        let mut token = context.to_token(ClusterId(1), &key).to_vec();
        let at = at % token.len();
        token[at] ^= flip;
        prop_assert!(Context::from_token(&Bytes::from(token), ClusterId(1), &key).is_err());
    }
}

#[test]
fn a_token_belongs_to_its_cluster_bucket_and_key() {
    let actor = Actor { incarnation: Incarnation(7), epoch: Epoch { boot: 1, number: 2 } };
    let context = Context(BTreeMap::from([(actor, 9)]));
    let key = Key::new("b", "k");
    let token = context.to_token(ClusterId(1), &key);
    assert_eq!(Context::from_token(&token, ClusterId(1), &key).unwrap(), context);
    assert!(Context::from_token(&token, ClusterId(2), &key).is_err());
    assert!(Context::from_token(&token, ClusterId(1), &Key::new("b", "k2")).is_err());
    assert!(Context::from_token(&token, ClusterId(1), &Key::new("bk", "")).is_err());
}

#[test]
fn dots_of_one_request_and_value_show_as_one_sibling() {
    let mut state = State::default();
    let payload = Payload { request: RequestId(5), value: Some(Bytes::from_static(b"v")) };
    for incarnation in [1, 2] {
        let actor = Actor { incarnation: Incarnation(incarnation), epoch: Epoch { boot: 1, number: 1 } };
        state.add(Dot { actor, counter: 1 }, payload.clone());
    }
    assert_eq!(state.live(), [payload]);
    assert_eq!(state.context().0.len(), 2);
}

#[test]
fn two_payloads_under_one_dot_are_both_kept_and_counted() {
    let actor = Actor { incarnation: Incarnation(1), epoch: Epoch { boot: 1, number: 1 } };
    let (mut a, mut b) = (State::default(), State::default());
    a.add(Dot { actor, counter: 1 }, Payload { request: RequestId(1), value: None });
    b.add(Dot { actor, counter: 1 }, Payload { request: RequestId(2), value: None });
    a.merge(&b);
    assert_eq!((a.dots().count(), a.corrupt_dots()), (2, 1));
}
