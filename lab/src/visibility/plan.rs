//! What is probed, from a seed: the same seed gives the same nodes and times, in the same order.
//! Each time of the grid gets as many probes as any other, up to one; a read goes to another node than its write.

use super::VisibilitySpec;
use crate::plan::Random;

/// One write and its read, before they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Planned {
    pub(super) planned_ms: f64,
    pub(super) writer: usize,
    pub(super) reader: usize,
}

/// All probes, over `endpoints` nodes: two or more.
pub(super) fn probes(spec: &VisibilitySpec, endpoints: usize) -> Vec<Planned> {
    let mut random = Random::new(spec.seed, PURPOSE);
    let mut times: Vec<f64> = spec.grid_ms.iter().copied().cycle().take(spec.samples).collect();
    // Fisher-Yates: times of all sizes side by side, so that what changes during the probes does not look like a time.
    for last in (1..times.len()).rev() {
        times.swap(last, below(&mut random, last + 1));
    }
    let one = |planned_ms| {
        let writer = below(&mut random, endpoints);
        let reader = (writer + 1 + below(&mut random, endpoints.saturating_sub(1))) % endpoints.max(1);
        Planned { planned_ms, writer, reader }
    };
    times.into_iter().map(one).collect()
}

/// Of the streams of a seed, one of its own.
const PURPOSE: u64 = 0x0074_7669_7369_626c;

fn below(random: &mut Random, end: usize) -> usize {
    usize::try_from(random.below(end as u64)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{VisibilitySpec, probes};

    #[test]
    fn each_time_has_its_share_and_a_read_goes_to_another_node() {
        let spec = VisibilitySpec { samples: 1003, ..VisibilitySpec::default() };
        let planned = probes(&spec, 3);
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        planned.iter().for_each(|probe| *counts.entry(probe.planned_ms.to_string()).or_default() += 1);
        assert!(counts.len() == 10 && counts.values().all(|count| (100..=101).contains(count)), "{counts:?}");
        assert!(planned.iter().all(|probe| probe.writer != probe.reader && probe.writer < 3 && probe.reader < 3));
        let pairs: BTreeMap<(usize, usize), ()> =
            planned.iter().map(|probe| ((probe.writer, probe.reader), ())).collect();
        assert_eq!(pairs.len(), 6, "every pair of nodes");
        assert_eq!(planned, probes(&spec, 3));
        assert_ne!(planned, probes(&VisibilitySpec { seed: 2, ..spec }, 3));
    }
}
