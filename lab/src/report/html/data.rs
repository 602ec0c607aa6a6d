//! The numbers behind a figure, as a table that opens below it.
//! Invariants: what a plot leaves out is here, up to the limit; what is beyond the limit is counted.

use super::table::Rows;
use crate::report::model::{Band, Figure, HeatCell, Kind, Lane, OpBar, OpLane, Point, Series, Span};
use crate::report::svg::number;

/// The tables of `figure`, with at most `most` rows each.
pub(super) fn details(figure: &Figure, most: usize) -> String {
    let (head, rows) = match &figure.kind {
        Kind::Lines { series } => (points_head(figure), points(series, None)),
        Kind::Bars { categories, series } => (points_head(figure), points(series, Some(categories))),
        Kind::Heat { columns, rows, cells } => {
            let name = |names: &[String], index: usize| names.get(index).cloned().unwrap_or_else(|| index.to_string());
            let told = |cell: &HeatCell| {
                vec![name(columns, cell.column), name(rows, cell.row), number(cell.value), cell.text.join(", ")]
            };
            (head([&figure.x.label, &figure.y.label, "value", "as told"]), cells.iter().map(told).collect())
        }
        Kind::Strip { lanes } => (head(["lane", "from", "to", "share", "of"]), spans(lanes)),
        Kind::Timeline { lanes } => (head(["lane", "asked", "from", "to", "what", "kind"]), operations(lanes)),
    };
    let data = Rows { caption: "", head: &head, rows: &rows, most }.html();
    let bands = bands(figure, most);
    format!("<details><summary>The numbers ({})</summary>\n{data}{bands}</details>\n", shown(rows.len(), most))
}

fn shown(rows: usize, most: usize) -> String {
    if rows > most { format!("{most} of {rows} rows") } else { format!("{rows} rows") }
}

fn bands(figure: &Figure, most: usize) -> String {
    if figure.bands.is_empty() {
        return String::new();
    }
    let verified = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let told = |band: &Band| vec![band.label.clone(), number(band.from), number(band.to), verified(band.is_verified)];
    let rows: Vec<Vec<String>> = figure.bands.iter().map(told).collect();
    Rows { caption: "Faults", head: &head(["fault", "from", "to", "seen to take effect"]), rows: &rows, most }.html()
}

fn head<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}

fn points_head(figure: &Figure) -> Vec<String> {
    head(["series", &figure.x.label, &figure.y.label, "least (95 %)", "greatest (95 %)"])
}

fn points(series: &[Series], categories: Option<&[String]>) -> Vec<Vec<String>> {
    let place = |x: f64| match categories.and_then(|names| names.get(x as usize)) {
        Some(name) => name.clone(),
        None => number(x),
    };
    let told = |of: &Series, Point { x, y, lo, hi, is_at_least }: &Point| {
        let or_not = |value: &Option<f64>| value.map(number).unwrap_or_default();
        let sign = if *is_at_least { "≥ " } else { "" };
        let y = y.map_or("not measured".to_owned(), |y| format!("{sign}{}", number(y)));
        vec![of.name.clone(), place(*x), y, or_not(lo), or_not(hi)]
    };
    series.iter().flat_map(|of| of.points.iter().map(move |point| told(of, point))).collect()
}

fn spans(lanes: &[Lane]) -> Vec<Vec<String>> {
    let told = |lane: &Lane, span: &Span| {
        vec![lane.name.clone(), number(span.from), number(span.to), number(span.share), span.of.to_string()]
    };
    lanes.iter().flat_map(|lane| lane.spans.iter().map(move |span| told(lane, span))).collect()
}

fn operations(lanes: &[OpLane]) -> Vec<Vec<String>> {
    let told = |lane: &OpLane, op: &OpBar| {
        let kind = if op.is_write { "write" } else { "read" };
        let kind = if op.is_witness { format!("{kind}, part of the violation") } else { kind.to_owned() };
        let to = op.to.map_or("not known".to_owned(), number);
        let asked = op.asked.clone().unwrap_or_default();
        vec![lane.name.clone(), asked, number(op.from), to, op.label.clone(), kind]
    };
    let mut told: Vec<(bool, Vec<String>)> =
        lanes.iter().flat_map(|lane| lane.ops.iter().map(move |op| (!op.is_witness, told(lane, op)))).collect();
    // The violation first: it must not be what is left out.
    told.sort_by_key(|(comes_later, _)| *comes_later);
    told.into_iter().map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn the_label_of_a_table_tells_how_many_of_its_rows_are_shown() {
        assert_eq!(shown(3506, 200), "200 of 3506 rows");
        assert_eq!(shown(200, 200), "200 rows");
    }
}
