//! Probes of freshness during a phase, and what messages, disks and clients take without its faults, which the prediction needs.
//! Calibration comes before the load and before any fault: reads at R=1 are answered by the node that is asked, so they tell what clients take; writes at
//! W=1 wait for one disk, writes at W=N also for messages there and back. A message that a fault holds back leaves when a timer fires, which is late by
//! up to two of its milliseconds: how late is measured here, on the same machine with the same runtime.
//! Not here: probing and predicting (`visibility`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use driftkv_proto::faults::{EVERY_NODE, Fault, Law, Links};

use super::Setting;
use crate::experiment::schedule::{self, Window};
use crate::experiment::spec::{Spec, VisibilitySpec as Wanted};
use crate::faults::FaultRecord;
use crate::visibility::{Legs, ProbeError, Store, Visibility, VisibilitySpec, probe};

/// Of each kind.
const CALIBRATION_SAMPLES: usize = 200;
/// Writers of the calibration: few, so that they do not wait for each other.
const CALIBRATION_WRITERS: u32 = 4;
/// Timers that are waited for: 0.3 s in all.
const TIMERS: u32 = 100;
/// Between two looks at whether the phase is over.
const LOOK: Duration = Duration::from_millis(20);

/// What messages, disks and clients take now, and how late timers are.
pub(super) struct Calibrated {
    legs: Legs,
    timers_ms: Vec<f64>,
}

/// What messages, disks and clients take now.
pub(super) async fn calibrate(
    spec: &Spec,
    clients: &[String],
    seed: u64,
    run: u64,
    stop: &Arc<AtomicBool>,
) -> Result<Calibrated, ProbeError> {
    let of = |w: u32, name: &str| VisibilitySpec {
        samples: CALIBRATION_SAMPLES,
        grid_ms: vec![0.0],
        writers: CALIBRATION_WRITERS,
        r: 1,
        w,
        timeout: spec.request.timeout,
        bucket: format!("lab-calibration-{run:016x}"),
        seed,
        key_prefix: format!("{name}-"),
    };
    let one = probe(&of(1, "one"), clients, stop).await?;
    let all = probe(&of(schedule::quorums(spec).n, "all"), clients, stop).await?;
    let client_trip = median(one.samples.iter().map(|sample| sample.read_ms));
    let syncs = one.samples.iter().map(|sample| (sample.write_ms - client_trip).max(0.0));
    let messages = median(all.samples.iter().map(|sample| sample.write_ms))
        - median(one.samples.iter().map(|sample| sample.write_ms));
    let legs = Legs {
        sync_ms: syncs.collect(),
        base_ms: vec![(messages / 2.0).max(0.0)],
        client_ms: client_trip / 2.0,
        ..Legs::default()
    };
    Ok(Calibrated { legs, timers_ms: timers().await })
}

/// How late timers of the runtime are, in milliseconds.
async fn timers() -> Vec<f64> {
    let mut late = Vec::new();
    for turn in 0..TIMERS {
        // Lengths that begin anywhere within a millisecond.
        let due = Instant::now() + Duration::from_micros(2_000 + u64::from(turn) * 137 % 1_000);
        tokio::time::sleep_until(due.into()).await;
        late.push(due.elapsed().as_secs_f64() * 1e3);
    }
    late
}

/// Probes from the phase's begin until all samples are there, or it ends.
pub(super) async fn during(
    spec: &Spec,
    wanted: &Wanted,
    calibrated: Calibrated,
    windows: &[Window],
    clients: &[String],
    setting: &Setting<'_>,
    started: Instant,
) -> Result<Visibility, ProbeError> {
    let phase = schedule::phases(spec).into_iter().find(|(name, ..)| *name == wanted.phase);
    let (_, from, to) = phase.unwrap_or_default();
    let quorums = schedule::quorums(spec);
    let probes = VisibilitySpec {
        samples: usize::try_from(wanted.samples).unwrap_or(usize::MAX),
        grid_ms: wanted.at.iter().map(|at| at.as_secs_f64() * 1e3).collect(),
        writers: wanted.writers,
        r: quorums.r,
        w: quorums.w,
        timeout: spec.request.timeout,
        bucket: format!("lab-visibility-{:016x}", setting.run),
        seed: setting.seed,
        key_prefix: "key-".to_owned(),
    };
    let law = windows.iter().find(|window| window.phase == wanted.phase).map(law_of);
    tokio::time::sleep_until((started + from + SETTLE).into()).await;
    let over = Arc::new(AtomicBool::new(false));
    let end = async {
        while Instant::now() < started + to && !setting.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(LOOK).await;
        }
        over.store(true, Ordering::Relaxed);
    };
    let (seen, ()) = tokio::join!(probe(&probes, clients, &over), end);
    let mut seen = seen?;
    let [n, r, w] = [quorums.n, quorums.r, quorums.w].map(|count| count as usize);
    let store = |legs| Some(Store { nodes: clients.len(), n, r, w, legs });
    // Without faults the prediction is of what was calibrated; with other faults than one delay of every link there is none.
    seen.model = match law {
        None => store(calibrated.legs),
        Some(Some(law)) => {
            let Legs { base_ms, sync_ms, client_ms, .. } = calibrated.legs;
            let base = base_ms.first().copied().unwrap_or_default();
            let base_ms = calibrated.timers_ms.iter().map(|late| base + late).collect();
            store(Legs { sync_ms, client_ms, ..Legs::on_every_link(law, base_ms) })
        }
        Some(None) => None,
    };
    Ok(seen)
}

/// Tells the model how many messages a second each link had, by what the nodes counted of the phase's experiment.
pub(super) fn count_messages(seen: &mut Visibility, experiment: &str, faults: &[FaultRecord]) {
    let Some(model) = &mut seen.model else { return };
    let applied = faults.iter().find_map(|record| match record {
        FaultRecord::Began { id, applied_ns, .. } if id == experiment => Some(*applied_ns),
        _ => None,
    });
    let healed = faults.iter().find_map(|record| match record {
        FaultRecord::Healed { id, healed_ns, evidence, .. } if id == experiment => Some((*healed_ns, evidence)),
        _ => None,
    });
    let (Some(applied_ns), Some((healed_ns, evidence))) = (applied, healed) else { return };
    let messages: u64 = evidence.iter().flat_map(|node| &node.faults).map(|fault| fault.seen).sum();
    let links = (model.nodes * model.nodes.saturating_sub(1)).max(1);
    let seconds = healed_ns.saturating_sub(applied_ns) as f64 / 1e9;
    if seconds > 0.0 {
        model.legs.messages_per_s = messages as f64 / seconds / links as f64;
    }
}

/// After the phase's begin: until its faults are applied everywhere.
const SETTLE: Duration = Duration::from_millis(300);

/// The one law of delays on every link, if that is all there is.
fn law_of(window: &Window) -> Option<Law> {
    let [Fault::Delay { links, law }] = window.experiment.faults.as_slice() else { return None };
    let is_every = |names: &[String]| matches!(names, [name] if name == EVERY_NODE);
    matches!(links, Links::OneWay { from, to } if is_every(from) && is_every(to)).then_some(*law)
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = numbers.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
