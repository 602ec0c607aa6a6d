//! Draws a table of shades with numbers in them, and what the shades mean above it.
//! Invariants: the ink in a cell has at least 4.5:1 on its shade; a cell that was not measured is hatched, not blank and not 0.
//! The ramp is viridis (van der Walt, Smith 2015; CC0) at nine places. Not here: which cells there are.

use std::collections::BTreeMap;

use super::canvas::{Anchor, Canvas, LINE, Place, WIDTH, width_of};
use super::legend;
use super::ruler::number;
use super::{Detail, frame};
use crate::report::model::{Figure, HeatCell};

const RAMP: [[f64; 3]; 9] = [
    [68.0, 1.0, 84.0],
    [71.0, 44.0, 122.0],
    [59.0, 81.0, 139.0],
    [44.0, 113.0, 142.0],
    [33.0, 144.0, 141.0],
    [39.0, 173.0, 129.0],
    [92.0, 200.0, 99.0],
    [170.0, 220.0, 50.0],
    [253.0, 231.0, 37.0],
];
const HEIGHT_MAX: f64 = 900.0;

/// Draws it all and says how high it is.
pub(super) fn draw(
    canvas: &mut Canvas,
    figure: &Figure,
    columns: &[String],
    rows: &[String],
    cells: &[HeatCell],
    detail: Detail,
) -> f64 {
    legend::define_patterns(canvas);
    let top = frame::draw_y_label(canvas, &figure.y.label);
    if columns.len().saturating_mul(rows.len()) > detail.parts_max {
        canvas.note(format!("{} x {} cells are too many to draw; the table has them.", columns.len(), rows.len()));
        return top;
    }
    let cells: BTreeMap<(usize, usize), &HeatCell> = cells.iter().map(|cell| ((cell.row, cell.column), cell)).collect();
    let shade = Shade::of(cells.values().map(|cell| cell.value));
    let top = draw_ramp(canvas, &shade, top) + 6.0;
    let left = rows.iter().map(|name| width_of(name) + 12.0).fold(40.0, f64::max).min(190.0);
    let lines = cells.values().map(|cell| cell.text.len()).max().unwrap_or(1).clamp(1, 4);
    let height = (lines as f64 * LINE + 14.0).min(HEIGHT_MAX / rows.len().max(1) as f64);
    let width = ((WIDTH - frame::RIGHT - left) / columns.len().max(1) as f64).min(150.0);
    for (row, name) in rows.iter().enumerate() {
        let y = top + (rows.len() - 1 - row) as f64 * height;
        if height >= 11.0 || row % 4 == 0 {
            canvas.text("tk", Anchor::End, (left - 8.0, y + height / 2.0 + 4.0), name, left - 8.0);
        }
        for (column, of) in columns.iter().enumerate() {
            let place = Place { x: left + column as f64 * width, y, width: width - 1.5, height: height - 1.5 };
            draw_cell(canvas, &shade, cells.get(&(row, column)).copied(), place, &format!("{of}, {name}"));
        }
    }
    let bottom = top + rows.len() as f64 * height;
    let every = (26.0 / width.max(0.01)).ceil().max(1.0) as usize;
    for (column, name) in columns.iter().enumerate().step_by(every) {
        let at = left + (column as f64 + 0.5) * width;
        canvas.text("tk", Anchor::Middle, (at, bottom + 16.0), name, width * every as f64 - 4.0);
    }
    let plot = Place { x: left, y: top, width: (width * columns.len() as f64).max(200.0), height: bottom - top };
    frame::draw_x_label(canvas, &figure.x.label, plot, bottom + 18.0 + LINE)
}

