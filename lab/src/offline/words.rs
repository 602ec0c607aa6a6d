//! A verdict as a person reads it: first whether it holds, then each property, then the measures, then examples.

use std::fmt::{self, Write as _};

use super::{Distance, Example, Judged, Leaders, Outcome, Property, RunVerdict, Spread, StaleReads};
use crate::judges::Verdict;
use crate::judges::linearizable::{Finding, Report, Shown};

/// How many examples of a kind are told; JSON has more.
const EXAMPLES_MAX: usize = 3;

impl fmt::Display for RunVerdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "run {}: {}", self.run, self.sentence())?;
        writeln!(out, "{}", self.asked())?;
        self.left(out)?;
        writeln!(out)?;
        for judged in &self.properties {
            writeln!(out, "{}", line(judged))?;
        }
        writeln!(out)?;
        stale(out, "stale in real time", &self.stale_in_real_time)?;
        stale(out, "stale by causes", &self.stale_by_causes)?;
        if self.values.conflicts > 0 {
            writeln!(
                out,
                "siblings: {} of {} reads brought more than one value",
                self.values.conflicts, self.values.reads
            )?;
        }
        self.revived(out)?;
        report(out, "plain registers, by zones", &self.registers)?;
        report(out, "siblings or deletes, by search", &self.siblings)?;
        report(out, "  leniently (a read need only show the newest)", &self.siblings_leniently)?;
        distance(out, &self.distance)?;
        self.leaders.iter().try_for_each(|told| leaders(out, told))?;
        let examples = [&self.value_examples, &self.session_examples].into_iter().flatten();
        let examples = examples.chain(self.leaders.iter().flat_map(|told| &told.examples));
        examples.chain(self.distance.worst.iter()).try_for_each(|shown| write!(out, "\n{}", example(shown)))?;
        // Most reads that are stale by one definition are so by the other.
        let kinds = [&self.stale_in_real_time.examples, &self.stale_by_causes.examples];
        let stale = kinds.into_iter().find(|examples| !examples.is_empty()).into_iter().flatten();
        stale.take(EXAMPLES_MAX).try_for_each(|shown| write!(out, "\nstale: {}", example(shown)))?;
        let findings = [&self.registers, &self.siblings].into_iter().flat_map(|report| &report.findings);
        findings.take(EXAMPLES_MAX).try_for_each(|found| write!(out, "\n{}", finding(found)))
    }
}

impl RunVerdict {
    /// The verdict in one sentence.
    pub fn sentence(&self) -> String {
        let of = |outcome| {
            let some = self
                .properties
                .iter()
                .filter(move |judged| judged.verdict() == outcome && judged.is_expected != Some(false));
            some.map(|judged| judged.property.name()).collect::<Vec<_>>().join(", ")
        };
        match self.verdict {
            Outcome::Holds => format!("holds ({})", of(Outcome::Holds)),
            Outcome::Violated => format!("violated ({})", of(Outcome::Violated)),
            Outcome::Unknown => format!("unknown ({})", of(Outcome::Unknown)),
        }
    }

    fn asked(&self) -> String {
        let told = |count: Option<u32>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
        let conditions = &self.conditions;
        let mut text = format!(
            "{} operations of {} keys; {} reads, N={} R={} W={}",
            self.operations,
            self.keys,
            conditions.read_mode,
            told(conditions.n),
            told(conditions.r),
            told(conditions.w),
        );
        if conditions.sloppy_answers > 0 {
            // Writing to a string does not fail.
            let _ = write!(text, "; {} answers of sloppy quorums, which promise nothing", conditions.sloppy_answers);
        }
        text
    }

    fn revived(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.conditions.retried_writes {
            0 => "",
            _ => "; writes were sent more than once, and one may have been applied again, so this convicts nobody",
        };
        match self.values.revived {
            0 => Ok(()),
            count => writeln!(out, "revived: {count} reads brought what an acknowledged write had replaced{why}"),
        }
    }

    fn left(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = &self.left_out;
        if left.is_unfinished {
            writeln!(
                out,
                "the history has no end (the loader was killed): what has no line is unknown, and convicts nobody"
            )?;
        }
        let told = [
            (left.operations, "operations that say nothing (not done, or reads without an answer)"),
            (
                left.keys_of_others - left.keys_without_lines.min(left.keys_of_others),
                if left.is_unfinished {
                    "keys with values of other runs, or which a delete without a line may have emptied"
                } else {
                    "keys with values of other runs (a bucket of its own has none)"
                },
            ),
            (left.keys_without_lines, "keys with values of which no line tells"),
            (left.keys_too_large, "keys with too many writes for causes and sessions"),
            (left.torn_bytes, "bytes of a last line that is cut off"),
        ];
        told.iter()
            .filter(|(count, _)| *count > 0)
            .try_for_each(|(count, what)| writeln!(out, "left out: {count} {what}"))
    }
}

