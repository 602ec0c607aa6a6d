//! Which keys are plain registers, so that zones can judge them: no delete was sent, and no read brought more than one value.
//! Sound: in any order of puts and reads in which siblings explain all answers (research/lab.md 3.7), the state at each read is what the last put
//! left, since that put is in the state and the state has one value. So whoever convicts the register convicts the siblings. With deletes
//! that is not so: one that had not seen all leaves an older value, and an empty answer does not say whose it is.
//! The other way round it is not so either: siblings that were never read may be lost, and zones do not see it (`check` and `sessions` do).

use crate::judges::account::{Did, Key, NIL, Operation, Seen};

/// Whether `key` is one.
pub(super) fn is_register(key: &Key) -> bool {
    let does_fit = |operation: &Operation| match &operation.did {
        Did::Replace { is_delete, .. } => !is_delete,
        Did::Read(Seen::Many(values)) => values.len() <= 1,
        _ => false,
    };
    key.foreign.is_empty() && key.operations.iter().all(does_fit)
}

/// A key that is one, as zones take it.
pub(super) fn as_register(key: Key) -> Key {
    let operations = key.operations.into_iter().map(plain).collect();
    // What a put covers does not matter to a register.
    Key { operations, has_unknown_contexts: false, ..key }
}

fn plain(operation: Operation) -> Operation {
    let did = match operation.did {
        Did::Replace { id, .. } => Did::Write(id),
        Did::Read(Seen::Many(values)) => Did::Read(Seen::One(values.first().copied().unwrap_or(NIL))),
        other => other,
    };
    Operation { did, ..operation }
}
