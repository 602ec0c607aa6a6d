//! What a node stores of a key only grows: no record forgets an event, or shows again what it had covered.
//! Source: design.md, Causality (merge = maximum of floors, union of dots) and Sloppy quorum (hints are merged).

use driftkv_core::causality::Dot;

use crate::facts::{hides, state_of};
use crate::trace;
use crate::world::disk::Write;

/// What this write forgot.
pub fn check(node: usize, write: &Write) -> Vec<String> {
    let (old, new) = (write.old.as_ref(), write.new.as_ref());
    let old = state_of(write.space, &write.key, old);
    let (Some((key, old)), Some((_, new))) = (old, state_of(write.space, &write.key, new)) else { return Vec::new() };
    let tops = old.context().0.into_iter().map(|(actor, counter)| Dot { actor, counter });
    let forgotten = tops
        .filter(|dot| !new.knows(*dot))
        .map(|dot| format!("n{node} forgets {} of {:?}", trace::dot(dot), key.key()));
    let again = new.dots().filter(|(dot, _)| hides(&old, *dot));
    forgotten
        .chain(again.map(|(dot, _)| format!("n{node} shows {} again, which it had covered", trace::dot(dot))))
        .collect()
}
