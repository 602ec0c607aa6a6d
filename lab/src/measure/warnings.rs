//! What makes the numbers of a run doubtful, in sentences.

use super::{Run, seconds};

/// Answered within the schedule, of all that was due: below this the store, or the loader, did not keep up (research/lab.md 3.2.5).
const KEPT_UP: f64 = 0.99;

/// All that is known.
pub(super) fn of(run: &Run<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let samples = &run.samples;
    if samples.all.is_empty() {
        warnings.push("the history has no operations".to_owned());
    } else if samples.is_open {
        let end = run.schedule_s();
        let punctual = samples.all.iter().filter(|sample| sample.is_ok() && seconds(sample.end_ns) <= end).count();
        let share = punctual as f64 / samples.all.len() as f64;
        if share < KEPT_UP {
            // Without the share, so that many runs are told in one line.
            let percent = 100.0 * KEPT_UP;
            warnings.push(format!(
                "saturated: less than {percent} % of what was due was done before the end of the schedule"
            ));
        }
    } else {
        warnings.push("a closed loop: latencies are service times and say nothing about waiting".to_owned());
    }
    if let Some(bytes) = run.verdict.left_out.torn_bytes.checked_sub(1) {
        warnings.push(format!("the history is cut off: {} bytes of its last line were left out", bytes + 1));
    }
    let unknown = run.verdict.registers.unknown + run.verdict.siblings.unknown;
    if unknown > 0 {
        warnings.push(format!("of {unknown} keys nobody knows whether they are linearizable"));
    }
    let is_lost = |target: &usize| run.sides.node(u16::try_from(*target).unwrap_or(u16::MAX)).is_none();
    if run.periods.iter().any(|period| !period.sides.is_empty()) && (0..samples.targets.len()).any(|at| is_lost(&at)) {
        warnings.push("some targets are no known nodes: sides of partitions leave them out".to_owned());
    }
    warnings
}
