//! A comparison as a text: the verdict, what differs with its numbers, and how much does not.
//! Invariant: what could not be compared is counted and said, never left out silently.

use std::fmt::{self, Display, Formatter};

use super::{Comparison, OutcomeChange, Row, Verdict};
use crate::report::number;

impl Verdict {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Regression => "regression",
            Self::Changed => "changed",
            Self::Improvement => "improvement",
            Self::NotComparable => "not comparable",
            Self::NoDifference => "no difference",
        }
    }
}

/// The table, rows without a difference counted at its end.
impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for difference in &self.spec_differences {
            writeln!(f, "spec differs: {difference}")?;
        }
        for OutcomeChange { what, before, after, is_worse } in &self.outcomes {
            let word = if *is_worse { "regression" } else { "changed" };
            writeln!(f, "{word}: {what}: {}, then {}", before.word(), after.word())?;
        }
        let is_told = |row: &&Row| row.verdict != Verdict::NoDifference;
        let mut lines =
            vec![["verdict", "cell", "metric", "before", "after", "difference (95 %)", "p", "by"].map(str::to_owned)];
        lines.extend(self.rows.iter().filter(is_told).map(line));
        if lines.len() > 1 {
            print(f, &lines)?;
        }
        for name in &self.only_in_one {
            writeln!(f, "{name}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        writeln!(
            f,
            "{}: {} regressions, {} improvements, {} changed, {} without a difference, {} not comparable",
            if self.is_regression() { "regression" } else { "no regression" },
            self.count(Verdict::Regression),
            self.count(Verdict::Improvement),
            self.count(Verdict::Changed),
            self.count(Verdict::NoDifference),
            self.count(Verdict::NotComparable),
        )
    }
}

fn line(row: &Row) -> [String; 8] {
    let relative =
        if row.a == 0.0 { String::new() } else { format!(" ({:+.1} %)", 100.0 * row.difference / row.a.abs()) };
    let interval = row.interval.map(|(lo, hi)| format!(", {} to {}", number(lo), number(hi))).unwrap_or_default();
    [
        row.verdict.name().to_owned(),
        row.cell.clone(),
        row.metric.clone(),
        number(row.a),
        number(row.b),
        format!("{}{relative}{interval}", number(row.difference)),
        row.p_adjusted
            .or(row.p)
            .map(|p| if p < 1e-4 { "< 0.0001".to_owned() } else { format!("{p:.4}") })
            .unwrap_or_default(),
        row.why.clone(),
    ]
}

fn print<const N: usize>(f: &mut Formatter<'_>, lines: &[[String; N]]) -> fmt::Result {
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    for line in lines {
        let padded = line.iter().enumerate().map(|(column, cell)| format!("{cell:<width$}", width = width(column)));
        writeln!(f, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
