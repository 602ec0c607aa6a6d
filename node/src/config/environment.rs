//! Variables of the environment that look like settings and are none.
//! Invariant: one that is nearly a setting is refused with that setting's name; others of our prefix are left alone, because the command
//! has its own, and Kubernetes sets some for every Service (`DRIFTKV_SERVICE_HOST`, `DRIFTKV_PORT_7400_TCP`).

use std::mem;

const PREFIX: &str = "DRIFTKV_";
/// Where OpenTelemetry has every program look for its collector, the more special name first.
const OTLP: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// The variable that names a collector, and what it says. `value`: of a variable.
pub fn otlp_endpoint(value: impl Fn(&str) -> Option<String>) -> Option<(&'static str, String)> {
    OTLP.into_iter().filter_map(|name| Some((name, value(name)?))).find(|(_, value)| !value.is_empty())
}

/// A sentence for each of `names` that is nearly, but not quite, one of the `known`.
pub fn misspelt(names: impl Iterator<Item = String>, known: &[String]) -> Vec<String> {
    let told = |name: String| {
        let end = name.strip_prefix(PREFIX).filter(|_| !known.contains(&name))?.to_owned();
        let ends = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
        let (distance, nearest) = ends.map(|known| (distance(&end, known), known)).min()?;
        let is_near = distance <= (nearest.len() / 3).clamp(1, 3);
        is_near.then(|| format!("{name} is no setting; do you mean {PREFIX}{nearest}?"))
    };
    names.filter_map(told).collect()
}

/// How many letters must be added, taken away or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let (mut diagonal, mut left) = (i, i + 1);
        for (slot, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let above = *slot;
            left = (diagonal + usize::from(x != y)).min(above + 1).min(left + 1);
            diagonal = mem::replace(slot, left);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{OTLP, distance, misspelt, otlp_endpoint};

    #[test]
    fn the_collector_of_traces_wins_over_that_of_everything_and_empty_is_unset() {
        let both =
            |name: &str| Some(if name.contains("TRACES") { "http://traces:1" } else { "http://all:2" }.to_owned());
        assert_eq!(otlp_endpoint(both), Some((OTLP[0], "http://traces:1".to_owned())));
        let all = |name: &str| Some(if name.contains("TRACES") { "" } else { "http://all:2" }.to_owned());
        assert_eq!(otlp_endpoint(all), Some((OTLP[1], "http://all:2".to_owned())));
        assert_eq!(otlp_endpoint(|_| None), None);
    }

    #[test]
    fn the_distance_counts_letters() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn near_misses_are_told_and_other_variables_are_left_alone() {
        let known =
            ["DRIFTKV_READ_QUORUM", "DRIFTKV_ZONE", "DRIFTKV_PARTITIONS", "DRIFTKV_LOG_LEVEL"].map(str::to_owned);
        let told = |name: &str| misspelt([name.to_owned()].into_iter(), &known);
        assert_eq!(
            told("DRIFTKV_READ_QOURUM"),
            ["DRIFTKV_READ_QOURUM is no setting; do you mean DRIFTKV_READ_QUORUM?"]
        );
        assert_eq!(told("DRIFTKV_ZONES").len(), 1);
        assert_eq!(told("DRIFTKV_LOGLEVEL").len(), 1);
        for other in [
            "DRIFTKV_ZONE",
            "DRIFTKV_ENDPOINTS",
            "DRIFTKV_SERVICE_HOST",
            "DRIFTKV_PORT",
            "DRIFTKV_PORT_7400_TCP",
            "HOME",
        ] {
            assert!(told(other).is_empty(), "{other}");
        }
    }
}
