//! Latencies: what waits counts, and what gets no answer never makes them look better.

use super::{MS, Measured, Phase, S, Setting, failed, measured, measured_with, op};
use serde_json::{Value as Json, json};

/// A hundred gets that take 1 to 100 ms.
fn hundred() -> Vec<Json> {
    (0..100).map(|seq| op(seq, seq * 10 * MS, json!({ "recv_ns": seq * 10 * MS + (seq + 1) * MS }))).collect()
}

#[test]
fn percentiles_are_of_the_response_and_the_service_beside_it() {
    let mut records = hundred();
    let run = measured(&records);
    assert_eq!(run.value("latency.get.p50_ms"), 50.0);
    assert_eq!((run.value("latency.all.p99_ms"), run.value("latency.all.max_ms")), (99.0, 100.0));
    assert!(!run.metrics.contains_key("latency.put.p50_ms"), "there was no put");
    // All sent 500 ms late: the response has waited, the service has not.
    for record in &mut records {
        let late = |field: &str| record[field].as_u64().unwrap() + 500 * MS;
        let (sent, recv) = (late("sent_ns"), late("recv_ns"));
        (record["sent_ns"], record["recv_ns"]) = (sent.into(), recv.into());
    }
    let run = measured(&records);
    assert_eq!((run.value("latency.get.p50_ms"), run.value("service.get.p50_ms")), (550.0, 50.0));
}

#[test]
fn a_closed_loop_tells_service_times_and_says_so() {
    let records: Vec<Json> = hundred()
        .into_iter()
        .map(|mut record| {
            record["intended_ns"] = Json::Null;
            record
        })
        .collect();
    let run = measured(&records);
    assert_eq!((run.value("latency.get.p50_ms"), run.value("service.get.p50_ms")), (50.0, 50.0));
    assert!(run.warnings[0].starts_with("a closed loop"), "{:?}", run.warnings);
    assert!(!run.metrics.contains_key("throughput.offered_per_s"));
}

/// Flaw 1 of the first measurements: timed out operations counted as 0 ms and as fresh reads.
#[test]
fn operations_that_timed_out_never_lower_a_percentile_or_a_stale_rate() {
    let lowered = |before: &Measured, after: &Measured| -> Vec<String> {
        let names = before.metrics.iter().filter(|(name, _)| name.contains("_ms") || name.ends_with("rate"));
        names.filter(|(name, metric)| after.value(name) < metric.value).map(|(name, _)| name.clone()).collect()
    };
    let before = measured(&hundred());
    for (error, waited) in
        [("timeout", S), ("deadline_exceeded", 900 * MS), ("connection_lost", 0), ("overloaded", 0), ("not_sent", 0)]
    {
        let lost = (100..180).map(|seq| failed(seq, seq * MS, error, waited));
        let after = measured(&hundred().into_iter().chain(lost).collect::<Vec<Json>>());
        assert_eq!(lowered(&before, &after), Vec::<String>::new(), "{error}");
        let is_censored = error != "overloaded";
        assert_eq!(after.metric("latency.get.p99_ms").is_at_least, is_censored, "{error}");
        assert_eq!(after.value("availability.ratio"), 100.0 / 180.0);
    }
    let tried_again = |seq: u64| {
        let mut record = failed(seq, seq * MS, "overloaded", S);
        record["attempts"] = 3.into();
        record
    };
    let after = measured(&hundred().into_iter().chain((100..180).map(tried_again)).collect::<Vec<Json>>());
    assert_eq!(after.metric("latency.get.p99_ms").text("latency.get.p99_ms"), ">= 1000 ms", "its client waited");
    let timed_out = (100..180).map(|seq| failed(seq, seq * MS, "timeout", S));
    let after = measured(&hundred().into_iter().chain(timed_out).collect::<Vec<Json>>());
    assert_eq!(after.value("latency.get.p99_ms"), 1000.0);
    assert_eq!(after.metric("latency.get.p99_ms").text("latency.get.p99_ms"), ">= 1000 ms");
}

#[test]
fn how_long_anybody_waited_for_an_end_is_asked_of_refusals_and_of_what_was_given_up_too() {
    let mut records = hundred();
    assert_eq!(measured(&records).value("service.ended.max_ms"), 100.0);
    records.push(failed(100, 2 * S, "overloaded", 300 * MS));
    assert_eq!(measured(&records).value("service.ended.max_ms"), 300.0, "a refusal that took its time");
    records.push(failed(101, 3 * S, "timeout", 400 * MS));
    assert_eq!(measured(&records).value("service.ended.max_ms"), 400.0);
}

#[test]
fn a_read_modify_write_is_one_operation_from_the_start_of_its_read_to_the_end_of_its_write() {
    let write = json!({ "op": "rmw_put", "value_id": "0.0", "sent_ns": 5 * MS, "recv_ns": 9 * MS, "intended_ns": MS });
    let read = json!({ "op": "rmw_get", "sent_ns": 2 * MS, "recv_ns": 4 * MS, "intended_ns": MS });
    let alone = failed(1, 20 * MS, "timeout", S);
    let failed_read =
        op(1, 20 * MS, json!({ "op": "rmw_get", "status": "fail", "error": "timeout", "recv_ns": alone["recv_ns"] }));
    let run = measured(&[op(0, 0, read), op(0, 0, write), failed_read]);
    assert_eq!((run.value("latency.rmw.p50_ms"), run.value("service.rmw.p50_ms")), (8.0, 7.0));
    assert_eq!(run.metric("availability.rmw.ratio").share, Some((1, 2)));
}

#[test]
fn a_phase_has_what_was_due_in_it() {
    let phases = vec![
        Phase { name: "before".to_owned(), from_s: 0.0, to_s: 0.5 },
        Phase { name: "after".to_owned(), from_s: 0.5, to_s: 9.0 },
        Phase { name: "never".to_owned(), from_s: 9.0, to_s: 9.5 },
    ];
    let run = measured_with(&hundred(), &[], &Setting { phases, ..Setting::default() });
    assert_eq!(
        (run.value("phase.before.latency.all.max_ms"), run.value("phase.after.latency.all.max_ms")),
        (50.0, 100.0)
    );
    assert_eq!(run.metric("phase.before.availability.ratio").share, Some((50, 50)));
    assert!(!run.metrics.keys().any(|name| name.starts_with("phase.never")));
}

#[test]
fn throughput_is_what_was_done_and_what_was_due() {
    let mut records = hundred();
    records.push(failed(100, 9_000 * MS, "timeout", S));
    let run = measured(&records);
    assert_eq!((run.value("throughput.ok_per_s"), run.value("throughput.offered_per_s")), (10.0, 10.1));
}
