//! Core's own encodings: states, records, contexts, layouts, forwarded puts and what became of them.

use bytes::Bytes;
use driftkv_core::causality::{Actor, Context, Dot, Epoch, Payload, State};
use driftkv_core::id::{ClusterId, Incarnation, Key, RequestId};
use driftkv_core::layout::Layout;
use driftkv_core::message::Message;
use driftkv_core::record::Record;
use driftkv_core::{decode_forwarded_outcome, decode_forwarded_put};
use proptest::prelude::any;
use proptest::proptest;
use proptest::sample::Index;
use twox_hash::XxHash3_64;

use crate::memory::bounded;
use crate::mutate::{apply, edits};
use crate::talk;

fn state(actors: u64) -> State {
    let mut state = State::default();
    for n in 0..actors {
        let actor = Actor { incarnation: Incarnation(n + 1), epoch: Epoch { boot: 3, number: n } };
        for counter in 2..5 {
            let value = (counter != 3).then(|| Bytes::from(vec![n as u8; 40]));
            state.add(Dot { actor, counter }, Payload { request: RequestId(u128::from(n)), value });
        }
    }
    let covered = Context(state.context().0.into_iter().take(1).map(|(actor, top)| (actor, top - 1)).collect());
    state.cover(&covered);
    state
}

fn key() -> Key {
    Key::new("bucket", "key")
}

/// A context's bytes with a checksum that fits them again.
fn bound(mut token: Vec<u8>) -> Bytes {
    token.truncate(token.len().saturating_sub(8));
    let bound = [token.as_slice(), &9u128.to_be_bytes(), &key().storage_key()].concat();
    token.extend_from_slice(&XxHash3_64::oneshot(&bound).to_be_bytes());
    Bytes::from(token)
}

proptest! {
    #[test]
    fn states_and_records(which in any::<Index>(), edits in edits()) {
        let states: Vec<Bytes> = [0, 1, 3, 20].map(|actors| state(actors).encode()).to_vec();
        let bytes = apply(&states, which, &edits);
        if let Ok(read) = bounded(|| State::decode(bytes)) {
            let again = State::decode(read.encode());
            assert_eq!(again, Ok(read), "what was accepted is written as it is read");
        }
        let record = Record { own_epoch: Some(Epoch { boot: 3, number: 1 }), state: state(3) };
        let whole = record.encode(b"place").record;
        let bytes = apply(std::slice::from_ref(&whole), which, &edits);
        let read = bounded(|| Record::decode(b"place", bytes.clone()));
        assert!(bytes == whole || read.is_err(), "a changed record was accepted");
        let _ = Record::hash_of(&bytes);
    }

    #[test]
    fn contexts(which in any::<Index>(), edits in edits()) {
        let tokens: Vec<Bytes> = [1, 3, 20].map(|actors| state(actors).context().to_token(ClusterId(9), &key())).to_vec();
        let bytes = apply(&tokens, which, &edits);
        let damaged = bounded(|| Context::from_token(&bytes, ClusterId(9), &key()));
        assert!(bytes.is_empty() || tokens.contains(&bytes) || damaged.is_err(), "a changed context was accepted");
        let forged = bound(bytes.to_vec());
        if let Ok(read) = bounded(|| Context::from_token(&forged, ClusterId(9), &key())) {
            let again = Context::from_token(&read.to_token(ClusterId(9), &key()), ClusterId(9), &key());
            assert_eq!(again, Ok(read));
        }
    }

    #[test]
    fn layouts_and_forwarded_puts(which in any::<Index>(), edits in edits()) {
        let said = talk::said();
        let of = |pick: fn(&Message) -> Option<Bytes>| said.iter().filter_map(pick).collect::<Vec<_>>();
        let layouts = of(|message| match message {
            Message::LayoutGive(layout) => Some(layout.clone()),
            _ => None,
        });
        if let Ok(layout) = bounded(|| Layout::decode(apply(&layouts, which, &edits))) {
            assert_eq!(Layout::decode(layout.encode()), Ok(layout));
        }
        let puts = of(|message| match message {
            Message::Forward { put, .. } => Some(put.clone()),
            _ => None,
        });
        let _ = bounded(|| decode_forwarded_put(apply(&puts, which, &edits)));
        let outcomes = of(|message| match message {
            Message::ForwardReply { outcome, .. } => Some(outcome.clone()),
            _ => None,
        });
        let _ = bounded(|| decode_forwarded_outcome(apply(&outcomes, which, &edits)));
    }
}

/// What follows a whole encoding was not written by us: another version's field, or another message's bytes.
#[test]
fn nothing_may_follow_an_encoding() {
    let longer = |bytes: Bytes| Bytes::from([&bytes[..], &[0]].concat());
    assert!(State::decode(state(3).encode()).is_ok());
    assert!(State::decode(longer(state(3).encode())).is_err());
    let token = state(3).context().to_token(ClusterId(9), &key());
    let forged = |token: &Bytes| bound([&token[..token.len() - 8], &[0; 9]].concat());
    assert!(Context::from_token(&token, ClusterId(9), &key()).is_ok());
    assert!(Context::from_token(&forged(&token), ClusterId(9), &key()).is_err());
}
