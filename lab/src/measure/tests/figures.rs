//! What is drawn: all of it data, thinned out where there is much.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::{Kind, MS, S, Setting, cut, failed, get, measured, measured_with, op, put, three_nodes};
use crate::report::model::{Point, Scale, Series};

fn lines(kind: &Kind) -> &[Series] {
    match kind {
        Kind::Lines { series } | Kind::Bars { series, .. } => series,
        _ => &[],
    }
}

/// A key with a stale read among others, and siblings on another one.
fn violated() -> Vec<Json> {
    let mut records = vec![put(0, 0, "k", None), get(1, 100 * MS, "k", 0, &["0.0"]), put(2, 200 * MS, "k", Some(1))];
    records.extend((3..80).map(|seq| get(seq, seq * 100 * MS, "k", 1, &["0.2"])));
    records.push(get(80, 8 * S, "k", 2, &["0.0"]));
    records.extend([put(90, 0, "s", None), put(91, 0, "s", None), get(92, S, "s", 0, &["0.90", "0.91"])]);
    records.push(failed(93, S, "timeout", S));
    records
}

#[test]
fn a_run_has_the_figures_for_which_it_has_data() {
    let setting = Setting { nodes: three_nodes(), ..Setting::default() };
    let run = measured_with(&violated(), &cut(2, 5, [1, 1, 1]), &setting);
    let ids: Vec<&str> = run.figures.iter().map(|figure| figure.id.as_str()).collect();
    let all = [
        "latency-over-time",
        "operations",
        "rate",
        "latency-percentiles",
        "latency-cdf",
        "stale-over-time",
        "stale-age",
        "versions-behind",
        "gamma",
        "availability",
        "siblings",
        "timeline",
    ];
    assert_eq!(ids, all);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    let honest = measured(&[op(0, 0, json!({}))]);
    let ids: Vec<&str> = honest.figures.iter().map(|figure| figure.id.as_str()).collect();
    assert_eq!(ids, ["latency-over-time", "operations", "rate", "latency-percentiles", "latency-cdf", "availability"]);
}

#[test]
fn the_timeline_shows_the_witness_among_few_others_of_its_key() {
    let run = measured(&violated());
    let Kind::Timeline { lanes } = &run.figure("timeline").unwrap().kind else { unreachable!() };
    let ops: Vec<_> = lanes.iter().flat_map(|lane| &lane.ops).collect();
    let witnesses: Vec<&str> = ops.iter().filter(|op| op.is_witness).map(|op| op.label.as_str()).collect();
    assert!(ops.len() - witnesses.len() <= 40 && ops.len() > 40, "{}", ops.len());
    assert!(
        witnesses.iter().any(|label| label.contains("0.0")) && witnesses.iter().any(|label| label.contains("0.2")),
        "{witnesses:?}"
    );
    assert!(ops.iter().any(|op| op.is_witness && !op.is_write && op.from == 8.0), "the stale read itself");
}

#[test]
fn dots_are_by_kind_and_outcome_and_never_too_many() {
    let mut records: Vec<Json> =
        (0..6_000).map(|seq| op(seq, seq * MS, json!({ "recv_ns": seq * MS + (seq % 50 + 1) * MS }))).collect();
    records.push(op(6_000, S, json!({ "recv_ns": 9 * S })));
    records.push(failed(6_001, S, "timeout", S));
    let run = measured(&records);
    let series = lines(&run.figure("operations").unwrap().kind);
    assert_eq!(series.iter().map(|series| series.name.as_str()).collect::<Vec<_>>(), ["get fail", "get ok"]);
    let points: Vec<&Point> = series.iter().flat_map(|series| &series.points).collect();
    assert!((3_000..=4_000).contains(&points.len()), "{}", points.len());
    assert!(points.iter().any(|point| point.y == Some(8_000.0)), "the slowest is there");
}

