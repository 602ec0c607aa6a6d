//! The results as a table of at most eighty columns, with a sentence for everything that makes them doubtful.

use std::fmt;

use super::{ErrorCount, OpenLoop, Quantile, Results, Row};
use crate::faults::Injected;
use crate::load::Reading;

const COLUMNS: usize = 80;

impl fmt::Display for Results {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = if self.targets == 1 { "1 node".to_owned() } else { format!("{} nodes", self.targets) };
        writeln!(out, "{}", wrapped(&self.pace))?;
        writeln!(out, "{}", wrapped(&self.request.to_string()))?;
        writeln!(out, "run {}, seed {}, {nodes}", self.run, self.seed)?;
        let all = self.ok + self.fail + self.info;
        writeln!(
            out,
            "{all} operations in {:.1} s: {} ok, {} failed, {} unknown",
            self.elapsed_s, self.ok, self.fail, self.info
        )?;
        match &self.open_loop {
            Some(open) => writeln!(
                out,
                "{:.1}/s achieved of {:.1}/s offered; loader lag {} at p99",
                open.achieved_per_s,
                open.offered_per_s,
                reading(open.lag_p99_us.map(|us| Quantile { us, is_at_least: false })),
            )?,
            None => writeln!(out, "{:.1}/s", self.ok_per_s)?,
        }
        self.faults.iter().try_for_each(|fault| writeln!(out, "{}", wrapped(&sentence(fault))))?;
        writeln!(out)?;
        writeln!(out, "{:<16}{:>9}{:>11}{:>11}{:>11}{:>11}{:>11}", "", "COUNT", "P50", "P90", "P99", "P99.9", "MAX")?;
        let mut op = "";
        for row in &self.latencies {
            let name = if row.op == op { "" } else { &row.op };
            line(out, name, row)?;
            op = &row.op;
        }
        self.remarks().iter().try_for_each(|remark| write!(out, "\n{remark}\n"))
    }
}

/// What became of an experiment.
fn sentence(fault: &Injected) -> String {
    match (fault.began_s, fault.ended_s, &fault.why_not) {
        (Some(began), Some(ended), _) => format!("experiment {}: {began:.1} s to {ended:.1} s", fault.id),
        (Some(began), None, _) => format!("experiment {}: from {began:.1} s", fault.id),
        (None, _, why) => format!("experiment {} did not begin: {}", fault.id, why.as_deref().unwrap_or("unknown")),
    }
}

/// `text` in lines of at most [`COLUMNS`], all but the first indented; a longer word has a line of its own.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("  {word}")),
        }
    }
    lines.join("\n")
}

/// How often, and what the first one was told.
fn error(kind: &str, name: &str, errors: &ErrorCount) -> String {
    match errors.first.as_str() {
        "" => format!("{kind}: {name} {}", errors.count),
        first => wrapped(&format!("{kind}: {name} {}, the first: {first}", errors.count)),
    }
}

/// A latency; nothing has none.
fn reading(quantile: Option<Quantile>) -> String {
    quantile.map_or_else(|| "-".to_owned(), |quantile| Reading::from(quantile).to_string())
}

fn line(out: &mut fmt::Formatter<'_>, name: &str, row: &Row) -> fmt::Result {
    write!(out, "{name:<7}{:<9}{:>9}", row.kind, row.count)?;
    let [p50, p90, p99, p999, max] = [row.p50, row.p90, row.p99, row.p999, row.max].map(reading);
    writeln!(out, "{p50:>11}{p90:>11}{p99:>11}{p999:>11}{max:>11}")
}

impl Results {
    /// What a reader must know before believing the numbers.
    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.is_stopped {
            remarks.push("stopped before its end: these are the operations until then.".to_owned());
        }
        for fault in self.faults.iter().filter(|fault| fault.began_s.is_some() && !fault.is_evident) {
            remarks.push(format!("no evidence: no node counted anything of experiment {}.", fault.id));
        }
        for (kind, errors) in [("errors", &self.errors), ("tried again", &self.retried)] {
            let lines: Vec<String> = errors.iter().map(|(name, count)| error(kind, name, count)).collect();
            if !lines.is_empty() {
                remarks.push(lines.join("\n"));
            }
        }
        let censored = self.row("all", "response").or(self.row("all", "service")).map_or(0, |row| row.censored);
        if censored > 0 {
            remarks.push(format!(">=: a lower bound; without a good answer in time, or never sent: {censored}."));
        }
        match &self.open_loop {
            Some(open) => remarks.extend(open.doubts()),
            None => remarks.push(
                "Service time only: a closed loop waits with its users, so nobody knows what they\n\
                 would have waited. --rate measures that."
                    .to_owned(),
            ),
        }
        remarks
    }
}

