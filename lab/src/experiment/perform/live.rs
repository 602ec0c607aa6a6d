//! Watching replicas take in, after the last fault is healed, what was acknowledged before, while the load goes on.
//! Invariant: watching neither coordinates nor repairs (`Peek` of the admin port).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use driftkv_proto::v1;

use super::aftermath;
use crate::check;
use crate::convergence::{Live, Look};
use crate::faults::nanos;
use crate::plan::{Filler, Plan};
use crate::target::Target;

/// Between two looks: each is a read of every key at all its owners, which the load should not feel.
const LOOK: Duration = Duration::from_millis(200);
/// More keys are looked at by this many of them, evenly spread.
const KEYS_MAX: u64 = 100;

/// Of one run.
pub(super) struct Watched<'a> {
    pub(super) plan: &'a Plan,
    pub(super) run: u64,
    pub(super) replicas: usize,
    pub(super) deadline: Duration,
    pub(super) started: Instant,
    /// How long the load lasts: afterwards nobody goes on.
    pub(super) length: Duration,
    pub(super) stop: &'a AtomicBool,
}

/// Looks until `deadline` after the heal, or the end of the load. Errors: the nodes were not healed before, or no node showed anything.
pub(super) async fn watch<T: Target>(target: &T, watched: &Watched<'_>) -> Result<Live, String> {
    if let Some(ill) = aftermath::wait_until_healed(target).await {
        return Err(format!("replicas were not watched while clients went on: {ill}"));
    }
    let (healed, before) = (Instant::now(), aftermath::counters(target).await);
    let workload = &watched.plan.workload;
    let filler = Filler::new(watched.run, watched.plan.seed, workload.value_bytes);
    let count = workload.keys.min(KEYS_MAX);
    let keys: Vec<String> = (0..count).map(|number| workload.key(number * workload.keys / count.max(1))).collect();
    let (mut looks, mut why) = (Vec::new(), "the load had ended before".to_owned());
    let is_time = || healed.elapsed() < watched.deadline && watched.started.elapsed() < watched.length;
    while is_time() && !watched.stop.load(Ordering::Relaxed) {
        let answers = target.peek(&workload.bucket, &keys).await;
        let at_ns = nanos(watched.started.elapsed());
        let mut look = Look { at_ns, held: Vec::new() };
        for (node, answer) in answers {
            match answer {
                Ok(answer) => look.held.push((node, held(&filler, answer))),
                Err(error) => why = format!("{node}: {error}"),
            }
        }
        looks.push(look);
        tokio::time::sleep(LOOK).await;
    }
    if looks.iter().all(|look| look.held.is_empty()) {
        return Err(format!("no node showed what it holds while clients went on: {why}"));
    }
    Ok(Live {
        heal_ns: nanos(healed - watched.started),
        deadline_ns: nanos(watched.deadline),
        replicas: watched.replicas,
        keys,
        looks,
        before,
        after: aftermath::counters(target).await,
    })
}

fn held(filler: &Filler, answer: v1::PeekReply) -> Vec<Option<Vec<String>>> {
    let fillers = std::slice::from_ref(filler);
    let names =
        |key: v1::PeekedKey| key.is_owned.then(|| key.values.iter().map(|value| check::name(fillers, value)).collect());
    answer.keys.into_iter().map(names).collect()
}