#[test]
fn buckets_are_seconds_and_rates_count_what_was_due_and_what_was_done() {
    let records: Vec<Json> = (0..30)
        .map(|seq| op(seq, seq * 100 * MS, json!({ "recv_ns": seq * 100 * MS + if seq == 9 { S } else { MS } })))
        .collect();
    let run = measured(&records);
    let of = |id: &str, name: &str| -> Vec<(f64, f64)> {
        let series = lines(&run.figure(id).unwrap().kind).iter().find(|series| series.name == name).unwrap();
        series.points.iter().map(|point| (point.x, point.y.unwrap())).collect()
    };
    assert_eq!(of("latency-over-time", "p50"), [(0.5, 1.0), (1.5, 1.0), (2.5, 1.0)]);
    assert_eq!(of("latency-over-time", "max"), [(0.5, 1000.0), (1.5, 1.0), (2.5, 1.0)]);
    assert_eq!(of("rate", "offered"), [(0.5, 10.0), (1.5, 10.0), (2.5, 10.0)]);
    assert_eq!(of("rate", "done"), [(0.5, 9.0), (1.5, 11.0), (2.5, 10.0)]);
}

#[test]
fn percentiles_end_where_nobody_is_beyond_and_what_was_never_answered_keeps_the_sum_below_one() {
    let mut records: Vec<Json> =
        (0..90).map(|seq| op(seq, seq * MS, json!({ "recv_ns": seq * MS + (seq + 1) * MS }))).collect();
    records.extend((90..100).map(|seq| failed(seq, seq * MS, "timeout", S)));
    let run = measured(&records);
    let percentiles = run.figure("latency-percentiles").unwrap();
    assert_eq!((percentiles.x.scale, percentiles.y.scale), (Scale::Nines, Scale::Log));
    let response = &lines(&percentiles.kind)[0];
    let last = response.points.last().unwrap();
    assert_eq!((last.x, last.is_at_least), (0.99, true), "1 of 100 is beyond");
    assert!(response.points.iter().all(|point| point.is_at_least == (point.x > 0.9)));
    let cumulated = &lines(&run.figure("latency-cdf").unwrap().kind)[0].points;
    assert_eq!(cumulated.last().unwrap().y, Some(0.9));
    assert!(cumulated.is_sorted_by(|one, other| one.x < other.x && one.y < other.y));
}

#[test]
fn availability_has_a_lane_for_all_each_kind_each_side_and_each_node() {
    let setting = Setting { nodes: three_nodes(), ..Setting::default() };
    let records: Vec<Json> = (0..20)
        .map(
            |seq| if seq < 10 { op(seq, seq * 100 * MS, json!({})) } else { failed(seq, seq * 100 * MS, "timeout", S) },
        )
        .collect();
    let run = measured_with(&records, &cut(1, 2, [1, 1, 1]), &setting);
    let Kind::Strip { lanes } = &run.figure("availability").unwrap().kind else { unreachable!() };
    let names: Vec<&str> = lanes.iter().map(|lane| lane.name.as_str()).collect();
    assert_eq!(names, ["all", "get", "side a", "node a"], "nobody asked b or c");
    let spans: Vec<(f64, f64, f64, u64)> =
        lanes[0].spans.iter().map(|span| (span.from, span.to, span.share, span.of)).collect();
    assert_eq!(spans, [(0.0, 1.0, 1.0, 10), (1.0, 2.0, 0.0, 10)]);
}

#[test]
fn stale_ages_and_versions_are_bars_that_add_up() {
    let run = measured(&violated());
    for id in ["stale-age", "versions-behind"] {
        let Kind::Bars { categories, series } = &run.figure(id).unwrap().kind else { unreachable!() };
        assert_eq!(categories.len(), series[0].points.len());
        let sum: f64 = series[0].points.iter().filter_map(|point| point.y).sum();
        assert_eq!(sum, run.value("staleness.stale"));
    }
}
