#![allow(clippy::unwrap_used)]
use super::{Expression, Known};
use crate::offline::Outcome::{self, Holds, Unknown, Violated};

fn judge(text: &str) -> Outcome {
    let look_up = |name: &str| match name {
        "x" => Some(Known { value: 5.0, is_at_least: false }),
        "latency.all.p99_ms" => Some(Known { value: 40.0, is_at_least: true }),
        "n" => Some(Known { value: 3.0, is_at_least: false }),
        _ => None,
    };
    Expression::parse(text).unwrap().judge(&look_up)
}

#[test]
fn comparisons_of_what_was_measured_are_true_or_false() {
    for text in [
        "x == 5",
        "x<5.5",
        "x >= 5",
        "x != 4",
        "x * 2 + 1 == 11",
        "(x + 1) / 2 == n",
        "x >= 500%",
        "-x < 0",
        "x - 2 - 3 == 0",
    ] {
        assert_eq!(judge(text), Holds, "{text}");
    }
    for text in ["x < 5", "x > 5", "not x == 5", "x == 5 and x == 6", "(x == 4 or x == 6)", "not (x == 5 or x == 1)"] {
        assert_eq!(judge(text), Violated, "{text}");
    }
}

#[test]
fn times_are_in_the_unit_of_the_metric_beside_them() {
    let judge = |text: &str| {
        let look_up = |name: &str| {
            let value = if name.ends_with("_ms") { 40.0 } else { 2.0 };
            Some(Known { value, is_at_least: false })
        };
        Expression::parse(text).map(|read| read.judge(&look_up)).map_err(|error| (error.place, error.why))
    };
    for text in
        ["a.all_s < 2001ms", "a.all_s > 1999ms", "a.p99_ms < 0.041s", "2 * a.p99_ms == 80ms", "3s - a.all_s == 1000ms"]
    {
        assert_eq!(judge(text), Ok(Holds), "{text}");
    }
    assert_eq!(judge("a.p99_ms < 1s and a.all_s < 1s"), Ok(Violated), "each comparison by itself");
    assert_eq!(judge("a.p99_ms < 40"), Ok(Violated), "a bare number is in the metric's unit");
    for (text, place, part) in [
        ("a.rate < 5ms", 10, "no time"),
        ("a.ok_per_s > 5s", 14, "no time"),
        ("a.p99_ms < a.all_s + 1s", 22, "in ms and in s"),
    ] {
        let (at, why) = judge(text).unwrap_err();
        assert!(at == place && why.contains(part), "{text}: {at}: {why}");
    }
}

#[test]
fn what_was_not_measured_is_unknown_unless_it_does_not_matter() {
    assert_eq!(judge("y < 5"), Unknown);
    assert_eq!(judge("y / 0 < 5"), Unknown);
    assert_eq!(judge("x / 0 < 5"), Unknown);
    assert_eq!(judge("y < 5 and x == 5"), Unknown);
    assert_eq!(judge("y < 5 and x == 6"), Violated);
    assert_eq!(judge("y < 5 or x == 5"), Holds);
}

#[test]
fn a_lower_bound_proves_only_that_something_is_more() {
    assert_eq!(judge("latency.all.p99_ms < 50"), Unknown, "40 or more may be 60");
    assert_eq!(judge("latency.all.p99_ms < 40"), Violated);
    assert_eq!(judge("latency.all.p99_ms > 30"), Holds);
    assert_eq!(judge("latency.all.p99_ms == 40"), Unknown);
    assert_eq!(judge("50 > latency.all.p99_ms"), Unknown);
    assert_eq!(judge("latency.all.p99_ms * 2 > 70"), Holds);
    assert_eq!(judge("100 - latency.all.p99_ms > 50"), Unknown);
}

#[test]
fn what_cannot_be_read_says_where() {
    for (text, place) in [
        ("", 1),
        ("x", 2),
        ("x = 5", 3),
        ("x < ", 5),
        ("x < 5 6", 7),
        ("x < 5q", 5),
        ("x < 1.2.3", 5),
        ("x ~ 5", 3),
        ("(x < 5", 7),
        ("and < 5", 1),
        ("ü < 5", 1),
    ] {
        assert_eq!(Expression::parse(text).unwrap_err().place, place, "{text}");
    }
    assert!(Expression::parse(&("(".repeat(400) + "x")).is_err(), "depth is bounded");
    assert!(Expression::parse(&format!("x < {}", "1".repeat(1_000))).is_err());
}

#[test]
fn names_are_told_once() {
    let read = Expression::parse("x < 5 and latency.all.p99_ms / x > n").unwrap();
    assert_eq!(read.names(), ["x", "latency.all.p99_ms", "n"]);
}
