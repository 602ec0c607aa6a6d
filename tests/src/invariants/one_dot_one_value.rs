//! No dot is used for two values: wherever a write event shows, it shows the same put.
//! Source: design.md, Causality (epochs belong to a boot; a dot that was lost in a crash is never minted again).

use driftkv_core::causality::State;
use driftkv_core::id::Key;

use crate::facts::Facts;
use crate::trace;

/// What this state shows otherwise than another did.
pub fn check(key: &Key, state: &State, facts: &Facts) -> Vec<String> {
    let differing = state.dots().filter_map(|(dot, payload)| {
        let known = &facts.mints.get(&(key.clone(), dot))?.payload;
        (known != payload).then(|| format!("{} wrote {:?} and {:?}", trace::dot(dot), known.value, payload.value))
    });
    differing.collect()
}
