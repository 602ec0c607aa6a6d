//! Availability by windows, sides and moments.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{MS, S, Setting, cut, failed, measured, measured_with, op, three_nodes};

/// Ten gets a second for ten seconds; those for which `is_lost` (second, place) are refused.
fn ten_seconds(is_lost: impl Fn(u64, u64) -> bool) -> Vec<Json> {
    let one = |number: u64| match is_lost(number / 10, number % 10) {
        true => failed(number, number * 100 * MS, "quorum_not_reached", MS),
        false => op(number, number * 100 * MS, json!({})),
    };
    (0..100).map(one).collect()
}

#[test]
fn a_gap_is_the_longest_run_of_unavailable_seconds() {
    let run = measured(&ten_seconds(|second, place| (second == 1 && place == 0) || (4..7).contains(&second)));
    assert_eq!(run.value("availability.longest_gap_s"), 3.0);
    assert_eq!(run.metric("availability.ratio").share, Some((69, 100)));
    assert_eq!(run.value("errors.fast_reject.count"), 31.0);
    assert_eq!(measured(&ten_seconds(|_, _| false)).value("availability.longest_gap_s"), 0.0);
    let lenient = Setting { unavailable_below: 0.85, ..Setting::default() };
    let one_in_ten = ten_seconds(|_, place| place == 0);
    assert_eq!(measured_with(&one_in_ten, &[], &lenient).value("availability.longest_gap_s"), 0.0);
    assert_eq!(measured(&one_in_ten).value("availability.longest_gap_s"), 10.0);
}

#[test]
fn an_answer_after_the_deadline_is_none() {
    let records = [op(0, 0, json!({ "recv_ns": 50 * MS })), op(1, 0, json!({ "recv_ns": 51 * MS }))];
    let strict = Setting { deadline: Some(Duration::from_millis(50)), ..Setting::default() };
    assert_eq!(measured_with(&records, &[], &strict).metric("availability.ratio").share, Some((1, 2)));
    assert_eq!(measured(&records).metric("availability.ratio").share, Some((2, 2)));
}

#[test]
fn errors_are_split_by_how_they_were_told() {
    let errors = [
        "overloaded",
        "quorum_not_reached",
        "timeout",
        "deadline_exceeded",
        "connection_lost",
        "not_connected",
        "not_sent",
    ];
    let run = measured(&(0..).zip(errors).map(|(seq, error)| failed(seq, 0, error, MS)).collect::<Vec<_>>());
    let counts =
        ["fast_reject", "timeout", "connection", "not_sent"].map(|word| run.value(&format!("errors.{word}.count")));
    assert_eq!(counts, [2.0, 2.0, 2.0, 1.0]);
    assert!(!run.metrics.contains_key("availability.degraded.ratio"), "nothing was answered");
    let degraded = [op(0, 0, json!({ "degraded": true })), op(1, 0, json!({}))];
    assert_eq!(measured(&degraded).metric("availability.degraded.ratio").share, Some((1, 2)));
}

#[test]
fn first_success_and_recovery_are_from_the_evidence_of_the_fault() {
    // Cut at 2 s, healed at 5 s; nothing is done from 2 to 6.5 s.
    let lost = |second, place| (2..6).contains(&second) || (second == 6 && place < 5);
    let run = measured_with(&ten_seconds(lost), &cut(2, 5, [1, 1, 0]), &Setting::default());
    assert_eq!(run.value("availability.time_to_first_success_ms"), 4501.0);
    assert_eq!((run.value("availability.recovery_s"), run.metric("availability.recovery_s").is_at_least), (2.0, false));
    let well = measured_with(&ten_seconds(|_, _| false), &cut(2, 5, [1, 1, 0]), &Setting::default());
    assert_eq!(
        (well.value("availability.recovery_s"), well.value("availability.time_to_first_success_ms")),
        (0.0, 1.0)
    );
    let never = measured_with(&ten_seconds(|second, _| second >= 2), &cut(2, 5, [1, 1, 0]), &Setting::default());
    assert!(never.metric("availability.recovery_s").is_at_least);
    assert!(never.metric("availability.time_to_first_success_ms").is_at_least);
    assert!(
        !measured(&ten_seconds(|_, _| false)).metrics.contains_key("availability.recovery_s"),
        "no fault, no recovery"
    );
}

#[test]
fn a_side_is_judged_by_who_was_asked_while_it_was_cut_off() {
    // Even places ask a, odd ones b; a answers nothing from 2 to 5 s.
    let mut records = ten_seconds(|second, place| (2..5).contains(&second) && place % 2 == 0);
    for (place, record) in records.iter_mut().enumerate().filter(|(place, _)| place % 2 == 1) {
        record["target"] = if place % 4 == 1 { "http://b:1".into() } else { "c:1/".into() };
    }
    let setting = Setting { nodes: three_nodes(), ..Setting::default() };
    let run = measured_with(&records, &cut(2, 5, [1, 0, 1]), &setting);
    assert_eq!(run.metric("availability.side.a.ratio").share, Some((0, 15)));
    assert_eq!(run.metric("availability.side.b_c.ratio").share, Some((15, 15)));
    assert_eq!(run.warnings.len(), 1, "it did not keep up: {:?}", run.warnings);
    let unknown =
        measured_with(&records, &cut(2, 5, [1, 0, 1]), &Setting { nodes: three_nodes()[..2].to_vec(), ..setting });
    assert!(unknown.warnings.iter().any(|warning| warning.contains("no known nodes")), "{:?}", unknown.warnings);
}

#[test]
fn bands_are_from_evidence_and_a_fault_without_it_is_a_warning() {
    let of = |lost| measured_with(&ten_seconds(|_, _| false), &cut(2, 5, lost), &Setting::default());
    let (good, bad) = (of([1, 1, 0]), of([1, 0, 0]));
    let band = |run: &super::Measured| (run.bands[0].from, run.bands[0].to, run.bands[0].is_verified);
    assert_eq!((band(&good), band(&bad)), ((2.0, 5.0, true), (2.0, 5.0, false)));
    assert!(good.warnings.is_empty() && good.unverified.is_empty(), "{:?} {:?}", good.warnings, good.unverified);
    assert!(bad.unverified[0].contains("is not verified"), "{:?}", bad.unverified);
    assert_eq!(good.figure("latency-over-time").unwrap().bands, good.bands);
    let endless = measured_with(&ten_seconds(|_, _| false), &cut(2, 5, [1, 1, 0])[..1], &Setting::default());
    assert_eq!((endless.bands[0].to * 1e9).round() as u64, 9 * S + 901 * MS, "to the end of the run");
    assert!(!endless.bands[0].is_verified);
}
