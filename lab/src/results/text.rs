//! The results as a table of at most eighty columns, with a sentence for everything that makes them doubtful.

use std::fmt;

use super::{OpenLoop, Quantile, Results, Row};
use crate::load::Reading;

impl fmt::Display for Results {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = if self.targets == 1 { "1 node".to_owned() } else { format!("{} nodes", self.targets) };
        writeln!(out, "{}", self.pace)?;
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
                "{:.1}/s achieved of {:.1}/s offered; the loader itself was late by {} at p99",
                open.achieved_per_s,
                open.offered_per_s,
                Reading { us: open.lag_p99_us, is_at_least: false },
            )?,
            None => writeln!(out, "{:.1}/s", self.ok_per_s)?,
        }
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

fn line(out: &mut fmt::Formatter<'_>, name: &str, row: &Row) -> fmt::Result {
    write!(out, "{name:<7}{:<9}{:>9}", row.kind, row.count)?;
    let show = |quantile: Quantile| Reading::from(quantile);
    let [p50, p90, p99, p999, max] = [row.p50, row.p90, row.p99, row.p999, row.max].map(show);
    writeln!(out, "{p50:>11}{p90:>11}{p99:>11}{p999:>11}{max:>11}")
}

impl Results {
    /// What a reader must know before believing the numbers.
    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if !self.errors.is_empty() {
            let errors: Vec<String> = self.errors.iter().map(|(name, count)| format!("{name} {count}")).collect();
            remarks.push(format!("errors: {}", errors.join(", ")));
        }
        let censored = self.row("all", "response").or(self.row("all", "service")).map_or(0, |row| row.censored);
        if censored > 0 {
            remarks.push(format!(">=: a lower bound, since {censored} operations got no answer in their time."));
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
            "saturated: less than 99 % of what was offered was achieved. What waits grows with\n\
             the length of the run, and so does the response."
                .to_owned()
        });
        let limited = self.is_loader_limited.then(|| {
            "loader-limited: the loader was late by more than 1 ms or 5 % of the median\n\
             response. A part of the response is its own: use a quieter machine, or a lower rate."
                .to_owned()
        });
        saturated.into_iter().chain(limited).collect()
    }
}