impl OpenLoop {
    fn doubts(&self) -> Vec<String> {
        let saturated = self.is_saturated.then(|| {
            wrapped(&format!(
                "saturated: {} of {} operations were not sent, not answered in time or refused as too much. \
                 Where nothing is refused, the response grows with the length of the run.",
                self.late, self.due
            ))
        });
        let is_failing = !self.is_saturated && self.achieved_per_s < self.offered_per_s * 0.99;
        let failing = is_failing.then(|| {
            "failures: what is missing of the offered rate failed, and did not wait: there is\n\
             no backlog. The errors above tell why."
                .to_owned()
        });
        let limited = self.is_loader_limited.then(|| {
            "loader-limited: the loader was late by more than 1 ms or 5 % of the median\n\
             response, which is in part its own. A quieter machine or a lower rate helps."
                .to_owned()
        });
        saturated.into_iter().chain(failing).chain(limited).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::{ErrorCount, Injected, OpenLoop, Quantile, Results, Row};
    use crate::plan::Request;

    fn injected() -> Injected {
        let (began_s, ended_s) = (Some(8.02), Some(11.0));
        Injected { id: "nap".to_owned(), began_s, ended_s, is_evident: false, why_not: None }
    }

    fn results(open_loop: Option<OpenLoop>) -> Results {
        let bound = Some(Quantile { us: 123_456_789, is_at_least: true });
        let value = Some(Quantile { us: 12_345, is_at_least: false });
        let row = |kind, censored| Row {
            op: "delete".to_owned(),
            kind,
            count: 123_456_789,
            censored,
            mean_us: Some(1.0),
            p50: value,
            p90: value,
            p99: bound,
            p999: bound,
            max: bound,
        };
        let all = Row { op: "all".to_owned(), p50: None, ..row("response", 7) };
        let errors = ErrorCount { count: 7, first: "no answer in 5s ".repeat(9) };
        Results {
            run: "00000000000000ab".to_owned(),
            pace: "open loop: 10 steps from 1000/s to 1000000/s for 3600.0 s, at most 999999 in flight".to_owned(),
            request: Request { r: 2, w: 2, timeout: Duration::from_millis(12_345), ..Request::default() },
            seed: u64::MAX,
            targets: 3,
            elapsed_s: 20.0,
            is_stopped: true,
            ok: 9,
            fail: 2,
            info: 5,
            ok_per_s: 0.5,
            errors: BTreeMap::from([("timeout".to_owned(), errors.clone())]),
            retried: BTreeMap::from([("overloaded".to_owned(), errors)]),
            faults: vec![
                Injected { began_s: None, ended_s: None, why_not: Some("why ".repeat(40)), ..injected() },
                injected(),
            ],
            open_loop,
            latencies: vec![row("response", 7), row("service", 7), all],
            history_records: None,
        }
    }

    #[test]
    fn the_table_fits_eighty_columns_and_says_what_makes_it_doubtful() {
        let open = OpenLoop {
            due: 16_000_000,
            offered_per_s: 1_000_000.0,
            achieved_per_s: 999_999.0,
            lag_p99_us: Some(1_500),
            late: 7_000_000,
            is_saturated: true,
            is_loader_limited: true,
        };
        let text = results(Some(open)).to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        for part in [
            "eventual reads, R 2, W 2, timeout 12.345 s",
            "nap: 8.0 s to 11.0 s",
            "nap did not begin: why why",
            "no evidence: no node",
        ] {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
        for part in [
            ">= 123.5 s",
            "12.3 ms",
            "saturated",
            "loader-limited",
            "errors: timeout 7, the first: no answer",
            "tried again: overloaded 7, the first: no answer",
            "stopped",
            "never sent: 7.",
        ] {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
        let healthy = OpenLoop { is_saturated: false, is_loader_limited: false, ..open };
        let text = results(Some(healthy)).to_string();
        assert!(!text.contains("saturated") && !text.contains("limited") && !text.contains("failures:"), "{text}");
        assert!(text.contains("all    response 123456789          - "), "{text}");
        let failing = OpenLoop { achieved_per_s: 900_000.0, ..healthy };
        let text = results(Some(failing)).to_string();
        assert!(text.contains("failures:") && !text.contains("saturated"), "{text}");
        assert!(results(None).to_string().contains("Service time only"));
    }
}
