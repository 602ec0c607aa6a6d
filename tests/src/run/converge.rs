//! The end of a run: once nothing fails any more all replicas become identical, all hints reach their owners and no
//! request is kept, in bounded time; then the final states are judged.
//! Source: Dynamo (SOSP 2007) 4.6 and 4.7; design.md, Anti-entropy, Sloppy quorum and hints, Deadlines.

use std::collections::BTreeMap;

use driftkv_core::causality::State;

use super::clients::Clients;
use super::key;
use crate::invariants::Invariant;
use crate::trace;
use crate::world::World;

const CONVERGE_MS: u64 = 60_000;
const LOOK_INTERVAL_MS: u64 = 100;

/// Runs on until nothing is left to do, then judges.
pub fn converge(world: &mut World, clients: &mut Clients, keys: u32) {
    let until = world.now.plus(CONVERGE_MS);
    let mut look_at = world.now;
    let mut left = None;
    while world.now < until && world.judge.breaches.is_empty() && world.advance() {
        clients.only_hear(world);
        if world.now >= look_at {
            look_at = world.now.plus(LOOK_INTERVAL_MS);
            left = unconverged(world, keys);
            if left.is_none() {
                break;
            }
        }
    }
    if let Some((invariant, what)) = left {
        world.judge.breach(invariant, what);
    }
    let finals = (0..keys).map(|n| (key(n), fold(world, n))).collect::<BTreeMap<_, _>>();
    world.judge.ended(&finals);
}

/// All that the owners of a key know of it.
fn fold(world: &World, n: u32) -> State {
    let mut all = State::default();
    for (_, state) in world.stored(&key(n)) {
        all.merge(&state);
    }
    all
}

/// What is not as it should be in the end; `None`: all is.
fn unconverged(world: &World, keys: u32) -> Option<(Invariant, String)> {
    for n in 0..keys {
        let stored = world.stored(&key(n));
        if stored.windows(2).any(|pair| pair[0].1 != pair[1].1) {
            let states: Vec<String> = stored.iter().map(|(node, s)| format!("n{node}: {}", trace::state(s))).collect();
            return Some((Invariant::ReplicasConverge, format!("{:?} differs: {}", key(n).key(), states.join("; "))));
        }
    }
    let hints = world.hints();
    if !hints.is_empty() {
        return Some((Invariant::HintsGoHome, format!("left are (holder, owner, bytes): {hints:?}")));
    }
    (!world.is_idle()).then(|| (Invariant::EveryRequestEnds, "a node keeps a request".to_owned()))
}
