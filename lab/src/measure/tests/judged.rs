//! What the judges find, as metrics.

use serde_json::{Value as Json, json};

use super::{MS, Phase, S, Setting, failed, get, measured, measured_with, put};

/// Two writes, the second over the first, and `late` reads of the first after that; one every 100 ms.
fn stale(late: u64) -> Vec<Json> {
    let mut records = vec![put(0, 0, "k", None), get(1, 100 * MS, "k", 0, &["0.0"]), put(2, 200 * MS, "k", Some(1))];
    records.extend((3..3 + late).map(|seq| get(seq, seq * 100 * MS, "k", 1, &["0.0"])));
    records.push(get(90, 9 * S, "k", 2, &["0.2"]));
    records
}

#[test]
fn stale_reads_have_a_rate_with_its_interval_an_age_and_versions() {
    let run = measured(&stale(2));
    let rate = run.metric("staleness.rate");
    assert_eq!((rate.share, rate.value), (Some((2, 4)), 0.5));
    let (low, high) = rate.interval.unwrap();
    assert!((low - 0.1500).abs() < 1e-3 && (high - 0.8500).abs() < 1e-3, "{low} {high}");
    assert_eq!(run.metric("staleness.causal.rate").share, Some((2, 4)));
    // The write ended at 201 ms, the reads began at 300 and 400 ms.
    assert_eq!((run.value("staleness.age.p50_ms"), run.value("staleness.age.max_ms")), (99.0, 199.0));
    assert_eq!((run.value("staleness.versions.p50"), run.value("staleness.versions.max")), (1.0, 1.0));
    assert_eq!((run.value("staleness.reads"), run.value("staleness.stale")), (4.0, 2.0));
    let honest = measured(&stale(0));
    assert_eq!(honest.metric("staleness.rate").text("staleness.rate"), "< 100 % (0 of 2)");
    assert!(!honest.metrics.contains_key("staleness.age.p50_ms"), "nothing was stale, and so nothing has an age");
}

#[test]
fn reads_that_failed_are_no_fresh_reads() {
    let lost = (10..60).map(|seq| failed(seq, seq * 100 * MS, "timeout", S)).map(|mut record| {
        record["key"] = "k".into();
        record
    });
    let run = measured(&stale(2).into_iter().chain(lost).collect::<Vec<_>>());
    assert_eq!(run.metric("staleness.rate").share, Some((2, 4)));
}

#[test]
fn stale_reads_are_counted_in_the_phase_in_which_they_began() {
    let phases = vec![
        Phase { name: "early".to_owned(), from_s: 0.0, to_s: 0.35 },
        Phase { name: "late".to_owned(), from_s: 0.35, to_s: 10.0 },
    ];
    let run = measured_with(&stale(3), &[], &Setting { phases, ..Setting::default() });
    assert_eq!(run.metric("staleness.phase.early.rate").share, Some((1, 2)));
    assert_eq!(run.metric("staleness.phase.late.rate").share, Some((2, 3)));
}

#[test]
fn sessions_linearizability_and_gamma_are_told_with_their_opportunities() {
    let run = measured(&[stale(0), vec![get(91, 9 * S + 100 * MS, "k", 2, &["0.0"])]].concat());
    assert_eq!(run.metric("sessions.monotonic_reads.per_million").share, Some((1, 1)));
    assert_eq!(run.value("sessions.monotonic_reads.violations"), 1.0);
    assert_eq!(run.value("sessions.monotonic_reads.worst_age_ms"), 8_899.0);
    assert!(!run.metrics.contains_key("sessions.read_your_writes.worst_age_ms"));
    let keys = ["valid", "invalid", "unknown"].map(|word| run.value(&format!("linearizable.{word}_keys")));
    assert_eq!(keys, [0.0, 1.0, 0.0]);
    // 0.0 is still read at 9100 ms, though 0.2 was written by 201 ms; and 0.0 was by 1 ms, though 0.2 is read at 9000 ms.
    assert_eq!((run.value("gamma.max_ms"), run.metric("gamma.positive.share").share), (8_899.0, Some((2, 3))));
    let honest = measured(&stale(0));
    assert_eq!((honest.value("gamma.max_ms"), honest.value("linearizable.valid_keys")), (0.0, 1.0));
}

#[test]
fn values_that_are_strange_and_siblings_are_counted_apart() {
    let beside = [put(0, 0, "k", None), put(1, 100 * MS, "k", None), get(2, 200 * MS, "k", 1, &["0.0", "0.1"])];
    let run = measured(&beside);
    assert_eq!(
        (run.value("siblings.max"), run.value("siblings.false"), run.value("values.conflicts")),
        (2.0, 0.0, 1.0)
    );
    assert_eq!(run.metric("conflicts.rate").share, Some((1, 1)));
    let covered = [&beside[..], &[put(3, 300 * MS, "k", Some(2)), get(4, 400 * MS, "k", 1, &["0.0", "0.3"])]].concat();
    assert_eq!(measured(&covered).value("siblings.false"), 1.0, "0.3 had seen 0.0");
    let mut again = covered.clone();
    again[0]["attempts"] = json!(2);
    assert_eq!(measured(&again).value("siblings.false"), 0.0, "its first attempt may have come late");
    let phantom = [put(0, 0, "k", None), get(1, S, "k", 1, &["0.7"])];
    assert_eq!(measured(&phantom).value("values.phantom"), 1.0);
}