fn draw_cell(canvas: &mut Canvas, shade: &Shade, cell: Option<&HeatCell>, place: Place, name: &str) {
    let middle = (place.x + place.width / 2.0, place.y + place.height / 2.0);
    let Some((cell, [red, green, blue])) = cell.and_then(|cell| Some((cell, shade.colour(cell.value)?))) else {
        legend::hatch(canvas, place, &format!("{name}: not measured"));
        let width = width_of("not measured");
        if place.width >= width {
            let behind = Place { x: middle.0 - width / 2.0, y: middle.1 - 8.0, width, height: 16.0 };
            canvas.rect("behind", behind, "");
            canvas.text("sm", Anchor::Middle, (middle.0, middle.1 + 4.0), "not measured", place.width);
        }
        return;
    };
    let says = format!("{name}: {}", cell.text.join(", "));
    let fill = format!(" style=\"fill:rgb({red:.0},{green:.0},{blue:.0})\"");
    canvas.rect_with("cell", place, &fill, &says);
    let room = (place.height / (LINE - 2.0)).floor() as usize;
    let lines = cell.text.len().min(room);
    let ink = if luminance([red, green, blue]) > 0.179 { "dark" } else { "pale" };
    for (index, words) in cell.text.iter().take(lines).enumerate() {
        let y = middle.1 + 4.0 + (index as f64 - (lines as f64 - 1.0) / 2.0) * LINE;
        let class = if index == 0 { format!("hc {ink}") } else { format!("sm {ink}") };
        canvas.text(&class, Anchor::Middle, (middle.0, y), words, place.width - 2.0);
    }
}

/// The ramp from least to greatest, and what hatching means.
fn draw_ramp(canvas: &mut Canvas, shade: &Shade, top: f64) -> f64 {
    let id = canvas.id.clone();
    canvas.raw(&format!("<defs><linearGradient id=\"{id}-ramp\">"));
    for (index, [red, green, blue]) in RAMP.iter().enumerate() {
        canvas.raw(&format!("<stop offset=\"{}\" stop-color=\"rgb({red},{green},{blue})\"/>", index as f64 / 8.0));
    }
    canvas.raw("</linearGradient></defs>");
    let least = number(shade.low);
    let from = width_of(&least) + 8.0;
    canvas.text("sm", Anchor::Start, (0.0, top + 13.0), &least, WIDTH);
    let ramp = Place { x: from, y: top + 2.0, width: 180.0, height: 14.0 };
    canvas.rect_with("cell", ramp, &format!(" style=\"fill:url(#{id}-ramp)\""), "");
    let greatest = number(shade.high);
    canvas.text("sm", Anchor::Start, (from + 188.0, top + 13.0), &greatest, WIDTH);
    let x = from + 188.0 + width_of(&greatest) + 26.0;
    legend::hatch(canvas, Place { x, y: top + 2.0, width: 24.0, height: 14.0 }, "");
    canvas.text("sm", Anchor::Start, (x + 30.0, top + 13.0), "not measured", WIDTH);
    top + 22.0
}

/// From values to colours.
struct Shade {
    low: f64,
    high: f64,
}

impl Shade {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let values = values.filter(|value| value.is_finite()).map(|value| value.clamp(-1e300, 1e300));
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high { Self { low: 0.0, high: 1.0 } } else { Self { low, high } }
    }

    fn colour(&self, value: f64) -> Option<[f64; 3]> {
        if !value.is_finite() {
            return None;
        }
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        let place = if share.is_nan() { 0.0 } else { share * 8.0 };
        let (index, part) = (place.floor().min(7.0), place - place.floor().min(7.0));
        let (from, to) = (RAMP.get(index as usize)?, RAMP.get(index as usize + 1)?);
        let mut colour = [0.0; 3];
        for (of, (from, to)) in colour.iter_mut().zip(from.iter().zip(to)) {
            *of = (from + part * (to - from)).round();
        }
        Some(colour)
    }
}

/// After WCAG 2.2; above 0.179 black has more contrast than white, and either has at least 4.5:1.
fn luminance(colour: [f64; 3]) -> f64 {
    let linear = |part: f64| {
        let part = part / 255.0;
        if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    let [red, green, blue] = colour.map(linear);
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}
