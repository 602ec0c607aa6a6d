#![allow(clippy::unwrap_used)]
use std::collections::BTreeSet;
use std::path::Path;

use super::{NAMES, one_of_each, unknown};

#[test]
fn what_can_be_measured_is_known_and_all_else_is_told_with_what_may_be_meant() {
    for name in [
        "staleness.rate",
        "latency.get.p999_ms",
        "phase.cut.latency.all.p50_ms",
        "staleness.phase.cut.rate",
        "availability.rmw.ratio",
        "availability.side.lab-0_lab-1.ratio",
        "sessions.monotonic_reads.per_million",
    ] {
        assert_eq!(unknown(name, &["before", "cut"]), None, "{name}");
    }
    for (name, meant) in [
        ("stalenes.rate", "did you mean staleness.rate?"),
        ("latency.get.p99", "did you mean latency.get.p99_ms?"),
        ("phase.cutt.availability.ratio", "did you mean phase.cut.availability.ratio?"),
        ("lost.cuont", "did you mean lost.count?"),
        ("availability.side..ratio", "availability.side..ratio"),
    ] {
        let why = unknown(name, &["before", "cut"]).unwrap();
        assert!(why.contains(meant), "{why}");
    }
    assert_eq!(unknown("zzz", &[]).unwrap(), "there is no measurement `zzz`");
}

#[test]
fn the_docs_have_the_same_names() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/experiments.md");
    let text = std::fs::read_to_string(path).unwrap();
    let table = text.split("| metric | what it is |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(1)).flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let documented: BTreeSet<String> = cells.flat_map(one_of_each).collect();
    let known: BTreeSet<String> = NAMES.iter().copied().flat_map(one_of_each).collect();
    assert_eq!(documented.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "documented, not known");
    assert_eq!(known.difference(&documented).collect::<Vec<_>>(), Vec::<&String>::new(), "known, not documented");
}
