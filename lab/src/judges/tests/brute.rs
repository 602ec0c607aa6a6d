//! The oracle: tries all orders, with states of its own. Shares nothing with the judges but the account.

use std::collections::BTreeSet;

use crate::judges::account::{Covers, Did, Key, NEVER, NIL, Operation, Seen, Value};
use crate::judges::linearizable::Model;

#[derive(Clone, Debug, PartialEq)]
struct State {
    one: Value,
    text: Vec<u32>,
    set: BTreeSet<Value>,
}

/// Whether some order of `key`'s operations explains all answers. Only for small ones.
pub(super) fn is_linearizable(key: &Key, model: Model) -> bool {
    let set = if key.initial == NIL { BTreeSet::new() } else { BTreeSet::from([key.initial]) };
    let state = State { one: key.initial, text: key.texts.symbols(key.initial), set };
    let mut placed = vec![false; key.operations.len()];
    search(key, model, &mut placed, &state)
}

fn search(key: &Key, model: Model, placed: &mut [bool], state: &State) -> bool {
    let left = |placed: &[bool], operation: usize| !placed[operation];
    let known = |operation: &Operation| operation.end < NEVER;
    if key.operations.iter().enumerate().all(|(place, operation)| !left(placed, place) || !known(operation)) {
        return true;
    }
    for place in 0..placed.len() {
        let operation = &key.operations[place];
        let is_first = |placed: &[bool]| {
            let mut others = key.operations.iter().enumerate();
            others.all(|(other, before)| !left(placed, other) || before.end >= operation.start)
        };
        if placed[place] || !is_first(placed) {
            continue;
        }
        if let Some(after) = apply(key, model, state, &operation.did) {
            placed[place] = true;
            let found = search(key, model, placed, &after);
            placed[place] = false;
            if found {
                return true;
            }
        }
    }
    false
}

fn apply(key: &Key, model: Model, state: &State, did: &Did) -> Option<State> {
    let mut after = state.clone();
    match did {
        Did::Read(Seen::Anything) => {}
        Did::Read(Seen::One(value)) if model == Model::Append => {
            (key.texts.symbols(*value) == state.text).then_some(())?;
        }
        Did::Read(Seen::One(value)) => (*value == state.one).then_some(())?,
        Did::Read(Seen::Many(values)) if model == Model::AnySibling => {
            let is_there = match (state.set.is_empty(), state.one) {
                (true, _) => values.is_empty(),
                (false, NIL) => state.set.iter().any(|held| values.contains(held)),
                (false, newest) => values.contains(&newest),
            };
            is_there.then_some(())?;
        }
        Did::Read(Seen::Many(values)) => {
            (values.iter().copied().collect::<BTreeSet<_>>() == state.set).then_some(())?;
        }
        Did::Write(value) if model == Model::Append => after.text = key.texts.symbols(*value),
        Did::Write(value) => after.one = *value,
        Did::Swap { from, to } => {
            (*from == state.one).then_some(())?;
            after.one = *to;
        }
        Did::Differs(value) => (*value != state.one).then_some(())?,
        Did::Append(symbols) => after.text.extend_from_slice(symbols),
        Did::Add(value) => {
            after.set.insert(*value);
        }
        Did::Replace { id, is_delete, covers } => {
            after.set.retain(|held| matches!(covers, Covers::These(covers) if !covers.contains(held)));
            after.set.extend((!is_delete).then_some(*id));
            // The newest, for the lenient reading.
            after.one = match is_delete {
                false => *id,
                true if after.set.contains(&state.one) => state.one,
                true => NIL,
            };
        }
    }
    Some(after)
}
