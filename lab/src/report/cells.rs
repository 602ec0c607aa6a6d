//! `cells.csv`: a row for each cell of a grid, for spreadsheets and data frames.
//! Follows RFC 4180, with line feeds alone: the first row names the columns, quotes are doubled.
//! Invariant: every row has the same columns; what was not measured is empty, never 0.

use std::collections::BTreeSet;

use crate::metrics::{Metric, Metrics};

/// A cell with all that was measured of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CellRow {
    /// Its name.
    pub name: String,
    /// What it was set to: axis, value.
    pub axes: Vec<(String, String)>,
    /// Pooled over its runs.
    pub metrics: Metrics,
}

/// `cells` as a table: name, axes in the order in which they first appear, then of each metric its value, and where known its ends with 95 %
/// (`.lo`, `.hi`) and whether it is only a lower bound (`.at_least`: 1).
pub fn cells_csv(cells: &[CellRow]) -> String {
    let axes = axes(cells);
    let columns = columns(cells);
    let mut text = String::new();
    let heads = columns.iter().map(|(name, part)| format!("{name}{}", part.suffix()));
    push_row(&mut text, ["cell".to_owned()].into_iter().chain(axes.iter().map(|axis| (*axis).to_owned())).chain(heads));
    for cell in cells {
        let axis = |axis: &&str| {
            cell.axes.iter().find(|(name, _)| name == axis).map_or(String::new(), |(_, value)| value.clone())
        };
        let of = |(name, part): &(&str, Part)| cell.metrics.get(*name).map_or(String::new(), |metric| part.of(metric));
        push_row(&mut text, [cell.name.clone()].into_iter().chain(axes.iter().map(axis)).chain(columns.iter().map(of)));
    }
    text
}

fn axes(cells: &[CellRow]) -> Vec<&str> {
    let mut axes: Vec<&str> = Vec::new();
    for (axis, _) in cells.iter().flat_map(|cell| &cell.axes) {
        if !axes.contains(&axis.as_str()) {
            axes.push(axis);
        }
    }
    axes
}

/// What is told of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Value,
    Lo,
    Hi,
    AtLeast,
}

impl Part {
    fn suffix(self) -> &'static str {
        match self {
            Self::Value => "",
            Self::Lo => ".lo",
            Self::Hi => ".hi",
            Self::AtLeast => ".at_least",
        }
    }

    fn of(self, metric: &Metric) -> String {
        let number = |number: f64| if number.is_finite() { number.to_string() } else { String::new() };
        match self {
            Self::Value => number(metric.value),
            Self::Lo => metric.interval.map(|(lo, _)| number(lo)).unwrap_or_default(),
            Self::Hi => metric.interval.map(|(_, hi)| number(hi)).unwrap_or_default(),
            Self::AtLeast => u8::from(metric.is_at_least).to_string(),
        }
    }
}

/// By name; bounds only where a cell has them.
fn columns(cells: &[CellRow]) -> Vec<(&str, Part)> {
    let mut columns = BTreeSet::new();
    for (name, metric) in cells.iter().flat_map(|cell| &cell.metrics) {
        columns.insert((name.as_str(), Part::Value));
        if metric.interval.is_some() {
            columns.extend([(name.as_str(), Part::Lo), (name.as_str(), Part::Hi)]);
        }
        if metric.is_at_least {
            columns.insert((name.as_str(), Part::AtLeast));
        }
    }
    columns.into_iter().collect()
}

fn push_row(text: &mut String, fields: impl Iterator<Item = String>) {
    let quoted = |field: String| {
        let is_plain = !field.contains([',', '"', '\n', '\r']) && field.trim() == field;
        if is_plain { field } else { format!("\"{}\"", field.replace('"', "\"\"")) }
    };
    *text += &fields.map(quoted).collect::<Vec<_>>().join(",");
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::{CellRow, cells_csv};
    use crate::metrics::Metric;

    #[test]
    fn cells_that_measured_different_things_have_the_same_columns() {
        let cell = |name: &str, axes: &[(&str, &str)], metrics: &[(&str, Metric)]| CellRow {
            name: name.to_owned(),
            axes: axes.iter().map(|(axis, value)| ((*axis).to_owned(), (*value).to_owned())).collect(),
            metrics: metrics.iter().map(|(name, metric)| ((*name).to_owned(), *metric)).collect(),
        };
        let rate = Metric { value: 0.25, interval: Some((0.1, 0.5)), ..Metric::default() };
        let bound = Metric { value: 5000.0, is_at_least: true, ..Metric::default() };
        let text = cells_csv(&[
            cell("r=1, w=1", &[("r", "1"), ("w", "1")], &[("staleness.rate", rate)]),
            cell("say \"hi\"", &[("r", "2"), ("delay", "5 ms")], &[("latency.get.p99_ms", bound)]),
        ]);
        assert_eq!(
            text,
            "cell,r,w,delay,latency.get.p99_ms,latency.get.p99_ms.at_least,staleness.rate,staleness.rate.lo,staleness.rate.hi\n\
             \"r=1, w=1\",1,1,,,,0.25,0.1,0.5\n\
             \"say \"\"hi\"\"\",2,,5 ms,5000,1,,,\n"
        );
    }
}