fn line(judged: &Judged) -> String {
    let outcome = judged.outcome.word();
    let what = match judged.property {
        Property::Linearizable => "keys",
        Property::MonotonicWrites | Property::WritesFollowReads => "chances",
        Property::OneLeader if judged.outcome == Outcome::Unknown && judged.unknown_keys == 0 => {
            return format!("{:<20} unknown   the history has no terms", judged.property.name());
        }
        Property::OneLeader => "answers",
        _ => "reads",
    };
    let mut text =
        format!("{:<20} {outcome:<9} {} of {} {what}", judged.property.name(), judged.violations, judged.opportunities);
    if judged.unknown_keys > 0 {
        let _ = write!(text, ", {} keys not judged", judged.unknown_keys);
    }
    text + match (judged.is_expected, judged.outcome) {
        (Some(true), _) | (_, Outcome::Holds) => "",
        (Some(false), _) => "; not promised",
        (None, _) => "; whether it was promised is not told (N, R, W)",
    }
}

fn ms(ns: u64) -> String {
    format!("{:.3} ms", ns as f64 / 1e6)
}

fn spread(spread: Spread, show: impl Fn(u64) -> String) -> String {
    format!("p50 {}, p99 {}, max {}", show(spread.p50), show(spread.p99), show(spread.max))
}

fn stale(out: &mut fmt::Formatter<'_>, title: &str, stale: &StaleReads) -> fmt::Result {
    let (Some(rate), Some((low, high))) = (stale.rate, stale.rate_interval) else {
        return writeln!(out, "{title}: no read had an acknowledged write before it");
    };
    let interval = match stale.stale {
        // Of none found, the rule of three says more simply what the interval says.
        0 => format!("below {:.2e} with 95 %", (3.0 / stale.reads as f64).min(1.0)),
        _ => format!("{:.4} %, {:.4} to {:.4} % with 95 %", rate * 1e2, low * 1e2, high * 1e2),
    };
    writeln!(out, "{title}: {} of {} reads ({interval})", stale.stale, stale.reads)?;
    if stale.maybe_deleted > 0 {
        writeln!(out, "  and {} brought something older, which a delete may explain", stale.maybe_deleted)?;
    }
    if let Some(age) = stale.age_ns {
        writeln!(out, "  age: {}", spread(age, ms))?;
    }
    if let Some(behind) = stale.versions_behind {
        writeln!(out, "  versions behind, at least: {}", spread(behind, |count| count.to_string()))?;
    }
    match stale.versions_behind_at_most {
        Some(most) if stale.versions_behind != Some(most) => {
            writeln!(out, "  versions behind, at most: {}", spread(most, |count| count.to_string()))
        }
        _ => Ok(()),
    }
}

fn report(out: &mut fmt::Formatter<'_>, title: &str, report: &Report) -> fmt::Result {
    let keys = report.valid + report.invalid + report.unknown;
    if keys == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "{title}: {keys} keys, {} linearizable, {} not, {} unknown",
        report.valid, report.invalid, report.unknown
    )
}

fn distance(out: &mut fmt::Formatter<'_>, distance: &Distance) -> fmt::Result {
    let (Some(gamma), Some(delta)) = (distance.gamma_ns, distance.delta_ns) else { return Ok(()) };
    writeln!(
        out,
        "gamma: {} of {} clusters above 0, {}\ndelta: {} of {} keys above 0, {}",
        distance.positive_clusters,
        distance.clusters,
        spread(gamma, ms),
        distance.positive_keys,
        distance.keys,
        spread(delta, ms),
    )
}

fn leaders(out: &mut fmt::Formatter<'_>, told: &Leaders) -> fmt::Result {
    let by = match told.is_client_only {
        true => "by what clients were told alone: no samples of the nodes".to_owned(),
        false if told.together_ns > 0 => format!("two led at once for {} or more", ms(told.together_ns)),
        false => "by answers and samples".to_owned(),
    };
    writeln!(out, "leaders: {}; {} terms; {by}", told.sentence(), told.terms)
}

fn example(example: &Example) -> String {
    let head = match example.key.is_empty() {
        true => format!("{}\n", example.why),
        false => format!("key {}: {}\n", example.key, example.why),
    };
    head + &example.operations.iter().map(operation).collect::<String>()
}

fn finding(finding: &Finding) -> String {
    let verdict = if finding.verdict == Verdict::Invalid { "not linearizable" } else { "unknown" };
    let head = format!("key {}: {verdict}: {}\n", finding.key, finding.why);
    head + &finding.witness.iter().map(operation).collect::<String>()
}

fn operation(shown: &Shown) -> String {
    let time = |ns: i64| format!("{:.3}", ns as f64 / 1e6);
    let end = shown.end.map_or_else(|| "?".to_owned(), time);
    let when = format!("{}..{end} ms", time(shown.start));
    let asked = shown.asked.as_ref().map_or_else(String::new, |node| format!("  (asked {node})"));
    format!("  line {:<7} session {:<4} {when:>26}  {}{asked}\n", shown.source, shown.process, shown.what)
}
