//! What is registered and what `docs/metrics.md` says, compared both ways, and the conventions of names.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use driftkv_core::effect::{Achieved, Event, Failure, PeerStatus, Reply, Status};
use driftkv_core::id::{CommitNo, Incarnation};

use super::scrape::Snapshot;
use super::{Metrics, Operation, Stage};
use crate::store::disk::Written;

const DOCS: &str = include_str!("../../../docs/metrics.md");
const PEER: Incarnation = Incarnation(2);

/// What a family is: its type and its labels.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

fn status() -> Status {
    let peer = PeerStatus {
        incarnation: PEER,
        name: "demo-1".to_owned(),
        is_connected: true,
        is_reachable: true,
        rumour: "alive",
        missed_deadlines: 0,
        anti_entropy_rounds: 0,
        boot: 3,
    };
    Status {
        boot: 3,
        synced: CommitNo(9),
        cluster: None,
        layout_version: 1,
        state: "serving",
        peers: vec![peer],
        hints: vec![(PEER, 4, 400)],
        partitions_owned: 8,
        partitions_built: 7,
        partitions_dirty: 0,
        keys: 100,
        in_flight: 1,
        counters: Vec::new(),
    }
}

fn snapshot(status: Option<Status>) -> Snapshot {
    Snapshot { is_ready: true, status: status.map(Box::new), faults: vec![("pause", 2)], queued: 5 }
}

/// Metrics with something of everything.
fn used() -> Metrics {
    let metrics = Metrics::default();
    metrics.stage(Stage::Queue, Duration::from_micros(70));
    let achieved = Achieved { primaries: 2, fallbacks: 0, is_strict: true };
    let reply = Reply::Put { context: bytes::Bytes::new(), siblings: 1, achieved, was_applied: false };
    metrics.answered(Operation::Put, Duration::from_millis(2), &Ok(reply));
    metrics.refused(Operation::Get, &Failure::Overloaded { in_flight: 1 });
    metrics.replicated(Duration::from_millis(1));
    for event in [Event::FreshEpoch, Event::StaleRead, Event::ReadRepair(PEER), Event::HintDelivered(PEER)] {
        metrics.event(&event);
    }
    metrics.synced(Written { records: 3, bytes: 300 }, Duration::from_millis(1));
    metrics.synced(Written::default(), Duration::from_millis(1));
    metrics
}

fn page() -> String {
    used().page(&snapshot(Some(status()))).unwrap()
}

/// The families of a page, under the names that its samples have.
fn families(page: &str) -> Families {
    let mut found = Families::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let sample = format!("{name}{suffix}");
        let labels = page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let rest = line.strip_prefix(&sample)?;
            let rest = rest.strip_prefix("_bucket").unwrap_or(rest);
            rest.strip_prefix('{')?.split_once('}').map(|(labels, _)| labels.to_owned())
        });
        let labels: String = labels.collect::<Vec<_>>().join(",");
        let keys = labels.split(',').filter_map(|label| label.split_once('=')).map(|(key, _)| key.to_owned());
        found.insert(sample, (kind.to_owned(), keys.filter(|key| key != "le").collect()));
    }
    found
}

/// The rows of the table: name, type, labels.
fn documented() -> Families {
    let rows = DOCS.lines().filter(|line| line.starts_with("| `driftkv_"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let code = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let labels = code(cells[2]).into_iter().collect();
        assert!(cells.len() == 4 && cells[3].len() > 10, "{line}");
        (code(cells[0]).remove(0), (cells[1].to_owned(), labels))
    };
    let families: Vec<_> = rows.map(row).collect();
    let count = families.len();
    let families = Families::from_iter(families);
    assert_eq!(families.len(), count, "a metric has two rows");
    families
}

#[test]
fn the_table_in_the_docs_has_each_metric_with_its_type_and_labels_and_no_other() {
    assert_eq!(documented(), families(&page()));
}

/// A family without a sample is left out of a page, and so out of every comparison.
#[test]
fn whatever_is_registered_is_on_the_page_that_the_table_is_compared_with() {
    let sources = [include_str!("../metrics.rs"), include_str!("scrape.rs")];
    let registered: usize = sources.iter().map(|source| source.matches("registry.register").count()).sum();
    assert_eq!(families(&page()).len(), registered);
}

#[test]
fn names_follow_the_conventions_of_prometheus() {
    let is_snake = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    for (name, (kind, labels)) in families(&page()) {
        assert!(name.starts_with("driftkv_") && is_snake(&name) && !name.contains("__"), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        assert!(labels.iter().all(|label| is_snake(label)), "{name}");
        for unit in ["_ms", "_millis", "_micros", "_us", "_minutes", "_kib", "_mb", "_percent", "_count", "_gauge"] {
            assert!(!name.trim_end_matches("_total").ends_with(unit), "{name} has no base unit");
        }
        let is_time = name.contains("duration") || name.contains("lag");
        assert_eq!(is_time, name.ends_with("_seconds"), "{name}");
    }
}

#[test]
fn a_page_says_what_was_recorded() {
    let page = page();
    for line in [
        "driftkv_operations_total{operation=\"put\",quorum=\"strict\",result=\"ok\"} 1",
        "driftkv_operations_total{operation=\"put\",quorum=\"sloppy\",result=\"ok\"} 0",
        "driftkv_operations_total{operation=\"get\",quorum=\"none\",result=\"overloaded\"} 1",
        "driftkv_operation_duration_seconds_bucket{le=\"0.001\",operation=\"put\"} 0",
        "driftkv_operation_duration_seconds_bucket{le=\"0.0025\",operation=\"put\"} 1",
        "driftkv_stage_duration_seconds_count{stage=\"queue\"} 1",
        "driftkv_stage_duration_seconds_count{stage=\"sync\"} 1",
        "driftkv_repairs_total{kind=\"read_repair\"} 1",
        "driftkv_repairs_total{kind=\"anti_entropy\"} 0",
        "driftkv_stale_reads_repaired_total 1",
        "driftkv_hints_total{result=\"delivered\"} 1",
        "driftkv_hints_owed{target=\"demo-1\"} 4",
        "driftkv_hints_owed_bytes{target=\"demo-1\"} 400",
        "driftkv_syncs_total 1",
        "driftkv_synced_bytes_total 300",
        "driftkv_sync_batch_records_sum 3.0",
        "driftkv_faults_active{kind=\"pause\"} 2",
        "driftkv_faults_active{kind=\"clock-skew\"} 0",
        "driftkv_ready 1",
        "driftkv_jobs_queued 5",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    assert!(page.ends_with("# EOF\n"));
}

#[test]
fn what_the_engine_does_not_answer_is_left_out() {
    let page = used().page(&snapshot(None)).unwrap();
    assert!(page.contains("driftkv_syncs_total 1") && !page.contains("driftkv_hints_owed"), "{page}");
}
