//! Metrics in words, by the unit at the end of their names.
//! Invariant: a share of nothing is told as less than 3/n, for no one has seen that it is 0 (research/lab.md 3.13).

use super::Metric;
use super::pool::is_count;

/// What a number of a name is in.
#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Percent,
    Count,
    Other(&'static str),
}

impl Metric {
    /// The value of the metric `name`, with its unit; of a share also of how many.
    pub fn text(&self, name: &str) -> String {
        let bound = if self.is_at_least { ">= " } else { "" };
        match (unit(name), self.share) {
            (Unit::Percent, Some((0, all))) => format!("{} (0 of {all})", less_than(all, 100.0, " %")),
            (Unit::Percent, Some((hits, all))) => {
                format!("{bound}{} ({hits} of {all})", told(self.value, Unit::Percent))
            }
            (unit, Some((0, all))) if name.ends_with(".per_million") => {
                format!("{}{} (0 of {all})", less_than(all, 1e6, ""), word(unit))
            }
            (unit, _) => format!("{bound}{}", told(self.value, unit)),
        }
    }

    /// The same without of how many.
    pub fn value_text(&self, name: &str) -> String {
        let bound = if self.is_at_least { ">= " } else { "" };
        format!("{bound}{}", told(self.value, unit(name)))
    }

    /// Where it lies with 95 %; empty if nobody knows.
    pub fn interval_text(&self, name: &str) -> String {
        let unit = unit(name);
        let Some((low, high)) = self.interval else { return String::new() };
        let scale = if unit == Unit::Percent { 100.0 } else { 1.0 };
        format!("{} to {}{}", number(scale * low), number(scale * high), word(unit))
    }
}

/// What numbers of the metric `name` are in: `%`, `ms`, `s`, `/s`, `in a million`, or nothing.
pub fn unit_word(name: &str) -> &'static str {
    word(unit(name)).trim_start()
}

/// The rule of three, in parts of `scale`.
fn less_than(all: u64, scale: f64, word: &str) -> String {
    format!("< {}{word}", number((scale * 3.0 / all as f64).min(scale)))
}

fn unit(name: &str) -> Unit {
    let last = name.rsplit('.').next().unwrap_or(name);
    if matches!(last, "ratio" | "rate" | "share" | "rmse") {
        Unit::Percent
    } else if is_count(name) {
        Unit::Count
    } else if last.ends_with("_ms") {
        Unit::Other(" ms")
    } else if last.ends_with("per_s") {
        Unit::Other("/s")
    } else if last.ends_with("_s") {
        Unit::Other(" s")
    } else if last == "per_million" {
        Unit::Other(" in a million")
    } else {
        Unit::Other("")
    }
}

fn word(unit: Unit) -> &'static str {
    match unit {
        Unit::Percent => " %",
        Unit::Count => "",
        Unit::Other(word) => word,
    }
}

fn told(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Percent => format!("{} %", number(100.0 * value)),
        Unit::Count => format!("{value:.0}"),
        Unit::Other(word) => format!("{}{word}", number(value)),
    }
}

/// Four digits, or all before the point; whole numbers without a point.
fn number(value: f64) -> String {
    if value == value.trunc() && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    let before = value.abs().log10().floor() as i32 + 1;
    let after = usize::try_from((4 - before).clamp(0, 9)).unwrap_or_default();
    let text = format!("{value:.after$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Metric;

    #[test]
    fn numbers_are_told_with_their_unit_and_no_more_digits_than_they_have() {
        assert_eq!(Metric::of(3.214_159).text("latency.get.p99_ms"), "3.214 ms");
        assert_eq!(Metric::of(12_345.6).text("throughput.ok_per_s"), "12346/s");
        assert_eq!(Metric { is_at_least: true, ..Metric::of(2.5) }.text("availability.recovery_s"), ">= 2.5 s");
        assert_eq!(Metric::count(7).text("errors.timeout.count"), "7");
        let spread = Metric { interval: Some((1.0, 2.345_67)), ..Metric::of(2.0) };
        assert_eq!(
            (spread.text("gamma.p50_ms"), spread.interval_text("gamma.p50_ms")),
            ("2 ms".to_owned(), "1 to 2.346 ms".to_owned())
        );
    }

    #[test]
    fn a_share_of_nothing_is_less_than_three_of_all() {
        let none = Metric::share(0, 1000).unwrap();
        assert_eq!(none.text("staleness.rate"), "< 0.3 % (0 of 1000)");
        assert_eq!(none.interval_text("staleness.rate"), "0 to 0.3827 %");
        assert_eq!(Metric::share(1, 1000).unwrap().text("staleness.rate"), "0.1 % (1 of 1000)");
        assert_eq!(Metric::share(0, 2).unwrap().text("staleness.rate"), "< 100 % (0 of 2)", "no more than all");
        assert_eq!(
            Metric::per_million(0, 1000).unwrap().text("sessions.x.per_million"),
            "< 3000 in a million (0 of 1000)"
        );
        assert_eq!(Metric::of(0.0).interval_text("a.p50_ms"), "");
    }
}
